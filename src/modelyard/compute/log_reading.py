"""Reading a log in parts: what has ended is a blob, what goes on is a workload's."""

import asyncio
import io
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, BinaryIO, NamedTuple
from weakref import WeakKeyDictionary

import anyio
import anyio.to_thread
import msgspec
from msgspec import Meta

from modelyard.compute.executor import Executor
from modelyard.compute.logs import STAMP_BYTES, LogFile, dropped_notice, without_times
from modelyard.kernel.errors import ModelyardError
from modelyard.kernel.routing import Download
from modelyard.kernel.wire import BoolText, Query
from modelyard.storage.blobs import BlobStore

BLOCK_BYTES = 1024 * 1024
FOLLOW_PAUSE_S = 0.03
LOOK_PAUSE_S = 0.5
LOOK_PAUSE_BEFORE_S = 0.1
"""How often a follower asks how the run is: while nothing can be written yet, more often."""
QUIET_S = 15.0
TAIL_BYTES = 8 * 1024 * 1024


class LogQuery(Query):
    """``follow`` streams lines as they come, ``tail`` begins that many lines before the end,
    ``timestamps`` puts the time before each line. All are ours."""

    follow: BoolText = "false"
    timestamps: BoolText = "false"
    tail: Annotated[int, Meta(ge=0, le=100_000)] | None = None


class Kept(NamedTuple):
    """The output of an ended attempt; ``first_offset`` bytes of it were dropped before. It is the blob ``digest``, or
    where nothing ever began, the text itself."""

    digest: str
    first_offset: int
    text: bytes = b""

    def open(self, blobs: BlobStore) -> BinaryIO:
        return blobs.open(self.digest) if self.digest else io.BytesIO(self.text)


@dataclass(frozen=True)
class Sources:
    """Where the log is: what is kept of each ended attempt, and the workload of the one under way."""

    kept: tuple[Kept, ...]
    workload_id: str | None
    status: str
    is_over: bool


def serve_log(reader: "LogReader", name: str, *, tail: int | None, follow: bool, times: bool) -> Download:
    """The log so far as a file, or with ``follow`` as a stream of server-sent events that ends with the work.

    Each event's data is one line; the last event is named ``end`` and holds the status.
    """
    if follow:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        events = _Follower(reader, times=times).events(tail)
        return Download(events, name, "text/event-stream", headers, lambda why: _event(why, name="error"))
    if tail is not None:
        text = "".join(f"{line}\n" for line in reader.tail(tail))
        return Download(text, name, "text/plain")
    return Download(
        reader.so_far(), name, "text/plain", epilogue=lambda why: f"[modelyard] cut short: {why}\n".encode()
    )


def _kept_tail(blobs: BlobStore, kept: Kept, lines: int, *, times: bool) -> list[str]:
    with kept.open(blobs) as content:
        size = content.seek(0, os.SEEK_END)
        begin = content.seek(max(0, size - TAIL_BYTES))
        block = content.read()
    found = _text(block, times=times).split("\n")[1 if begin else 0 : -1]
    return found[max(0, len(found) - lines) :]


def live_blocks(log: LogFile, offset: int = 0) -> Iterator[bytes]:
    """All that is there now from ``offset`` on, in blocks of whole lines, each beginning with its time."""
    end = log.size
    while offset < end:
        part = log.part(offset, BLOCK_BYTES)
        if part.next_offset <= offset:
            return
        yield part.data
        offset = part.next_offset


def _text(lines: bytes, *, times: bool) -> str:
    return (lines if times else without_times(lines)).decode("utf-8", "replace")


class LogReader:
    """Reads the log of one run from its beginning or near its end on, over all attempts.

    An attempt that ends while it is read goes on in its blob where it was.
    """

    def __init__(self, look: Callable[[], Sources], blobs: BlobStore, executor: Executor, *, times: bool) -> None:
        self.look = look
        self._blobs = blobs
        self._executor = executor
        self._times = times
        self._attempts_read = 0
        self._offset = 0

    def so_far(self) -> Iterator[bytes]:
        """What there is now, in blocks of whole lines."""
        for _ in range(2):
            sources = self.look()
            end = self._live_size(sources)
            while block := self.new_lines(sources):
                yield block if self._times else without_times(block)
                if self._attempts_read >= len(sources.kept) and self._offset >= end:
                    break  # what it writes while it is read is for the next time
            if not self._has_moved(sources):
                return

    def tail(self, lines: int) -> list[str]:
        """The newest lines, oldest first; what comes after them is what ``new_lines`` reads next."""
        sources = self.look()
        found = self._tail(sources, lines)
        if self._has_moved(sources):
            found = self._tail(self.look(), lines)
        return found

    def _tail(self, sources: Sources, lines: int) -> list[str]:
        self._attempts_read, self._offset = len(sources.kept), self._live_size(sources)
        newest: list[str] = []
        if sources.workload_id is not None:
            newest = self._executor.logs(sources.workload_id).tail(lines, times=self._times)
        for kept in reversed(sources.kept):
            if len(newest) >= lines:
                break
            newest = [*_kept_tail(self._blobs, kept, lines - len(newest), times=self._times), *newest]
        return newest

    def new_lines(self, sources: Sources) -> bytes:
        """The next lines, each beginning with its time; empty when there are no more now."""
        while self._attempts_read < len(sources.kept):
            block = self._kept_lines(sources.kept[self._attempts_read])
            if block:
                return block
            self._attempts_read, self._offset = self._attempts_read + 1, 0
        if sources.workload_id is None:
            return b""
        part = self._executor.logs(sources.workload_id).part(self._offset, BLOCK_BYTES)
        if self._has_moved(sources):
            return b""  # it may have been read while it was deleted
        self._offset = max(self._offset, part.next_offset)
        return part.data

    def _kept_lines(self, kept: Kept) -> bytes:
        dropped = max(0, kept.first_offset - self._offset)
        self._offset += dropped
        with kept.open(self._blobs) as content:
            content.seek(self._offset - kept.first_offset)
            block = content.read(BLOCK_BYTES)
        whole = block[: block.rfind(b"\n") + 1] or block
        self._offset += len(whole)
        return whole[:STAMP_BYTES] + dropped_notice(dropped) + whole if dropped and whole else whole

    def has_ended(self, sources: Sources) -> bool:
        """Whether the attempt under way is over, so that there is something new to look at."""
        return sources.workload_id is not None and not self._executor.observe(sources.workload_id).is_alive

    def _has_moved(self, sources: Sources) -> bool:
        """Whether what the attempt under way wrote was moved into a blob after this look."""
        return self.has_ended(sources) and self.look().workload_id != sources.workload_id

    def _live_size(self, sources: Sources) -> int:
        return 0 if sources.workload_id is None else self._executor.logs(sources.workload_id).size


class _Follower:
    """Sends the lines of one run as they come: all attempts, to the end."""

    def __init__(self, reader: LogReader, *, times: bool) -> None:
        self._reader = reader
        self._times = times

    async def events(self, tail_lines: int | None) -> AsyncIterator[bytes]:
        try:
            async for event in self._events(tail_lines):
                yield event
        except ModelyardError as error:
            yield _event(error.message, name="error")

    async def _events(self, tail_lines: int | None) -> AsyncIterator[bytes]:
        sources = await anyio.to_thread.run_sync(self._reader.look)
        yield b": follows\n\n"
        if tail_lines is not None:
            newest = await anyio.to_thread.run_sync(self._reader.tail, tail_lines)
            yield _events_of("".join(f"{line}\n" for line in newest))
        quiet_s = since_look_s = 0.0
        while True:
            lines = await anyio.to_thread.run_sync(self._reader.new_lines, sources)
            if lines:
                yield await anyio.to_thread.run_sync(self._events_of, lines, limiter=_one_at_a_time())
                quiet_s = 0.0
                continue
            if sources.is_over:
                yield _event(msgspec.json.encode({"status": sources.status}).decode(), name="end")
                return
            pause_s = LOOK_PAUSE_BEFORE_S if sources.workload_id is None else LOOK_PAUSE_S
            if since_look_s >= pause_s or self._reader.has_ended(sources):
                sources = await anyio.to_thread.run_sync(self._reader.look)
                since_look_s = 0.0
            if quiet_s >= QUIET_S:
                yield b": still running\n\n"  # so that whoever hung up is noticed
                quiet_s = 0.0
            await asyncio.sleep(FOLLOW_PAUSE_S)
            quiet_s += FOLLOW_PAUSE_S
            since_look_s += FOLLOW_PAUSE_S

    def _events_of(self, lines: bytes) -> bytes:
        return _events_of(_text(lines, times=self._times))


_TURNS: WeakKeyDictionary[asyncio.AbstractEventLoop, anyio.CapacityLimiter] = WeakKeyDictionary()


def _one_at_a_time() -> anyio.CapacityLimiter:
    """Followers of a program that writes without end take turns in making events, and leave time for others."""
    loop = asyncio.get_running_loop()
    if loop not in _TURNS:
        _TURNS[loop] = anyio.CapacityLimiter(1)
    return _TURNS[loop]


def _events_of(text: str) -> bytes:
    """One event for each line; carriage returns, which would end it, become breaks of its data."""
    lines = text.split("\n")[:-1]
    return "".join("data: " + line.rstrip("\r").replace("\r", "\ndata: ") + "\n\n" for line in lines).encode()


def _event(text: str, *, name: str) -> bytes:
    return f"event: {name}\ndata: {text}\n\n".encode()
