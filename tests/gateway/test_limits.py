"""What strangers and slow clients may cost: bytes, time, connections, memory."""

import contextlib
import json
import select
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.wire import Connection, Wire, a_wire, answer_of, script
from tests.waiting import wait_until

MIB = 1024 * 1024
HEADER_TIMEOUT_S = 2
BODY_TIMEOUT_S = 2
IDLE_TIMEOUT_S = 4
MAX_ANONYMOUS = 40
OK = script(answer_of(b"fine"))


@pytest.fixture(scope="module")
def wire(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    folder = tmp_path_factory.mktemp("limits")
    limits = {
        "header_timeout_s": HEADER_TIMEOUT_S,
        "body_timeout_s": BODY_TIMEOUT_S,
        "idle_timeout_s": IDLE_TIMEOUT_S,
        "max_anonymous_connections": MAX_ANONYMOUS,
        "max_buffered_prediction_bytes": 8 * MIB,
        "max_prediction_bytes": 20 * MIB,
    }
    with a_wire(installed, folder, **limits) as wire:
        yield wire


@pytest.fixture(autouse=True)
def serves(wire: Wire) -> Iterator[None]:
    """After each test the gateway answers as before."""
    yield
    found = wire.ask(OK)
    assert found is not None
    assert found[2] == b"fine"


def flood(client: Connection, piece: bytes, most_bytes: int) -> None:
    """Send a piece again and again until the server has had enough."""
    client.socket.settimeout(10)
    with contextlib.suppress(ConnectionError):
        for _ in range(most_bytes // len(piece)):
            if has_answer(client):
                return
            client.send(piece)


def has_answer(client: Connection) -> bool:
    """Whether something can be read, without waiting for it."""
    return bool(select.select([client.socket], [], [], 0)[0])


ENDLESS = {
    "an address": (b"GET /", b"a" * 8192, 414),
    "a query": (b"GET /ping?", b"a" * 8192, 414),
    "a header's name": (b"GET /ping HTTP/1.1\r\n", b"a" * 8192, 431),
    "a header's value": (b"GET /ping HTTP/1.1\r\nx-a: ", b"a" * 8192, 431),
    "headers": (b"GET /ping HTTP/1.1\r\n", b"x-a: b\r\n" * 1024, 431),
    "small segments": (b"GET /ping HTTP/1.1\r\nx-a: ", b"a" * 10, 431),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_an_endless_head_is_refused_at_64_kib(wire: Wire, kind: str) -> None:
    start, piece, status = ENDLESS[kind]
    before = wire.memory_bytes()
    with wire.connect() as client:
        client.send(start)
        flood(client, piece, 16 * MIB if len(piece) > 100 else MIB)
        found = client.read_answer()
    assert found is None or found[0] == status, found
    assert wire.memory_bytes() - before < 8 * MIB
    with wire.connect() as client:  # not a byte more than needed, so that the answer is not lost
        client.send(start + b"a" * (66 * 1024) if kind != "headers" else start + piece * 10)
        found = client.read_answer()
        assert found is not None
        assert found[0] == status
        assert json.loads(found[2])["message"]
        assert client.is_closed()


def test_a_head_of_almost_64_kib_is_read(wire: Wire) -> None:
    with wire.connect() as client:
        client.send(b"GET /ping HTTP/1.1\r\nHost: x\r\nx-a: " + b"a" * 60_000)
        client.send(b"\r\n\r\n")
        found = client.read_answer()
    assert found is not None
    assert found[0] == 200


CHUNKED = "Transfer-Encoding: chunked"
ENDLESS_CHUNKS = {"an extension": b"1;" + b"a" * 8192, "a trailer": b"0\r\nx-a: " + b"a" * 8192, "trailers": b"0\r\n"}


@pytest.mark.parametrize("kind", ENDLESS_CHUNKS)
def test_endless_extensions_and_trailers_are_refused(wire: Wire, kind: str) -> None:
    before = wire.memory_bytes()
    piece = b"x-a: b\r\n" * 1024 if kind == "trailers" else b"a" * 8192
    with wire.connect() as client:
        client.send(wire.head(CHUNKED) + ENDLESS_CHUNKS[kind])
        for _ in range(10):
            client.send(piece)
        found = client.read_answer()
        assert found is not None
        assert found[0] == 431
    with wire.connect() as client:
        client.send(wire.head(CHUNKED) + ENDLESS_CHUNKS[kind])
        flood(client, piece, 16 * MIB)
    assert wire.memory_bytes() - before < 8 * MIB


def test_tiny_chunks_are_refused_when_they_are_mostly_framing(wire: Wire) -> None:
    with wire.connect() as client:
        client.send(wire.head(CHUNKED))
        for _ in range(40):
            client.send(b"1\r\na\r\n" * 1000)
        found = client.read_answer()
    assert found is not None
    assert found[0] == 431


@pytest.mark.parametrize("token", ["my_unknown", None])
def test_an_invalid_caller_is_refused_before_the_body(wire: Wire, token: str | None) -> None:
    with wire.connect() as client:
        client.send(wire.head("Content-Length: 1000000", "Expect: 100-continue", token=token))
        found = client.read_answer()
        assert found is not None
        assert found[0] == 401
        assert found[1]["connection"] == "close"
        assert client.is_closed()


def test_a_valid_caller_is_asked_for_the_body(wire: Wire) -> None:
    with wire.connect() as client:
        client.send(wire.head(f"Content-Length: {len(OK)}", "Expect: 100-continue"))
        assert client.socket.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(OK)
        found = client.read_answer()
    assert found is not None
    assert found[2] == b"fine"


def test_bodies_of_invalid_callers_take_no_memory(wire: Wire) -> None:
    before = wire.memory_bytes()
    with contextlib.ExitStack() as stack:
        for _ in range(MAX_ANONYMOUS):
            client = stack.enter_context(wire.connect())
            with contextlib.suppress(ConnectionError):
                client.send(wire.head("Content-Length: 2000000", token="my_wrong") + b"x" * MIB)
        assert wire.memory_bytes() - before < 16 * MIB


SLOW = {
    "a head": (b"POST /ping HTTP/1.1\r\nHost: x\r\n", "head"),
    "a first byte": (b"P", "head"),
    "a body": (None, "body"),
    "a chunk": (None, "body"),
}


@pytest.mark.parametrize("kind", SLOW)
def test_a_request_that_stops_is_408(wire: Wire, kind: str) -> None:
    start, word = SLOW[kind]
    if start is None:
        framing = CHUNKED if kind == "a chunk" else "Content-Length: 100"
        start = wire.head(framing) + (b"5\r\nab" if kind == "a chunk" else b"ab")
    with wire.connect() as client:
        client.send(start)
        found = client.read_answer()
        assert found is not None
        assert found[0] == 408
        assert word in json.loads(found[2])["message"]
        assert client.is_closed()


def test_a_body_that_drips_is_408_and_one_that_progresses_is_not(wire: Wire) -> None:
    order = OK + b"x" * 20_000
    with wire.connect() as dripping, wire.connect() as progressing:
        dripping.send(wire.head("Content-Length: 1000"))
        progressing.send(wire.head(f"Content-Length: {len(order)}"))
        pieces = [order[start : start + 200] for start in range(0, len(order), 200)]

        def drip() -> bool:
            if len(pieces) > 1:
                progressing.send(pieces.pop(0))
            with contextlib.suppress(ConnectionError):
                dripping.send(b"x")
            return bool(select.select([dripping.socket], [], [], 0.1)[0])  # 2 KB and 10 bytes a second

        wait_until(drip, 6 * BODY_TIMEOUT_S, "an answer to the body that drips")
        found = dripping.read_answer()
        assert found is not None
        assert found[0] == 408
        progressing.send(b"".join(pieces))
        found = progressing.read_answer()
    assert found is not None
    assert found[0] == 200


def test_silent_connections_are_closed(wire: Wire) -> None:
    with wire.connect() as silent, wire.connect() as idle:
        idle.send(wire.request(OK))
        found = idle.read_answer()
        assert found is not None
        assert found[0] == 200
        began = time.monotonic()
        assert silent.is_closed()
        assert time.monotonic() - began < IDLE_TIMEOUT_S
        assert idle.is_closed()


def test_connections_without_a_valid_token_are_capped(wire: Wire) -> None:
    with contextlib.ExitStack() as stack:
        valid = stack.enter_context(wire.connect())
        valid.send(wire.request(OK))
        assert valid.read_answer() is not None
        half = stack.enter_context(wire.connect())
        half.send(b"GET /ping HTTP/1.1\r\n")
        silent = [stack.enter_context(wire.connect()) for _ in range(2 * MAX_ANONYMOUS)]
        refused = half.read_answer()
        assert refused is not None
        assert refused[0] == 503
        assert refused[1]["retry-after"] == "1"
        assert all(one.is_closed() for one in silent[:MAX_ANONYMOUS])
        valid.send(wire.request(OK))
        found = valid.read_answer()
        assert found is not None
        assert found[0] == 200


def test_incomplete_bodies_share_a_limited_memory(wire: Wire) -> None:
    before = wire.memory_bytes()
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(16):
            client = stack.enter_context(wire.connect())
            client.send(wire.head("Content-Length: 1000000"))
            for _ in range(9):
                client.send(b"x" * 100_000)
            clients.append(client)
        refused = clients[-1].read_answer()
        assert refused is not None
        assert refused[0] == 503
        assert refused[1]["retry-after"] == "1"
        assert "memory" in json.loads(refused[2])["message"]
        assert wire.memory_bytes() - before < 32 * MIB
        found = wire.ask(OK)  # small requests are still answered
        assert found is not None
        assert found[0] == 200
    found = wait_until(lambda: (a := wire.ask(OK + b"x" * 900_000)) and a[0] == 200 and a, what="memory to be free")
    assert found


def test_answers_that_nobody_reads_stop_the_requests(wire: Wire) -> None:
    before = wire.memory_bytes()
    pings = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n" * 2000
    with wire.connect() as client:
        client.socket.settimeout(1)
        with contextlib.suppress(OSError):
            for _ in range(300):
                client.send(pings)
        assert wire.memory_bytes() - before < 16 * MIB


def test_a_flood_of_bytes_does_not_delay_the_neighbours(wire: Wire) -> None:
    with contextlib.ExitStack() as stack:
        for start in (b"GET /", b"GET /ping HTTP/1.1\r\nx-a: ", b"GET /ping HTTP/1.1\r\n"):
            client = stack.enter_context(wire.connect())
            client.send(start)
            flood(client, b"a" * 65536, 16 * MIB)
        began = time.monotonic()
        found = wire.ask(OK)
        assert found is not None
        assert time.monotonic() - began < 2
