"""The api as a server: silent clients, many connections, and its end."""

import contextlib
import json
import resource
import socket
import statistics
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.conftest import ADMIN_TOKEN
from tests.jobs.builders import Yard, path_of, plain_environment
from tests.servers import ApiServer, a_server, an_api_server
from tests.waiting import wait_until

TIMEOUT_S = 4
DRAIN_S = 5
PING = b"GET /api/v2/ping HTTP/1.1\r\nHost: localhost\r\n\r\n"
HALF_A_HEAD = b"GET /api/v2/ping HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
HALF_A_BODY = b"POST /api/v2/customModels/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
NO_BODY = b"POST /api/v2/customModels/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
TLS_HELLO = bytes.fromhex("16030100a5010000a10303") + bytes(100)
HTTP_2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with an_api_server(tmp_path_factory.mktemp("serving") / "data", client_timeout_s=TIMEOUT_S) as server:
        yield server


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connected(server: ApiServer, sent: bytes = b"") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    client.sendall(sent)
    return client


def rest_of(client: socket.socket, timeout_s: float = 30) -> bytes:
    """All that still comes, up to the end of the connection."""
    client.settimeout(timeout_s)
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while block := client.recv(65536):
            found += block
    return found


def test_others_are_answered_beside_two_thousand_idle_and_silent_connections(
    server: ApiServer, many_files: None
) -> None:
    silent = [b"", HALF_A_HEAD, HALF_A_BODY, NO_BODY]
    idle = [connected(server, PING) for _ in range(1000)]
    for client in idle:
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
    began = time.monotonic()
    quiet = [connected(server, silent[number % len(silent)]) for number in range(1000)]
    took_s = [answered_after_s(server) for _ in range(20)]
    assert statistics.median(took_s) < 1, took_s
    assert max(took_s) < TIMEOUT_S / 2, "no request waited for silent clients to be given up"
    for client in quiet:
        assert rest_of(client).startswith((b"HTTP/1.1 408", b""))
    for client in idle:
        assert rest_of(client) == b""
    assert time.monotonic() - began < TIMEOUT_S + 20
    for client in idle + quiet:
        client.close()


def answered_after_s(server: ApiServer) -> float:
    """How long a request takes that reads the database, on a connection of its own."""
    began = time.monotonic()
    client = HTTPConnection("127.0.0.1", server.port, timeout=30)
    client.request("GET", "/api/v2/account/info/", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
    assert client.getresponse().status == 200
    client.close()
    return time.monotonic() - began


def test_silent_and_dripping_clients_are_disconnected_after_the_time_out(server: ApiServer) -> None:
    began = time.monotonic()
    silent = [(b"", b""), (HALF_A_HEAD, b""), (PING, b"200"), (HALF_A_BODY, b"408"), (NO_BODY, b"408")]
    clients = {connected(server, sent): status for sent, status in silent}
    dripping = [connected(server, sent) for sent in (HALF_A_HEAD, HALF_A_BODY)]
    dripped = [_drip(client) for client in dripping]
    for client, status in clients.items():
        said = rest_of(client)
        assert said.startswith(b"HTTP/1.1 " + status) if status else said == b"", said
    assert TIMEOUT_S * 0.8 < time.monotonic() - began < TIMEOUT_S * 2 + 10
    assert dripped[0] == b""
    assert dripped[1].startswith((b"HTTP/1.1 408", b""))
    for client in [*clients, *dripping]:
        client.close()


def _drip(client: socket.socket) -> bytes:
    """Send byte after byte until the server says something or hangs up."""
    client.settimeout(TIMEOUT_S / 20)
    deadline = time.monotonic() + TIMEOUT_S * 2 + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(TimeoutError):
            try:
                client.sendall(b" ")
                return client.recv(1024)
            except (ConnectionResetError, BrokenPipeError):
                return b""
    raise AssertionError("it was let go on")


@pytest.mark.parametrize("sent", [TLS_HELLO, HTTP_2, b"\0" * 1000], ids=["tls", "http/2", "zeros"])
def test_what_is_no_http_is_ended_at_once(server: ApiServer, sent: bytes) -> None:
    with connected(server, sent) as client:
        assert rest_of(client, TIMEOUT_S / 2)[:12] in {b"HTTP/1.1 400", b""}


def test_a_head_over_64_kib_is_refused(server: ApiServer) -> None:
    with connected(server, HALF_A_HEAD + b"x" * 80_000) as client:
        assert rest_of(client, TIMEOUT_S / 2)[:12] in {b"HTTP/1.1 431", b""}


def test_a_client_that_takes_nothing_is_disconnected(server: ApiServer) -> None:
    asked = b"GET /api/v2/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.sendall(asked)
        own_port = client.getsockname()[1]

        def is_open() -> bool:
            found = psutil.Process(server.pid).net_connections("tcp")
            return any(one.raddr and one.raddr.port == own_port for one in found)

        wait_until(is_open, 10, "the server to accept the connection")
        wait_until(lambda: not is_open(), TIMEOUT_S * 3 + 10, "the server to give the connection up")


def test_the_limit_of_open_files_is_raised(server: ApiServer) -> None:
    soft, hard = psutil.Process(server.pid).rlimit(psutil.RLIMIT_NOFILE)
    assert soft == hard


# The end


@pytest.fixture
def stoppable(tmp_path: Path) -> Iterator[ApiServer]:
    with an_api_server(tmp_path / "data", drain_timeout_s=DRAIN_S) as server:
        yield server


def a_waiting_run(server: Any) -> dict[str, Any]:
    yard = Yard(server.api, plain_environment(server.api))
    return yard.start(yard.a_job())


@contextlib.contextmanager
def following(server: Any, path: str) -> Iterator[Iterator[str]]:
    """The lines of a followed log, which has begun."""
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    with httpx.stream("GET", f"{server.url}/api/v2{path}?follow=true", headers=headers, timeout=60) as answer:
        lines = answer.iter_lines()
        assert next(lines) == ": follows"
        yield lines


def test_the_api_ends_in_time_with_followers_and_silent_connections(stoppable: ApiServer) -> None:
    path = f"{path_of(a_waiting_run(stoppable))}logs/"
    clients = [connected(stoppable, sent) for sent in (b"", HALF_A_HEAD, PING)]
    assert clients[2].recv(65536).startswith(b"HTTP/1.1 200")
    with following(stoppable, path) as first, following(stoppable, path) as second:
        began = time.monotonic()
        assert stoppable.stop() == 0
        assert time.monotonic() - began < 4
        assert [line for lines in (first, second) for line in lines if line] == []
    for client in clients:
        client.close()


def test_up_ends_in_time_with_followers(tmp_path: Path) -> None:
    with a_server(tmp_path / "data", max_custom_job_runs=0) as server, contextlib.ExitStack() as stack:
        lines = stack.enter_context(following(server, f"{path_of(a_waiting_run(server))}logs/"))
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 8, "an idle one takes 2 s on a busy machine"
        assert [line for line in lines if line] == []


def test_uploads_in_hand_may_be_finished_but_not_for_ever(stoppable: ApiServer) -> None:
    body = json.dumps({"name": "late", "customModelType": "inference", "targetType": "Binary", "targetName": "y"})
    head = f"POST /api/v2/customModels/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    assert stoppable.process is not None
    with connected(stoppable, HALF_A_BODY), connected(stoppable, head.encode() + body[:10].encode()) as client:
        for _ in range(3):  # connections are read in their order: these have arrived when later ones are answered
            assert httpx.get(f"{stoppable.url}/api/v2/ping").is_success
        began = time.monotonic()
        stoppable.process.terminate()
        wait_until(lambda: not accepts(stoppable), what="the port to be closed")
        client.sendall(body[10:].encode())
        assert rest_of(client)[:12] in {b"HTTP/1.1 201", b"HTTP/1.1 422"}, "answered after SIGTERM"
        assert stoppable.process.wait(30) == 0
        assert DRAIN_S * 0.9 < time.monotonic() - began < DRAIN_S + 8, "the other one stood still"


def accepts(server: ApiServer) -> bool:
    try:
        connected(server).close()
    except OSError:
        return False
    return True
