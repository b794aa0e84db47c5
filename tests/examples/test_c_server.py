"""The server in C: it builds without a warning and answers by the contract, whatever it is sent.

The tests run a second build under the address and undefined-behaviour sanitizers, which end the server at the first
mistake; each test then checks that it still runs.
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.examples.loading import EXAMPLES, free_port
from tests.waiting import wait_until

FOLDER = EXAMPLES / "c_server"
SERVED = ["start_server.sh", "weights.csv"]
SANITIZERS = "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"
GOOD: dict[str, Any] = json.loads((FOLDER / "sample.json").read_text())
ROW = {"distance_km": [1], "stops_before": [1], "parcel_weight_kg": [1], "rain": [0]}
URL_PREFIX = "/models/65f0/v1"


def build(folder: Path, *settings: str) -> Path:
    """Builds the server into a folder, beside copies of what is pushed with it."""
    command = ["make", "-C", str(FOLDER), f"OUT={folder / 'scorer'}", *settings]
    subprocess.run(command, check=True, capture_output=True, text=True)
    for name in SERVED:
        shutil.copy(FOLDER / name, folder / name)
    return folder


class Server:
    """A running server."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port

    def connect(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=20)

    def ask(self, method: str, path: str, body: bytes | str | None = None, **headers: str) -> tuple[int, bytes]:
        with closing(self.connect()) as connection:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def predict(self, body: object) -> tuple[int, Any]:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, answer = self.ask("POST", f"{URL_PREFIX}/predict_no_state/", text)
        return status, json.loads(answer)

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
        try:
            return self.ask("GET", f"{URL_PREFIX}/") == (200, b"")
        except ConnectionError:
            return False

    def raw(self, sent: bytes) -> bytes:
        """Sends bytes, says that no more will come, and returns everything that is answered."""
        with closing(socket.create_connection(("127.0.0.1", self.port), timeout=20)) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    port = free_port()
    environment = {"PATH": os.environ["PATH"], "URL_PREFIX": URL_PREFIX, "PORT": str(port)}
    command = ["sh", str(folder / "start_server.sh")]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        server = Server(process, port)
        wait_until(server.is_ready, what="the server in C")
        yield server
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def checked_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("sanitized"), f"CFLAGS={SANITIZERS} -Werror", "STATIC=")


@pytest.fixture(scope="module")
def shared_server(checked_build: Path) -> Iterator[Server]:
    with running(checked_build) as server:
        yield server


@pytest.fixture
def server(shared_server: Server) -> Iterator[Server]:
    yield shared_server
    assert shared_server.is_ready()


def test_it_builds_without_a_warning_and_serves_as_it_is_pushed(tmp_path: Path) -> None:
    """Uploaded files carry no modes, and the code folder is read-only."""
    build(tmp_path, "CFLAGS=-O2 -Werror")
    for path in tmp_path.iterdir():
        path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        with running(tmp_path) as server:
            assert server.predict(GOOD) == (200, {"predictions": [24.07, 63.1, 14.695]})
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(timeout=10) == 0
    finally:
        tmp_path.chmod(0o755)


def test_it_says_when_it_is_not_built(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "start_server.sh", tmp_path)
    done = subprocess.run(["sh", str(tmp_path / "start_server.sh")], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "run make" in done.stderr


@pytest.mark.parametrize("weights", ["name,weight,typical\n", "name,weight,typical\nrain,much,0\n"])
def test_it_does_not_start_with_a_broken_model(checked_build: Path, tmp_path: Path, weights: str) -> None:
    (tmp_path / "weights.csv").write_text(weights)
    command = [str(checked_build / "scorer"), str(tmp_path / "weights.csv")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 1
    assert "weights.csv" in done.stderr


def test_one_prediction_per_row(server: Server) -> None:
    weights = {"distance_km": 2.35, "stops_before": 4.1, "parcel_weight_kg": 0.6, "rain": 5.5}
    rows = 1000
    dice = random.Random(1)  # noqa: S311  a repeatable table
    table = {name: [round(dice.uniform(0, 30), 2) for _ in range(rows)] for name in weights}
    status, answer = server.predict({"X": {**table, "note": ["x"] * rows}, "other": {"a": [None, {}]}})
    expected = [11.5 + sum(weights[name] * table[name][row] for name in weights) for row in range(rows)]
    assert status == 200
    assert answer["predictions"] == pytest.approx(expected, rel=1e-9)


def test_no_rows_no_predictions(server: Server) -> None:
    assert server.predict({"X": {name: [] for name in ROW}}) == (200, {"predictions": []})


def test_null_is_the_typical_value(server: Server) -> None:
    blank = server.predict({"X": {**ROW, "distance_km": [None]}})
    assert blank == server.predict({"X": {**ROW, "distance_km": [4.2]}})


def test_names_may_be_escaped(server: Server) -> None:
    body = json.dumps({"X": ROW}).replace("rain", "\\u0072ain").replace("distance", "dist\\u0061nce")
    assert server.predict(body.encode())[0] == 200


def test_routes(server: Server) -> None:
    body = json.dumps({"X": ROW})
    assert server.ask("GET", URL_PREFIX) == (200, b"")
    assert server.ask("GET", f"{URL_PREFIX}/?probe=1") == (200, b"")
    assert server.ask("HEAD", f"{URL_PREFIX}/") == (200, b"")
    assert server.ask("POST", f"{URL_PREFIX}/predict_no_state", body)[0] == 200
    assert server.ask("GET", f"{URL_PREFIX}/predict_no_state/")[0] == 405
    assert server.ask("POST", f"{URL_PREFIX}/", body)[0] == 405
    assert server.ask("GET", "/")[0] == 404
    assert server.ask("GET", f"{URL_PREFIX}x/")[0] == 404
    assert server.ask("POST", f"{URL_PREFIX}/predict_no_state/more", body)[0] == 404


MALFORMED = [
    b"",
    b"{",
    b"}",
    b"nul",
    b'{"X"',
    b'{"X": }',
    b'{"X": {"rain": [1,]}}',
    b'{"X": {"rain": [01]}}',
    b'{"X": {"rain": [1.]}}',
    b'{"X": {"rain": [-]}}',
    b'{"X": {"rain": [1e]}}',
    b'{"X": {"rain": [NaN]}}',
    b'{"X": {"rain": [1] "a": []}}',
    b'{"X": {"note": ["\\x"]}}',
    b'{"X": {"note": ["\\u12g4"]}}',
    b'{"X": {"note": ["\n"]}}',
    b'{"X": {"note": ["open',
    b'{"X": {rain: [1]}}',
    b'{"X": {}} trailing',
    b'{"X": {}}\x00',
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b'{"a":' * 100_000,
]


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_json_is_refused(server: Server, body: bytes) -> None:
    status, answer = server.predict(body)
    assert status == 400
    assert answer["message"].startswith("the request is not JSON: ")


UNFIT = [
    (b"3", "object with X"),
    (b"{}", "object with X"),
    (b'{"X": [1]}', "object of columns"),
    (b'{"X": {}}', "missing column: distance_km"),
    (b'{"X": {}, "X": {}}', "twice"),
    (b'{"X": {"rain": 1}}', "must be a list"),
    (b'{"X": {"rain": [1, "wet"]}}', "column rain, row 1: must be a number"),
    (b'{"X": {"rain": [1e999]}}', "column rain, row 0: is too large"),
    (b'{"X": {"rain": [1], "distance_km": [1, 2]}}', "different lengths: 1 and 2"),
    (json.dumps({"X": {**ROW, "distance_km": [1e308], "rain": [1e308]}}).encode(), "row 0: its values are too large"),
]


@pytest.mark.parametrize(("body", "reason"), UNFIT, ids=[reason for _, reason in UNFIT])
def test_what_does_not_fit_the_model_is_refused(server: Server, body: bytes, reason: str) -> None:
    status, answer = server.predict(body)
    assert status == 422
    assert reason in answer["message"]


def test_mangled_requests_get_an_answer(server: Server) -> None:
    """Every cut and many random changes of a good request: an answer each, and a server that goes on."""
    dice = random.Random(7)  # noqa: S311  repeatable mistakes
    good = json.dumps({"X": ROW, "note": 'caf\u00e9 \U0001f4a1 "x"'}).encode()
    bodies = [good[:length] for length in range(len(good))]
    for _ in range(400):
        mangled = bytearray(good)
        for _ in range(dice.randint(1, 4)):
            mangled[dice.randrange(len(mangled))] = dice.choice(b'{}[]:,"\\0123456789eEu.-nultrfas\x00\xff ')
        bodies.append(bytes(mangled))
    with closing(server.connect()) as connection:
        for body in bodies:
            connection.request("POST", f"{URL_PREFIX}/predict_no_state/", body)
            answer = connection.getresponse()
            assert answer.status in {200, 400, 422}, body
            json.loads(answer.read())
    assert server.predict(good)[0] == 200


HEADS = [
    (b"nonsense\r\n\r\n", 400),
    (b"GET /\r\n\r\n", 400),
    (b"GET / SPDY/3\r\n\r\n", 400),
    (b"GET http://x/ HTTP/1.1\r\n\r\n", 400),
    (b"AVERYLONGMETHODNAMEINDEED / HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n: x\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999999\r\n\r\n", 413),
    (b"POST / HTTP/1.1\r\nContent-Length: 52428801\r\n\r\n", 413),
    (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
    (b"GET / HTTP/1.1\r\nA: " + b"a" * 20_000 + b"\r\n\r\n", 431),
    (b"GET / HTTP/1.1\r\n" + b"a" * 20_000, 431),
]


@pytest.mark.parametrize(("sent", "status"), HEADS, ids=range(len(HEADS)))
def test_broken_requests_are_refused_and_closed(server: Server, sent: bytes, status: int) -> None:
    answer = server.raw(sent)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"Connection: close" in answer
    assert answer.count(b"HTTP/1.1") == 1


def test_a_connection_serves_many_requests(server: Server) -> None:
    with closing(server.connect()) as connection:
        connection.connect()
        local_address = connection.sock.getsockname()
        for number in range(50):
            body = json.dumps({"X": {**ROW, "distance_km": [number]}})
            connection.request("POST", f"{URL_PREFIX}/predict_no_state/", body)
            answer = json.loads(connection.getresponse().read())
            assert answer["predictions"] == pytest.approx([11.5 + 2.35 * number + 4.1 + 0.6])
        assert connection.sock.getsockname() == local_address


def test_requests_may_be_sent_ahead_and_in_pieces(server: Server) -> None:
    body = json.dumps({"X": ROW}).encode()
    head = f"POST {URL_PREFIX}/predict_no_state/ HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    assert server.raw((head + body) * 40).count(b'{"predictions": [18.55]}') == 40
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=20)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in head + body:
            connection.sendall(bytes([byte]))
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_old_clients_and_closing_ones(server: Server) -> None:
    path = f"{URL_PREFIX}/".encode()
    old = server.raw(b"GET " + path + b" HTTP/1.0\r\n\r\n" + b"GET / HTTP/1.0\r\n\r\n")
    closing_one = server.raw(b"GET " + path + b" HTTP/1.1\r\nConnection: close\r\n\r\n" + b"GET / HTTP/1.1\r\n\r\n")
    assert old.count(b"HTTP/1.1 ") == closing_one.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close" in old
    assert b"Connection: close" in closing_one


def test_a_client_that_waits_for_permission_gets_it(server: Server) -> None:
    body = json.dumps({"X": ROW}).encode()
    head = (
        f"POST {URL_PREFIX}/predict_no_state/ HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=20)) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_clients_that_leave_harm_nobody(server: Server) -> None:
    head = f"POST {URL_PREFIX}/predict_no_state/ HTTP/1.1\r\nContent-Length: 1000\r\n\r\n".encode()
    for sent in (b"", head[:20], head, head + b'{"X"'):
        assert server.raw(sent) == b""


def test_many_connections_at_once(server: Server) -> None:
    with closing(server.connect()) as idle, ThreadPoolExecutor(24) as pool:
        idle.connect()
        statuses = pool.map(lambda _: server.predict(GOOD)[0], range(300))
        assert set(statuses) == {200}


def test_bodies_up_to_fifty_megabytes(server: Server) -> None:
    start = json.dumps({"X": ROW, "note": ""})[:-2]
    largest = start.encode() + b"x" * (50 * 1024 * 1024 - len(start) - 2) + b'"}'
    assert len(largest) == 50 * 1024 * 1024
    assert server.predict(largest) == (200, {"predictions": [18.55]})
    assert server.predict(largest + b" ")[0] == 413
    rows = b'{"X": {"rain": [' + b"0," * 2_000_000 + b"0]}}"
    assert server.predict(rows) == (413, {"message": "at most 2000000 rows fit into one request"})
