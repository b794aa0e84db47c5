"""Requests that two programs could read differently: refused, and never the beginning of another request."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ADMIN_TOKEN
from tests.gateway.wire import Wire, a_wire, answer_of, script

SMUGGLED = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def wire(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    with a_wire(installed, tmp_path_factory.mktemp("smuggling")) as wire:
        yield wire


CHUNKED = b"Transfer-Encoding: chunked"
FRAMINGS = {
    "CL.TE": b"Content-Length: 5\r\n" + CHUNKED,
    "TE.CL": CHUNKED + b"\r\nContent-Length: 5",
    "the same length twice": b"Content-Length: 5\r\nContent-Length: 5",
    "two lengths": b"Content-Length: 5\r\nContent-Length: 50",
    "a list of lengths": b"Content-Length: 5, 5",
    "a plus": b"Content-Length: +5",
    "a minus": b"Content-Length: -5",
    "a leading zero": b"Content-Length: 05",
    "a trailing blank": b"Content-Length: 5 ",
    "hexadecimal": b"Content-Length: 0x5",
    "a blank before the colon": b"Content-Length : 5",
    "an unknown coding": b"Transfer-Encoding: xchunked",
    "a coding before": b"Transfer-Encoding: gzip, chunked",
    "a coding after": b"Transfer-Encoding: chunked, identity",
    "chunked twice": CHUNKED + b"\r\n" + CHUNKED,
    "a tab before chunked": b"Transfer-Encoding:\x0bchunked",
    "a folded coding": b"Transfer-Encoding:\r\n chunked",
    "a folded header": b"X-A: 1\r\n\tContent-Length: 5",
    "a bare line feed": b"X-A: 1\nContent-Length: 5",
    "a bare carriage return": b"X-A: 1\rContent-Length: 5",
    "NUL in a value": b"X-A: \x00\r\nContent-Length: 5",
    "NUL in a name": b"X\x00A: 1\r\nContent-Length: 5",
    "a line without a colon": b"nonsense\r\nContent-Length: 5",
    "two tokens": b"Authorization: Bearer other\r\nContent-Length: 5",
    "two hosts": b"Host: y\r\nContent-Length: 5",
    "two content types": b"Content-Type: text/csv\r\nContent-Type: text/html\r\nContent-Length: 5",
    "an upgrade": b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5",
}
BODIES = {
    "a size that is none": b"5x\r\nhello\r\n0\r\n\r\n",
    "a size with a sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "a size with a prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "a size with a blank": b"5 \r\nhello\r\n0\r\n\r\n",
    "a size that overflows": b"f" * 20 + b"\r\nhello\r\n0\r\n\r\n",
    "a chunk that is longer": b"5\r\nhello!\r\n0\r\n\r\n",
    "a bare line feed": b"5\nhello\n0\n\n",
    "a bare line feed in an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "NUL in an extension": b"5;\x00\r\nhello\r\n0\r\n\r\n",
    "a length in a trailer": b"5\r\nhello\r\n0\r\ncontent-length: 5\r\n\r\n",
    "a trailer that is none": b"5\r\nhello\r\n0\r\nnonsense\r\n\r\n",
    "NUL in a trailer": b"5\r\nhello\r\n0\r\nx-a: \x00\r\n\r\n",
}


def check_refused(wire: Wire, request: bytes) -> None:
    """One answer of 400, then the end: what follows is not read as a request."""
    with wire.connect() as client:
        client.send(request + SMUGGLED)
        found = client.read_answer()
        assert found is not None
        assert found[0] == 400, found
        assert client.is_closed()


@pytest.mark.parametrize("kind", FRAMINGS)
def test_ambiguous_heads_are_refused(wire: Wire, kind: str) -> None:
    head = wire.head().removesuffix(b"\r\n") + FRAMINGS[kind] + b"\r\n\r\n"
    check_refused(wire, head + b"hello")


@pytest.mark.parametrize("kind", BODIES)
def test_ambiguous_chunks_are_refused(wire: Wire, kind: str) -> None:
    check_refused(wire, wire.head(CHUNKED.decode()) + BODIES[kind])


def chunked(body: bytes, extension: bytes = b"", trailers: bytes = b"") -> bytes:
    return b"%x%b\r\n%b\r\n0\r\n%b\r\n" % (len(body), extension, body, trailers)


def test_extensions_are_dropped_and_trailers_are_no_headers(wire: Wire) -> None:
    order = script(answer_of(b"mine"))
    trailers = b"content-type: text/html\r\nauthorization: Bearer my_other\r\nx-a: b\r\n"
    with wire.connect() as client:
        for body in (chunked(order, b";a=b"), chunked(order, trailers=trailers)):
            client.send(wire.head(CHUNKED.decode()) + body)
            found = client.read_answer()
            assert found is not None
            assert (found[0], found[2]) == (200, b"mine")


def test_pipelined_requests_are_answered_in_their_order(wire: Wire) -> None:
    first, second = (wire.request(script(answer_of(body))) for body in (b"first", b"second"))
    with wire.connect() as client:
        client.send(first)
        client.send(second)
        for body in (b"first", b"second"):
            found = client.read_answer()
            if found is None:
                assert body == b"second"  # came in one segment with the first: the client asks again
                break
            assert (found[0], found[2]) == (200, body)


def test_one_line_is_not_ended_by_what_follows_a_closing_request(wire: Wire) -> None:
    order = script(answer_of(b"mine"))
    with wire.connect() as client:
        client.send(wire.request(order, "Connection: close") + SMUGGLED)
        found = client.read_answer()
        assert found is not None
        assert (found[0], found[2]) == (200, b"mine")
        assert client.is_closed()


def test_http_1_0_gets_no_chunks(wire: Wire) -> None:
    stream = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nmine\r\n0\r\n\r\n"
    order = script(stream)
    head = f"POST {wire.path()} HTTP/1.0\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\nContent-Length: {len(order)}\r\n\r\n"
    with wire.connect() as client:
        client.send(head.encode() + order)
        received = b""
        while data := client.socket.recv(65536):
            received += data
    assert received.endswith(b"\r\n\r\nmine")
    assert b"chunked" not in received


@pytest.mark.parametrize("path", ["/ping", "/health", "/nothing", "/predApi/v1.0/deployments/0/predictions"])
def test_an_answer_to_head_has_no_body(wire: Wire, path: str) -> None:
    """It would be read as the beginning of the next answer."""
    head = f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    last = head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with wire.connect() as client:
        client.send(head + last)
        received = b""
        while piece := client.socket.recv(65536):
            received += piece
    first, second, rest = received.split(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 ")
    assert second.startswith(b"HTTP/1.1 ")
    assert b"content-length: 0" not in first
    assert rest == b""
