"""Files written in order by worker threads, while the event loop goes on reading."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Generic, Protocol, Self, TypeVar

Stored = TypeVar("Stored")
Stored_co = TypeVar("Stored_co", covariant=True)

BATCH_BYTES: Final = 2 << 20
BATCH_FILES: Final = 64


class FileSink(Protocol[Stored_co]):
    """Where one file goes. Used by one thread at a time; ``abort`` after ``finish`` does nothing."""

    def write(self, data: bytes, /) -> object: ...

    def finish(self) -> Stored_co: ...

    def abort(self) -> object: ...


@dataclass(slots=True)
class _Piece(Generic[Stored]):
    """Work on one file: make its sink (first piece), write the bytes, finish it (last piece)."""

    make: Callable[[], FileSink[Stored]] | None = None
    data: list[bytes] = field(default_factory=list)
    is_last: bool = False


class SinkQueue(Generic[Stored]):
    """Takes files piece by piece without waiting, and does the work in batches of 2 MiB or 64 files in a thread.

    One batch is at work while the next is gathered, so memory stays flat and reading overlaps with writing. Leaving
    the context aborts the sink that is not finished, after its thread has let go of it, also when the task is
    cancelled.
    """

    def __init__(self) -> None:
        self._batch: list[_Piece[Stored]] = []
        self._batch_bytes = 0
        self._opened = 0
        self._running: asyncio.Future[None] | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._sink: FileSink[Stored] | None = None
        self._stored: list[Stored] = []

    def open(self, make: Callable[[], FileSink[Stored]]) -> int:
        """Begin the next file; its number. The file before it must be finished."""
        self._batch.append(_Piece(make))
        self._opened += 1
        return self._opened - 1

    def write(self, data: bytes) -> None:
        self._last_piece().data.append(data)
        self._batch_bytes += len(data)

    def finish(self) -> None:
        self._last_piece().is_last = True

    async def hand_over(self) -> None:
        """Give the gathered work to a thread once it is worth it; wait while the batch before it is at work."""
        if self._batch_bytes >= BATCH_BYTES or len(self._batch) >= BATCH_FILES:
            await self._start()

    async def drain(self) -> None:
        """Do all the work that is left. Raises what a sink raised."""
        await self._start()
        await self._wait()

    def stored(self, index: int) -> Stored:
        """What the sink of the file with this number answered; there after ``drain``."""
        return self._stored[index]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        await asyncio.shield(asyncio.to_thread(self._abort))
        if self._running:
            await asyncio.wait({self._running})
            if not self._running.cancelled():
                self._running.exception()

    async def _start(self) -> None:
        await self._wait()
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        self._running = asyncio.ensure_future(asyncio.to_thread(self._work, batch))

    async def _wait(self) -> None:
        if self._running:
            await asyncio.shield(self._running)
            self._running = None

    def _last_piece(self) -> _Piece[Stored]:
        if not self._batch:
            self._batch.append(_Piece())
        return self._batch[-1]

    def _work(self, batch: list[_Piece[Stored]]) -> None:
        with self._lock:
            for piece in batch:
                if self._closed:
                    return
                if piece.make:
                    self._sink = piece.make()
                self._continue(piece)

    def _continue(self, piece: _Piece[Stored]) -> None:
        sink = self._sink
        if sink is None:
            raise RuntimeError("a piece of a file that was not opened")
        if piece.data:
            sink.write(b"".join(piece.data))
            piece.data.clear()
        if piece.is_last:
            self._stored.append(sink.finish())
            self._sink = None

    def _abort(self) -> None:
        with self._lock:
            if self._sink:
                self._sink.abort()
                self._sink = None
