"""Cases of cells that reached a model changed, in the wrong column, or not at all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.runner.running import RunningRunner, StartRunner

CASES = Path(__file__).parent
OPTIONS = ("--target-type", "Regression", "--target-name", "t")
Serve = Callable[[str], RunningRunner]


@pytest.fixture(scope="module")
def serve(start_shared_runner: StartRunner) -> Serve:
    """The runner of a case's model, started once."""
    started: dict[str, RunningRunner] = {}

    def get(name: str) -> RunningRunner:
        if name not in started:
            started[name] = start_shared_runner(model_of(name), OPTIONS)
        return started[name]

    return get


def model_of(case: str) -> dict[str, Any]:
    return {path.name: path.read_bytes() for path in (CASES / case / "model").iterdir() if path.is_file()}


def predictions(runner: RunningRunner, body: object) -> list[float]:
    return [row["prediction"] for row in runner.predict(body).rows()]


def content(case: str, name: str) -> bytes:
    return (CASES / case / name).read_bytes()


def test_rows_as_long_as_the_header(serve: Serve) -> None:
    assert predictions(serve("shift"), content("shift", "rows.csv")) == pytest.approx([123, 234], abs=1e-3)


@pytest.mark.parametrize("name", ["four_values.csv", "row_names.csv"])
def test_rows_that_are_longer_than_the_header(serve: Serve, name: str) -> None:
    """They are refused whatever stands in their first column, as a single such row is; never shifted."""
    answer = serve("shift").predict(content("shift", name))
    assert (answer.status, "line 2 has 4 values" in answer.message()) == (400, True)
    one = serve("shift").predict(b"a,b,c\n1,2,3\n5,3,4,5\n")
    assert (one.status, "line 3 has 4 values" in one.message()) == (400, True)


def test_a_nameless_first_column_is_no_longer_row(serve: Serve) -> None:
    assert predictions(serve("shift"), b",a,b,c\n0,1,2,3\n1,2,3,4\n") == pytest.approx([123, 234], abs=1e-3)


def test_what_a_row_gets_does_not_depend_on_the_rows_beside_it(serve: Serve) -> None:
    runner = serve("hook_map")
    assert runner.predict(content("hook_map", "rows.json"), "application/json").status == 200
    assert predictions(runner, [{"code": "1"}, {"code": "2"}, {"code": "A"}]) == [10, 20, 30]
    together = predictions(runner, content("hook_map", "with_a.csv"))
    assert together[:2] == predictions(runner, content("hook_map", "without_a.csv"))
    assert together[:1] == predictions(runner, b"code\n1\n")
    assert together == predictions(runner, [{"code": 1}, {"code": 2}, {"code": "A"}])


def test_an_example_says_what_a_column_holds(start_runner: StartRunner) -> None:
    runner = start_runner({**model_of("hook_map"), "example.csv": "code\n1\nB\n"}, OPTIONS)
    assert predictions(runner, content("hook_map", "with_a.csv")) == [10, 20, 30]
    assert predictions(runner, content("hook_map", "without_a.csv")) == [10, 20]
    assert predictions(runner, [{"code": 1}, {"code": "2"}]) == [10, 20]


def test_an_example_that_is_no_table(start_runner: StartRunner) -> None:
    runner = start_runner({**model_of("hook_map"), "example.csv": "a,b\n1,2,3\n"}, OPTIONS, ready=False)
    assert runner.process.wait(30) == 1
    assert "example.csv has to be a table" in runner.failure_file.read_text()


@pytest.mark.parametrize("name", ["rows.csv", "quoted.csv"])
def test_an_empty_cell_of_one_column_is_a_row(serve: Serve, name: str) -> None:
    expected = [6.7639, -434.3486, 7.6234]
    assert predictions(serve("onecol"), content("onecol", name)) == pytest.approx(expected, abs=1e-3)
    rows = [{"x": 1}, {"x": None}, {"x": 3}]
    assert predictions(serve("onecol"), rows) == pytest.approx(expected, abs=1e-3)


def test_values_are_passed_through_as_they_were_sent(serve: Serve) -> None:
    answer = serve("shift").predict(content("phone_ids", "rows.csv"), query=[("passthroughColumns", "id")])
    assert [row["passthroughValues"]["id"] for row in answer.rows()] == ["+491701234567", "12E5"]
    table = b"id,a,b,c\n007,1,2,3\n2.50,2,3,4\n2.5,2,3,4\n12,1,2,3\nNA,1,2,3\n"
    answer = serve("shift").predict(table, query=[("passthroughColumns", "id")])
    assert [row["passthroughValues"]["id"] for row in answer.rows()] == ["007", "2.50", 2.5, 12, "NA"]
