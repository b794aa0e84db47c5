"""HTTP/1.1 on a stream socket: keep-alive, chunked bodies, a limit on their size.

One `Connection` per client; requests of a connection are answered in order. `Request.respond` may be called once, from
the event loop's thread, at any time after the handler got the request.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

import httptools

JSON = b"application/json"
CSV = b"text/csv; charset=utf-8"
DISCARD_TIMEOUT_S = 10.0
PIPELINE_LIMIT = 32
_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus} | {513: b"Model Failed To Load"}


class Response:
    """An answer: status, content type (None: no body), body and further header lines."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(
        self, status: int, body: bytes = b"", content_type: bytes | None = None, headers: tuple[bytes, ...] = ()
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers

    def head(self, *, keep_alive: bool) -> bytes:
        """The status line and the headers, up to and with the empty line."""
        lines = [b"HTTP/1.1 %d %b" % (self.status, _PHRASES.get(self.status, b"Status"))]
        if self.content_type is not None:
            lines.append(b"content-type: " + self.content_type)
        lines.append(b"content-length: %d" % len(self.body))
        lines.extend(self.headers)
        if not keep_alive:
            lines.append(b"connection: close")
        lines.append(b"\r\n")
        return b"\r\n".join(lines)


class Request:
    """A whole request. Header names are lower case; `query` is the part of the URL after `?`, undecoded."""

    __slots__ = ("_connection", "answered", "body", "headers", "keep_alive", "method", "path", "query")

    def __init__(
        self, connection: "Connection", method: bytes, url: bytes, headers: dict[bytes, bytes], *, keep_alive: bool
    ) -> None:
        self._connection = connection
        self.method = method
        self.path, _, self.query = url.partition(b"?")
        self.headers = headers
        self.body = b""
        self.keep_alive = keep_alive
        self.answered = False

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody waits for the answer any more: it was given already, or the client has gone."""
        return self.answered or self._connection.is_closed

    def respond(self, response: Response) -> None:
        """Send the answer; a second answer is dropped."""
        if not self.answered:
            self.answered = True
            self._connection.answer(self, response)


class Connection(asyncio.Protocol):
    """One client. `handler` is called with each whole request; it must not raise."""

    def __init__(
        self,
        handler: Callable[[Request], None],
        refuse_too_large: Callable[[], Response],
        max_body_bytes: int,
        connections: "set[Connection]",
    ) -> None:
        self._handler = handler
        self._refuse_too_large = refuse_too_large
        self._max_body_bytes = max_body_bytes
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Request] = deque()
        self._current: Request | None = None
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._is_discarding = False
        self._closes_when_idle = False
        self._reset()

    def _reset(self) -> None:
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._request: Request | None = None
        self._chunks: list[bytes] = []
        self._size_bytes = 0

    @property
    def is_closed(self) -> bool:
        """Whether the client has gone or is being let go."""
        return self._transport is None or self._transport.is_closing()

    @property
    def is_idle(self) -> bool:
        """Whether no request of this client is under way."""
        return self._current is None and not self._waiting and self._request is None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        self._connections.discard(self)
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if self._transport is not None and not self._transport.is_closing():
                body = b'{"message":"The request is not valid HTTP/1.1."}'
                self._transport.write(Response(400, body, JSON).head(keep_alive=False) + body)
                self._transport.close()

    # httptools callbacks

    def on_message_begin(self) -> None:
        self._reset()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self._request = Request(
            self,
            self._parser.get_method(),
            self._url,
            self._headers,
            keep_alive=self._parser.should_keep_alive(),
        )
        length = self._headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._max_body_bytes:
            self._discard(self._request)
        elif self._headers.get(b"expect", b"").lower() == b"100-continue" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        if self._is_discarding:
            return
        self._size_bytes += len(body)
        if self._size_bytes > self._max_body_bytes and self._request is not None:
            self._chunks.clear()
            self._discard(self._request)
        else:
            self._chunks.append(body)

    def on_message_complete(self) -> None:
        if self._is_discarding:
            self._reset()
            self.close_when_idle()
            return
        request = self._request
        if request is None:
            return
        request.body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._reset()
        if self._current is not None:
            self._waiting.append(request)
            if len(self._waiting) >= PIPELINE_LIMIT and self._transport is not None:
                self._transport.pause_reading()
            return
        self._current = request
        self._handler(request)

    # answers

    def _discard(self, request: Request) -> None:
        """Answer 413 at once and read the rest of the body away: a close with unread data would lose the answer."""
        self._is_discarding = True
        request.keep_alive = False
        request.answered = True
        if self._current is None and self._transport is not None:
            response = self._refuse_too_large()
            self._transport.write(response.head(keep_alive=False) + response.body)
        self._loop.call_later(DISCARD_TIMEOUT_S, self._close)

    def answer(self, request: Request, response: Response) -> None:
        """Write the answer of the request under way and start the next one of this client."""
        transport = self._transport
        if transport is None or transport.is_closing() or request is not self._current:
            return
        keep_alive = request.keep_alive and not self._closes_when_idle
        body = b"" if request.method == b"HEAD" else response.body
        transport.write(response.head(keep_alive=keep_alive) + body)
        self._current = None
        if not keep_alive:
            transport.close()
        elif self._waiting:
            transport.resume_reading()
            self._current = self._waiting.popleft()
            self._loop.call_soon(self._handler, self._current)

    def close_when_idle(self) -> None:
        """Let the client go after its requests under way."""
        self._closes_when_idle = True
        if self.is_idle:
            self._close()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()
