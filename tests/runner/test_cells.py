"""What a cell is when it reaches a model: the same by every way into the runner, and whatever rows are beside it."""

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas._libs.parsers import STR_NA_VALUES
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from modelyard_runner.models.columns import UNKNOWN, Kind, Schema, moment_of
from modelyard_runner.models.frames import signature_of
from modelyard_runner.models.hooks import Hooks
from modelyard_runner.models.known_kinds import schema_of_model
from modelyard_runner.models.structured import StructuredModel, TableModel
from modelyard_runner.problems import Refusal
from modelyard_runner.target import Target, TargetType
from modelyard_runner.wire.payload import Form, Payload
from modelyard_runner.wire.rows import MISSING_TEXTS, Row

ODD = [
    *sorted(MISSING_TEXTS),
    "1", "2", "-3", "0", "-0", "007", "-01", "1.0", "2.50", "1.", ".5", "-.5", "1e3", "1E-2", "1.e3", "+5", " 5", "5 ",
    " ", "inf", "-Infinity", "1e999", "TRUE", "True", "false", "maybe", "na", "null ", "x", "é", "a b", "1,5", "1;5",
    '"', 'a"b', "a\nb", "\ta", "0x1F", "1_000", "9007199254740993", "9223372036854775807", "9223372036854775808",
    "18446744073709551616", "-9223372036854775809", "2024-02-29", "2024-02-29T12:30:00.000000", "12:30", "1-2",
]  # fmt: skip
TARGET = Target(TargetType.REGRESSION, "y")


def is_missing(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def fingerprint(value: Any) -> str:
    """A cell as a model sees it: what it is, and which."""
    if is_missing(value):
        return "missing"
    if isinstance(value, bool | np.bool_):
        return f"boolean {bool(value)}"
    if isinstance(value, int | float | np.number):
        return f"number {float(value)!r}"
    return f"text {value!r}"


def expected(text: str) -> str:
    """The same by the rule of the documentation, with Python's own JSON and pandas' own list of words."""
    if text in STR_NA_VALUES:
        return "missing"
    if text.strip() == text:
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return f"number {float(value)!r}" if is_number else f"text {text!r}"
    return f"text {text!r}"


def json_value(text: str) -> Any:
    """What a client sends in JSON for the same cell."""
    told = expected(text)
    if told == "missing":
        return None
    return json.loads(text) if told.startswith("number") else text


class Recorder:
    """A model that keeps what it is given."""

    def __init__(self, schema: Schema = UNKNOWN) -> None:
        self.seen: list[list[str]] = []
        self.model: TableModel = StructuredModel(Hooks(score=self._score), None, TARGET, schema)

    def _score(self, data: pd.DataFrame, _model: Any) -> list[float]:
        self.seen = [[fingerprint(value) for value in row] for row in data.astype(object).to_numpy().tolist()]
        return [0.0] * len(data)

    def given(self, frame: Any) -> list[list[str]]:
        self.model.predict(frame)
        return self.seen


def csv_body(names: Sequence[str], rows: Sequence[Sequence[str]], separator: str = ",", quoting: int = 0) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=separator, lineterminator="\n", quoting=quoting)  # type: ignore[arg-type]
    writer.writerows([names, *rows])
    return file.getvalue().encode()


def by_every_way(
    model: TableModel, names: Sequence[str], rows: Sequence[Sequence[str]], *, texts: Sequence[str] = ()
) -> dict[str, list[Any]]:
    """The frames of a table by every way into the runner, `texts` as texts in JSON, too.

    Those of rows that come alone or in batches are in parts.
    """
    objects: list[Row] = [
        {
            name: text if name in texts and text not in STR_NA_VALUES else json_value(text)
            for name, text in zip(names, row, strict=True)
        }
        for row in rows
    ]

    def frame(body: bytes, form: Form = Form.CSV) -> Any:
        return model.frame_of(Payload(body, form))

    ways: dict[str, list[Any]] = {
        "CSV": [frame(csv_body(names, rows))],
        "quoted CSV": [frame(csv_body(names, rows, quoting=csv.QUOTE_ALL))],
        "CSV row by row": [frame(csv_body(names, [row], quoting=csv.QUOTE_ALL)) for row in rows],
        "JSON": [frame(json.dumps(objects).encode(), Form.JSON)],
        "JSON row by row": [frame(json.dumps(row).encode(), Form.JSON) for row in objects],
        "a batch": [model.frame_of_alike([row, row], signature_of(row)).iloc[:1] for row in objects if is_small(row)],
    }
    if len(names) > 1:
        ways |= {f"CSV with {sign!r}": [frame(csv_body(names, rows, sign))] for sign in ";\t"}
    if len(ways["a batch"]) < len(rows):
        del ways["a batch"]
    return ways


def is_small(row: Row) -> bool:
    return not any(isinstance(value, int) and abs(value) >= 2**63 for value in row.values())


cells = st.sampled_from(ODD) | st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=4)
tables = st.integers(1, 3).flatmap(lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1))


@settings(max_examples=100, deadline=None)
@given(tables)
def test_every_cell_is_the_same_by_every_way(rows: list[list[str]]) -> None:
    recorder = Recorder()
    names = ["a", "b", "c"][: len(rows[0])]
    for way, frames in by_every_way(recorder.model, names, rows).items():
        seen = [row for frame in frames for row in recorder.given(frame)]
        assert seen == [[expected(text) for text in row] for row in rows], way


CITIES = ["1", "2", "1.0", "007", "TRUE", "maybe", "x", "NA", "", "2024-02-29"]
NUMBERS = {"1": 1.0, "2.5": 2.5, "": math.nan, "NA": math.nan, "007": 7.0, " 5": 5.0, "+3": 3.0, "TRUE": 1.0, ".5": 0.5}


def a_pipeline() -> Pipeline:
    """A pipeline whose categories are texts, some of which look like numbers and booleans."""
    parts = [
        ("category", OneHotEncoder(handle_unknown="ignore"), ["city"]),
        ("number", SimpleImputer(), ["n"]),
    ]
    frame = pd.DataFrame({"city": [*CITIES[:7], *CITIES[:7]], "n": [float(number) for number in range(14)]})
    return Pipeline([("columns", ColumnTransformer(parts)), ("model", Ridge())]).fit(frame, [one**2 for one in frame.n])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(CITIES), st.sampled_from(sorted(NUMBERS))), min_size=1, max_size=5))
def test_predictions_are_those_of_plain_python(rows: list[tuple[str, str]]) -> None:
    artifact = PIPELINE
    cities = pd.Series([math.nan if city in MISSING_TEXTS else city for city, _ in rows], dtype="str")
    plain = artifact.predict(pd.DataFrame({"city": cities, "n": [NUMBERS[number] for _, number in rows]}))
    model = StructuredModel(Hooks(), artifact, TARGET, schema_of_model(artifact))
    for way, frames in by_every_way(model, ["city", "n"], rows, texts=["city"]).items():
        found = [value for frame in frames for (value,) in model.predict(frame).rows]
        assert found == pytest.approx(plain.tolist(), abs=1e-9), way


PIPELINE = a_pipeline()


@pytest.mark.parametrize(
    ("kind", "texts", "seen"),
    [
        (Kind.TEXT, ["TRUE", "FALSE", ""], ["text 'TRUE'", "text 'FALSE'", "missing"]),
        (Kind.TEXT, ["007", "1.0", "1"], ["text '007'", "text '1.0'", "text '1'"]),
        (Kind.NUMBER, ["007", " 5", "", "+3"], ["number 7.0", "number 5.0", "missing", "number 3.0"]),
        (Kind.NUMBER, ["inf", "-Infinity"], ["number inf", "number -inf"]),
        (Kind.NUMBER, ["1", "", "x"], ["number 1.0", "missing", "text 'x'"]),
        (Kind.BOOLEAN, ["TRUE", "false"], ["boolean True", "boolean False"]),
        (Kind.BOOLEAN, ["TRUE", ""], ["number 1.0", "missing"]),
        (Kind.MOMENT, ["2024-02-29T12:30:00.000000", ""], ["text '2024-02-29 12:30:00'", "missing"]),
    ],
)
def test_cells_of_a_known_kind(kind: Kind, texts: list[str], seen: list[str]) -> None:
    recorder = Recorder(Schema({"a": kind}))
    for rows in ([{"a": text or None} for text in texts], [{"a": text or None} for text in reversed(texts)]):
        order = seen if rows[0]["a"] == (texts[0] or None) else seen[::-1]
        body = csv_body(["a"], [[row["a"] or ""] for row in rows])
        assert [row[0] for row in recorder.given(recorder.model.frame_of(Payload(body, Form.CSV)))] == order
        assert [row[0] for row in recorder.given(recorder.model.frame_of_rows(rows))] == order


def test_a_boolean_column_with_and_without_a_gap_is_equal() -> None:
    recorder = Recorder(Schema({"a": Kind.BOOLEAN}))
    (true,), _ = recorder.model.frame_of(Payload(b"a\nTRUE\n\n", Form.CSV)).to_numpy().tolist()
    assert true == 1
    assert true == recorder.model.frame_of(Payload(b"a\nTRUE\n", Form.CSV)).iloc[0, 0]


@pytest.mark.parametrize(
    ("text", "spelling"),
    [
        ("2024-02-29 12:30:00", "2024-02-29 12:30:00"),
        ("2024-02-29T12:30:00.000000", "2024-02-29 12:30:00"),
        ("2024-02-29T12:30:00.500000000", "2024-02-29 12:30:00.500000"),
        ("2024-02-29 12:30:00.000000001", "2024-02-29 12:30:00.000000001"),
        ("2024-02-29", "2024-02-29 00:00:00"),
        ("2024-02-29T12:30:00+0100", "2024-02-29 12:30:00+01:00"),
        ("2024-02-29T12:30:00Z", "2024-02-29 12:30:00+00:00"),
        ("12:30:01.000000000", "12:30:01"),
        ("yesterday", "yesterday"),
        ("+01:00", "+01:00"),
    ],
)
def test_dates_and_times_have_one_spelling(text: str, spelling: str) -> None:
    assert moment_of(text) == spelling == moment_of(spelling)


@pytest.mark.parametrize("first", ["5", "x", "-1", "2024-01-01", ""])
@pytest.mark.parametrize("count", [1, 3])
def test_rows_longer_than_the_header_are_refused(first: str, count: int) -> None:
    with pytest.raises(Refusal, match="line 2 has 3 values") as caught:
        Recorder().model.frame_of(Payload(b"a,b\n" + f"{first},3,4\n".encode() * count, Form.CSV))
    assert caught.value.status == 400


def test_large_bodies_are_read_like_small_ones() -> None:
    """Columns that pandas reads as a whole, some of whose cells are no numbers in JSON, far behind the first block."""
    lines = [f"{number},{number / 8},t{number},{number}" for number in range(60_000)]
    lines[-2] = "007,+5,8,.5"
    recorder = Recorder()
    seen = recorder.given(recorder.model.frame_of(Payload(("a,b,c,d\n" + "\n".join(lines)).encode(), Form.CSV)))
    assert seen[-2] == ["text '007'", "text '+5'", "number 8.0", "text '.5'"]
    assert seen[-1] == ["number 59999.0", "number 7499.875", "text 't59999'", "number 59999.0"]
