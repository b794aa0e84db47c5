"""Serving an ASGI application: a bounded number of connections, time-outs for silent clients, an end that is in time.

Granian's server (hyper) keeps the time for headers and idle connections, its semaphore counts connections, the kernel
(TCP_USER_TIMEOUT) gives up clients that take nothing, and this module keeps the time for bodies and for stopping. See
docs/decisions/0042-limits-of-the-api-server.md.
"""

import asyncio
import contextlib
import resource
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.net import SocketHolder  # type: ignore[attr-defined] # exported by a star
from granian.server.embed import Server

from modelyard.kernel.edge import Edge, guard_headers
from modelyard.kernel.errors import ModelyardError

BACKLOG = 2048
MAX_HEAD_BYTES = 64 * 1024
"""Of request line and headers; hyper answers 431 to more. It bounds the buffer of a connection, too."""
MIN_BODY_BYTES_PER_S = 1024
"""A body that comes more slowly, apart from one time-out, is given up."""
FLUSH_S = 1.0
"""For how long connections may still take the last bytes of their answers when the process stops."""
OTHER_FILES = 512
"""Descriptors that are no connections of clients: database, blobs, connections to the gateway."""


class RequestTimeout(ModelyardError):  # noqa: N818
    status = 408


@dataclass(frozen=True)
class ServingLimits:
    max_connections: int
    client_timeout_s: float
    drain_timeout_s: float


def raise_file_limit() -> int:
    """Allow this process as many open files as the system lets it; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            return hard
    return soft


def connection_limit(wanted: int, open_files: int) -> int:
    """Return how many connections may be open at once: above what the system gives, accepting would fail in a loop."""
    return wanted if open_files == resource.RLIM_INFINITY else max(16, min(wanted, open_files - OTHER_FILES))


async def serve(
    app: Edge, host: str, port: int, limits: ServingLimits, on_stop: Callable[[], None] = lambda: None
) -> None:
    """Serve until SIGTERM or SIGINT; then no new request is taken, and those in hand have ``drain_timeout_s``.

    ``on_stop`` is called first of all. What still goes on in the end is given up: its connections break when the
    process ends, which the caller has to do without waiting for other threads.
    """
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    requests = RequestsInHand(app, limits.client_timeout_s)
    listener = listen(host, port, limits.client_timeout_s)
    server = _Server(requests, listener, limits)
    async with app.lifespan():
        serving = asyncio.ensure_future(server.serve())
        waiting = asyncio.ensure_future(stopping.wait())
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            waiting.cancel()
            serving.result()
            raise RuntimeError("the server ended by itself")
        on_stop()
        server.stop()  # type: ignore[no-untyped-call]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limits.drain_timeout_s):
                await requests.until_none()
        await asyncio.wait({serving}, timeout=FLUSH_S)


def listen(host: str, port: int, client_timeout_s: float) -> socket.socket:
    """Bind a socket whose connections the kernel ends when their client takes nothing for ``client_timeout_s``."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(client_timeout_s * 1000))
    listener.bind((host.strip("[]"), port))
    return listener


class _Server(Server):
    """Granian's server on a socket of ours. HTTP/1.1 only: its detection of HTTP/2 waits for ever for a first byte."""

    def __init__(self, app: Any, listener: socket.socket, limits: ServingLimits) -> None:
        self._listener = listener
        super().__init__(
            app,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            websockets=False,
            backlog=BACKLOG,
            backpressure=limits.max_connections,
            http1_settings=HTTP1Settings(
                header_read_timeout=round(limits.client_timeout_s * 1000), max_buffer_size=MAX_HEAD_BYTES
            ),
            log_enabled=False,
        )

    def _init_shared_socket(self) -> None:
        holder = SocketHolder(self._listener.fileno(), False, BACKLOG)  # type: ignore[call-arg] # its stub is older
        self._shd = holder  # type: ignore[assignment]


class RequestsInHand:
    """The application, with its requests counted and their bodies watched."""

    def __init__(self, app: Any, client_timeout_s: float) -> None:
        self._app = app
        self._client_timeout_s = client_timeout_s
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    async def until_none(self) -> None:
        await self._none.wait()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._count += 1
        self._none.clear()
        try:
            body = _Body(receive, send, self._client_timeout_s)
            await self._app(scope, body.receive, body.send)
        finally:
            self._count -= 1
            if not self._count:
                self._none.set()


class _Body:
    """The body of one request, which has to go on coming; its sender is answered 408 otherwise."""

    def __init__(self, receive: Any, send: Any, timeout_s: float) -> None:
        self._receive = receive
        self._send = send
        self._timeout_s = timeout_s
        self._budget_s = timeout_s
        self._is_whole = False
        self._is_answered = False
        self._is_given_up = False

    async def receive(self) -> Any:
        if self._is_whole:
            return await self._receive()
        began = time.monotonic()
        try:
            async with asyncio.timeout(min(self._timeout_s, self._budget_s)):
                message = await self._receive()
        except TimeoutError:
            raise await self._give_up() from None
        self._budget_s -= time.monotonic() - began
        self._budget_s += len(message.get("body", b"")) / MIN_BODY_BYTES_PER_S
        self._is_whole = not message.get("more_body", False)
        return message

    async def send(self, message: Any) -> None:
        """Whatever the application makes of a body that broke off, its sender has the answer already."""
        if not self._is_given_up:
            self._is_answered = True
            await self._send(message)

    async def _give_up(self) -> RequestTimeout:
        error = RequestTimeout("The rest of the request's body did not come in time; send the request again.")
        if not self._is_answered:
            content = msgspec.json.encode(error.body())
            headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
            headers = [*guard_headers(headers), (b"connection", b"close")]
            await self._send({"type": "http.response.start", "status": error.status, "headers": headers})
            await self._send({"type": "http.response.body", "body": content, "more_body": False})
        self._is_given_up = True
        return error
