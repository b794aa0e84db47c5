"""The log of a run: what all its attempts wrote, while they write it and afterwards."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import anyio.to_thread
import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.compute.executor import Executor
from modelyard.compute.logs import STAMP_BYTES, LogFile, dropped_notice, without_times
from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.jobs.runs.schemas import LogQuery
from modelyard.jobs.runs.service import find_run, require_logs
from modelyard.jobs.tables import CustomJobRun, RunLog
from modelyard.kernel.database import Database
from modelyard.kernel.errors import ModelyardError
from modelyard.kernel.routing import Download
from modelyard.kernel.wire import read_bool
from modelyard.storage.blobs import BlobStore

BLOCK_BYTES = 1024 * 1024
FOLLOW_PAUSE_S = 0.03
LOOK_PAUSE_S = 0.5
QUIET_S = 15.0
TAIL_BYTES = 8 * 1024 * 1024


class Kept(NamedTuple):
    """The output of an ended attempt; ``first_offset`` bytes of it were dropped before."""

    digest: str
    first_offset: int


@dataclass(frozen=True)
class Sources:
    """Where the log is: what is kept of each ended attempt, and the workload of the one under way."""

    kept: tuple[Kept, ...]
    workload_id: str | None
    status: str
    is_over: bool


def read_log(
    session: Session,
    caller: Caller,
    database: Database,
    blobs: BlobStore,
    executor: Executor,
    job_id: str,
    run_id: str,
    query: LogQuery,
) -> Download:
    """The log so far as a file, or with ``follow`` as a stream of server-sent events that ends with the run.

    Each event's data is one line; the last event is named ``end`` and holds the run's status.
    """
    run = find_run(session, caller, job_id, run_id, Permission.VIEW)
    require_logs(run)
    name = f"custom-job-run-{run_id}.log"
    times = read_bool(query.timestamps, "timestamps")
    if read_bool(query.follow, "follow"):
        follower = _Follower(partial(_look, database, caller, job_id, run_id), blobs, executor, times=times)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return Download(follower.events(query.tail), name, "text/event-stream", headers)
    sources = sources_of(session, run)
    if query.tail is not None:
        lines = tail(blobs, executor, sources, query.tail, times=times)
        return Download("".join(f"{line}\n" for line in lines), name, "text/plain; charset=utf-8")
    return Download(_blocks(blobs, executor, sources, times=times), name, "text/plain; charset=utf-8")


def sources_of(session: Session, run: CustomJobRun) -> Sources:
    rows = session.execute(
        select(RunLog.digest, RunLog.first_offset).where(RunLog.run_id == run.id).order_by(RunLog.attempt)
    )
    return Sources(tuple(Kept(*row) for row in rows), run.workload_id, run.status, run.ended_at is not None)


def tail(blobs: BlobStore, executor: Executor, sources: Sources, lines: int, *, times: bool) -> list[str]:
    """The newest lines, oldest first."""
    newest: list[str] = []
    if sources.workload_id is not None:
        newest = executor.logs(sources.workload_id).tail(lines, times=times)
    for kept in reversed(sources.kept):
        if len(newest) >= lines:
            break
        newest = [*_kept_tail(blobs, kept.digest, lines - len(newest), times=times), *newest]
    return newest


def _kept_tail(blobs: BlobStore, digest: str, lines: int, *, times: bool) -> list[str]:
    with blobs.open(digest) as content:
        size = content.seek(0, os.SEEK_END)
        begin = content.seek(max(0, size - TAIL_BYTES))
        block = content.read()
    found = _text(block, times=times).split("\n")[1 if begin else 0 : -1]
    return found[max(0, len(found) - lines) :]


def _blocks(blobs: BlobStore, executor: Executor, sources: Sources, *, times: bool) -> Iterator[bytes]:
    for kept in sources.kept:
        for block in _kept_blocks(blobs, kept):
            yield block if times else without_times(block)
    if sources.workload_id is not None:
        for block in live_blocks(executor.logs(sources.workload_id)):
            yield block if times else without_times(block)


def live_blocks(log: LogFile, offset: int = 0) -> Iterator[bytes]:
    """All that is there now from ``offset`` on, in blocks of whole lines, each beginning with its time."""
    end = log.size
    while offset < end:
        part = log.part(offset, BLOCK_BYTES)
        if part.next_offset <= offset:
            return
        yield part.data
        offset = part.next_offset


def _kept_blocks(blobs: BlobStore, kept: Kept) -> Iterator[bytes]:
    """What is kept, in blocks of whole lines."""
    rest = b""
    if kept.first_offset:
        yield b" " * STAMP_BYTES + dropped_notice(kept.first_offset)
    for chunk in blobs.iter_chunks(kept.digest):
        whole, newline, rest_of_chunk = (rest + chunk).rpartition(b"\n")
        rest = rest_of_chunk
        if newline:
            yield whole + newline
    if rest:
        yield rest + b"\n"


def _text(lines: bytes, *, times: bool) -> str:
    return (lines if times else without_times(lines)).decode("utf-8", "replace")


def _look(database: Database, caller: Caller, job_id: str, run_id: str) -> Sources:
    """What the run is now; raises ``ModelyardError`` once the caller may not see it any more."""
    with database.read() as session:
        run = find_run(session, caller, job_id, run_id, Permission.VIEW)
        require_logs(run)
        return sources_of(session, run)


class _Follower:
    """Sends the lines of one run as they come: all attempts, to the end."""

    def __init__(self, look: Callable[[], Sources], blobs: BlobStore, executor: Executor, *, times: bool) -> None:
        self._look = look
        self._blobs = blobs
        self._executor = executor
        self._times = times
        self._attempts_sent = 0
        self._offset = 0

    async def events(self, tail_lines: int | None) -> AsyncIterator[bytes]:
        try:
            async for event in self._events(tail_lines):
                yield event
        except ModelyardError as error:
            yield _event(error.message, name="error")

    async def _events(self, tail_lines: int | None) -> AsyncIterator[bytes]:
        sources = await anyio.to_thread.run_sync(self._look)
        yield b": follows\n\n"
        if tail_lines is not None:
            yield _events_of("".join(f"{line}\n" for line in await self._skip_to_tail(sources, tail_lines)))
        quiet_s = since_look_s = 0.0
        while True:
            lines = await anyio.to_thread.run_sync(self._new_lines, sources)
            if lines:
                yield _events_of(_text(lines, times=self._times))
                quiet_s = 0.0
                continue
            if sources.is_over:
                yield _event(msgspec.json.encode({"status": sources.status}).decode(), name="end")
                return
            if since_look_s >= LOOK_PAUSE_S or self._has_ended(sources):
                sources = await anyio.to_thread.run_sync(self._look)
                since_look_s = 0.0
            if quiet_s >= QUIET_S:
                yield b": still running\n\n"  # so that whoever hung up is noticed
                quiet_s = 0.0
            await asyncio.sleep(FOLLOW_PAUSE_S)
            quiet_s += FOLLOW_PAUSE_S
            since_look_s += FOLLOW_PAUSE_S

    def _has_ended(self, sources: Sources) -> bool:
        return sources.workload_id is not None and not self._executor.observe(sources.workload_id).is_alive

    async def _skip_to_tail(self, sources: Sources, lines: int) -> list[str]:
        end = 0 if sources.workload_id is None else self._executor.logs(sources.workload_id).size
        shown = partial(tail, self._blobs, self._executor, sources, lines, times=self._times)
        found = await anyio.to_thread.run_sync(shown)
        self._attempts_sent, self._offset = len(sources.kept), end
        return found

    def _new_lines(self, sources: Sources) -> bytes:
        """The next lines that were not sent. An attempt that was followed live goes on in its blob where it was."""
        if self._attempts_sent < len(sources.kept):
            kept = sources.kept[self._attempts_sent]
            self._offset = max(self._offset, kept.first_offset)
            with self._blobs.open(kept.digest) as content:
                content.seek(self._offset - kept.first_offset)
                block = content.read(BLOCK_BYTES)
            whole = block[: block.rfind(b"\n") + 1] or block
            self._offset += len(whole)
            if not whole:
                self._attempts_sent, self._offset = self._attempts_sent + 1, 0
                return self._new_lines(sources)
            return whole
        if sources.workload_id is None:
            return b""
        part = self._executor.logs(sources.workload_id).part(self._offset, BLOCK_BYTES)
        self._offset = max(self._offset, part.next_offset)
        return part.data


def _events_of(text: str) -> bytes:
    """One event for each line; carriage returns, which would end it, become breaks of its data."""
    lines = text.split("\n")[:-1]
    return "".join("data: " + line.rstrip("\r").replace("\r", "\ndata: ") + "\n\n" for line in lines).encode()


def _event(text: str, *, name: str) -> bytes:
    return f"event: {name}\ndata: {text}\n\n".encode()
