"""Connections to the replicas: kept alive, one request at a time each, over Unix sockets."""

import asyncio
import select
from typing import Any, Protocol

from modelyard.compute.shared_files import connectable, refuse_descriptors
from modelyard.gateway.answer_parser import AnswerError, AnswerHead, AnswerParser

MAX_IDLE = 64


class Receiver(Protocol):
    """Who waits for the answer on a connection."""

    def answer_begins(self, head: AnswerHead) -> None: ...
    def answer_continues(self, chunk: bytes) -> None: ...
    def answer_ends(self) -> None: ...
    def answer_invalid(self, reason: str) -> None: ...
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

    def take_idle(self) -> "UpstreamConnection | None":
        """Return a kept-alive connection on which the replica has sent nothing since its last answer."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and not connection.has_unread_bytes():
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
    """One connection; between two requests it has no receiver.

    It is used again only when the whole request was written and the answer was read exactly to its end.
    """

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.is_open = False
        self.is_request_written = False
        self._receiver: Receiver | None = None
        self._transport: Any = None
        self._poll = select.poll()
        self._parser: AnswerParser | None = None

    def begin(self, receiver: Receiver) -> None:
        """Starts an exchange: what is written from now on is ``receiver``'s request."""
        self._receiver = receiver
        self._parser = AnswerParser(receiver)
        self.is_request_written = False

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def write_last(self, data: bytes) -> None:
        """Write the end of the request."""
        self._transport.write(data)
        self.is_request_written = True

    def close(self) -> None:
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    def has_unread_bytes(self) -> bool:
        """Whether the kernel holds bytes, or the end: between two requests a replica has nothing to send."""
        return bool(self._poll.poll(0))

    def pause_answer(self) -> None:
        if self.is_open:
            self._transport.pause_reading()

    def resume_answer(self) -> None:
        if self.is_open:
            self._transport.resume_reading()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self.is_open = True

    def connection_lost(self, _error: Exception | None) -> None:
        self.is_open = False
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            was_answering = self._parser is not None and self._parser.head is not None
            receiver.upstream_lost(was_answering=was_answering)

    def data_received(self, data: bytes) -> None:
        parser = self._parser
        if self._receiver is None or parser is None:
            self.close()  # an answer that nobody asked for
            return
        try:
            parser.feed(data)
        except AnswerError as error:
            self.close()
            receiver, self._receiver = self._receiver, None
            receiver.answer_invalid(str(error))
            return
        if parser.is_complete:
            self._end(parser)

    def _end(self, parser: AnswerParser) -> None:
        receiver, self._receiver = self._receiver, None
        self._parser = None
        is_exact = self.is_request_written and not parser.has_excess and not self._transport.get_write_buffer_size()
        if is_exact and self.is_open and parser.head is not None and parser.head.keep_alive:
            self.upstream.give_back(self)
        else:
            self.close()
        if receiver is not None:
            receiver.answer_ends()

    def pause_writing(self) -> None:
        if self._receiver is not None:
            self._receiver.upstream_full()

    def resume_writing(self) -> None:
        if self._receiver is not None:
            self._receiver.upstream_drained()
