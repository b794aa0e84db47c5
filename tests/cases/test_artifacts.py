"""Artifacts that were served with wrong labels, columns or trees. The right values are those of plain Python."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.cli.lookup import MODEL
from modelyard.cli.model_metadata import NAMES, creation_of
from modelyard.cli.yaml_files import read_metadata
from tests.cases.libraries import ForkedRunner, Libraries, libraries

__all__ = ["libraries"]

pytestmark = pytest.mark.timeout(600)

CASES = Path(__file__).parent
MEAN = [0.8861, 0.9958, 0.9963, 0.0598]
RIGHT: dict[str, tuple[str | None, list[float], list[str] | None]] = {
    "onnx_order": ("churn", MEAN, ["churn", "churn", "churn", "stay"]),
    "xgb_pos0": ("0", [0.7665, 0.9600, 0.9645, 0.4174], ["0", "0", "0", "1"]),
    "xgb_early": ("1", [0.3596, 0.6527, 0.4858, 0.5152, 0.2995], None),
    "onnx_mixed": (None, [18.4729, 15.8354, 17.7688], None),
    "lgb_iris": ("0", [0.8942, 0.8806, 0.8806], ["0", "0", "0"]),
    "lgb_numpy": (None, [192.909, 96.713, 169.912], None),
    "xgb_cat": (None, [20.1402, 11.5445, 2.5581], None),
    "lgb_cat": (None, [20.6866, 12.3175, 4.3798], None),
    "lab_float": ("0.0", MEAN, ["0.0", "0.0", "0.0", "1.0"]),
}
"""The label whose probability is compared (None: the prediction), its values, and the predictions."""

Serve = Callable[[str], ForkedRunner]


@pytest.fixture(scope="module")
def serve(libraries: Libraries) -> Iterator[Serve]:
    """The runner of a case's model, with what its metadata file says as the command line reads it."""
    started: dict[str, ForkedRunner] = {}

    def get(case: str) -> ForkedRunner:
        if case not in started:
            started[case] = ForkedRunner(libraries, CASES / case / "model", options(case))
            started[case].wait_ready()
        return started[case]

    yield get
    for runner in started.values():
        runner.stop()


def options(case: str) -> list[str]:
    body = creation_of(MODEL, read_metadata(CASES / case / "model", NAMES), None)
    chosen = ["--target-type", body["targetType"], "--target-name", body["targetName"]]
    for field, option in (
        ("positiveClassLabel", "--positive-class-label"),
        ("negativeClassLabel", "--negative-class-label"),
    ):
        chosen += [option, body[field]] if field in body else []
    return chosen + (["--class-labels", *body["classLabels"]] if "classLabels" in body else [])


def json_rows(text: str) -> list[dict[str, Any]]:
    """The rows of CSV with their numbers as JSON has them."""

    def value(cell: str) -> Any:
        try:
            return json.loads(cell)
        except ValueError:
            return cell

    return [{name: value(cell) for name, cell in row.items()} for row in csv.DictReader(io.StringIO(text))]


def values(rows: list[dict[str, Any]], label: str | None) -> list[float]:
    if label is None:
        return [row["prediction"] for row in rows]
    return [next(one["value"] for one in row["predictionValues"] if one["label"] == label) for row in rows]


@pytest.mark.parametrize("case", RIGHT)
def test_the_right_values_by_csv_and_json_together_and_alone(case: str, serve: Serve) -> None:
    label, expected, predictions = RIGHT[case]
    near = 1e-3 if label is None else 1e-4
    text = (CASES / case / "rows.csv").read_text()
    header, *lines = [line for line in text.splitlines() if line]
    runner = serve(case)
    for body in (text, json_rows(text)):
        rows = runner.predict(body).rows()
        assert values(rows, label) == pytest.approx(expected, abs=near)
        assert predictions is None or [row["prediction"] for row in rows] == predictions
    alone = [runner.predict(f"{header}\n{line}\n").rows()[0] for line in lines]
    assert values(alone, label) == pytest.approx(expected, abs=near)
    alone = [runner.predict([row]).rows()[0] for row in json_rows(text)]
    assert values(alone, label) == pytest.approx(expected, abs=near)


def test_columns_are_found_by_their_names_in_any_order(serve: Serve) -> None:
    rows = json_rows((CASES / "lgb_iris/rows.csv").read_text())
    shuffled = [dict(reversed([*row.items(), ("id", 7)])) for row in rows]
    assert values(serve("lgb_iris").predict(shuffled).rows(), "0") == pytest.approx(RIGHT["lgb_iris"][1], abs=1e-4)


def test_positions_need_as_many_columns(serve: Serve) -> None:
    row = json_rows((CASES / "lgb_numpy/rows.csv").read_text())[0]
    answer = serve("lgb_numpy").predict([{**row, "id": 1}])
    assert answer.status == 422
    assert "takes 10 columns in the order of its training; the data has 11" in answer.message()


@pytest.mark.parametrize("name", ["null", "fraction", "overflow"])
def test_an_integer_input_is_never_cast(name: str, serve: Serve) -> None:
    rows = json.loads((CASES / "onnx_mixed" / f"{name}.json").read_text())
    cells = {key: "" if value is None else value for key, value in rows[0].items()}
    text = f"{','.join(cells)}\n{','.join(map(str, cells.values()))}\n"
    runner = serve("onnx_mixed")
    for body in (rows, text):
        answer = runner.predict(body)
        assert answer.status == 422
        assert "'Cylinders'" in answer.message()
        assert "row 0" in answer.message()
    whole = runner.predict([{**rows[0], "Cylinders": 8.0}]).rows()
    assert whole[0]["prediction"] == pytest.approx(18.4729, abs=1e-3)


def test_a_column_of_texts_is_scored_cell_by_cell(serve: Serve) -> None:
    runner = serve("text_tfidf")
    for name, expected in (("one", [0.8120]), ("two", [0.8120, 0.1441])):
        rows = json.loads((CASES / "text_tfidf" / f"{name}.json").read_text())
        text = "text\n" + "".join(f"{row['text']}\n" for row in rows)
        for body in (rows, text):
            assert values(runner.predict(body).rows(), "1") == pytest.approx(expected, abs=1e-4)
    answer = runner.predict((CASES / "text_tfidf/two_columns.json").read_bytes(), "application/json")
    assert answer.status == 422
    assert "one column of texts; the data has 2 columns: 'text', 'id'" in answer.message()


def test_class_labels_are_what_is_written() -> None:
    body = creation_of(MODEL, read_metadata(CASES / "meta/model", NAMES), None)
    assert body["classLabels"] == ["007", "010", "12:30", "0x1F", "1_000"]


# artifacts that are trained here

THREE = ("--target-type", "Multiclass", "--class-labels")
REGRESSION = ("--target-type", "Regression", "--target-name", "t")
ROWS: list[dict[str, Any]] = [{"a": a, "b": b} for a, b in ((0, 0.5), (3, 2.5), (6, 4.5), (2, 1.5))]


@pytest.mark.parametrize(
    ("artifact", "given", "ordered"),
    [
        ("xgboost_three_classes", ["2", "0", "1"], ["0", "1", "2"]),
        ("xgboost_three_classes", ["red", "green", "blue"], ["blue", "green", "red"]),
        ("lightgbm_texts", ["red", "blue", "green"], ["blue", "green", "red"]),
        ("lightgbm_integers", ["10", "2", "9"], ["2", "9", "10"]),
        ("onnx_own_order", ["red", "blue", "green"], ["green", "blue", "red"]),
        ("onnx_digits", ["2", "9", "10"], ["10", "2", "9"]),
        ("onnx_integers", ["10", "2", "9"], ["2", "9", "10"]),
    ],
)
def test_nameless_columns_are_the_classes_as_the_library_sorts_them(
    libraries: Libraries,
    tmp_path: Path,
    artifact: str,
    given: list[str],
    ordered: list[str],
) -> None:
    folder = libraries.make(artifact, tmp_path)
    plain = "plain_session" if artifact.startswith("onnx") else "plain_booster"
    expected = libraries.reference(plain, folder, ROWS)
    found = libraries.predict(folder, [ROWS, [ROWS[1]]], *THREE, *given)
    matrix = [[row[label] for label in ordered] for row in [*found[0], *found[1]]]
    np.testing.assert_allclose(matrix, [*expected, expected[1]], atol=1e-6)


def test_the_labels_of_a_graph_are_confirmed_by_its_own_answers(libraries: Libraries, tmp_path: Path) -> None:
    folder = libraries.make("onnx_labels_by_place", tmp_path)
    expected = libraries.reference("plain_session", folder, ROWS)
    binary = ("--target-type", "Binary", "--positive-class-label")
    found = libraries.predict(folder, [ROWS], *binary, "churn", "--negative-class-label", "stay")
    np.testing.assert_allclose([row["churn"] for row in found[0]], [row[0] for row in expected], atol=1e-6)
    reason = libraries.reason(folder, *binary, "yes", "--negative-class-label", "no")
    assert "own labels ('churn', 'stay') contradict the class labels that are set, sorted 'no', 'yes'" in reason


def test_classes_that_nothing_tells_are_refused_with_what_to_add(libraries: Libraries, tmp_path: Path) -> None:
    folder = libraries.make("onnx_without_labels", tmp_path)
    labels = ("--target-type", "Binary", "--positive-class-label", "churn", "--negative-class-label", "stay")
    reason = libraries.reason(folder, *labels)
    assert "nothing in it says which class is which" in reason
    hook = reason[reason.index("def post_process") :]
    (folder / "custom.py").write_text(hook)
    named = libraries.predict(folder, [ROWS], *labels)[0]
    (folder / "custom.py").unlink()
    certain = ("--target-type", "Binary", "--positive-class-label", "0", "--negative-class-label", "1")
    numbers = libraries.predict(folder, [ROWS], *certain)[0]
    for row, by_name, by_number in zip(libraries.reference("plain_session", folder, ROWS), named, numbers, strict=True):
        assert (by_name["churn"], by_number["0"]) == pytest.approx((row[0], row[0]))


@pytest.mark.parametrize(
    ("artifact", "options_of_it", "words"),
    [
        ("xgboost_softmax", (*THREE, "0", "1", "2"), "multi:softmax gives no probabilities"),
        ("xgboost_logitraw", ("--target-type", "Binary"), "binary:logitraw gives no probabilities"),
        ("xgboost_two_targets", REGRESSION, "gives 2 values for each row"),
        ("xgboost_three_classes", REGRESSION, "gives 3 values for each row"),
        ("xgboost_three_classes", (*THREE, "0", "1"), "has 3 classes; the class labels set are '0', '1'"),
        ("lightgbm_one_against_all", (*THREE, "0", "1", "2"), "multiclassova gives no probabilities"),
        ("lightgbm_regression", ("--target-type", "Binary"), "regression gives no probabilities"),
        ("onnx_two_values", REGRESSION, "has 2 values for each row"),
        ("xgboost_before_names", REGRESSION, "columns 'color', 'size', 'mark' hold categories, and the file does not"),
    ],
)
def test_what_can_never_be_an_answer_is_an_error_at_the_start(
    libraries: Libraries,
    tmp_path: Path,
    artifact: str,
    options_of_it: tuple[str, ...],
    words: str,
) -> None:
    reason = libraries.reason(libraries.make(artifact, tmp_path), *options_of_it)
    assert words in reason
    assert any(advice in reason for advice in ("custom.py", "Set the labels"))


CATEGORIES: list[dict[str, Any]] = [
    {"n": 0.5, "color": "red", "size": 40, "mark": "1"},
    {"n": 1.5, "color": "blue", "size": 10, "mark": "02"},
    {"n": None, "color": "green", "size": 30, "mark": "3.0"},
    {"n": 2.5, "color": "pink", "size": 20, "mark": "1"},
    {"n": 2.5, "color": None, "size": 99, "mark": "3.0"},
]


@pytest.mark.parametrize(
    "artifact", ["xgboost_categories", "lightgbm_categories", "xgboost_estimator", "lightgbm_estimator"]
)
def test_categories_are_those_of_the_artifact(libraries: Libraries, tmp_path: Path, artifact: str) -> None:
    folder = libraries.make(artifact, tmp_path)
    expected = libraries.reference("categories_by_hand", folder, CATEGORIES)
    name = "a number" if artifact == "lightgbm_estimator" else "n"
    rows = [{(name if key == "n" else key): cell for key, cell in row.items()} for row in CATEGORIES]
    as_texts = [{**row, "size": str(row["size"])} for row in rows]
    as_numbers = [{**row, "size": float(row["size"])} | ({"mark": 1} if row["mark"] == "1" else {}) for row in rows]
    bodies: list[object] = [rows, as_texts, as_numbers, *([row] for row in rows)]
    together, texts, numbers, *alone = libraries.predict(folder, bodies, *REGRESSION)
    for found in (together, texts, numbers, [row for rows in alone for row in rows]):
        np.testing.assert_allclose([row["t"] for row in found], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("artifact", "others", "kinds"),
    [
        ("xgboost_categories", None, {"n": "number", "color": "text", "mark": "text"}),
        ("lightgbm_categories", None, {"n": "number", "color": "text", "mark": "text"}),
        ("xgboost_estimator", None, {"n": "number", "color": "text", "mark": "text"}),
        ("lightgbm_estimator", None, {"a_number": "number", "color": "text", "mark": "text"}),
        ("lightgbm_integers", "number", {}),
        ("xgboost_three_classes", None, {"a": "number", "b": "number"}),
        ("onnx_kinds", None, {"flag": "boolean", "small": "number", "real": "number"}),
    ],
)
def test_what_an_artifact_knows_of_its_columns(
    libraries: Libraries, tmp_path: Path, artifact: str, others: str | None, kinds: dict[str, str]
) -> None:
    folder = libraries.make(artifact, tmp_path)
    assert libraries.reference("kinds", folder, []) == [others, kinds]


def test_a_pickled_booster_uses_its_best_iteration(libraries: Libraries, tmp_path: Path) -> None:
    folder = libraries.make("lightgbm_pickled_early", tmp_path)
    expected = libraries.reference("best_iteration", folder, ROWS)
    found = libraries.predict(folder, [ROWS], *REGRESSION)[0]
    np.testing.assert_allclose([row["t"] for row in found], expected)


def test_the_cells_of_a_graph_with_inputs_of_several_kinds(libraries: Libraries, tmp_path: Path) -> None:
    folder = libraries.make("onnx_kinds", tmp_path)
    right = {"flag": True, "small": 2, "real": 0.5}
    same = [{"flag": "true"}, {"flag": 1}, {"flag": "TRUE"}, {"small": 2.0}, {"small": "2"}, {"real": "0.5"}]
    found = libraries.predict(folder, [[right], *([right | cell] for cell in same)], *REGRESSION)
    assert found == [[{"t": 1002.5}]] * 7
    wrong: list[tuple[str, Any]] = [("flag", None), ("flag", 2), ("flag", "maybe"), ("flag", 0.5)]
    wrong += [("small", cell) for cell in (None, 2.5, 2**31, -(2**31) - 1, "2.5", "two")] + [("real", "half")]
    answers = libraries.predict(folder, [[right, right | {name: cell}] for name, cell in wrong], *REGRESSION)
    for (name, _), message in zip(wrong, answers, strict=True):
        assert message.startswith(f"422 The column '{name}' has ")
        assert "in row 1; the model takes " in message
