"""One request on its way: from a client's connection to a replica and back."""

import asyncio
import os
import time
from typing import TYPE_CHECKING

from modelyard.gateway.answer_parser import AnswerHead
from modelyard.gateway.errors import REASONS, inactive, no_replica, not_found
from modelyard.gateway.routing_table import Target
from modelyard.gateway.upstream import Upstream, UpstreamConnection
from modelyard.monitoring.usage import Blame

if TYPE_CHECKING:
    from modelyard.gateway.connection import ClientConnection
    from modelyard.gateway.server import Gateway

PASSED_ON = frozenset({b"content-type", b"content-encoding", b"accept", b"accept-charset"})
HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"transfer-encoding", b"te", b"trailer", b"upgrade", b"proxy-authorization"}
    | {b"authorization", b"cookie", b"host", b"content-length", b"expect", b"datarobot-key"}
)
COALESCE_BYTES = 65536
LAST_CHUNK = b"0\r\n\r\n"
ATTEMPTS = 3
MAX_ROWS = 10_000_000
"""That one request may count for in the usage of a deployment."""
STATUSES = frozenset({200, 400, 401, 404, 405, 408, 409, 411, 413, 422, 431, 480, 503, 504})
"""That a model may answer with."""

_prefix = os.urandom(6).hex()
_count = 0


OUTCOMES = {
    Blame.NOBODY: "answered",
    Blame.USER: "user error",
    Blame.MODEL: "model error",
    Blame.SERVER: "server error",
}


def _request_id() -> bytes:
    global _count
    _count += 1
    return f"{_prefix}{_count:012x}".encode()


class Exchange:
    """Carries one prediction request; the event loop calls every method, nothing here waits."""

    def __init__(self, gateway: "Gateway", client: "ClientConnection", *, structured: bool) -> None:
        self.gateway = gateway
        self.client = client
        self.structured = structured
        self.request_id = _request_id()
        self.started = time.perf_counter()
        self.target: Target | None = None
        self.upstream: Upstream | None = None
        self.connection: UpstreamConnection | None = None
        self.done = False
        self._attempts = 0
        self._looked_again = False
        self._timer: asyncio.TimerHandle | None = None
        self._status = 0
        self._rows = 0
        self._execution_ms = 0.0
        self._is_model_fault = False
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._head_sent = False
        self._chunked = False
        self._tried: set[str] = set()
        self._body: bytes | bytearray = b""
        self._whole = True
        self._backlog: list[bytes] = []

    # sending

    def start(self, target: Target, body: bytes | bytearray, *, whole: bool) -> None:
        """Sends the request to a replica; ``whole`` says that ``body`` is all of it, so that it can be sent again."""
        self.target = target
        self._body = body
        self._whole = whole
        self._timer = self.gateway.loop.call_later(self.gateway.timeout_s, self._time_out)
        self._try_next()

    def _try_next(self) -> None:
        assert self.target is not None  # noqa: S101
        self._attempts += 1
        ready = [u for u in self.target.upstreams if u.replica_id not in self._tried and not u.retired]
        if not ready:
            if self._tried and not self._looked_again:
                self._looked_again = True
                self.gateway.spawn(self._look_again(self.target.deployment_id))
            else:
                self.fail(503, no_replica(self.target), retry_after_s=1)
            return
        chosen = ready[0] if len(ready) == 1 else min(ready, key=lambda upstream: upstream.in_flight)
        self._tried.add(chosen.replica_id)
        chosen.in_flight += 1
        self.upstream = chosen
        connection = chosen.take_idle()
        if connection is not None:
            self._send_on(connection)
        else:
            self.gateway.spawn(self._connect(chosen))

    async def _look_again(self, deployment_id: str) -> None:
        """Everybody who was known has been tried in vain: what has taken their place may not have been noticed yet."""
        await self.gateway.refresh_soon()
        if self.done:
            return
        target = self.gateway.table.target(deployment_id)
        if target is None:
            self.fail(404, not_found(deployment_id))
        elif not target.is_active:
            self.fail(422, inactive(deployment_id))
        else:
            self.target = target
            self._try_next()

    async def _connect(self, upstream: Upstream) -> None:
        try:
            connection = await upstream.connect()
        except OSError:
            if not self.done:
                self._retry_or_fail(was_sent=False)
            return
        if self.done or self.upstream is not upstream:
            connection.close()
            return
        self._send_on(connection)

    def _send_on(self, connection: UpstreamConnection) -> None:
        self.connection = connection
        connection.begin(self)
        if self._whole:
            connection.write_last(b"".join((self._head(), self._body)))
            return
        connection.write(self._head())
        pieces, self._backlog = [bytes(self._body), *self._backlog], []
        self._body = b""
        for piece in pieces:
            self._write_piece(piece)
        if self.client.body_ended:
            connection.write_last(LAST_CHUNK)

    def _head(self) -> bytes:
        client = self.client
        path = b"/v1/predictions" if self.structured else b"/v1/predictionsUnstructured"
        query = b"?" + client.query if client.query else b""
        left_ms = max(1, int((self.gateway.timeout_s - (time.perf_counter() - self.started)) * 1000))
        lines = [
            b"POST ",
            path,
            query,
            b" HTTP/1.1\r\nhost: modelyard\r\nx-modelyard-timeout-ms: ",
            str(left_ms).encode(),
        ]
        for name, value in client.headers:
            if name in PASSED_ON if self.structured else name not in HOP_BY_HOP and not name.startswith(b"x-modelyard"):
                lines += (b"\r\n", name, b": ", value)
        if self._whole:
            lines += (b"\r\ncontent-length: ", b"%d" % len(self._body), b"\r\n\r\n")
        else:
            lines.append(b"\r\ntransfer-encoding: chunked\r\n\r\n")
        return b"".join(lines)

    def send_more(self, piece: bytes) -> None:
        """The next piece of a body that is passed on as it comes."""
        if self.connection is None:
            self._backlog.append(piece)
            self.client.hold_body()
        else:
            self._write_piece(piece)

    def send_end(self) -> None:
        if self.connection is not None and not self._whole:
            self.connection.write_last(LAST_CHUNK)

    def _write_piece(self, piece: bytes) -> None:
        assert self.connection is not None  # noqa: S101
        if piece and self.connection.is_open:
            self.connection.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            if not self.connection_is_full:
                self.client.resume_body()

    connection_is_full = False

    def upstream_full(self) -> None:
        self.connection_is_full = True
        self.client.hold_body()

    def upstream_drained(self) -> None:
        self.connection_is_full = False
        self.client.resume_body()

    # receiving

    def answer_begins(self, head: AnswerHead) -> None:
        if self.done:
            return
        status = head.status
        if status not in STATUSES:
            self.fail(422, f"The model answered with the status {status}, which no prediction has.")
            return
        self._status = status
        self._rows = min(MAX_ROWS, head.rows)
        self._is_model_fault = head.is_model_fault
        self._execution_ms = min(head.execution_ms, self.gateway.timeout_s * 1000)
        lines = head.passed_on
        if head.length is not None:
            lines.append(b"content-length: %d" % head.length)
        elif self.client.reads_chunks():
            self._chunked = True
            lines.append(b"transfer-encoding: chunked")
        else:
            self.client.keep_alive = False  # HTTP/1.0: the end of the connection is the end of the answer
        assert self.target is not None  # noqa: S101
        lines += [
            b"x-datarobot-execution-time: %d" % round(self._execution_ms),
            b"x-datarobot-model-cache-hit: true",
            b"x-datarobot-model-id: " + self.target.model_id.encode(),
            b"x-datarobot-request-id: " + self.request_id,
            b"connection: " + (b"keep-alive" if self.client.keep_alive else b"close"),
        ]
        self._held = [b"HTTP/1.1 %d %b\r\n" % (status, REASONS[status]), b"\r\n".join(lines), b"\r\n\r\n"]
        self._held_bytes = 0

    def answer_continues(self, chunk: bytes) -> None:
        if self.done:
            return
        self._held.append(b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._chunked else chunk)
        self._held_bytes += len(chunk)
        if self._held_bytes >= COALESCE_BYTES:
            self._flush()

    def answer_ends(self) -> None:
        if self.done:
            return
        if self._chunked:
            self._held.append(LAST_CHUNK)
        self._flush()
        self._finish()

    def _flush(self) -> None:
        if self._held:
            self._head_sent = True
            self.client.write(b"".join(self._held))
            self._held = []
            self._held_bytes = 0

    def answer_invalid(self, reason: str) -> None:
        """The model broke the rules of HTTP: what it sent is not passed on, and its connection is closed."""
        self.fail(502, f"The model's answer cannot be passed on: {reason}.")

    def upstream_lost(self, *, was_answering: bool) -> None:
        if self.done:
            return
        if was_answering:
            self.answer_invalid("it ended before all that it announced had come")
        else:
            self._retry_or_fail(was_sent=True)

    def _retry_or_fail(self, *, was_sent: bool) -> None:
        """Tries another replica where that is safe: nothing was answered, the body is at hand, and the request was
        not sent or is a structured prediction, which by contract changes nothing."""
        self._release_upstream()
        self._held = []
        safe = self._whole and (self.structured or not was_sent)
        if safe and self._attempts < ATTEMPTS:
            self._try_next()
        else:
            self.fail(
                503, "The model went away while it worked on this request; it is being restarted.", retry_after_s=1
            )

    # ending

    def _time_out(self) -> None:
        self.fail(504, f"The model did not answer within {self.gateway.timeout_s:g} s.")

    def fail(self, status: int, message: str, *, retry_after_s: int | None = None) -> None:
        """Answer with an error of the gateway's own; cut the connection if a part of an answer was sent already."""
        if self.done:
            return
        if self._head_sent:
            self.client.abort()
        else:
            self.client.answer_error(status, message, self.request_id, retry_after_s)
        self._finish(status=status)

    def client_lost(self) -> None:
        """Nobody waits for the answer any more."""
        if not self.done:
            self._finish(status=0)

    def _finish(self, status: int | None = None) -> None:
        self.done = True
        if self._timer is not None:
            self._timer.cancel()
        connection = self.connection
        self._release_upstream()
        if status is not None and connection is not None:
            connection.close()  # whatever it still says is for nobody
        counted = self._status if status is None else status
        if self.target is not None and counted:
            elapsed_ms = (time.perf_counter() - self.started) * 1000
            blame = Blame.of(counted, is_model_fault=self._is_model_fault and status is None)
            self.gateway.metrics.note(self.target.deployment_id, OUTCOMES[blame], self._rows, elapsed_ms / 1000)
            self.gateway.usage.count(self.target, blame, self._rows, elapsed_ms, self._execution_ms)
        self.client.exchange_ended(self)

    def _release_upstream(self) -> None:
        if self.upstream is not None:
            self.upstream.in_flight -= 1
            self.upstream = None
        self.connection = None

    def pause(self) -> None:
        if self.connection is not None:
            self.connection.pause_answer()

    def resume(self) -> None:
        if self.connection is not None:
            self.connection.resume_answer()
