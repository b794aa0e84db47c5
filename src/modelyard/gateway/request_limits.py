"""How much and how slowly one client may send: counted in raw bytes, since a parser reports only what is whole."""

from enum import Enum
from typing import Any

from modelyard.gateway.errors import Refusal
from modelyard.gateway.fields import MAX_FIELDS, MAX_FRAMING_BYTES, MAX_HEAD_BYTES, has_excess_framing
from modelyard.gateway.limits import ConnectionLimits

MIN_PROGRESS_BYTES = 1024
"""Of a body, in each period of the body's time-out."""
CLOSE_TIMEOUT_S = 5.0
"""A closed connection is cut after this time, if its client has taken everything that was written."""


class Phase(Enum):
    """What is expected from a client."""

    NOTHING = 0
    REQUEST = 1
    HEAD = 2
    BODY = 3


ADDRESS_TOO_LONG = Refusal(414, f"The request's address is too long; the whole head may have {MAX_HEAD_BYTES} bytes.")
HEAD_TOO_LARGE = Refusal(431, f"The request's head is over {MAX_HEAD_BYTES} bytes or {MAX_FIELDS} headers.")
FRAMING_TOO_LARGE = Refusal(
    431, f"The chunk extensions and trailers of the request's body are over {MAX_FRAMING_BYTES} bytes."
)
NO_MEMORY = Refusal(
    503, "The gateway holds as many incomplete requests as it has memory for; try again in a moment.", retry_after_s=1
)
TOO_MANY_STRANGERS = Refusal(
    503, "Too many connections have not shown a valid token; try again in a moment.", retry_after_s=1
)


class RequestLimits:
    """Belongs to one connection, and is reset with each of its requests."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._head_bytes = 0
        self._framing_bytes = 0
        self._gap_bytes = 0
        self._reserved_bytes = 0
        self._since = limits.now
        self._progress_bytes = 0
        self._has_answered = False

    def begin_head(self) -> None:
        self._head_bytes = 0
        self._since = self._limits.now

    def begin_body(self) -> None:
        self._framing_bytes = self._gap_bytes = self._progress_bytes = 0
        self._since = self._limits.now

    def end_answer(self) -> None:
        self._has_answered = True
        self._since = self._limits.now

    def count_head(self, size: int, url_size: int) -> Refusal | None:
        """Count bytes of a head that is not whole."""
        self._head_bytes += size
        return head_refusal(url_size) if self._head_bytes > MAX_HEAD_BYTES else None

    def count_framing(self, size: int, grown: int, body_bytes: int) -> Refusal | None:
        """Count ``size`` raw bytes of a chunked body that held ``grown`` bytes of its content."""
        self._framing_bytes += size - grown
        self._gap_bytes = 0 if grown else self._gap_bytes + size
        if self._gap_bytes > MAX_FRAMING_BYTES or has_excess_framing(self._framing_bytes, body_bytes):
            return FRAMING_TOO_LARGE
        return None

    def reserve(self, size: int) -> Refusal | None:
        """Account for an incomplete body that now holds ``size`` bytes."""
        more = size - self._reserved_bytes
        if more > 0 and not self._limits.has_room(more):
            return NO_MEMORY
        self._reserved_bytes += more
        self._limits.buffered_bytes += more
        return None

    def release(self) -> None:
        if self._reserved_bytes:
            self._limits.buffered_bytes -= self._reserved_bytes
            self._reserved_bytes = 0

    def check_time(self, phase: Phase, body_bytes: int) -> Refusal | None:
        """Return why the client has waited for too long; status 0 means that there is nothing to answer."""
        limits = self._limits
        if phase is Phase.NOTHING:
            self._since = limits.now
            return None
        age_s = limits.now - self._since
        if phase is Phase.HEAD:
            if age_s > limits.header_timeout_s:
                return Refusal(408, f"The request's head did not come within {limits.header_timeout_s:g} s.")
        elif phase is Phase.BODY:
            if body_bytes - self._progress_bytes >= MIN_PROGRESS_BYTES:
                self._progress_bytes, self._since = body_bytes, limits.now
            elif age_s > limits.body_timeout_s:
                return Refusal(408, f"The request's body did not go on for {limits.body_timeout_s:g} s.")
        elif age_s > (limits.idle_timeout_s if self._has_answered else limits.header_timeout_s):
            return Refusal(0, "")
        return None


class CloseTimer:
    """Cuts a closed connection in the end, but not while its client reads what was written."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.is_running = False
        self._limits = limits
        self._abort_at = 0.0
        self._unread_bytes = 0

    def start(self) -> None:
        self.is_running = True
        self._abort_at = self._limits.now + CLOSE_TIMEOUT_S

    def check(self, transport: Any) -> None:
        """Abort the transport when its time is over."""
        unread = transport.get_write_buffer_size()
        if unread and unread != self._unread_bytes:
            self._unread_bytes = unread
            self._abort_at = self._limits.now + self._limits.idle_timeout_s
        elif self._limits.now > self._abort_at:
            transport.abort()


def head_size(url: bytes, headers: list[tuple[bytes, bytes]]) -> int:
    """The bytes of a head, but for the rest of its first line."""
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers)


def head_refusal(url_size: int) -> Refusal:
    """What is too long in a head that is."""
    return ADDRESS_TOO_LONG if url_size > MAX_HEAD_BYTES // 2 else HEAD_TOO_LARGE
