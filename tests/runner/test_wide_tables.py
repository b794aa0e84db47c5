"""Tables with many columns: time that grows with their number and no faster, and a limit of it."""

import io
import json
import time
from typing import Any

import pandas as pd
import pytest

from modelyard_runner.models.frames import frame_of_csv, frame_of_rows
from modelyard_runner.problems import Refusal
from modelyard_runner.wire.passthrough import passthrough_of
from modelyard_runner.wire.payload import Form, Payload
from modelyard_runner.wire.query import PredictionQuery
from tests.runner.running import StartRunner

SMALL, FACTOR = 1_000, 12


def table(columns: int, cells: tuple[str, ...]) -> bytes:
    header = ",".join(f"column {place}" for place in range(columns))
    return f"{header}\n{','.join(cells[place % len(cells)] for place in range(columns))}\n".encode()


def seconds_of_work(action: Any) -> float:
    """The least time of this process that an action takes, of two; others on the machine do not count."""
    times = []
    for _ in range(2):
        start_s = time.process_time()
        action()
        times.append(time.process_time() - start_s)
    return min(times)


def test_a_wide_table_takes_little_longer_than_pandas_alone() -> None:
    """Each column is looked at once: an action on the whole table for each of them took most of the time."""
    body = table(8 * SMALL, ("1.5",))
    frame_of_csv(table(10, ("1.5",)))
    assert seconds_of_work(lambda: frame_of_csv(body)) < 8 * seconds_of_work(lambda: pd.read_csv(io.BytesIO(body)))


def test_the_columns_of_a_wide_table_keep_their_order_and_kinds() -> None:
    frame = frame_of_csv(table(SMALL, ("true", "007", "1", "x", "2.5")))
    assert list(frame.columns) == [f"column {place}" for place in range(SMALL)]
    assert frame.iloc[0].tolist() == ["true", "007", 1, "x", 2.5] * (SMALL // 5)


def test_the_time_to_pass_all_columns_through_grows_with_their_number() -> None:
    def pass_all(columns: int) -> None:
        payload = Payload(table(columns, ("1",)), Form.CSV)
        passed = passthrough_of(payload, PredictionQuery(passthrough_all=True), None, as_text=True)
        assert passed is not None
        assert len(passed.names) == columns

    small = seconds_of_work(lambda: pass_all(2 * SMALL))
    assert seconds_of_work(lambda: pass_all(2 * FACTOR * SMALL)) < 3 * FACTOR * small


def test_more_columns_than_the_limit_are_refused() -> None:
    assert frame_of_csv(table(5, ("1",)), max_columns=5).shape == (1, 5)
    row: dict[str, Any] = {f"c{place}": 1 for place in range(6)}
    for read in (
        lambda: frame_of_csv(table(6, ("1",)), max_columns=5),
        lambda: frame_of_rows([row], max_columns=5),
        lambda: frame_of_rows([{"c0": 1}, row], max_columns=5),
    ):
        with pytest.raises(Refusal, match="has 6 columns, and at most 5 are taken") as raised:
            read()
        assert raised.value.status == 422


def test_the_limit_of_columns_is_an_option(start_shared_runner: StartRunner) -> None:
    code = "def load_model(code_dir):\n    return 1\n\n\ndef score(data, model):\n    return data['c0']\n"
    runner = start_shared_runner({"custom.py": code}, ("--target-type", "Regression", "--max-columns", "2"))
    assert runner.predict(json.dumps({"c0": 1, "c1": 2}).encode(), "application/json").status == 200
    for body, kind in ((b'{"c0": 1, "c1": 2, "c2": 3}', "application/json"), (b"c0,c1,c2\n1,2,3\n", "text/csv")):
        answer = runner.predict(body, kind)
        assert answer.status == 422
        assert "MODELYARD_MAX_PREDICTION_COLUMNS" in answer.json()["message"]
