"""The association id: required, copied to every answer, made up where a row has none; by every kind of model."""

import csv
import io
import json
import socket
import uuid
from typing import Any

import pytest

from tests.runner.running import RunningRunner, StartRunner

CODE = """
    import pandas as pd

    def load_model(code_dir):
        return "a model"

    def score(data, model, **kwargs):
        return pd.DataFrame({"Predictions": data["x"].astype(float) * 2})
"""
SERVER = """
    import csv, io, json, os
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        def answer(self, body):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            self.answer(b"{}")

        def do_POST(self):
            rows = csv.DictReader(io.StringIO(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            self.answer(json.dumps({"predictions": [float(row["x"]) * 2 for row in rows]}).encode())

    ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"""
OWN_SERVER = {"start_server.sh": "exec python server.py\n", "server.py": SERVER}
BASE = ("--target-type", "Regression", "--target-name", "y", "--association-id", "order id")
KINDS = ("hooks", "batching", "own server")


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def start(start_shared_runner: StartRunner, kind: str, *options: str) -> RunningRunner:
    if kind == "own server":
        return start_shared_runner(OWN_SERVER, (*BASE, *options, "--upstream", "--upstream-port", free_port()))
    batching = ("--batch", "on") if kind == "batching" else ()
    return start_shared_runner({"custom.py": CODE}, (*BASE, *options, *batching))


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture(scope="module")
def copying(start_shared_runner: StartRunner, kind: str) -> RunningRunner:
    return start(start_shared_runner, kind)


@pytest.fixture(scope="module")
def requiring(start_shared_runner: StartRunner, kind: str) -> RunningRunner:
    return start(start_shared_runner, kind, "--require-association-id", "--generate-association-id")


@pytest.fixture(scope="module")
def generating(start_shared_runner: StartRunner, kind: str) -> RunningRunner:
    return start(start_shared_runner, kind, "--generate-association-id")


def as_csv(runner: RunningRunner, text: str, *query: tuple[str, str]) -> list[dict[str, str]]:
    answer = runner.predict(text, accept="text/csv", query=query)
    assert answer.status == 200, answer.body
    return list(csv.DictReader(io.StringIO(answer.body.decode())))


def ids(runner: RunningRunner, rows: Any) -> list[Any]:
    return [row["passthroughValues"]["order id"] for row in runner.predict(rows).rows()]


def test_the_column_is_copied_to_every_answer(copying: RunningRunner) -> None:
    assert as_csv(copying, "order id,x\n007,1\n008,2\n") == [
        {"y_PREDICTION": "2.0", "order id": "007"},
        {"y_PREDICTION": "4.0", "order id": "008"},
    ]
    assert ids(copying, [{"order id": 7, "x": 1}, {"order id": "b", "x": 2}]) == [7, "b"]
    assert ids(copying, {"order id": [1], "x": 1}) == [[1]]
    with_others = as_csv(
        copying, "x,order id,z\n1,a,q\n", ("passthroughColumns", "z"), ("passthroughColumns", "order id")
    )
    assert list(with_others[0]) == ["y_PREDICTION", "z", "order id"]
    everything = as_csv(copying, "x,order id,z\n1,a,q\n", ("passthroughColumnsSet", "all"))
    assert list(everything[0]) == ["y_PREDICTION", "x", "order id", "z"]


def test_without_the_column_nothing_is_copied(copying: RunningRunner) -> None:
    assert as_csv(copying, "x\n1\n") == [{"y_PREDICTION": "2.0"}]
    assert list(copying.predict([{"x": 1}]).rows()[0]) == ["rowId", "prediction", "predictionValues"]


def test_a_required_column_that_is_missing_is_named(requiring: RunningRunner) -> None:
    for body, kind in (("x\n1\n", "text/csv"), ('[{"x": 1}]', "application/json")):
        refused = requiring.predict(body.encode(), kind)
        assert refused.status == 422
        assert "'order id'" in refused.message()
    partly = requiring.predict([{"x": 1, "order id": 1}, {"x": 2}])
    assert (partly.status, "row 1" in partly.message()) == (422, True)
    assert ids(requiring, [{"x": 1, "order id": "a"}]) == ["a"]
    assert as_csv(requiring, "x,order id\n1,a\n")[0]["order id"] == "a"
    large = "x\n" + "1\n" * 50_000
    assert requiring.predict(large.encode(), "text/csv").status == 422


def test_rows_without_an_id_are_given_one(generating: RunningRunner) -> None:
    made = ids(generating, [{"x": 1}, {"x": 2}])
    assert len({uuid.UUID(one) for one in made}) == 2
    kept, given = ids(generating, [{"x": 1, "order id": "a"}, {"x": 2, "order id": None}])
    assert kept == "a"
    uuid.UUID(given)
    first, second = (row["order id"] for row in as_csv(generating, "order id,x\n,1\nb,2\n"))
    uuid.UUID(first)
    assert second == "b"
    uuid.UUID(as_csv(generating, "x\n1\n", ("passthroughColumns", "order id"))[0]["order id"])
    unknown = generating.predict("x\n1\n", query=[("passthroughColumns", "z")])
    assert (unknown.status, "z" in unknown.message()) == (422, True)


def test_the_container_contract_has_no_association_id(requiring: RunningRunner) -> None:
    answer = requiring.request("POST", "/predict/", b"x\n1\n", {"Content-Type": "text/csv"})
    assert (answer.status, json.loads(answer.body)) == (200, {"predictions": [2.0]})
