"""Framing tricks on the gateway: requests that two readers would cut differently, pipelines, readers who do not read.

Each trick carries a second request in what one reader takes for a body. It must never be answered.
"""

import contextlib
import socket
from collections.abc import Iterator

import psutil
import pytest

from tests.hostile.conftest import MIB, Ward
from tests.waiting import wait_until

SMUGGLED = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
SIZE = str(len(SMUGGLED)).encode()
HEX = f"{len(SMUGGLED):x}".encode()
LENGTHS = {
    "a sign": b"Content-Length: +" + SIZE,
    "a minus": b"Content-Length: -1",
    "hexadecimal": b"Content-Length: 0x" + HEX,
    "a blank inside": b"Content-Length: 1 0",
    "a list that differs": b"Content-Length: " + SIZE + b", 0",
    "an underscore": b"Content-Length: 1_0",
    "digits that are not ASCII": "Content-Length: \u0663\u0660".encode(),
    "nothing": b"Content-Length:",
    "too many digits": b"Content-Length: " + b"9" * 30,
    "two that differ": b"Content-Length: " + SIZE + b"\r\nContent-Length: 0",
    "a blank before the colon": b"Content-Length : " + SIZE,
    "chunks and a length": b"Content-Length: " + SIZE + b"\r\nTransfer-Encoding: chunked",
    "a length and chunks": b"Transfer-Encoding: chunked\r\nContent-Length: " + SIZE,
    "an unknown coding": b"Transfer-Encoding: xchunked",
    "chunks that are not last": b"Transfer-Encoding: chunked, identity",
    "chunks twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "a folded coding": b"Transfer-Encoding:\r\n chunked",
    "a coding with a tab": b"Transfer-Encoding:\tx\x0bchunked",
}
"""Headers that say how long a body is, so that it can be read in two ways or in none."""
CHUNKS = {
    "a size with a sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "a size with a prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "a size over 64 bits": b"1" + b"0" * 16 + b"5\r\nhello\r\n0\r\n\r\n",
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "a chunk that is longer than its size": b"2\r\nhello\r\n0\r\n\r\n",
    "a negative size": b"-1\r\nhello\r\n0\r\n\r\n",
}
HEADS = {
    "a NUL in a header": b"POST %s HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
    "a header without a name": b"POST %s HTTP/1.1\r\nHost: x\r\n: a\r\n\r\n",
    "a header without a colon": b"POST %s HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n",
    "a carriage return inside": b"POST %s HTTP/1.1\r\nHost: x\r\nX: a\rContent-Length: 5\r\n\r\n",
    "HTTP/0.9": b"GET %s\r\n\r\n",
    "HTTP/2 without asking": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no such version": b"POST %s HTTP/9.9\r\nHost: x\r\n\r\n",
    "a tunnel": b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n",
    "another host's address": b"GET http://127.0.0.1:22/ HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.fixture(scope="module")
def obedient(ward: Ward) -> Iterator[str]:
    deployment_id = ward.an_obedient_model()
    yield deployment_id
    ward.delete(deployment_id)


def path_to(deployment_id: str) -> bytes:
    return f"/predApi/v1.0/deployments/{deployment_id}/predictionsUnstructured".encode()


def head(ward: Ward, deployment_id: str, *headers: bytes) -> bytes:
    """The head of a request that is allowed, up to the blank line."""
    own = (f"Authorization: Bearer {ward.api.token}".encode(), b"Host: x", b"Content-Type: text/plain", *headers)
    return b"POST " + path_to(deployment_id) + b" HTTP/1.1\r\n" + b"\r\n".join(own) + b"\r\n\r\n"


def request(ward: Ward, deployment_id: str, body: bytes, *headers: bytes) -> bytes:
    return head(ward, deployment_id, f"Content-Length: {len(body)}".encode(), *headers) + body


def answers(ward: Ward, sent: bytes) -> bytes:
    """All that comes back until the gateway closes the connection."""
    with socket.create_connection(("127.0.0.1", ward.server.gateway_port), 20) as connection:
        connection.sendall(sent)
        connection.settimeout(20)
        found = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(65536):
                found += piece
        return found


def check_refused(found: bytes) -> None:
    """One refusal, then the end of the connection: what followed was not taken for a request."""
    assert found.startswith((b"HTTP/1.1 4", b"HTTP/1.1 501", b"HTTP/1.0 4")), found[:300]
    assert found.count(b"HTTP/1.") == 1, found[:2000]
    assert b"pong" not in found


@pytest.mark.parametrize("kind", LENGTHS)
def test_a_length_that_can_be_read_in_two_ways_is_refused(ward: Ward, obedient: str, kind: str) -> None:
    body = b"0\r\n\r\n" + SMUGGLED if b"Transfer" in LENGTHS[kind] else SMUGGLED
    check_refused(answers(ward, head(ward, obedient, LENGTHS[kind]) + body))


@pytest.mark.parametrize("kind", CHUNKS)
def test_a_chunk_that_is_none_is_refused(ward: Ward, obedient: str, kind: str) -> None:
    check_refused(answers(ward, head(ward, obedient, b"Transfer-Encoding: chunked") + CHUNKS[kind] + SMUGGLED))


@pytest.mark.parametrize("kind", HEADS)
def test_a_head_that_is_none_is_refused(ward: Ward, obedient: str, kind: str) -> None:
    sent = HEADS[kind] % path_to(obedient) if b"%s" in HEADS[kind] else HEADS[kind]
    found = answers(ward, sent + b"Connection: close\r\n\r\n" + SMUGGLED)
    assert b"pong" not in found
    assert not found or found.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5", b"HTTP/1.0 4")), found[:300]


def test_pipelined_requests_are_answered_each_in_its_turn_or_not_at_all(ward: Ward, obedient: str) -> None:
    """Twenty in one piece, of which some take longer. What is not answered before the end is asked again (RFC 9112,
    9.3.2); each answer is that of its own request, in their order."""
    sources = [f"import time\ntime.sleep({0.05 if n % 5 == 0 else 0})\nresult = 'number {n}'" for n in range(20)]
    answered: list[bytes] = []
    while len(answered) < len(sources):
        *others, last = [source.encode() for source in sources[len(answered) :]]
        sent = b"".join(request(ward, obedient, source) for source in others)
        sent += request(ward, obedient, last, b"Connection: close")
        found = contents(answers(ward, sent))
        assert found, f"nothing was answered after {len(answered)}"
        answered += found
    assert answered == [f"number {number}".encode() for number in range(20)]


def contents(found: bytes) -> list[bytes]:
    """The bodies of the answers that succeeded; one that was refused is the last."""
    bodies = []
    while found.startswith(b"HTTP/1.1 200"):
        header, _, rest = found.partition(b"\r\n\r\n")
        (length,) = (int(line[15:]) for line in header.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        bodies.append(rest[:length])
        found = rest[length:]
    assert b"HTTP/1.1 200" not in found
    return bodies


def test_a_request_that_is_none_ends_the_pipeline(ward: Ward, obedient: str) -> None:
    """What follows a request that could not be read to its end is no request."""
    good = request(ward, obedient, b"result = 'good'")
    found = answers(ward, good + head(ward, obedient, b"Content-Length: zz") + SMUGGLED + good)
    assert found.count(b"HTTP/1.1 200") <= 1
    assert found.count(b"HTTP/1.1 4") <= 1
    assert found.count(b"HTTP/1.1") in {1, 2}
    assert b"pong" not in found


def test_readers_who_do_not_read_cost_others_nothing(ward: Ward, obedient: str) -> None:
    """Sixteen ask for 16 MiB each and read nothing of it: a neighbour is answered, and memory stays in bounds."""
    (pid,) = ward.server.pids("gateway")
    gateway = psutil.Process(pid)
    before = gateway.memory_info().rss
    asked = request(ward, obedient, b"result = 'x' * (16 << 20)")
    with contextlib.ExitStack() as stack:
        readers = []
        for _ in range(16):
            reader = socket.socket()
            stack.callback(reader.close)
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect(("127.0.0.1", ward.server.gateway_port))
            reader.sendall(asked)
            readers.append(reader)
        wait_until(lambda: readers[-1].recv(1, socket.MSG_PEEK) == b"H" or None, 30, "the last answer to begin")
        for number in range(20):
            assert ward.ask(ward.neighbour_id, f"{number}").text == f"neighbour of {number}"
        grown = gateway.memory_info().rss - before
        assert grown < 64 * MIB, f"{grown / MIB:.0f} MiB are held for readers who do not read"
    wait_until(lambda: ward.ask(obedient, "result = 'again'").text == "again", 30, "the model to answer again")
