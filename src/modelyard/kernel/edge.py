"""What holds for every request and every answer, whichever route they belong to: the host, and headers for browsers."""

import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Litestar
from litestar.types import Scope, Send

from modelyard.kernel.forwarded import Network, read_forwarded
from modelyard.kernel.host_names import AllowedHosts, Host, HostError, parse_host

if TYPE_CHECKING:
    from modelyard.kernel.observing import Observer

JSON = b"application/json"
NO_SNIFFING = (b"x-content-type-options", b"nosniff")
SANDBOX = (b"content-security-policy", b"sandbox")
PRIVATE = (b"cache-control", b"private")
NOT_STORED = (b"cache-control", b"no-store")

Headers = list[tuple[bytes, bytes]]


Hook = Callable[[], Awaitable[None] | None]


class Edge:
    """An ASGI application: the routes behind a check of the ``Host``, with headers that guard browsers.

    ``bound`` is what routes find in the scope of each request: those of one process are shared by its applications.
    ``default_host`` is that of a client of HTTP/1.0, which need not name one.
    """

    def __init__(
        self,
        router: Litestar,
        bound: Mapping[str, Any],
        *,
        allowed_hosts: AllowedHosts,
        default_host: str,
        on_startup: Iterable[Hook] = (),
        on_shutdown: Iterable[Hook] = (),
        observer: "Observer | None" = None,
        trusted_proxies: Iterable[Network] = (),
    ) -> None:
        self._trusted_proxies = tuple(trusted_proxies)
        self._observer = observer
        self._router = router
        self._bound = dict(bound)
        self._allowed_hosts = allowed_hosts
        self._default_host = parse_host(default_host)
        self._on_startup, self._on_shutdown = tuple(on_startup), tuple(on_shutdown)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"the protocol {scope['type']!r} is not served, only HTTP")
        began, request_id, path = time.perf_counter(), secrets.token_hex(8), scope["path"]
        guarded = _Answer(send, request_id)
        try:
            await self._answer(scope, receive, guarded)
        finally:
            if self._observer is not None:
                self._observer.note(scope, path, guarded.status, began, request_id)

    async def _answer(self, scope: Any, receive: Any, guarded: Any) -> None:
        try:
            forwarded = read_forwarded(scope, self._trusted_proxies)
            host = forwarded.host or _host_of(scope, self._default_host)
        except HostError as error:
            await _refuse(guarded, 400, f"The request's Host header is wrong: {error}.")
            return
        if not self._allowed_hosts.admits(host):
            await _refuse(guarded, 421, _misdirected(host))
            return
        others = [(name, value) for name, value in scope["headers"] if name.lower() != b"host"]
        scope |= self._bound
        scope["prefix"] = forwarded.prefix
        scope["scheme"] = forwarded.scheme or scope["scheme"]
        scope["headers"] = [(b"host", str(host).encode()), *others]
        await self._router(scope, receive, guarded)

    @contextlib.asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Start what the application needs, and end it."""
        await _call(self._on_startup)
        try:
            yield
        finally:
            await _call(self._on_shutdown)

    async def _live(self, receive: Any, send: Any) -> None:
        """The same for a server that speaks the lifespan protocol of ASGI."""
        await receive()
        async with self.lifespan():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


async def _call(hooks: Iterable[Hook]) -> None:
    for hook in hooks:
        found = hook()
        if found is not None:
            await found


def _host_of(scope: Scope, default: Host) -> Host:
    named = [value for name, value in scope["headers"] if name.lower() == b"host"]
    if len(named) > 1:
        raise HostError("there are two of them")
    if not named or not named[0]:
        if scope["http_version"] in {"1", "1.0"}:
            return default
        raise HostError("it is missing")
    try:
        return parse_host(named[0].decode("ascii"))
    except UnicodeDecodeError:
        raise HostError("it holds other than ASCII characters") from None


def _misdirected(host: Host) -> str:
    return (
        f"This server does not answer for the host {host.name[:100]}. If clients are meant to reach it by that name, "
        "add it to MODELYARD_ALLOWED_HOSTS and restart."
    )


async def _refuse(send: Send, status: int, message: str) -> None:
    content = msgspec.json.encode({"message": message})
    headers = [(b"content-type", JSON), (b"content-length", b"%d" % len(content)), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content, "more_body": False})


class _Answer:
    """Sends an answer with the headers that guard browsers and the id of its request, and keeps its status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id.encode()
        self.status = 0

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = guard_headers(message.get("headers", ()))
            message["headers"] = [*headers, (b"x-request-id", self._request_id)]
        await self._send(message)


def guard_headers(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return the headers of an answer with those that keep a browser from running or sharing it.

    JSON is ours: no browser renders it, and none is to keep it. All else may be bytes that a user chose: it is shown,
    if at all, without scripts and without this origin, and no shared cache keeps it. What the answer says of these
    itself (a model's may say anything) does not count, except that it is not to be stored.
    """
    kept: Headers = []
    media_types, is_secret = set(), False
    for name, value in headers:
        lower = name.lower()
        if lower == b"content-type":
            media_types.add(value.partition(b";")[0].strip().lower())
        if lower == PRIVATE[0]:
            is_secret = is_secret or b"no-store" in value.lower()
        elif lower not in {NO_SNIFFING[0], SANDBOX[0]}:
            kept.append((name, value))
    if media_types == {JSON}:
        return [*kept, NO_SNIFFING, NOT_STORED]
    return [*kept, NO_SNIFFING, SANDBOX, NOT_STORED if is_secret else PRIVATE]
