"""A client's connection: reads requests one after another, and answers them."""

import asyncio
from typing import TYPE_CHECKING, Any

import httptools

from modelyard.gateway.admission import Admission
from modelyard.gateway.errors import Refusal, error_bytes, without_body
from modelyard.gateway.exchange import Exchange
from modelyard.gateway.fields import MAX_FIELDS, MAX_HEAD_BYTES, FieldError
from modelyard.gateway.own_answers import own_answer
from modelyard.gateway.request_head import NO_ROUTE, RequestFields, Route, find_route, read_fields
from modelyard.gateway.request_limits import (
    TOO_MANY_STRANGERS,
    CloseTimer,
    Phase,
    RequestLimits,
    head_refusal,
    head_size,
)

if TYPE_CHECKING:
    from modelyard.gateway.server import Gateway

WHOLE_BODY_BYTES = 1024 * 1024
"""Bodies up to this size are kept until they are answered, so that they can be sent to another replica."""
LINGER_S = 2.0
SWITCHES_PROTOCOL = Refusal(400, "This server does not switch protocols.")


class ClientConnection(asyncio.Protocol):
    """HTTP/1.1 by httptools. The next request of a connection is read when the last one is answered."""

    def __init__(self, gateway: "Gateway") -> None:
        self.gateway = gateway
        self.headers: list[tuple[bytes, bytes]] = []
        self.query = b""
        self.keep_alive = True
        self.body_ended = True
        self.is_slow = False
        """Whether the body of the request came in more than one piece."""
        self._limits = RequestLimits(gateway.limits)
        self._transport: Any = None
        self._parser: Any = httptools.HttpRequestParser(self)
        self._admission = Admission(gateway, self)
        self._exchange: Exchange | None = None
        self._fields = RequestFields()
        self._url = b""
        self._asked = (b"", b"")
        self._route: Route | Refusal = NO_ROUTE
        self._head_ended = True
        self._body: bytes | bytearray = b""
        self._body_bytes = 0
        self._began = False
        self._segment_bytes = 0
        self._streaming = False
        self._later: list[bytes] = []
        self._ignores_input = False
        self._is_anonymous = True
        self._is_paused = False
        self._is_write_paused = False
        self._close_timer = CloseTimer(gateway.limits)

    @property
    def is_looked_up(self) -> bool:
        """Whether the sender's rights are being asked for."""
        return self._admission.is_waiting

    @property
    def peer(self) -> str | None:
        """The client's address."""
        name = self._transport.get_extra_info("peername")
        return name[0] if name else None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.gateway.limits.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self.gateway.limits.discard(self)
        self._ignores_input = True
        if self._exchange is not None:
            self._exchange.client_lost()
        self._limits.release()

    def data_received(self, data: bytes) -> None:
        if self._ignores_input:
            return
        if self._must_wait():
            self._later.append(data)  # a pipelined request waits for its turn
            self._transport.pause_reading()
            return
        was_between, body_bytes = self.body_ended, self._body_bytes
        self._began = False
        self._segment_bytes = len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._reject(SWITCHES_PROTOCOL)
        except httptools.HttpParserError as error:
            self._reject(Refusal(400, f"This is not an HTTP request: {error}"))
        if not self.body_ended and not self._ignores_input:
            refusal = self._count(len(data), self._body_bytes - body_bytes, was_between=was_between)
            if refusal is not None:
                self._reject(refusal)

    def _count(self, size: int, grown: int, *, was_between: bool) -> Refusal | None:
        """Count a segment after which the request is not whole; the parser says nothing of what is unfinished."""
        if not self._head_ended:
            if self._began:
                self._limits.begin_head()
            return self._limits.count_head(size, len(self._url)) if was_between or not self._began else None
        if not self.is_slow:
            self.is_slow = True
            self._limits.begin_body()
        if self._fields.is_chunked and (was_between or not self._began):
            if self._began:
                size, grown = size - head_size(self._url, self.headers), self._body_bytes
            refusal = self._limits.count_framing(size, grown, self._body_bytes)
            if refusal is not None:
                return refusal
        return None if self._streaming else self._limits.reserve(len(self._body))

    def _must_wait(self) -> bool:
        """Whether the next request has to wait: for the answer to the last one, or for the client to read it."""
        return self.body_ended and (self._exchange is not None or self._is_write_paused)

    def pause_writing(self) -> None:
        self._is_write_paused = True
        if self._exchange is not None:
            self._exchange.pause()
        elif not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._is_write_paused = False
        if self._exchange is not None:
            self._exchange.resume()
        elif self.body_ended:
            self._next_request()
        else:
            self.resume_body()

    # what the process asks of its connections

    def check_time(self) -> None:
        """Close the connection if its client has been silent for too long."""
        if self._close_timer.is_running:
            self._close_timer.check(self._transport)
            return
        if self._exchange is not None and (self.body_ended or self._is_paused):
            phase = Phase.NOTHING
        elif not self._head_ended:
            phase = Phase.HEAD
        else:
            phase = Phase.REQUEST if self.body_ended else Phase.BODY
        refusal = self._limits.check_time(phase, self._body_bytes)
        if refusal is not None:
            self._reject(refusal) if refusal.status else self._close()

    def evict(self) -> None:
        """Make room: there are too many connections without a valid token."""
        if not self._ignores_input and not (self._exchange is None and self._head_ended):
            self._reject(TOO_MANY_STRANGERS)
        self._close()

    def drain(self) -> None:
        """The process is ending: this connection is closed when its request is answered, or at once."""
        if self._exchange is None:
            self._transport.close()
        else:
            self.keep_alive = False

    # httptools

    def on_message_begin(self) -> None:
        if self._ignores_input:
            return
        if self._must_wait():
            self.keep_alive = False  # pipelined in one segment: this one is not read, the client asks again
            self._ignores_input = True
            if self._exchange is None:
                self._close()
            return
        self._began = True
        self.headers = []
        self.query = b""
        self._url = b""
        self._head_ended = False
        self.body_ended = False
        self.is_slow = False
        self._body = bytearray()
        self._body_bytes = 0
        self._streaming = False

    def on_url(self, url: bytes) -> None:
        if not self._ignores_input:
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._ignores_input or self._head_ended:  # trailers are dropped
            return
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._ignores_input:
            return
        self._head_ended = True
        parser = self._parser
        may_be_large = self._segment_bytes > MAX_HEAD_BYTES or not self._began
        if len(self.headers) > MAX_FIELDS or (may_be_large and head_size(self._url, self.headers) > MAX_HEAD_BYTES):
            self._reject(head_refusal(len(self._url)))
            return
        if parser.should_upgrade():
            self._reject(SWITCHES_PROTOCOL)
            return
        try:
            self._fields = read_fields(self.headers)
        except FieldError as error:
            self._reject(Refusal(400, f"The request's {error}."))
            return
        self.keep_alive = parser.should_keep_alive()
        path, _, self.query = self._url.partition(b"?")
        asked = (parser.get_method(), self._url)
        if asked != self._asked:
            self._asked, self._route = asked, find_route(asked[0], path, self.query)
        route = self._route
        if isinstance(route, Route):
            self._begin_exchange(route)
            return
        self.keep_alive = self.keep_alive and not self._fields.announces_body
        answer = own_answer(self, path, route)
        self.write(without_body(answer) if asked[0] == b"HEAD" else answer)
        if not self.keep_alive:
            self._linger()

    def _begin_exchange(self, route: Route) -> None:
        fields, limit = self._fields, self.gateway.max_body_bytes
        exchange = self._exchange = Exchange(self.gateway, self, structured=route.structured)
        if fields.length is not None and fields.length > limit:
            exchange.fail(413, f"The request has {fields.length} bytes; at most {limit} are allowed.")
        elif not fields.authorization:
            self.distrusted()
            exchange.fail(401, "This needs an API token: send the header 'Authorization: Bearer TOKEN'.")
        else:
            self._admission.begin(exchange, fields.authorization, route.deployment_id)

    def on_body(self, chunk: bytes) -> None:
        if self._ignores_input:
            return
        self._body_bytes += len(chunk)
        if self._body_bytes > self.gateway.max_body_bytes:
            limit = self.gateway.max_body_bytes
            self._reject(Refusal(413, f"The request has more than the {limit} bytes that are allowed."))
            return
        exchange = self._exchange
        if exchange is None or exchange.done:
            return
        if self._streaming:
            exchange.send_more(chunk)
            return
        self._body += chunk
        if self._body_bytes > WHOLE_BODY_BYTES:
            if self._admission.is_waiting:
                self.hold_body()
            else:
                self._admission.dispatch(whole=False)

    def on_message_complete(self) -> None:
        if self._ignores_input:
            return
        self.body_ended = True
        if self._exchange is None or self._exchange.done:
            self._next_request()
        elif self._streaming:
            self._exchange.send_end()
        else:
            self._admission.dispatch(whole=True)

    # what the admission asks of its client

    def admitted(self, *, expects_body: bool = True) -> None:
        """The token is valid: the connection is no stranger's, and the body may come."""
        if self._is_anonymous:
            self._is_anonymous = False
            self.gateway.limits.trust(self)
        if self._fields.expects_continue and expects_body and not self._body_bytes:
            self._fields.expects_continue = False
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def distrusted(self) -> None:
        """The token is not valid, or no longer."""
        if not self._is_anonymous:
            self._is_anonymous = True
            self.gateway.limits.distrust(self)

    def go_on(self) -> None:
        """What was waited for is there: dispatch what has come of the body in the meantime."""
        if self.body_ended:
            self._admission.dispatch(whole=True)
            return
        if self._body_bytes > WHOLE_BODY_BYTES:
            self._admission.dispatch(whole=False)
        if not self._admission.is_waiting:
            self.resume_body()

    def take_body(self, *, whole: bool) -> bytes | bytearray:
        """Hand over what has come of the body."""
        self._streaming = not whole
        body, self._body = self._body, b""
        return body

    # the end of an answer

    def _reject(self, refusal: Refusal) -> None:
        """Answer with an error, and read no more of this connection."""
        self.keep_alive = False
        if self._ignores_input or self._must_wait():  # it was answered already, or is going to be
            self._ignores_input = True
            if self._exchange is None and not self._close_timer.is_running:
                self._close()
            return
        status, message, retry_after_s = refusal
        if self._exchange is not None:
            self._exchange.fail(status, message, retry_after_s=retry_after_s)
        else:
            self.write(error_bytes(status, message, b"-", keep_alive=False, retry_after_s=retry_after_s))
            self._linger()

    def _linger(self) -> None:
        """Close for writing, and wholly when the client has closed or soon: at once could lose the answer."""
        self._ignores_input = True
        self._limits.release()
        self._body = b""
        transport = self._transport
        if not transport.is_closing():
            transport.resume_reading()
            transport.write_eof()
            self._close_timer.start()
            self.gateway.loop.call_later(LINGER_S, transport.close)

    def _close(self) -> None:
        """Close when what was written is with the client."""
        self._ignores_input = True
        self._close_timer.start()
        self._transport.close()

    def exchange_ended(self, exchange: Exchange) -> None:
        if self._exchange is not exchange:
            return
        self._exchange = None
        if self.is_slow:
            self._limits.release()
            self._body = b""
        if not self.keep_alive:
            self._close() if self.body_ended else self._linger()
        elif self.body_ended:
            self._next_request()
        else:
            self.resume_body()  # what comes of the body is dropped

    def _next_request(self) -> None:
        self._limits.end_answer()
        if self._transport.is_closing() or self._is_write_paused:
            return
        self._is_paused = False
        if self._later:
            self.gateway.loop.call_soon(self._read_later)
        else:
            self._transport.resume_reading()

    def _read_later(self) -> None:
        later, self._later = b"".join(self._later), []
        self.data_received(later)
        if not self._later and not self._is_paused and not self._transport.is_closing():
            self._transport.resume_reading()

    # what an exchange asks of its client

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing() and not self._close_timer.is_running:
            self._transport.write(data)

    def abort(self) -> None:
        self._transport.abort()

    def reads_chunks(self) -> bool:
        """Whether the client can be sent a chunked body: HTTP/1.0 has none."""
        return bool(self._parser.get_http_version() != "1.0")

    def hold_body(self) -> None:
        if not self._transport.is_closing():
            self._is_paused = True
            self._transport.pause_reading()

    def resume_body(self) -> None:
        if not self._transport.is_closing() and not self._later:
            self._is_paused = False
            self._transport.resume_reading()

    def answer_error(self, status: int, message: str, request_id: bytes, retry_after_s: int | None) -> None:
        if not self.body_ended:
            self.keep_alive = False
        self.write(error_bytes(status, message, request_id, keep_alive=self.keep_alive, retry_after_s=retry_after_s))
