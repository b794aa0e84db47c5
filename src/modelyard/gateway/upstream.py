"""Connections to the replicas: kept alive, one request at a time each, over Unix sockets."""

import asyncio
import select
from typing import Any, Protocol

import httptools

from modelyard.compute.shared_files import connectable, refuse_descriptors

MAX_IDLE = 64


class Receiver(Protocol):
    """Who waits for the answer on a connection."""

    def answer_begins(self, status: int, headers: list[tuple[bytes, bytes]]) -> None: ...
    def answer_continues(self, chunk: bytes) -> None: ...
    def answer_ends(self) -> None: ...
    def upstream_lost(self, *, was_answering: bool) -> None: ...
    def upstream_full(self) -> None: ...
    def upstream_drained(self) -> None: ...


class Upstream:
    """One replica, its idle connections and how many requests it has in hand."""

    def __init__(self, replica_id: str, socket_path: str) -> None:
        self.replica_id = replica_id
        self.socket_path = socket_path
        self.in_flight = 0
        self.failed = False
        self.retired = False
        self._idle: list[UpstreamConnection] = []

    def take_idle(self, *, surely: bool) -> "UpstreamConnection | None":
        """A kept-alive connection that is still open; ``surely`` asks the kernel, too, for a request that must not be
        sent twice."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and not (surely and connection.has_news()):
                return connection
            connection.close()
        return None

    def give_back(self, connection: "UpstreamConnection") -> None:
        if self.retired or len(self._idle) >= MAX_IDLE:
            connection.close()
        else:
            self._idle.append(connection)

    async def connect(self) -> "UpstreamConnection":
        """A new connection. Raises ``OSError``."""
        with connectable(self.socket_path) as address:
            transport, connection = await asyncio.get_running_loop().create_unix_connection(
                lambda: UpstreamConnection(self), address
            )
        refuse_descriptors(transport.get_extra_info("socket"))
        return connection

    def retire(self) -> None:
        """No more requests: the replica is ending. Those in hand are finished. Safe to call from another thread."""
        self.retired = True


class UpstreamConnection(asyncio.Protocol):
    """One connection; between two requests it has no receiver."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.is_open = False
        self._receiver: Receiver | None = None
        self._transport: Any = None
        self._parser: Any = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._answering = False
        self._keep_alive = True

    def begin(self, receiver: Receiver) -> None:
        """Starts an exchange: what is written from now on is ``receiver``'s request."""
        self._receiver = receiver
        self._parser = httptools.HttpResponseParser(self)
        self._headers = []
        self._answering = False

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def close(self) -> None:
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    def has_news(self) -> bool:
        """Whether something came that was not read yet; between two requests that can only be the end."""
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def pause_answer(self) -> None:
        if self.is_open:
            self._transport.pause_reading()

    def resume_answer(self) -> None:
        if self.is_open:
            self._transport.resume_reading()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.is_open = True

    def connection_lost(self, _error: Exception | None) -> None:
        self.is_open = False
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.upstream_lost(was_answering=self._answering)

    def data_received(self, data: bytes) -> None:
        if self._receiver is None:
            self.close()  # nobody asked: not a connection to be trusted again
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    def pause_writing(self) -> None:
        if self._receiver is not None:
            self._receiver.upstream_full()

    def resume_writing(self) -> None:
        if self._receiver is not None:
            self._receiver.upstream_drained()

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self._headers = []
            return
        self._answering = True
        if self._receiver is not None:
            self._receiver.answer_begins(status, self._headers)

    def on_body(self, chunk: bytes) -> None:
        if self._receiver is not None:
            self._receiver.answer_continues(chunk)

    def on_message_complete(self) -> None:
        if not self._answering:
            return
        receiver, self._receiver = self._receiver, None
        if self._parser.should_keep_alive():
            self.upstream.give_back(self)
        else:
            self.close()
        if receiver is not None:
            receiver.answer_ends()
