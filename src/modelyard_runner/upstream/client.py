"""A small HTTP/1.1 client for the one server behind the runner: kept-alive connections, used in parallel."""

import asyncio
from typing import cast

import httptools

MOST_CONNECTIONS = 128


class UpstreamResponse:
    """A whole response. Header names are lower case."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: dict[bytes, bytes], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class _Connection(asyncio.Protocol):
    """One connection; it carries one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[UpstreamResponse] | None = None
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._chunks: list[bytes] = []
        self._has_headers = False
        self.has_answered_anything = False

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def send(self, request: bytes) -> UpstreamResponse:
        if self._transport is None:
            raise ConnectionResetError("the connection is closed")
        self._begin()
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        answer = self._answer
        if answer is None or answer.done():
            return
        if self._has_headers and b"content-length" not in self._headers and b"transfer-encoding" not in self._headers:
            self._finish()  # a body without a length ends with the connection
        else:
            answer.set_exception(error or ConnectionResetError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self.has_answered_anything = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self._answer is not None and not self._answer.done():
                self._answer.set_exception(ConnectionError(f"the server's answer is not HTTP: {error}"))
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self._has_headers = self._parser.get_status_code() >= 200

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        if not self._has_headers:
            self._headers.clear()  # an interim answer such as 100 Continue
            return
        if not self._parser.should_keep_alive():
            self.close()
        self._finish()

    def _finish(self) -> None:
        if self._answer is not None and not self._answer.done():
            body = b"".join(self._chunks)
            self._answer.set_result(UpstreamResponse(self._parser.get_status_code(), self._headers, body))


class UpstreamClient:
    """Requests to `127.0.0.1:port`; more than `MOST_CONNECTIONS` at a time wait."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[_Connection] = []
        self._slots = asyncio.Semaphore(MOST_CONNECTIONS)

    async def request(self, method: str, path: str, content_type: str = "", body: bytes = b"") -> UpstreamResponse:
        """Send a request and wait for the whole answer. Raises OSError when the server cannot be reached.

        A kept connection that turns out to be closed is replaced once.
        """
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self._port}", "Accept: */*"]
        if method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        if content_type:
            lines.append(f"Content-Type: {content_type}")
        message = "\r\n".join([*lines, "", ""]).encode() + body
        async with self._slots:
            while self._idle:
                kept = self._idle.pop()
                if not kept.is_open:
                    continue
                try:
                    return await self._exchange(kept, message)
                except OSError:
                    if kept.has_answered_anything:
                        raise
                    break
            return await self._exchange(await self._connect(), message)

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(_Connection, "127.0.0.1", self._port)
        return connection

    async def _exchange(self, connection: _Connection, message: bytes) -> UpstreamResponse:
        try:
            response = await connection.send(message)
        except BaseException:
            connection.close()
            raise
        if connection.is_open:
            self._idle.append(connection)
        return response

    def close(self) -> None:
        """Close the kept connections."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()
