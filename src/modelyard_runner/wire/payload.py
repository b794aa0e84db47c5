"""From the bytes of a request to the text of a table: content type, charset, gzip and multipart undone."""

import codecs
import zlib
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache

from modelyard_runner.problems import Refusal
from modelyard_runner.wire.multipart import file_part


class Form(Enum):
    """How the rows of a payload are written."""

    CSV = auto()
    JSON = auto()
    OTHER = auto()


FORMS = {
    "text/csv": Form.CSV,
    "text/plain": Form.CSV,
    "application/csv": Form.CSV,
    "application/json": Form.JSON,
    "text/json": Form.JSON,
    "application/x-ndjson": Form.JSON,
    "application/ndjson": Form.JSON,
    "application/jsonl": Form.JSON,
    "application/jsonlines": Form.JSON,
    "application/x-jsonlines": Form.JSON,
}


@dataclass(frozen=True, slots=True)
class ContentType:
    """A parsed `Content-Type`; absent parts are empty."""

    mimetype: str
    charset: str
    boundary: str


@dataclass(slots=True)
class Payload:
    """The rows of a request as UTF-8 without a byte order mark (as sent, where the form is OTHER)."""

    body: bytes
    form: Form


@lru_cache(maxsize=256)
def parse_content_type(header: bytes) -> ContentType:
    """`text/csv; charset=utf-8` and the like (RFC 9110, 8.3.1)."""
    first, *parameters = header.decode("latin-1").split(";")
    values = {}
    for parameter in parameters:
        word, _, value = parameter.partition("=")
        values[word.strip().lower()] = value.strip().strip('"')
    return ContentType(first.strip().lower(), values.get("charset", ""), values.get("boundary", ""))


def decompress(body: bytes, encoding: bytes, max_body_bytes: int) -> bytes:
    """Undo the `Content-Encoding`.

    Raises Refusal 413 as soon as more than `max_body_bytes` come out, 400 for anything but whole gzip data.
    """
    name = encoding.strip().lower()
    if name in {b"", b"identity"}:
        return body
    if name not in {b"gzip", b"x-gzip"}:
        raise Refusal(400, f"Content-Encoding {encoding.decode('latin-1')!r} is not supported; send gzip or none.")
    parts: list[bytes] = []
    left_bytes = max_body_bytes + 1
    while body:
        inflater = zlib.decompressobj(wbits=31)
        try:
            parts.append(inflater.decompress(body, left_bytes))
        except zlib.error as error:
            raise Refusal(400, f"The body is not valid gzip: {error}.") from error
        left_bytes -= len(parts[-1])
        if left_bytes <= 0:
            raise too_large(max_body_bytes)
        if not inflater.eof:
            raise Refusal(400, "The gzip body is cut off.")
        body = inflater.unused_data
    return b"".join(parts)


def too_large(max_body_bytes: int) -> Refusal:
    """The refusal of a body over the limit."""
    return Refusal(413, f"The body is larger than {max_body_bytes} bytes ({max_body_bytes / 2**20:.0f} MiB).")


def read_payload(body: bytes, content_type: bytes, *, any_form: bool = False) -> Payload:
    """The rows of a decompressed body. Without a content type the first character decides.

    With `any_form` (the model reads its input itself) an unknown content type is let through. Raises Refusal 400.
    """
    kind = parse_content_type(content_type)
    if kind.mimetype == "multipart/form-data":
        body, content_type = file_part(body, kind.boundary)
        kind = parse_content_type(content_type)
        if kind.mimetype not in FORMS and not any_form:
            kind = ContentType("", kind.charset, "")
    form = FORMS.get(kind.mimetype, Form.OTHER) if kind.mimetype else _guess_form(body)
    if form is Form.OTHER:
        if any_form:
            return Payload(body, form)
        raise Refusal(
            400,
            f"Content-Type {kind.mimetype!r} is not supported; send text/csv, application/json or multipart/form-data.",
        )
    return Payload(_as_utf8(body, kind.charset), form)


def _guess_form(body: bytes) -> Form:
    return Form.JSON if body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in {b"[", b"{"} else Form.CSV


@lru_cache(maxsize=64)
def _codec(charset: str) -> str:
    try:
        return codecs.lookup(charset or "utf-8").name
    except LookupError as error:
        raise Refusal(400, f"The charset {charset!r} is not known; send UTF-8.") from error


def _as_utf8(body: bytes, charset: str) -> bytes:
    codec = _codec(charset)
    if codec not in {"utf-8", "ascii", "utf-8-sig"}:
        body = decode_text(body, codec).encode()
    return body.removeprefix(codecs.BOM_UTF8)


def decode_text(body: bytes, charset: str) -> str:
    """The text of a body. Raises Refusal 400 when it is not in the given charset."""
    codec = _codec(charset)
    try:
        return body.decode(codec)
    except UnicodeError as error:
        raise Refusal(400, f"The body is not {codec} text: {error}.") from error
