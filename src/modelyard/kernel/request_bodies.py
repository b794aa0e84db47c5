"""Bodies of requests that are kept in memory: how large one may be, and how large all of them together."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from litestar import Request
from litestar.types import Receive

from modelyard.kernel.errors import TooLarge, Unavailable

MIB = 1024 * 1024
MAX_JSON_BYTES = 16 * MIB
MAX_BYTES_OF_ANYBODY = 64 * 1024
"""How much of a body is read before its sender is known. Most bodies are smaller, and need no look of its own."""
MAX_BUFFERED_BYTES = 256 * MIB
"""Of all bodies that one process holds, apart from what may be anybody's."""


class BodyMemory:
    """The memory that the bodies of one process may take. Belongs to one event loop."""

    def __init__(self, max_bytes: int = MAX_BUFFERED_BYTES) -> None:
        self.used_bytes = 0
        self._max_bytes = max_bytes

    @contextmanager
    def reservation(self) -> Iterator["Reservation"]:
        """Account for one request's body until it is answered."""
        reserved = Reservation(self)
        try:
            yield reserved
        finally:
            self.used_bytes -= reserved.size_bytes

    def reserve(self, more_bytes: int) -> None:
        """Raise ``Unavailable`` where the bodies of other requests have left no room."""
        if self.used_bytes + more_bytes > self._max_bytes:
            raise Unavailable(
                "The server holds as many large requests as it has memory for; try again in a moment.",
                headers={"Retry-After": "1"},
            )
        self.used_bytes += more_bytes


class Reservation:
    """What one request has taken of a ``BodyMemory``."""

    def __init__(self, memory: BodyMemory) -> None:
        self.size_bytes = 0
        self._memory = memory

    def grow(self, size_bytes: int) -> None:
        """Reserve as much as is missing to ``size_bytes``."""
        more = size_bytes - self.size_bytes
        if more > 0:
            self._memory.reserve(more)
            self.size_bytes += more


async def read_body(
    request: Request[Any, Any, Any],
    authenticate: Callable[[], Awaitable[None]] | None,
    reserved: Reservation,
    *,
    keeps: bool,
) -> bytes:
    """The body; empty where the endpoint does not keep it. A large one is read on only for a caller who is known."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if authenticate is not None and size > MAX_BYTES_OF_ANYBODY:
            await authenticate()
            authenticate = None
        if size > MAX_JSON_BYTES:
            raise TooLarge(f"the body is over {MAX_JSON_BYTES} bytes; send files as multipart/form-data")
        if keeps:
            if size > MAX_BYTES_OF_ANYBODY:
                reserved.grow(size)
            chunks.append(chunk)
    return b"".join(chunks)


async def read_filters(receive: Receive) -> bytes:
    """The body of a GET, which nobody has authenticated yet."""
    chunks, size, more = [], 0, True
    while more:
        message: Any = await receive()
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > MAX_BYTES_OF_ANYBODY:
            raise TooLarge(f"the body of a GET is over {MAX_BYTES_OF_ANYBODY} bytes; send fewer filters")
        more = message.get("more_body", False)
    return b"".join(chunks)
