"""The instruments of the benchmarks; no figure that they measure is tested."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.figures import Figure, Result, Skipped, interleaved, save, show
from benchmarks.load import Job, run


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers what it was sent; refuses the word ``bad``."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:  # the name that the base class calls
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(500 if b"bad" in body else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def echo_port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_the_load_counts_answers(echo_port: int) -> None:
    load = run(Job(port=echo_port, path="/", bodies=["one", "two"], connections=2, seconds=0.2))
    assert load.requests > 2
    assert load.refused == 0
    assert load.example in {"one", "two"}
    assert 0 < load.p50_ms <= load.p99_ms


def test_refused_requests_are_no_speed(echo_port: int) -> None:
    with pytest.raises(AssertionError, match="were refused: bad"):
        run(Job(port=echo_port, path="/", bodies=["bad", "good"], connections=1, seconds=0.2))


@pytest.mark.parametrize(
    ("figure", "is_met"),
    [
        (Figure("time", 14, "ms", 15), True),
        (Figure("time", 16, "ms", 15), False),
        (Figure("time beside a floor", 16, "ms", 2.0, 8, of_ratio=True), True),
        (Figure("time beside a floor", 17, "ms", 2.0, 8, of_ratio=True), False),
        (Figure("rate beside a peer", 400, "requests/s", 4, 100, at_least=True, of_ratio=True), True),
        (Figure("rate beside a peer", 399, "requests/s", 4, 100, at_least=True, of_ratio=True), False),
        (Figure("a ratio of nothing", 1, "ms", 4, of_ratio=True), False),
    ],
)
def test_a_figure_knows_its_target(figure: Figure, is_met: bool) -> None:
    assert figure.is_met is is_met


def test_the_table_names_everything(tmp_path: Path) -> None:
    results: list[Result] = [
        Figure("a list", 20, "ms", 15, 10, "of few", note="it was a busy day"),
        Skipped("a peer", "not installed: no network\nand more"),
    ]
    lines: list[str] = []
    show(results, lines.append)
    assert " ".join(lines[1].split()) == "a list 20 ms of few 10 ms 2.00x ≤ 15 ms MISSED (it was a busy day)"
    assert " ".join(lines[2].split()) == "a peer - skipped: not installed: no network"
    save(tmp_path / "figures.json", results)
    stored = json.loads((tmp_path / "figures.json").read_text())
    assert [one["name"] for one in stored["results"]] == ["a list", "a peer"]
    assert stored["results"][0]["is_met"] is False


def test_measures_take_turns() -> None:
    order: list[str] = []

    def taking(name: str, values: list[float]) -> float:
        order.append(name)
        return values.pop(0)

    ours, theirs = [5.0, 1.0, 3.0], [2.0, 2.0, 9.0]
    assert interleaved(3, lambda: taking("a", ours), lambda: taking("b", theirs)) == (3.0, 2.0)
    assert "".join(order) == "ababab"
