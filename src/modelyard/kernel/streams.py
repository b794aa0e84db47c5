"""Answers that are sent in parts: each goes on only while the same request would still be answered."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import anyio.to_thread
from sqlalchemy.exc import DBAPIError

log = logging.getLogger(__name__)

CHECK_EVERY_S = 1.0
CHECKS_AT_ONCE = 4

Check = Callable[[], str | None]
"""Asks again whether the caller may have the answer: None, or why not any more. Runs in a thread."""
Epilogue = Callable[[str], bytes]
"""What the answer ends with when it is cut short for a reason."""


class Streams:
    """Ends the streams of one process: each when its ``Check`` fails, and endless ones when the process stops.

    ``end`` and ``guard`` belong to the event loop.
    """

    def __init__(self, check_every_s: float = CHECK_EVERY_S) -> None:
        self._check_every_s = check_every_s
        self._stopping = asyncio.Event()
        self._limiter: anyio.CapacityLimiter | None = None

    def end(self) -> None:
        """End the endless streams; their readers ask again elsewhere. Those that end by themselves go on."""
        self._stopping.set()

    async def guard(
        self, content: Iterator[bytes] | AsyncIterator[bytes], check: Check, epilogue: Epilogue
    ) -> AsyncIterator[bytes]:
        """Pass on the chunks of ``content``: an asynchronous iterator is endless, any other is not."""
        chunks = self._endless(content, check) if isinstance(content, AsyncIterator) else self._finite(content, check)
        try:
            async for chunk in chunks:
                yield chunk
        except _Refused as refused:
            if last := epilogue(refused.why):
                yield last
        finally:
            await chunks.aclose()

    async def _finite(self, content: Iterator[bytes], check: Check) -> Any:
        """Chunks come quickly, if at all; whoever takes them may be slow."""
        checked_at = time.monotonic()
        try:
            while (chunk := await anyio.to_thread.run_sync(next, content, None)) is not None:
                yield chunk
                if time.monotonic() - checked_at >= self._check_every_s:
                    await self._verify(check)
                    checked_at = time.monotonic()
        finally:
            _close(content)

    async def _endless(self, content: AsyncIterator[bytes], check: Check) -> Any:
        """The next chunk may never come, so that others wait beside it."""
        watch = asyncio.ensure_future(self._watch(check))
        coming: asyncio.Future[bytes | None] | None = None
        try:
            while True:
                coming = asyncio.ensure_future(_next(content))
                await asyncio.wait({coming, watch}, return_when=asyncio.FIRST_COMPLETED)
                if watch.done():
                    watch.result()
                    return
                chunk = coming.result()
                if chunk is None:
                    return
                yield chunk
        finally:
            for task in (watch, coming):
                if task is not None:
                    task.cancel()
            await asyncio.gather(*(task for task in (watch, coming) if task is not None), return_exceptions=True)
            with contextlib.suppress(AttributeError):
                await content.aclose()  # type: ignore[attr-defined] # only generators hold something

    async def _watch(self, check: Check) -> None:
        """Return when the process stops; raise ``_Refused`` when the check fails."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._check_every_s):
                    await self._stopping.wait()
                    return
            await self._verify(check)

    async def _verify(self, check: Check) -> None:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(CHECKS_AT_ONCE)
        try:
            why = await anyio.to_thread.run_sync(check, limiter=self._limiter)
        except DBAPIError:
            log.warning("a stream could not be checked, since the database does not answer; it is checked again")
            return
        if why is not None:
            raise _Refused(why)


class _Refused(Exception):  # noqa: N818 # never seen outside
    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


async def _next(content: AsyncIterator[bytes]) -> bytes | None:
    return await anext(content, None)


def _close(content: Iterator[bytes]) -> None:
    close = getattr(content, "close", None)
    if close is not None:
        close()
