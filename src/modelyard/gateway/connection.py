"""A client's connection: reads requests one after another, and answers them."""

import asyncio
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import httptools

from modelyard.gateway.exchange import Exchange, error_bytes, inactive, not_found
from modelyard.gateway.routing_table import Principal

if TYPE_CHECKING:
    from modelyard.gateway.server import Gateway

WHOLE_BODY_BYTES = 1024 * 1024
"""Bodies up to this size are kept until they are answered, so that they can be sent to another replica."""
MAX_HEADER_BYTES = 65536
LINGER_S = 2.0
PREDICTIONS = re.compile(rb"/(?:predApi/v1\.0|api/v2)/deployments/([^/]+)/(predictions|predictionsUnstructured)/?")
PING = re.compile(rb"/(?:predApi/v1\.0/|api/v2/)?ping/?")


class ClientConnection(asyncio.Protocol):
    """HTTP/1.1 by httptools. The next request of a connection is read when the last one is answered."""

    def __init__(self, gateway: "Gateway") -> None:
        self.gateway = gateway
        self.headers: list[tuple[bytes, bytes]] = []
        self.query = b""
        self.keep_alive = True
        self.body_ended = False
        self._transport: Any = None
        self._parser: Any = httptools.HttpRequestParser(self)
        self._url = b""
        self._header_bytes = 0
        self._exchange: Exchange | None = None
        self._principal: Principal | None = None
        self._deployment_id = ""
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._streaming = False
        self._refused = False
        self._looked_again = False
        self._waiting = False
        self._later: list[bytes] = []

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.gateway.connections.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self.gateway.connections.discard(self)
        if self._exchange is not None:
            self._exchange.client_lost()

    def data_received(self, data: bytes) -> None:
        if self._is_busy():
            self._later.append(data)  # a pipelined request waits for its turn
            self._transport.pause_reading()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(400, "This server does not switch protocols.")
        except httptools.HttpParserError as error:
            self._refuse(400, f"This is not an HTTP request: {error}")

    def _is_busy(self) -> bool:
        return self.body_ended and (self._exchange is not None or self._waiting)

    def pause_writing(self) -> None:
        if self._exchange is not None:
            self._exchange.pause()

    def resume_writing(self) -> None:
        if self._exchange is not None:
            self._exchange.resume()

    # httptools

    def on_message_begin(self) -> None:
        if self._is_busy():
            self.keep_alive = False  # pipelined in one segment: this one is not read, the client asks again
            self._refused = True
            return
        self.headers = []
        self.query = b""
        self._url = b""
        self._header_bytes = 0
        self.body_ended = False
        self._body = []
        self._body_bytes = 0
        self._streaming = False
        self._refused = False
        self._looked_again = False

    def on_url(self, url: bytes) -> None:
        if not self._refused:
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._refused:
            return
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEADER_BYTES:
            self._refuse(431, f"The request's headers are over {MAX_HEADER_BYTES} bytes.")
            return
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._refused:
            return
        self.keep_alive = self._parser.should_keep_alive()
        path, _, self.query = self._url.partition(b"?")
        match = PREDICTIONS.fullmatch(path)
        if match is None:
            self._answer_other(path)
            return
        if self._parser.get_method() != b"POST":
            self._refuse(405, "Predictions are asked for with POST.", close=False)
            return
        self._deployment_id = unquote_to_bytes(match[1]).decode("utf-8", "replace")
        structured = match[2] == b"predictions"
        if not structured and self.query:
            self._refuse(400, "predictionsUnstructured takes no query arguments.", close=False)
            return
        self._exchange = Exchange(self.gateway, self, structured=structured)
        length = self._header(b"content-length")
        limit = self.gateway.max_body_bytes
        if length is not None and length.isdigit() and int(length) > limit:
            self._exchange.fail(413, f"The request has {int(length)} bytes; at most {limit} are allowed.")
            return
        if (self._header(b"expect") or b"").lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        authorization = self._authorization()
        if not authorization:
            self._fail_early(401, "This needs an API token: send the header 'Authorization: Bearer TOKEN'.")
            return
        self._principal = self.gateway.table.known_principal(authorization, self._deployment_id)
        if self._principal is None:
            self._waiting = True
            self.gateway.spawn(self._load_principal(self._exchange, authorization))

    def on_body(self, chunk: bytes) -> None:
        exchange = self._exchange
        if exchange is None or exchange.done or self._refused:
            return
        self._body_bytes += len(chunk)
        if self._body_bytes > self.gateway.max_body_bytes:
            exchange.fail(413, f"The request has more than the {self.gateway.max_body_bytes} bytes that are allowed.")
            return
        if self._streaming:
            exchange.send_more(chunk)
            return
        self._body.append(chunk)
        if self._body_bytes > WHOLE_BODY_BYTES:
            if self._waiting:
                self.hold_body()
            else:
                self._dispatch(whole=False)

    def on_message_complete(self) -> None:
        if self._refused:
            if self._exchange is None:
                self._transport.close()
            return
        self.body_ended = True
        if self._exchange is None or self._exchange.done:
            self._next_request()
        elif self._streaming:
            self._exchange.send_end()
        elif not self._waiting:
            self._dispatch(whole=True)

    # deciding

    async def _load_principal(self, exchange: Exchange, authorization: str) -> None:
        load = self.gateway.table.load_principal
        self._principal = await self.gateway.loop.run_in_executor(None, load, authorization, self._deployment_id)
        self._go_on(exchange)

    async def _look_again(self, exchange: Exchange) -> None:
        await self.gateway.refresh_soon()
        if self.gateway.table.target(self._deployment_id) is None:  # deleted, and the right to it with it?
            await self._load_principal(exchange, self._authorization())
        else:
            self._go_on(exchange)

    def _go_on(self, exchange: Exchange) -> None:
        """What was waited for is there: dispatches what has come of the body in the meantime."""
        self._waiting = False
        if exchange.done or self._exchange is not exchange:
            return
        if self.body_ended:
            self._dispatch(whole=True)
            return
        if self._body_bytes > WHOLE_BODY_BYTES:
            self._dispatch(whole=False)
        self.resume_body()

    def _dispatch(self, *, whole: bool) -> None:
        exchange, principal = self._exchange, self._principal
        if exchange is None or principal is None:
            return
        if not principal.is_valid:
            self._fail_early(401, "The API token is unknown, expired or revoked.")
            return
        if not principal.may_use.get(self._deployment_id, False):
            self._fail_early(404, not_found(self._deployment_id))
            return
        target = self.gateway.table.target(self._deployment_id)
        if (target is None or not target.upstreams or not target.is_active) and not self._looked_again:
            self._looked_again = True  # what became ready a moment ago may not have been noticed yet
            self._waiting = True
            self.gateway.spawn(self._look_again(exchange))
            return
        if target is None:  # the right to it is known, so it exists, but nothing of it was ever started
            self._fail_early(503, f"Deployment {self._deployment_id} is not running; its status and its log say why.")
            return
        if not target.is_active:
            self._fail_early(422, inactive(self._deployment_id))
            return
        body, self._body = self._body, []
        self._streaming = not whole
        exchange.start(target, body, whole=whole)

    def _fail_early(self, status: int, message: str) -> None:
        if self._exchange is not None:
            self._exchange.fail(status, message)

    def _answer_other(self, path: bytes) -> None:
        if PING.fullmatch(path):
            self._write_json(200, b'{"response":"pong"}')
        elif path in {b"/health", b"/health/"}:
            self._write_json(200, b'{"status":"ok"}')
        else:
            self._refuse(404, "There is nothing at this address.", close=False)

    def _write_json(self, status: int, content: bytes) -> None:
        keep = b"keep-alive" if self.keep_alive else b"close"
        self.write(
            b"HTTP/1.1 %d OK\r\ncontent-type: application/json\r\nconnection: %b\r\ncontent-length: %d\r\n\r\n%b"
            % (status, keep, len(content), content)
        )
        if not self.keep_alive:
            self._transport.close()

    def _refuse(self, status: int, message: str, *, close: bool = True) -> None:
        if close:
            self.keep_alive = False
        self.write(error_bytes(status, message, b"-", keep_alive=self.keep_alive))
        if not self.keep_alive:
            self._refused = True
            self._transport.close()

    def _linger(self) -> None:
        """Closes once the client has sent what it was sending, or soon: closing earlier could lose our answer."""
        self._refused = True
        self.keep_alive = False
        if self.body_ended:
            self._transport.close()
        else:
            self._transport.resume_reading()
            self.gateway.loop.call_later(LINGER_S, self._transport.close)

    def _authorization(self) -> str:
        return (self._header(b"authorization") or b"").decode("latin-1")

    def _header(self, name: bytes) -> bytes | None:
        for known, value in self.headers:
            if known == name:
                return value
        return None

    # what an exchange asks of its client

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def abort(self) -> None:
        self._transport.abort()

    def hold_body(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_body(self) -> None:
        if not self._transport.is_closing() and not self._later:
            self._transport.resume_reading()

    def answer_error(self, status: int, message: str, request_id: bytes, retry_after_s: int | None) -> None:
        if not self.body_ended:
            self.keep_alive = False
        self.write(error_bytes(status, message, request_id, keep_alive=self.keep_alive, retry_after_s=retry_after_s))

    def exchange_ended(self, exchange: Exchange) -> None:
        if self._exchange is exchange:
            self._exchange = None
            if not self.keep_alive:
                self._linger()
            elif self.body_ended:
                self._next_request()

    def _next_request(self) -> None:
        if self._transport.is_closing():
            return
        if self._later:
            later, self._later = b"".join(self._later), []
            self._transport.resume_reading()
            self.gateway.loop.call_soon(self.data_received, later)
        else:
            self._transport.resume_reading()

    def drain(self) -> None:
        """The process is ending: this connection is closed when its request is answered, or at once."""
        if self._exchange is None:
            self._transport.close()
        else:
            self.keep_alive = False
