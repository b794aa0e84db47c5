"""Models with their own server: start_server.sh of several kinds behind the runner."""

import json
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.runner.running import YES_NO, RunningRunner, StartRunner, a_code_folder
from tests.waiting import wait_until

# A server by the current contract (/predict/, CSV) or the older one (OLDER=1).
SERVER = """
    import csv, io, json, os, sys, threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    PREFIX = os.environ["URL_PREFIX"]
    OLDER = os.environ.get("OLDER") == "1"
    GATE = threading.Barrier(3, timeout=10)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = os.environ.get("HTTP", "HTTP/1.1")

        def answer(self, status, body=b"", kind="application/json"):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            if self.protocol_version == "HTTP/1.1":
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            self.answer(200 if self.path == PREFIX + "/" else 404)

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if OLDER and self.path == PREFIX + "/predict_no_state/":
                columns = json.loads(body)["X"]
                self.predictions(list(map(dict, (zip(columns, row) for row in zip(*columns.values())))))
            elif not OLDER and self.path == PREFIX + "/predict/":
                assert self.headers["Content-Type"].startswith("text/csv")
                self.predictions(list(csv.DictReader(io.StringIO(body.decode()))))
            elif self.path.startswith(PREFIX + "/predictUnstructured/"):
                seen = [self.path[len(PREFIX):], self.headers["Content-Type"], body.decode()]
                self.answer(200, json.dumps(seen).encode(), "text/x-seen")
            else:
                self.answer(404, b"no such route")

        def predictions(self, rows):
            x = rows[0]["x"]
            if x == "exit":
                os._exit(7)
            if x == "wait":
                GATE.wait()
            answers = {
                "number": [0.75] * len(rows),
                "dict": [{"no": 0.25, "yes": 0.75}] * len(rows),
                "list": [[0.25, 0.75]] * len(rows),
                "seen": rows,
                "rows": [1] * (len(rows) + 1),
                "nan": [None] * len(rows),
                "wait": [0.75] * len(rows),
            }
            if x == "csv":
                self.answer(200, b"yes,no\\n" + b"0.75,0.25\\n" * len(rows), "text/csv")
            elif x == "status":
                self.answer(418, json.dumps({"message": "a teapot"}).encode())
            elif x == "junk":
                self.answer(200, b"junk")
            elif x == "refuse":
                self.answer(422, b"no thanks")
            else:
                self.answer(200, json.dumps({"predictions": answers.get(x, rows)}).encode())

        def log_message(self, *arguments):
            pass

    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
SCRIPT = "exec python server.py\n"
FILES = {"server.py": SERVER, "start_server.sh": SCRIPT}


def a_free_port() -> str:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return str(listening.getsockname()[1])


def upstream(*options: str, port: str = "") -> tuple[str, ...]:
    return (*options, "--upstream", "--upstream-port", port or a_free_port())


@pytest.fixture(scope="module")
def runner(start_shared_runner: StartRunner) -> RunningRunner:
    return start_shared_runner(FILES, [*upstream(*YES_NO), "--url-prefix", "p/q"])


@pytest.mark.parametrize("case", ["number", "dict", "list", "csv"])
def test_every_form_of_answer(runner: RunningRunner, case: str) -> None:
    answer = runner.predict([{"x": case}] * 2, path="/p/q/v1/predictions")
    expected = [{"label": "yes", "value": 0.75}, {"label": "no", "value": 0.25}]
    assert [row["predictionValues"] for row in answer.rows()] == [expected] * 2
    assert answer.headers["x-modelyard-rows"] == "2"
    lines = runner.predict(f"x\n{case}\n", accept="text/csv", path="/p/q/v1/predictions").lines()
    assert lines[1] == "0.75,0.25,yes,0.5,yes"
    contract = runner.predict({"X": {"x": [case]}}, path="/p/q/predict_no_state/").json()
    assert contract == {"predictions": [{"yes": 0.75, "no": 0.25}]}


@pytest.mark.parametrize(
    ("case", "status", "words"),
    [
        ("rows", 422, "3 rows for 2 rows"),
        ("nan", 422, "NaN"),
        ("status", 422, "418: a teapot"),
        ("junk", 422, "neither JSON nor CSV"),
        ("refuse", 422, "no thanks"),
        ("unknown", 422, "'unknown'"),
    ],
)
def test_wrong_answers(runner: RunningRunner, case: str, status: int, words: str) -> None:
    answer = runner.predict([{"x": case}] * 2, path="/p/q/v1/predictions")
    assert answer.status == status
    assert words in answer.message()


def test_wrong_requests(runner: RunningRunner) -> None:
    path = "/p/q/v1/predictions"
    assert runner.predict("", path=path).status == 400
    assert runner.predict("x\n", path=path).status == 422
    assert runner.predict("x\na,b\n", path=path).status == 400
    assert runner.predict('x\n"a\n', path=path).status == 400
    assert runner.predict("x\nnumber\n", path=path, query=[("passthroughColumns", "y")]).status == 422
    assert runner.predict("x\nnumber\n", path="/p/q/v1/predictionsUnstructured").status == 422


def test_requests_go_in_parallel(runner: RunningRunner) -> None:
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(runner.predict, "x\nwait\n", path="/p/q/v1/predictions") for _ in range(3)]
        assert [future.result().status for future in asked] == [200] * 3


def test_time_limit(runner: RunningRunner) -> None:
    headers = {"X-Modelyard-Timeout-Ms": "100"}
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(runner.predict, "x\nwait\n", path="/p/q/v1/predictions", headers=headers).result()
    assert answer.status == 504
    assert runner.predict("x\nnumber\n", path="/p/q/v1/predictions").status == 200


def test_information(runner: RunningRunner) -> None:
    runner.predict("x\nnumber\n", path="/p/q/v1/predictions")
    assert runner.get("/p/q/capabilities/").json()["upstreamRoute"] == "predict/"
    assert runner.get("/p/q/stats/").json()["memory"]["processes"] >= 2


@pytest.mark.parametrize("older", ["0", "1"])
@pytest.mark.parametrize("http", ["HTTP/1.0", "HTTP/1.1"])
def test_both_contracts_get_the_same_rows(start_runner: StartRunner, older: str, http: str) -> None:
    environment = {"OLDER": older, "HTTP": http}
    options = upstream("--target-type", "transform", "--target-name", "y")
    runner = start_runner(FILES, options, environment=environment)
    row = {"x": "seen", "n": 1.5, "flag": True, "none": None, "text": 'a,"b"\nc', "y": 3}
    answer = runner.predict([row]).rows()[0]["predictionValues"]
    typed = older == "1"
    assert {value["label"]: value["value"] for value in answer} == {
        "x": "seen",
        "n": 1.5 if typed else "1.5",
        "flag": True if typed else "true",
        "none": None if typed else "",
        "text": 'a,"b"\nc',
    }
    table = runner.predict("y,x,n,code\n1,seen,2,007\n2,seen,,008\n").rows()
    assert table[0]["prediction"] == (["seen", 2, "007"] if typed else ["seen", "2", "007"])
    assert table[1]["prediction"] == (["seen", None, "008"] if typed else ["seen", "", "008"])


def test_unstructured(start_runner: StartRunner) -> None:
    runner = start_runner(FILES, upstream("--target-type", "unstructured"))
    answer = runner.predict("data", "text/x-in", path="/v1/predictionsUnstructured")
    assert answer.headers["content-type"] == "text/x-seen"
    assert json.loads(answer.body) == ["/predictUnstructured/", "text/x-in", "data"]
    answer = runner.predict("data", "", path="/predictUnstructured/", query=[("k", "v")])
    assert json.loads(answer.body)[0] == "/predictUnstructured/?k=v"


def test_shell_server(start_runner: StartRunner, tmp_path: Path) -> None:
    perl = shutil.which("perl")
    if perl is None:
        pytest.skip("perl is not installed")
    script = """\
        #!/bin/sh
        exec perl -MIO::Socket::INET -e '
            $s = IO::Socket::INET->new(Listen => 5, LocalAddr => "127.0.0.1", LocalPort => $ENV{PORT}, ReuseAddr => 1);
            while ($c = $s->accept) {
                $_ = <$c>; $get = /^GET/; $length = 0;
                while (($h = <$c>) =~ /\\S/) { $length = $1 if $h =~ /content-length: (\\d+)/i }
                read $c, $body, $length;
                $rows = ($body =~ tr/\\n//) - 1;
                $out = $get ? "" : "{\\"predictions\\": [" . join(",", (4.5) x $rows) . "]}";
                print $c "HTTP/1.0 200 OK\\r\\n\\r\\n$out"; close $c;
            }'
    """
    folder = a_code_folder(tmp_path / "environment", {"start_server.sh": script})
    (folder / "start_server.sh").chmod(0o755)
    code = a_code_folder(tmp_path / "code", {"readme": "no script here"})
    runner = start_runner(code, [*upstream("--target-type", "regression"), "--environment-dir", str(folder)])
    assert [row["prediction"] for row in runner.predict([{"x": 1}, {"x": 2}]).rows()] == [4.5, 4.5]


def test_environment_of_the_script(start_runner: StartRunner) -> None:
    script = "env > seen; pwd >> seen; exec python server.py\n"
    port = a_free_port()
    runner = start_runner({**FILES, "start_server.sh": script}, upstream(*YES_NO, port=port))
    code_dir = runner.code_dir
    seen = (code_dir / "seen").read_text().splitlines()
    assert {
        "URL_PREFIX=",
        f"PORT={port}",
        f"MODELYARD_CODE_DIR={code_dir}",
        "MODELYARD_TARGET_NAME=churn",
        "MODELYARD_TARGET_TYPE=Binary",
        "MODELYARD_POSITIVE_CLASS_LABEL=yes",
        str(code_dir),
    } <= set(seen)


FAILED_SERVER = """
    import http.server, os

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(513)
            self.end_headers()
            self.wfile.write(b"no weights")

    http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        ("exit 5\n", 5, "ended with code 5"),
        ("exit 0\n", 1, "ended with code 0"),
        ("exec python server.py\n", 1, "no weights"),
    ],
)
def test_server_that_does_not_start(start_runner: StartRunner, script: str, code: int, words: str) -> None:
    files = {"start_server.sh": script, "server.py": FAILED_SERVER}
    runner = start_runner(files, upstream(*YES_NO), ready=False)
    assert runner.process.wait(20) == code
    assert words in json.loads(runner.failure_file.read_text())["message"]


def test_missing_script(start_runner: StartRunner) -> None:
    runner = start_runner({"custom.py": ""}, upstream(*YES_NO), ready=False)
    assert runner.process.wait(20) == 1
    assert "start_server.sh" in json.loads(runner.failure_file.read_text())["message"]


def test_server_that_dies_ends_the_runner(start_runner: StartRunner) -> None:
    runner = start_runner(FILES, upstream(*YES_NO))
    answer = runner.predict("x\nexit\n")
    assert answer.status == 503
    assert runner.process.wait(10) == 7


def test_stop_ends_the_whole_group(start_runner: StartRunner) -> None:
    port = a_free_port()
    runner = start_runner({**FILES, "start_server.sh": "python server.py\necho done\n"}, upstream(*YES_NO, port=port))
    assert runner.predict("x\nnumber\n").status == 200
    assert runner.stop() == 0

    def is_free() -> bool:
        with socket.socket() as asking:
            return asking.connect_ex(("127.0.0.1", int(port))) != 0

    wait_until(is_free, what="the server to be gone")


def test_large_table(runner: RunningRunner) -> None:
    table = "x,y\n" + "number,1\n" * 20_000
    lines = runner.predict(table, accept="text/csv", path="/p/q/v1/predictions").lines()
    assert len(lines) == 20_001
    assert set(lines[1:]) == {"0.75,0.25,yes,0.5,yes"}
