"""Strict parsing of header values (RFC 9110), shared by both sides of the gateway and by the api's forwarder."""

MAX_HEAD_BYTES = 65536
"""Of a request's or an answer's head, counted as raw bytes: start line, header lines, and their line ends."""
MAX_FIELDS = 256
MAX_VALUE_BYTES = 4096
"""Of one header value that is passed on."""
MAX_LENGTH_DIGITS = 15
MAX_COUNT_DIGITS = 9
MAX_FRAMING_BYTES = 65536

TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
VISIBLE = bytes(range(0x20, 0x7F))
TEXT = b"\t" + VISIBLE + bytes(range(0x80, 0x100))
"""What a header line may hold: no control characters but the tab."""


class FieldError(ValueError):
    """A header value that the grammar does not allow. Its text names the header."""


def parse_content_length(value: bytes) -> int:
    """Return the number of bytes that ``content-length`` announces.

    It is digits without a sign, blanks or leading zeros, so that no two parsers can read it differently.
    """
    if value.isdigit() and len(value) <= MAX_LENGTH_DIGITS and (value[0] != 0x30 or len(value) == 1):
        return int(value)
    raise FieldError(f"content-length is {shown(value)}, which is not a decimal number")


def parse_count(name: str, value: bytes) -> int:
    """Return a number of things: digits, at most nine."""
    if value.isdigit() and len(value) <= MAX_COUNT_DIGITS:
        return int(value)
    raise FieldError(f"{name} is {shown(value)}, which is not a number of at most {MAX_COUNT_DIGITS} digits")


def parse_milliseconds(name: str, value: bytes) -> float:
    """Return a duration: digits, and a fraction if it has one."""
    whole, dot, fraction = value.partition(b".")
    if whole.isdigit() and len(value) <= 2 * MAX_COUNT_DIGITS and (fraction.isdigit() if dot else True):
        return float(value)
    raise FieldError(f"{name} is {shown(value)}, which is not a number of milliseconds")


def check_passed_on(name: bytes, value: bytes) -> None:
    """Raise ``FieldError`` for a value that not every HTTP client can read: empty, long, or not visible ASCII."""
    if 0 < len(value) <= MAX_VALUE_BYTES and not value.translate(None, VISIBLE):
        return
    if not value:
        raise FieldError(f"{name.decode()} is empty")
    if len(value) > MAX_VALUE_BYTES:
        raise FieldError(f"{name.decode()} has {len(value)} bytes; at most {MAX_VALUE_BYTES} are allowed")
    raise FieldError(f"{name.decode()} is {shown(value)}, which is not visible ASCII")


def has_excess_framing(framing_bytes: int, body_bytes: int) -> bool:
    """Whether a chunked body spends too much on sizes, extensions and trailers: more than 64 KiB and its own size."""
    return framing_bytes > MAX_FRAMING_BYTES + body_bytes


def shown(value: bytes) -> str:
    """An untrusted value as printable text of bounded length."""
    text = ascii(value[:40].decode("latin-1"))
    return f"{text}..." if len(value) > 40 else text
