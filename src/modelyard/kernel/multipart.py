"""Streaming multipart/form-data (RFC 7578): text fields into memory, files straight into their sinks."""

import codecs
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar
from urllib.parse import unquote_to_bytes

from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from modelyard.kernel.errors import BadRequest, Invalid, TooLarge
from modelyard.kernel.file_paths import base_name, shown
from modelyard.kernel.sink_queue import FileSink, SinkQueue
from modelyard.kernel.texts import UNSTORABLE, is_storable

Stored = TypeVar("Stored")
Stored_co = TypeVar("Stored_co", covariant=True)

_MIB: Final = 1 << 20
_HEADER_LINE_LIMIT_BYTES: Final = 8 << 10
_HEADER_LIMIT: Final = 16
_BOUNDARY_LIMIT: Final = 200
_CHARSET: Final = re.compile(
    r"ascii|utf-(8(-sig)?|(16|32)(-[bl]e)?)|iso8859-\d+|cp\d+|koi8-[rtu]|shift_jis\w*|euc_\w+|gb\w+|big5\w*"
)
"""Charsets that forms are written in. Python knows more, of which some decode to surrogates or take quadratic time."""
_EXTENDED_NAME: Final = re.compile(r";\s*filename\*\s*=\s*\"?([\w.-]+)'[^']*'([^;\"\s]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FormLimits:
    """What one form may hold. The whole-form limit counts every byte of the body, boundaries included."""

    total_bytes: int = 10 << 30
    file_bytes: int = 10 << 30
    files: int = 1_000
    fields: int = 10_000
    field_bytes: int = 10 * _MIB
    all_fields_bytes: int = 20 * _MIB


@dataclass(frozen=True, slots=True)
class FormField:
    """A text field, as it was sent."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class FormFile(Generic[Stored]):
    """A file that its sink stored. ``filename`` is what the client said: possibly a full local path, or nothing."""

    name: str
    filename: str | None
    stored: Stored
    size_bytes: int

    @property
    def base_name(self) -> str:
        return base_name(self.filename or "")


@dataclass(frozen=True, slots=True)
class Form(Generic[Stored]):
    """Fields and files, each in the order they came."""

    fields: tuple[FormField, ...] = ()
    files: tuple[FormFile[Stored], ...] = ()

    def values(self, name: str) -> list[str]:
        return [item.value for item in self.fields if item.name == name]

    def files_of(self, name: str) -> list[FormFile[Stored]]:
        return [item for item in self.files if item.name == name]


class OpenFile(Protocol[Stored_co]):
    """Makes the sink for a file, called with the form field's name and the client's file name."""

    def __call__(self, field_name: str, filename: str | None, /) -> FileSink[Stored_co]: ...


async def read_form(
    stream: AsyncIterator[bytes],
    content_type: str,
    limits: FormLimits,
    open_file: OpenFile[Stored],
    *,
    content_length: int | None = None,
) -> Form[Stored]:
    """Read the whole form. Sinks are made, written and finished in worker threads, never on the event loop.

    A part is a file when it has a file name or the type application/octet-stream, else a text field (UTF-8 unless
    it names its charset; application/json is text). A file part without name and content, as browsers send for an
    empty input, is left out.

    Raises BadRequest for a body that is no such form, TooLarge over a limit of bytes as soon as it is reached (at
    once where ``content_length`` tells), Invalid over the number of files or fields. Whatever ends the reading
    early, every sink that is not finished is aborted.
    """
    if content_length is not None and content_length > limits.total_bytes:
        raise TooLarge(f"The upload has {content_length} bytes; at most {limits.total_bytes} are allowed.")
    parser = PushMultipartParser(
        boundary_of(content_type),
        max_header_size=_HEADER_LINE_LIMIT_BYTES,
        max_header_count=_HEADER_LIMIT,
    )
    async with SinkQueue[Stored]() as queue:
        reading = _Reading(limits, open_file, queue)
        received_bytes = 0
        async for chunk in stream:
            received_bytes += len(chunk)
            if received_bytes > limits.total_bytes:
                raise TooLarge(f"The upload has more than the {limits.total_bytes} bytes that are allowed.")
            if not chunk:
                continue
            reading.take(parser, chunk)
            await queue.hand_over()
        _finish_parser(parser)
        await queue.drain()
        return reading.form()


def boundary_of(content_type: str) -> str:
    """The boundary of a multipart/form-data content type. BadRequest for any other."""
    kind, options = parse_options_header(content_type)
    if kind != "multipart/form-data":
        raise BadRequest(f"The body must be multipart/form-data; its Content-Type is {shown(content_type)}.")
    boundary: str = options.get("boundary", "")
    if not boundary or len(boundary) > _BOUNDARY_LIMIT or not boundary.isprintable():
        raise BadRequest(f"The Content-Type {shown(content_type)} has no usable boundary.")
    return boundary


def _finish_parser(parser: PushMultipartParser) -> None:
    try:
        parser.close()
    except MultipartError as error:
        raise BadRequest("The multipart body ends before its last boundary; was the upload cut off?") from error


@dataclass(slots=True)
class _OpenField:
    name: str
    charset: str
    pieces: list[bytes] = field(default_factory=list)
    size_bytes: int = 0


@dataclass(slots=True)
class _OpenFile:
    name: str
    filename: str | None
    index: int | None = None
    size_bytes: int = 0


class _Reading(Generic[Stored]):
    """The form so far, and the part that is being read."""

    def __init__(self, limits: FormLimits, open_file: OpenFile[Stored], queue: SinkQueue[Stored]) -> None:
        self._limits = limits
        self._open_file = open_file
        self._queue = queue
        self._fields: list[FormField] = []
        self._fields_bytes = 0
        self._files: list[_OpenFile] = []
        self._part: _OpenField | _OpenFile | None = None

    def take(self, parser: PushMultipartParser, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        try:
            for event in parser.parse(chunk):
                if isinstance(event, MultipartSegment):
                    self._begin(event)
                elif event is not None:
                    self._add(bytes(event))
                else:
                    self._end()
        except ParserLimitReached as error:
            raise BadRequest(f"The multipart body has a part with too large headers: {error}.") from error
        except MultipartError as error:
            raise BadRequest(f"The multipart body is broken: {error.args[0]}.") from error

    def form(self) -> Form[Stored]:
        files = tuple(
            FormFile(item.name, item.filename, self._queue.stored(item.index), item.size_bytes)
            for item in self._files
            if item.index is not None
        )
        return Form(tuple(self._fields), files)

    def _begin(self, segment: MultipartSegment) -> None:
        name, filename = _text(segment.name or "", "field name"), _filename(segment)
        if filename is None and segment.content_type != "application/octet-stream":
            if len(self._fields) >= self._limits.fields:
                raise Invalid(f"A form may have at most {self._limits.fields} fields.")
            self._part = _OpenField(name, _charset(segment))
            return
        self._part = _OpenFile(name, filename)
        if filename != "":
            self._open(self._part)

    def _open(self, part: _OpenFile) -> None:
        if len(self._files) >= self._limits.files:
            text = f"at most {self._limits.files} files may be sent at once"
            raise Invalid(f"{part.name}: {text}", {part.name: text})
        self._files.append(part)
        part.index = self._queue.open(lambda: self._open_file(part.name, part.filename))

    def _add(self, data: bytes) -> None:
        part = self._part
        if isinstance(part, _OpenField):
            self._add_text(part, data)
        elif part is not None:
            part.size_bytes += len(data)
            if part.size_bytes > self._limits.file_bytes:
                name = shown(part.filename or part.name)
                raise _too_large(part.name, f"the file {name} has more than {self._limits.file_bytes} bytes")
            if part.index is None:
                self._open(part)
            self._queue.write(data)

    def _add_text(self, part: _OpenField, data: bytes) -> None:
        part.size_bytes += len(data)
        self._fields_bytes += len(data)
        if part.size_bytes > self._limits.field_bytes:
            raise _too_large(part.name, f"a text field may have at most {self._limits.field_bytes} bytes")
        if self._fields_bytes > self._limits.all_fields_bytes:
            limit_bytes = self._limits.all_fields_bytes
            raise _too_large(part.name, f"all text fields together may have at most {limit_bytes} bytes")
        part.pieces.append(data)

    def _end(self) -> None:
        part, self._part = self._part, None
        if isinstance(part, _OpenField):
            self._fields.append(FormField(part.name, _decoded(part)))
        elif part is not None and part.index is not None:
            self._queue.finish()


def _too_large(name: str, text: str) -> TooLarge:
    return TooLarge(f"{name}: {text}", {name: text})


def _decoded(part: _OpenField) -> str:
    try:
        return b"".join(part.pieces).decode(part.charset)
    except UnicodeDecodeError as error:
        text = f"the text is not valid {part.charset} (byte {error.start})"
        raise BadRequest(f"{part.name}: {text}", {part.name: text}) from error


def _charset(segment: MultipartSegment) -> str:
    return _known_charset(segment.charset or "utf-8", f"The field {shown(segment.name or '')}")


def _known_charset(charset: str, where: str) -> str:
    try:
        name = codecs.lookup(charset).name
    except (LookupError, ValueError):
        name = ""
    if not _CHARSET.fullmatch(name):
        raise BadRequest(f"{where} has the unknown charset {shown(charset)}.")
    return name


def _filename(segment: MultipartSegment) -> str | None:
    """The part's file name; the extended form of RFC 5987 (``filename*``), which some clients send, goes first."""
    extended = _EXTENDED_NAME.search(segment.header("Content-Disposition") or "")
    if extended:
        charset = _known_charset(extended[1], f"The file name {shown(extended[0])}")
        try:
            return _text(unquote_to_bytes(extended[2]).decode(charset), "file name")
        except UnicodeDecodeError:
            raise BadRequest(f"The file name {shown(extended[0])} is not valid {shown(extended[1])}.") from None
    filename: str | None = segment.filename
    return filename if filename is None else _text(filename, "file name")


def _text(text: str, what: str) -> str:
    if not is_storable(text):
        raise BadRequest(f"The {what} {shown(text)} {UNSTORABLE}.")
    return text
