"""A strict parser of HTTP/1.1 answers (RFC 9112). The bytes come from user code: nothing is repaired or guessed."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from modelyard.gateway.fields import (
    MAX_FIELDS,
    MAX_HEAD_BYTES,
    TEXT,
    TOKEN,
    FieldError,
    has_excess_framing,
    parse_content_length,
    shown,
)

STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [^\r\n]*)?")
CHUNK_LINE = re.compile(rb"([0-9a-fA-F]{1,12})(?:;[\t\x20-\x7e]*)?")
MAX_LINE_BYTES = 4096
"""Of the line before a chunk, with its extensions."""
VERSION_PREFIX = b"HTTP/1."
WITHOUT_BODY = frozenset({204, 304})


class AnswerError(ValueError):
    """The bytes are not one HTTP answer. Its text is a clause that says why."""


@dataclass(slots=True)
class AnswerHead:
    """The beginning of an answer. ``length`` is None for a chunked body; framing headers are not in ``fields``."""

    status: int
    fields: list[tuple[bytes, bytes]]
    length: int | None
    keep_alive: bool


class AnswerReceiver(Protocol):
    """Gets the parts of an answer in their order."""

    def answer_begins(self, head: AnswerHead) -> None: ...
    def answer_continues(self, chunk: bytes) -> None: ...


class _State(Enum):
    HEAD = 0
    LENGTH = 1
    CHUNK_LINE = 2
    CHUNK = 3
    CHUNK_END = 4
    TRAILERS = 5
    END = 6


class AnswerParser:
    """Reads one answer; ``feed`` raises ``AnswerError`` at the first byte that cannot belong to one."""

    def __init__(self, receiver: AnswerReceiver) -> None:
        self.head: AnswerHead | None = None
        self.has_excess = False
        """Whether bytes came after the end of the answer."""
        self._receiver = receiver
        self._state = _State.HEAD
        self._buffer = bytearray()
        self._head_bytes = 0
        self._remaining = 0
        self._body_bytes = 0
        self._framing_bytes = 0

    @property
    def is_complete(self) -> bool:
        return self._state is _State.END

    def feed(self, data: bytes) -> None:
        """Read the next bytes and hand on what they hold of the answer."""
        if self._state is _State.HEAD:
            rest = self._read_head(data)
            if rest is None:
                return
            data = rest
        if self._state is _State.LENGTH:
            self._read_length(data)
        elif self._state is _State.END:
            self.has_excess = self.has_excess or bool(data)
        else:
            self._read_chunked(data)

    # head

    def _read_head(self, data: bytes) -> bytes | None:
        """Return what follows the head, or None while it is not whole."""
        while True:
            start = 0
            whole: bytes | bytearray = data
            if self._buffer:
                start = max(0, len(self._buffer) - 3)
                self._buffer += data
                whole = self._buffer
            end = whole.find(b"\r\n\r\n", start)
            if self._head_bytes + (len(whole) if end < 0 else end + 4) > MAX_HEAD_BYTES:
                raise AnswerError(f"its headers are over {MAX_HEAD_BYTES} bytes")
            if end < 0:
                if not whole.startswith(VERSION_PREFIX[: len(whole)]):
                    raise AnswerError(f"it begins with {shown(bytes(whole[:20]))}")
                if whole is data:
                    self._buffer += data
                return None
            head = _parse_head(bytes(whole[:end]))
            data = bytes(whole[end + 4 :])
            self._buffer.clear()
            if head.status >= 200:
                break
            self._head_bytes += end + 4  # an interim answer: the final one follows
        self.head = head
        if head.length is None:
            self._state = _State.CHUNK_LINE
        else:
            self._remaining = head.length
            self._state = _State.LENGTH
        self._receiver.answer_begins(head)
        return data

    # body

    def _read_length(self, data: bytes) -> None:
        size = len(data)
        if size > self._remaining:
            data = data[: self._remaining]
            self.has_excess = True
        self._remaining -= len(data)
        if not self._remaining:
            self._state = _State.END
        if data:
            self._receiver.answer_continues(data)

    def _read_chunked(self, data: bytes) -> None:
        if self._buffer:  # a line that is not whole
            data = bytes(self._buffer) + data
            self._buffer.clear()
        position = 0
        while position < len(data):
            if self._state is _State.CHUNK:
                piece = data[position : position + self._remaining]
                position += len(piece)
                self._remaining -= len(piece)
                self._body_bytes += len(piece)
                if not self._remaining:
                    self._state = _State.CHUNK_END
                self._receiver.answer_continues(piece)
            elif self._state is _State.END:
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
        if self._state is _State.CHUNK_END and line != b"\r":
            raise AnswerError("a chunk is longer than announced")
        if b"\n" in line:
            raise AnswerError("a chunk header or trailer ends in a bare line feed")
        if len(line) >= MAX_LINE_BYTES:
            raise AnswerError(f"a chunk header or trailer is over {MAX_LINE_BYTES} bytes")
        self._buffer += line

    def _read_line(self, line: bytes) -> None:
        if self._state is _State.CHUNK_LINE:
            match = CHUNK_LINE.fullmatch(line)
            if match is None:
                raise AnswerError(f"{shown(line)} is not the size of a chunk")
            self._remaining = int(match[1], 16)
            self._state = _State.CHUNK if self._remaining else _State.TRAILERS
        elif self._state is _State.CHUNK_END:
            if line:
                raise AnswerError("a chunk is longer than announced")
            self._state = _State.CHUNK_LINE
        elif line:
            _parse_field(line)  # trailers are checked and dropped
            if line.translate(None, TEXT):
                raise AnswerError("a trailer holds control characters")
        else:
            self._state = _State.END


def _parse_head(head: bytes) -> AnswerHead:
    lines = head.split(b"\r\n")
    if head.translate(None, TEXT) != b"\r\n" * (len(lines) - 1):
        raise AnswerError("its headers hold control characters")
    if len(lines) > MAX_FIELDS:
        raise AnswerError(f"it has more than {MAX_FIELDS - 1} headers")
    start = STATUS_LINE.fullmatch(lines[0])
    if start is None:
        raise AnswerError(f"it begins with {shown(lines[0])}")
    status, is_http_1_1 = int(start[2]), start[1] == b"1"
    length: int | None = None
    is_chunked, keep_alive = False, is_http_1_1
    fields = []
    for line in lines[1:]:
        name, value = _parse_field(line)
        if name == b"content-length":
            if length is not None:
                raise AnswerError("it has more than one content-length")
            length = _length(value)
        elif name == b"transfer-encoding":
            if is_chunked or value.lower() != b"chunked" or not is_http_1_1:
                raise AnswerError(f"its transfer-encoding is {shown(value)}; only 'chunked' is allowed, once")
            is_chunked = True
        elif name == b"connection":
            keep_alive = keep_alive and value.rstrip(b" \t").lower() == b"keep-alive"
        else:
            fields.append((name, value.rstrip(b" \t")))
    if status == 101:
        raise AnswerError("it switches protocols")
    if status < 200 or status in WITHOUT_BODY:
        return AnswerHead(status, fields, 0, keep_alive=False)
    _check_framing(length, is_chunked=is_chunked)
    return AnswerHead(status, fields, length, keep_alive)


def _check_framing(length: int | None, *, is_chunked: bool) -> None:
    if is_chunked and length is not None:
        raise AnswerError("it has a content-length and a transfer-encoding")
    if not is_chunked and length is None:
        raise AnswerError("it has neither a content-length nor a transfer-encoding, so nobody can tell its end")


def _parse_field(line: bytes) -> tuple[bytes, bytes]:
    """Return the name in lower case, and the value without the blanks before it."""
    name, colon, value = line.partition(b":")
    if not colon or not name or name.translate(None, TOKEN):
        raise AnswerError(f"{shown(line)} is not a header")
    return name.lower(), value.lstrip(b" \t")


def _length(value: bytes) -> int:
    try:
        return parse_content_length(value)
    except FieldError as error:
        raise AnswerError(f"its {error}") from error
