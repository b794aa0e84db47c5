"""Requests that wait: batching, time limits, models that hang or die, and the end of the process."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.runner.running import Answer, RunningRunner, StartRunner
from tests.waiting import wait_until

# The model waits at rows that name a file until that file exists; its answer is the number of rows of the frame, and
# each frame's types are written down.
CODE = """
    import json, os, pathlib, time
    import pandas as pd

    def load_model(code_dir):
        return pathlib.Path(os.environ["NOTES"])

    def score(data, model):
        with open(model / "frames", "a") as file:
            kinds = {name: str(kind) for name, kind in data.dtypes.items()}
            print(json.dumps([len(data), kinds]), file=file)
        if "wait_for" in data.columns:
            while not (model / data["wait_for"].iloc[0]).exists():
                time.sleep(0.005)
        if "x" in data.columns and (data["x"] == 13).any():
            raise ValueError("thirteen")
        if "x" in data.columns and (data["x"] == -1).any():
            os._exit(9)
        return [len(data)] * len(data) if "x" not in data.columns else data["x"].astype(float) * 2
"""
REGRESSION = ("--target-type", "regression")


@pytest.fixture
def busy_runner(start_runner: StartRunner, tmp_path: Path) -> Callable[..., RunningRunner]:
    def start(*options: str) -> RunningRunner:
        return start_runner({"custom.py": CODE}, (*REGRESSION, *options), environment={"NOTES": str(tmp_path)})

    return start


def frames(folder: Path) -> list[Any]:
    path = folder / "frames"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def together(
    runner: RunningRunner, folder: Path, rows: list[dict[str, Any]], query: list[tuple[str, object]] | None = None
) -> list[Answer]:
    """Ask for each row by itself while the model is held, and let it go when all are waiting."""
    before = runner.get("/stats/").json()["requests"]
    seen = len(frames(folder))
    with ThreadPoolExecutor(len(rows) + 1) as pool:
        name = f"go{seen}"
        holding = pool.submit(runner.predict, [{"wait_for": name}])
        wait_until(lambda: len(frames(folder)) > seen, what="the model to be held")
        asked = [pool.submit(runner.predict, row, query=query or []) for row in rows]
        wait_until(lambda: runner.get("/stats/").json()["requests"] == before + 1 + len(rows), what="all to wait")
        (folder / name).touch()
        assert holding.result().status == 200
        return [future.result() for future in asked]


def test_waiting_rows_are_scored_together(busy_runner: Callable[..., RunningRunner], tmp_path: Path) -> None:
    runner = busy_runner("--batch", "on")
    answers = together(runner, tmp_path, [{"x": number} for number in range(10)], [("passthroughColumns", "x")])
    assert [answer.rows() for answer in answers] == [
        [
            {
                "rowId": 0,
                "prediction": 2.0 * number,
                "predictionValues": [{"label": "target", "value": 2.0 * number}],
                "passthroughValues": {"x": number},
            }
        ]
        for number in range(10)
    ]
    assert [count for count, _ in frames(tmp_path)] == [1, 10]
    assert {answer.headers["x-modelyard-rows"] for answer in answers} == {"1"}


def test_one_bad_row_does_not_hurt_the_others(busy_runner: Callable[..., RunningRunner], tmp_path: Path) -> None:
    runner = busy_runner("--batch", "on")
    answers = together(runner, tmp_path, [{"x": number} for number in range(12, 16)])
    assert [answer.status for answer in answers] == [200, 422, 200, 200]
    assert "ValueError: thirteen" in answers[1].message()
    assert [count for count, _ in frames(tmp_path)] == [1, 4, 1, 1, 1, 1]


def test_batches_keep_to_their_size(busy_runner: Callable[..., RunningRunner], tmp_path: Path) -> None:
    runner = busy_runner("--batch", "on", "--max-batch-rows", "4")
    assert all(answer.status == 200 for answer in together(runner, tmp_path, [{"x": 1}] * 10))
    assert [count for count, _ in frames(tmp_path)] == [1, 4, 4, 2]


def test_without_batching_each_is_scored_alone(busy_runner: Callable[..., RunningRunner], tmp_path: Path) -> None:
    runner = busy_runner()
    assert all(answer.status == 200 for answer in together(runner, tmp_path, [{"x": 1}] * 5))
    assert [count for count, _ in frames(tmp_path)] == [1] * 6


def test_types_in_a_batch_are_those_of_the_row_alone(busy_runner: Callable[..., RunningRunner], tmp_path: Path) -> None:
    runner = busy_runner("--batch", "on")
    rows: list[dict[str, Any]] = [
        {"a": 1, "b": "t"},
        {"a": 2, "b": "u"},
        {"a": 1.5, "b": "t"},
        {"a": None, "b": "t"},
        {"a": None, "b": None},
        {"a": True, "b": "t"},
        {"a": 2**63, "b": "t"},
        {"b": "t", "a": 1},
        {"a": [1], "b": "t"},
        {"a": 1, "b": 2},
        {"a": 2.5, "b": 1.0},
    ]
    alone = []
    for row in rows:
        assert runner.predict(row).status == 200
        alone.append(frames(tmp_path)[-1][1])
    several = len(frames(tmp_path))
    assert runner.predict([row for row in rows if row.keys() == {"a", "b"}][:2]).status == 200
    assert frames(tmp_path)[-1][1] == alone[0]
    together(runner, tmp_path, rows * 2)
    batches = frames(tmp_path)[several + 2 :]
    assert len(batches) < 2 * len(rows)
    assert sum(count for count, _ in batches) == 2 * len(rows)
    order = [json.dumps(kinds) for kinds in alone * 2]
    assert sorted(order) == sorted(json.dumps(kinds) for count, kinds in batches for _ in range(count))


def test_time_limit(busy_runner: Callable[..., RunningRunner], tmp_path: Path) -> None:
    runner = busy_runner()
    answer = runner.predict([{"wait_for": "go"}], headers={"X-Modelyard-Timeout-Ms": "150"})
    assert answer.status == 504
    assert "0.15 s" in answer.message()
    for busy in (runner.predict([{"x": 1}]), runner.get("/"), runner.get("/health/")):
        assert busy.status == 503
        assert busy.headers["retry-after"] == "5"
    (tmp_path / "go").touch()
    wait_until(lambda: runner.get("/").status == 200, what="the model to come back")
    assert runner.predict([{"x": 1}], headers={"X-Modelyard-Timeout-Ms": "20000"}).status == 200
    assert runner.predict([{"x": 1}], headers={"X-Modelyard-Timeout-Ms": "soon"}).status == 400


def test_time_limit_of_a_waiting_request(busy_runner: Callable[..., RunningRunner], tmp_path: Path) -> None:
    runner = busy_runner()
    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(runner.predict, [{"wait_for": "go"}])
        wait_until(lambda: len(frames(tmp_path)) == 1, what="the model to be held")
        answer = runner.predict([{"x": 1}], headers={"X-Modelyard-Timeout-Ms": "100"})
        assert answer.status == 504
        assert runner.get("/").status == 200
        (tmp_path / "go").touch()
        assert holding.result().status == 200
    assert runner.predict([{"x": 2}]).status == 200
    assert len(frames(tmp_path)) == 2, "the request that gave up was not scored"


def test_client_that_leaves_is_not_scored(busy_runner: Callable[..., RunningRunner], tmp_path: Path) -> None:
    runner = busy_runner()
    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(runner.predict, [{"wait_for": "go"}])
        wait_until(lambda: len(frames(tmp_path)) == 1, what="the model to be held")
        leaving = runner.connection()
        leaving.request("POST", "/v1/predictions", json.dumps([{"x": 1}]), {"Content-Type": "application/json"})
        wait_until(lambda: runner.get("/stats/").json()["requests"] == 2, what="the request to arrive")
        leaving.close()
        assert runner.get("/").status == 200
        (tmp_path / "go").touch()
        assert holding.result().status == 200
    assert runner.predict([{"x": 2}]).status == 200
    assert len(frames(tmp_path)) == 2


def test_process_that_dies_takes_its_exit_code_with_it(busy_runner: Callable[..., RunningRunner]) -> None:
    runner = busy_runner()
    with pytest.raises(ConnectionError):
        runner.predict([{"x": -1}])
    assert runner.process.wait(10) == 9


def test_requests_under_way_are_answered_before_the_end(
    busy_runner: Callable[..., RunningRunner], tmp_path: Path
) -> None:
    runner = busy_runner()
    idle = runner.connection()
    idle.connect()
    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(runner.predict, [{"wait_for": "go"}])
        wait_until(lambda: len(frames(tmp_path)) == 1, what="the model to be held")
        runner.process.terminate()
        assert idle.sock.recv(10) == b""
        (tmp_path / "go").touch()
        answer = holding.result()
    assert answer.status == 200
    assert answer.headers["connection"] == "close"
    assert runner.process.wait(10) == 0
    idle.close()


def test_hanging_model_does_not_hold_the_end(busy_runner: Callable[..., RunningRunner], tmp_path: Path) -> None:
    runner = busy_runner("--grace-s", "0.2")
    failed: Future[BaseException | None] = Future()

    def ask() -> None:
        try:
            runner.predict([{"wait_for": "never"}])
            failed.set_result(None)
        except OSError as error:
            failed.set_result(error)

    thread = threading.Thread(target=ask)
    thread.start()
    wait_until(lambda: len(frames(tmp_path)) == 1, what="the model to be held")
    runner.process.terminate()
    assert runner.process.wait(10) == 0
    thread.join()
    assert failed.result() is not None


def test_many_connections(busy_runner: Callable[..., RunningRunner]) -> None:
    runner = busy_runner("--batch", "on")

    def ask(first: int) -> list[float]:
        answers = [runner.predict([{"x": number}]) for number in range(first, first + 20)]
        return [answer.rows()[0]["prediction"] for answer in answers]

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(ask, range(100, 500, 20)))
    assert found == [[2.0 * number for number in range(first, first + 20)] for first in range(100, 500, 20)]
