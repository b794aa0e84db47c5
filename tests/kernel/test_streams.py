"""Answers in parts: how each ends."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy.exc import OperationalError

from modelyard.kernel.streams import Streams

EVERY_S = 0.02


class Endless:
    """Events that come, or never come, and whether their source was closed."""

    def __init__(self, pause_s: float) -> None:
        self.pause_s = pause_s
        self.is_closed = False

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x"
                await asyncio.sleep(self.pause_s)
        finally:
            self.is_closed = True


def epilogue(why: str) -> bytes:
    return f"[{why}]".encode()


@pytest.mark.parametrize("pause_s", [0.001, 60])
def test_an_endless_stream_ends_with_the_right_to_it(pause_s: float) -> None:
    source = Endless(pause_s)
    answers = iter([None, None, "gone"])

    async def read() -> bytes:
        stream = Streams(EVERY_S).guard(source.chunks(), lambda: next(answers), epilogue)
        return b"".join([chunk async for chunk in stream])

    assert asyncio.run(asyncio.wait_for(read(), 10)).endswith(b"x[gone]")
    assert source.is_closed


def test_an_endless_stream_ends_with_the_process_and_says_nothing() -> None:
    source, streams = Endless(60), Streams(60)

    async def read() -> bytes:
        asyncio.get_running_loop().call_later(0.05, streams.end)
        return b"".join([chunk async for chunk in streams.guard(source.chunks(), lambda: None, epilogue)])

    assert asyncio.run(asyncio.wait_for(read(), 10)) == b"x"
    assert source.is_closed


def test_a_download_goes_on_while_the_process_ends_but_not_without_the_right_to_it() -> None:
    closed = []

    def blocks() -> Iterator[bytes]:
        try:
            for _ in range(2000):
                time.sleep(0.001)
                yield b"x"
        finally:
            closed.append(True)

    async def read(why: str | None) -> bytes:
        streams = Streams(EVERY_S)
        streams.end()
        return b"".join([chunk async for chunk in streams.guard(blocks(), lambda: why, epilogue)])

    assert asyncio.run(read(None)) == b"x" * 2000
    cut = asyncio.run(read("gone"))
    assert cut.endswith(b"x[gone]")
    assert len(cut) < 1000
    assert closed == [True, True]


def test_a_reader_that_leaves_ends_the_source() -> None:
    source = Endless(60)

    async def read() -> None:
        stream = Streams(60).guard(source.chunks(), lambda: None, epilogue)
        assert await anext(stream) == b"x"
        await stream.aclose()  # type: ignore[attr-defined]

    asyncio.run(asyncio.wait_for(read(), 10))
    assert source.is_closed


def test_an_error_of_the_source_is_passed_on() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise ValueError("broken")

    async def read() -> None:
        async for _ in Streams(60).guard(broken(), lambda: None, epilogue):
            pass

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(asyncio.wait_for(read(), 10))


def test_an_outage_of_the_database_ends_no_stream() -> None:
    looks: list[int] = []

    def check() -> str | None:
        looks.append(1)
        if len(looks) < 3:
            raise OperationalError("SELECT", {}, OSError("away"))
        return "gone"

    async def read() -> bytes:
        return b"".join([chunk async for chunk in Streams(EVERY_S).guard(Endless(60).chunks(), check, epilogue)])

    assert asyncio.run(asyncio.wait_for(read(), 10)) == b"x[gone]"
    assert len(looks) == 3
