"""A strict parser of HTTP/1.1 answers (RFC 9112). The bytes come from user code: nothing is repaired or guessed."""

import re
from dataclasses import dataclass
from typing import Final, Protocol

from modelyard.gateway.fields import (
    MAX_FIELDS,
    MAX_HEAD_BYTES,
    TEXT,
    TOKEN,
    FieldError,
    check_passed_on,
    has_excess_framing,
    parse_content_length,
    parse_count,
    parse_milliseconds,
    shown,
)

VERSIONS = (b"HTTP/1.1 ", b"HTTP/1.0 ")
END_OF_STATUS = frozenset({b"", b" "})
CHUNK_LINE = re.compile(rb"([0-9a-fA-F]{1,12})(?:;[\t\x20-\x7e]*)?")
MAX_LINE_BYTES = 4096
"""Of the line before a chunk, with its extensions."""
VERSION_PREFIX = b"HTTP/1."
FRAMING = frozenset({b"content-length", b"transfer-encoding", b"connection"})
RUNNER_HEAD = re.compile(
    rb"HTTP/1\.1 (200|4[0-9]{2}|503|504) [A-Za-z ]+\r\n(content-type: [!-~](?:[ -~]{0,1000}[!-~])?)\r\n"
    rb"content-length: (0|[1-9][0-9]{0,14})\r\nx-modelyard-rows: ([0-9]{1,9})\r\n"
    rb"x-modelyard-execution-ms: ([0-9]{1,9}\.[0-9]{1,6})"
)
"""As our runner writes most of its heads: what matches needs no other check."""
PASSED_ON = frozenset({b"content-type", b"content-encoding", b"retry-after", b"content-disposition"})
ROWS = b"x-modelyard-rows"
EXECUTION_MS = b"x-modelyard-execution-ms"
FAULT = b"x-modelyard-fault"
"""Sent by our runner where the model's code is to blame: it raised, or its result is no prediction."""
WITHOUT_BODY = frozenset({204, 304})


class AnswerError(ValueError):
    """The bytes are not one HTTP answer. Its text is a clause that says why."""


@dataclass(slots=True)
class AnswerHead:
    """The beginning of an answer. ``length`` is None for a chunked body."""

    status: int
    length: int | None
    keep_alive: bool
    passed_on: list[bytes]
    """Header lines for the client: checked, without line ends."""
    rows: int = 0
    execution_ms: float = 0.0
    is_model_fault: bool = False


class AnswerReceiver(Protocol):
    """Gets the parts of an answer in their order."""

    def answer_begins(self, head: AnswerHead) -> None: ...
    def answer_continues(self, chunk: bytes) -> None: ...


IN_HEAD: Final = 0
IN_LENGTH: Final = 1
AT_CHUNK_LINE: Final = 2
IN_CHUNK: Final = 3
AT_CHUNK_END: Final = 4
IN_TRAILERS: Final = 5
AT_END: Final = 6


class AnswerParser:
    """Reads one answer; ``feed`` raises ``AnswerError`` at the first byte that cannot belong to one."""

    __slots__ = (
        "_body_bytes",
        "_buffer",
        "_framing_bytes",
        "_head_bytes",
        "_receiver",
        "_remaining",
        "_state",
        "has_excess",
        "head",
    )

    def __init__(self, receiver: AnswerReceiver) -> None:
        self.head: AnswerHead | None = None
        self.has_excess = False
        """Whether bytes came after the end of the answer."""
        self._receiver = receiver
        self._state = IN_HEAD
        self._buffer = bytearray()
        self._head_bytes = 0
        self._remaining = 0
        self._body_bytes = 0
        self._framing_bytes = 0

    @property
    def is_complete(self) -> bool:
        return self._state == AT_END

    def feed(self, data: bytes) -> None:
        """Read the next bytes and hand on what they hold of the answer."""
        if self._state == IN_HEAD:
            rest = self._read_head(data)
            if rest is None:
                return
            data = rest
        if self._state == IN_LENGTH:
            self._read_length(data)
        elif self._state == AT_END:
            self.has_excess = self.has_excess or bool(data)
        else:
            self._read_chunked(data)

    # head

    def _read_head(self, data: bytes) -> bytes | None:
        """Return what follows the head, or None while it is not whole."""
        while True:
            if self._buffer:
                start = max(0, len(self._buffer) - 3)
                self._buffer += data
                is_whole = self._buffer.find(b"\r\n\r\n", start) >= 0
                data = bytes(self._buffer) if is_whole else data
            block, is_ended, rest = data.partition(b"\r\n\r\n")
            if not is_ended or len(block) > MAX_HEAD_BYTES - 4 - self._head_bytes:
                self._keep_head(data)
                return None
            head = parse_head(block)
            if self._buffer:
                self._buffer.clear()
            data = rest
            if head.status >= 200:
                break
            self._head_bytes += len(block) + 4  # an interim answer: the final one follows
        self.head = head
        if head.length is None:
            self._state = AT_CHUNK_LINE
        else:
            self._remaining = head.length
            self._state = IN_LENGTH
        self._receiver.answer_begins(head)
        return data

    def _keep_head(self, data: bytes) -> None:
        """Keep the beginning of a head until its end comes. ``data`` is in the buffer, unless that is empty."""
        if not self._buffer:
            self._buffer += data
        if len(self._buffer) > MAX_HEAD_BYTES - self._head_bytes:
            raise AnswerError(f"its headers are over {MAX_HEAD_BYTES} bytes")
        if not self._buffer.startswith(VERSION_PREFIX[: len(self._buffer)]):
            raise AnswerError(f"it begins with {shown(bytes(self._buffer[:20]))}")

    # body

    def _read_length(self, data: bytes) -> None:
        size = len(data)
        if size > self._remaining:
            data = data[: self._remaining]
            self.has_excess = True
        self._remaining -= len(data)
        if not self._remaining:
            self._state = AT_END
        if data:
            self._receiver.answer_continues(data)

    def _read_chunked(self, data: bytes) -> None:
        if self._buffer:  # a line that is not whole
            data = bytes(self._buffer) + data
            self._buffer.clear()
        position = 0
        while position < len(data):
            if self._state == IN_CHUNK:
                piece = data[position : position + self._remaining]
                position += len(piece)
                self._remaining -= len(piece)
                self._body_bytes += len(piece)
                if not self._remaining:
                    self._state = AT_CHUNK_END
                self._receiver.answer_continues(piece)
            elif self._state == AT_END:
                self.has_excess = True
                return
            else:
                line_end = data.find(b"\r\n", position, position + MAX_LINE_BYTES)
                if line_end < 0:
                    self._keep_line(data[position:])
                    return
                self._framing_bytes += line_end + 2 - position
                self._read_line(data[position:line_end])
                position = line_end + 2
                if has_excess_framing(self._framing_bytes, self._body_bytes):
                    raise AnswerError("it spends more on chunk headers, extensions and trailers than on its body")

    def _keep_line(self, line: bytes) -> None:
        if self._state == AT_CHUNK_END and line != b"\r":
            raise AnswerError("a chunk is longer than announced")
        if b"\n" in line:
            raise AnswerError("a chunk header or trailer ends in a bare line feed")
        if len(line) >= MAX_LINE_BYTES:
            raise AnswerError(f"a chunk header or trailer is over {MAX_LINE_BYTES} bytes")
        self._buffer += line

    def _read_line(self, line: bytes) -> None:
        if self._state == AT_CHUNK_LINE:
            match = CHUNK_LINE.fullmatch(line)
            if match is None:
                raise AnswerError(f"{shown(line)} is not the size of a chunk")
            self._remaining = int(match[1], 16)
            self._state = IN_CHUNK if self._remaining else IN_TRAILERS
        elif self._state == AT_CHUNK_END:
            if line:
                raise AnswerError("a chunk is longer than announced")
            self._state = AT_CHUNK_LINE
        elif line:
            if not _is_field(line) or line.translate(None, TEXT):  # trailers are checked and dropped
                raise AnswerError(f"{shown(line)} is not a trailer")
        else:
            self._state = AT_END


def parse_head(head: bytes) -> AnswerHead:
    """Read a head, without the empty line at its end. Raises ``AnswerError``."""
    match = RUNNER_HEAD.fullmatch(head)
    if match is None:
        return parse_any_head(head)
    status, content_type, length, rows, execution_ms = match.groups()
    return AnswerHead(int(status), int(length), True, [content_type], int(rows), float(execution_ms))


def parse_any_head(head: bytes) -> AnswerHead:
    """Read a head that is not as our runner writes it."""
    lines = head.split(b"\r\n")
    status = _parse_status(lines[0])
    is_http_1_1 = lines[0].startswith(VERSIONS[0])
    if head.translate(None, TEXT) != b"\r\n" * (len(lines) - 1):
        raise AnswerError("its headers hold control characters")
    if len(lines) > MAX_FIELDS:
        raise AnswerError(f"it has more than {MAX_FIELDS - 1} headers")
    length: int | None = None
    is_chunked, keep_alive = False, is_http_1_1
    fields = []
    for line in lines[1:]:
        name, value = _parse_field(line)
        if name not in FRAMING:
            fields.append((name, value.strip(b" \t")))
        elif name == b"content-length":
            if length is not None:
                raise AnswerError("it has more than one content-length")
            length = _length(value.lstrip(b" \t"))
        elif name == b"transfer-encoding":
            value = value.lstrip(b" \t")
            if is_chunked or value.lower() != b"chunked" or not is_http_1_1:
                raise AnswerError(f"its transfer-encoding is {shown(value)}; only 'chunked' is allowed, once")
            is_chunked = True
        else:
            keep_alive = keep_alive and value.strip(b" \t").lower() == b"keep-alive"
    if status < 200 or status in WITHOUT_BODY:
        return AnswerHead(status, 0, keep_alive=False, passed_on=[])
    _check_framing(length, is_chunked=is_chunked)
    answer = AnswerHead(status, length, keep_alive, [])
    try:
        _read_fields(answer, fields)
    except FieldError as error:
        raise AnswerError(f"its {error}") from error
    return answer


def _read_fields(answer: AnswerHead, fields: list[tuple[bytes, bytes]]) -> None:
    seen = set()
    for name, value in fields:
        if name in PASSED_ON:
            check_passed_on(name, value)
            answer.passed_on.append(name + b": " + value)
        elif name == ROWS:
            answer.rows = parse_count(name.decode(), value)
        elif name == EXECUTION_MS:
            answer.execution_ms = parse_milliseconds(name.decode(), value)
        elif name == FAULT:
            answer.is_model_fault = True
        else:
            continue
        if name in seen:
            raise FieldError(f"{name.decode()} was sent more than once")
        seen.add(name)


def _parse_status(line: bytes) -> int:
    if not line.startswith(VERSIONS) or line[12:13] not in END_OF_STATUS or not line[9:12].isdigit():
        raise AnswerError(f"it begins with {shown(line)}")
    status = int(line[9:12])
    if not 100 <= status < 600:
        raise AnswerError(f"it has the status {status}")
    if status == 101:
        raise AnswerError("it switches protocols")
    return status


def _parse_field(line: bytes) -> tuple[bytes, bytes]:
    """Return the name in lower case, and the value as it was sent."""
    if not _is_field(line):
        raise AnswerError(f"{shown(line)} is not a header")
    name, _, value = line.partition(b":")
    return name.lower(), value


def _is_field(line: bytes) -> bool:
    name, colon, _ = line.partition(b":")
    return bool(name and colon) and not name.translate(None, TOKEN)


def _check_framing(length: int | None, *, is_chunked: bool) -> None:
    if is_chunked and length is not None:
        raise AnswerError("it has a content-length and a transfer-encoding")
    if not is_chunked and length is None:
        raise AnswerError("it has neither a content-length nor a transfer-encoding, so nobody can tell its end")


def _length(value: bytes) -> int:
    try:
        return parse_content_length(value)
    except FieldError as error:
        raise AnswerError(f"its {error}") from error
