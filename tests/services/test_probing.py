"""Asking servers that say anything, too much, too slowly, or nothing."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelyard.compute.services import probing
from modelyard.compute.services.probing import Prober, answers, message_in
from tests.waiting import wait_until

Serve = Callable[[Callable[[socket.socket], None]], Path]
WELL = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
STUCK = b'HTTP/1.1 503 No\r\nContent-Length: 25\r\n\r\n{"message": "held up \\ud8"}'


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    servers: list[socket.socket] = []

    def start(answer: Callable[[socket.socket], None]) -> Path:
        path = tmp_path / f"{len(servers)}.sock"
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(path))
        server.listen()
        servers.append(server)

        def run() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=_converse, args=(client, answer), daemon=True).start()

        threading.Thread(target=run, daemon=True).start()
        return path

    yield start
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def _converse(client: socket.socket, answer: Callable[[socket.socket], None]) -> None:
    with client:
        client.recv(65536)
        try:
            answer(client)
        except OSError:
            return  # the other side has had enough


def drip(client: socket.socket) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + bytes(1000):
        client.sendall(bytes([byte]))
        time.sleep(0.05)


def flood(client: socket.socket) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        client.sendall(bytes(1 << 20))


def test_what_a_server_may_say(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "PROBE_TIMEOUT_S", 0.3)
    assert answers(serve(lambda client: client.sendall(WELL)), "/")
    assert not answers(serve(lambda client: client.sendall(STUCK)), "/")
    assert not answers(serve(lambda client: client.sendall(b"HELLO 200 there\r\n\r\n")), "/")
    assert not answers(serve(lambda client: client.sendall(b"HTTP/1.1 2\xc2\xb2\r\n\r\n")), "/")
    assert not answers(serve(lambda _client: None), "/")
    assert not answers(tmp_path / "nobody.sock", "/")
    began = time.monotonic()
    assert answers(serve(flood), "/")
    assert not answers(serve(drip), "/")
    assert not answers(serve(lambda _client: time.sleep(5)), "/")
    assert time.monotonic() - began < 2


def test_one_that_hangs_holds_nobody_up(serve: Serve) -> None:
    prober = Prober()
    hanging, well = serve(lambda _client: time.sleep(5)), serve(lambda client: client.sendall(WELL))
    began = time.monotonic()
    for _ in range(5):
        assert not prober.is_ready("hanging", hanging, "/")
    assert time.monotonic() - began < 1
    wait_until(lambda: prober.is_ready("well", well, "/"), 5)


def test_one_that_says_it_is_stuck_is_given_up_in_time(serve: Serve) -> None:
    said = [STUCK]
    path = serve(lambda client: client.sendall(said[0]))
    prober = Prober()
    began = time.monotonic()
    reason = wait_until(lambda: prober.why_stuck("one", path, "/", 0.3), 10)
    assert time.monotonic() - began >= 0.3
    assert "stuck for" in reason
    said[0] = WELL
    wait_until(lambda: prober.why_stuck("one", path, "/", 0.3) is None, 10)
    said[0] = STUCK
    prober.keep(["others"])
    assert prober.why_stuck("one", path, "/", 0.0) is None, "it was forgotten; one bad answer is not enough"


def test_one_that_is_well_is_never_given_up(serve: Serve) -> None:
    path = serve(lambda client: client.sendall(WELL))
    prober = Prober()
    end = time.monotonic() + 1
    while time.monotonic() < end:
        assert prober.why_stuck("one", path, "/", 0.0) is None


def test_messages_of_user_code_can_be_stored() -> None:
    assert message_in(b'{"message": "a\\u0000b\\ud800"}', 10) == "ab?"
    assert message_in(b'{"message": "0123456789abc"}', 10) == "0123456789"
    for odd in (b"", b"[" * 65536, b'{"message": 7}', b"[]", b"\xff"):
        assert message_in(odd, 10) is None
