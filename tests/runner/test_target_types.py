"""What a model of each target type may return, and how it is answered."""

import csv
from typing import Any

import pytest

from tests.runner.running import YES_NO, RunningRunner, StartRunner

# Each test chooses what the model returns by the column `case` of its row.
CODE = """
    import numpy as np
    import pandas as pd

    CASES = {cases}

    def score(data, model, **kwargs):
        return eval(CASES[data["case"].iloc[0]], {{"np": np, "pd": pd, "n": len(data), "data": data, "kwargs": kwargs}})
"""


def a_runner(start: StartRunner, cases: dict[str, str], *options: str) -> RunningRunner:
    return start({"custom.py": CODE.format(cases=cases)}, options)


def first_row(runner: RunningRunner, case: str) -> Any:
    return runner.predict([{"case": case}]).rows()[0]


def refusal(runner: RunningRunner, case: str, rows: int = 1) -> str:
    answer = runner.predict([{"case": case}] * rows)
    assert answer.status == 422, answer.body
    return answer.message()


def test_regression(start_runner: StartRunner) -> None:
    cases = {
        "frame": "pd.DataFrame({'Predictions': np.arange(n) + 0.5})",
        "array": "np.full((n, 1), 2)",
        "float32": "np.full(n, 0.5, dtype=np.float32)",
        "objects": "np.array([np.float64(1.5)] * n, dtype=object)",
        "series": "pd.Series([3.5] * n, name='y')",
        "list": "[1] * n",
        "rows": "[1.0] * (n + 1)",
        "two columns": "pd.DataFrame({'a': [1.0] * n, 'b': 2})",
        "wrong name": "pd.DataFrame({'price': [1.0] * n})",
        "nan": "[float('nan')] * n",
        "none": "pd.DataFrame({'Predictions': [None] * n})",
        "infinite": "[float('inf')] * n",
        "text": "['high'] * n",
        "nothing": "None",
        "number": "3",
        "raise": "data['missing column']",
    }
    runner = a_runner(start_runner, cases, "--target-type", "regression", "--target-name", "price %d")
    label = "price %d"
    assert first_row(runner, "frame") == {
        "rowId": 0,
        "prediction": 0.5,
        "predictionValues": [{"label": label, "value": 0.5}],
    }
    rows = runner.predict([{"case": "frame"}] * 3).rows()
    assert [(row["rowId"], row["prediction"]) for row in rows] == [(0, 0.5), (1, 1.5), (2, 2.5)]
    for case, value in (("array", 2), ("float32", 0.5), ("objects", 1.5), ("series", 3.5), ("list", 1)):
        assert first_row(runner, case)["prediction"] == value
    assert runner.predict("case\nframe\nframe\n", accept="text/csv").lines() == ["price %d_PREDICTION", "0.5", "1.5"]
    assert runner.predict("case\nlist\n", path="/predict/").json() == {"predictions": [1]}
    assert "3 rows for 2 rows" in refusal(runner, "rows", rows=2)
    assert "'a', 'b'" in refusal(runner, "two columns")
    assert "'price'" in refusal(runner, "wrong name")
    for case, words in (
        ("nan", "NaN"),
        ("none", "missing value"),
        ("infinite", "infinite"),
        ("text", "'high'"),
        ("nothing", "NoneType"),
        ("number", "int"),
        ("raise", "KeyError: 'missing column'"),
    ):
        assert words in refusal(runner, case)
    assert "Traceback" in runner.log()


def test_binary(start_runner: StartRunner) -> None:
    cases = {
        "named": "pd.DataFrame({'no': [0.25] * n, 'yes': 0.75})",
        "positive first": "pd.DataFrame({'yes': [0.75] * n, 'no': 0.25})",
        "unnamed": "np.array([[0.25, 0.75]] * n)",
        "one column": "pd.DataFrame({'Predictions': [0.75] * n})",
        "one dimension": "[0.75] * n",
        "only negative": "pd.DataFrame({'no': [0.25] * n})",
        "keywords": "pd.DataFrame({kwargs['negative_class_label']: [0.25] * n, kwargs['positive_class_label']: 0.75})",
        "wrong names": "pd.DataFrame({'a': [0.25] * n, 'b': 0.75})",
        "three columns": "np.array([[0.25, 0.5, 0.25]] * n)",
        "sum": "pd.DataFrame({'no': [0.5] * n, 'yes': 0.75})",
        "range": "pd.DataFrame({'no': [-0.5] * n, 'yes': 1.5})",
        "nan": "pd.DataFrame({'no': [0.5] * n, 'yes': float('nan')})",
        "nearly one": "pd.DataFrame({'no': [0.2501] * n, 'yes': 0.7501})",
    }
    runner = a_runner(start_runner, cases, *YES_NO)
    for case in ("named", "positive first", "unnamed", "one column", "one dimension", "only negative", "keywords"):
        row = first_row(runner, case)
        assert row["prediction"] == "yes", case
        assert row["predictionValues"] == [{"label": "yes", "value": 0.75}, {"label": "no", "value": 0.25}], case
        assert row["predictionThreshold"] == 0.5
    assert first_row(runner, "nearly one")["predictionValues"][0]["value"] == 0.7501
    assert "'a', 'b'" in refusal(runner, "wrong names")
    assert "3 columns for the 2 classes" in refusal(runner, "three columns")
    assert "sum up to 1.25" in refusal(runner, "sum")
    assert "from 0 to 1" in refusal(runner, "range")
    assert "NaN" in refusal(runner, "nan")


def test_binary_labels_are_matched_as_strings(start_runner: StartRunner) -> None:
    cases = {
        "numbers": "pd.DataFrame({1: [0.75] * n, 0: 0.25})",
        "floats": "pd.DataFrame({1.0: [0.75] * n, 0.0: 0.25})",
        "texts": "pd.DataFrame({'0': [0.25] * n, '1': 0.75})",
    }
    runner = a_runner(start_runner, cases, "--target-type", "binary")
    for case in cases:
        row = first_row(runner, case)
        assert row["predictionValues"] == [{"label": "1", "value": 0.75}, {"label": "0", "value": 0.25}], case


def test_multiclass(start_runner: StartRunner) -> None:
    cases = {
        "named": "pd.DataFrame({'b, c': [0.5] * n, 'a\"': 0.2, 'ü': 0.3})",
        "unnamed": "np.array([[0.2, 0.5, 0.3]] * n)",
        "missing class": "pd.DataFrame({'b, c': [0.5] * n, 'a\"': 0.5})",
        "sum": "np.array([[0.2, 0.5, 0.4]] * n)",
        "labels": "np.array([[float(label == 'ü') for label in kwargs['class_labels']]] * n)",
    }
    runner = a_runner(
        start_runner, cases, "--target-type", "multiclass", "--target-name", "kind", "--class-labels", 'a"', "b, c", "ü"
    )
    for case in ("named", "unnamed"):
        assert first_row(runner, case) == {
            "rowId": 0,
            "prediction": "b, c",
            "predictionValues": [
                {"label": "b, c", "value": 0.5},
                {"label": "ü", "value": 0.3},
                {"label": 'a"', "value": 0.2},
            ],
        }
    assert first_row(runner, "labels")["prediction"] == "ü"
    rows = list(csv.reader(runner.predict("case\nnamed\n", accept="text/csv").lines()))
    assert rows == [
        ['kind_a"_PREDICTION', "kind_b, c_PREDICTION", "kind_ü_PREDICTION", "kind_PREDICTION"],
        ["0.2", "0.5", "0.3", "b, c"],
    ]
    assert "class labels are" in refusal(runner, "missing class")
    assert "sum up to 1.1" in refusal(runner, "sum")


def test_multiclass_labels_of_a_file(start_runner: StartRunner, tmp_path: Any) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("red\ngreen\nblue\n")
    cases = {"unnamed": "np.array([[0, 0.25, 0.75]] * n)"}
    options = ("--target-type", "multiclass", "--class-labels-file", str(labels))
    assert first_row(a_runner(start_runner, cases, *options), "unnamed")["prediction"] == "blue"


def test_anomaly(start_runner: StartRunner) -> None:
    runner = a_runner(start_runner, {"a": "[0.875] * n"}, "--target-type", "anomaly")
    assert first_row(runner, "a")["predictionValues"] == [{"label": "anomaly_score", "value": 0.875}]
    assert runner.predict("case\na\n", accept="text/csv").lines() == ["anomaly_score_PREDICTION", "0.875"]


def test_text_generation(start_runner: StartRunner) -> None:
    cases = {
        "target": "pd.DataFrame({'tokens': [5] * n, 'reply': 'Hello, \"you\"'})",
        "single": "pd.DataFrame({'text': ['Hello'] * n})",
        "empty": "[''] * n",
        "two": "pd.DataFrame({'a': ['x'] * n, 'b': 'y'})",
        "number": "[1] * n",
        "missing": "pd.DataFrame({'reply': [None] * n})",
    }
    runner = a_runner(start_runner, cases, "--target-type", "textgeneration", "--target-name", "reply")
    text = 'Hello, "you"'
    row = first_row(runner, "target")
    assert row == {"rowId": 0, "prediction": text, "predictionValues": [{"label": "reply", "value": text}]}
    assert first_row(runner, "single")["prediction"] == "Hello"
    lines = runner.predict("case\ntarget\n", accept="text/csv").lines()
    assert list(csv.reader(lines)) == [["reply_PREDICTION"], [text]]
    assert runner.predict("case\nempty\n", accept="text/csv").lines() == ["reply_PREDICTION", '""']
    assert "'a', 'b'" in refusal(runner, "two")
    assert "has to be text" in refusal(runner, "number")
    assert "has to be text" in refusal(runner, "missing")


def test_transform(start_runner: StartRunner) -> None:
    cases = {
        "frame": "pd.DataFrame({'x': [1.25] * n, 'y': [float('nan')] * n, 'z': 'a,b'})",
        "array": "np.array([[1, 2]] * n)",
    }
    runner = a_runner(start_runner, cases, "--target-type", "transform")
    assert first_row(runner, "frame") == {
        "rowId": 0,
        "prediction": [1.25, None, "a,b"],
        "predictionValues": [
            {"label": "x", "value": 1.25},
            {"label": "y", "value": None},
            {"label": "z", "value": "a,b"},
        ],
    }
    assert first_row(runner, "array")["prediction"] == [1, 2]
    answer = runner.predict("case\nframe\n", accept="text/csv", query=[("decimalsNumber", 1)])
    assert answer.lines() == ["x,y,z", '1.2,,"a,b"']


def test_hooks_are_called_in_order(start_runner: StartRunner) -> None:
    code = """
        import io, json
        import pandas as pd

        def init(code_dir):
            global PREFIX
            PREFIX = code_dir[-5:]

        def load_model(code_dir):
            return [PREFIX == code_dir[-5:]]

        def read_input_data(input_binary_data):
            return pd.DataFrame({"x": [float(word) for word in input_binary_data.split(b";")]})

        def transform(data, model):
            assert model == [True]
            return data.assign(x=data.x * 10)

        def score(data, model):
            return pd.DataFrame({"Predictions": data.x + 1})

        def post_process(predictions, model):
            return predictions * 2
    """
    runner = start_runner({"custom.py": code}, ("--target-type", "regression", "--batch", "on"))
    rows = runner.predict(b"1;2;3", "application/x-semicolons").rows()
    assert [row["prediction"] for row in rows] == [22, 42, 62]
    answer = runner.predict(b"1;2", "application/x-semicolons", query=[("passthroughColumnsSet", "all")])
    assert answer.status == 422
    assert "passed through" in answer.message()


def test_missing_values_arrive_as_nan(start_runner: StartRunner) -> None:
    code = """
        import numpy as np

        def score(data, model):
            assert all(not (value is None) for value in data.to_numpy().ravel())
            return data.isna().sum(axis=1).to_numpy()
    """
    runner = start_runner({"custom.py": code}, ("--target-type", "regression"))
    columns = {"number": 1.5, "integer": 2, "text": "t", "flag": True, "list": [1]}
    empty = dict.fromkeys(columns)
    assert [row["prediction"] for row in runner.predict([columns, empty, {}]).rows()] == [0, 5, 5]
    assert [row["prediction"] for row in runner.predict([empty]).rows()] == [5]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--target-type", "guess"), "unknown target type 'guess'"),
        ((), "--target-type is missing"),
        (("--target-type", "binary", "--positive-class-label", "1"), "--negative-class-label"),
        (("--target-type", "binary", "--threshold", "1.5"), "from 0 to 1"),
        (("--target-type", "multiclass", "--class-labels", "a", "a"), "twice"),
    ],
)
def test_contradictory_options(start_runner: StartRunner, options: tuple[str, ...], words: str) -> None:
    runner = start_runner({}, options, ready=False)
    assert runner.process.wait(20) == 2
    assert words in runner.log().splitlines()[-1]


def test_options_from_the_environment(start_runner: StartRunner) -> None:
    environment = {
        "MODELYARD_TARGET_TYPE": "binary",
        "MODELYARD_TARGET_NAME": "churn",
        "MODELYARD_POSITIVE_CLASS_LABEL": "left",
        "MODELYARD_NEGATIVE_CLASS_LABEL": "stayed",
        "MODELYARD_PREDICTION_THRESHOLD": "0.9",
    }
    code = "def score(data, model):\n    return [0.75] * len(data)\n"
    runner = start_runner({"custom.py": code}, (), environment=environment)
    row = runner.predict([{"x": 1}]).rows()[0]
    assert row["prediction"] == "stayed"
    assert row["predictionThreshold"] == 0.9
    assert row["predictionValues"][0] == {"label": "left", "value": 0.75}


def test_a_transform_hook_is_a_whole_transform(start_runner: StartRunner) -> None:
    code = """
        def load_model(code_dir):
            return 10

        def transform(data, model):
            return data[["x"]] * model
    """
    runner = start_runner({"custom.py": code}, ("--target-type", "Transform"))
    rows = runner.predict([{"x": 1}, {"x": 2}]).rows()
    assert [row["predictionValues"] for row in rows] == [[{"label": "x", "value": 10}], [{"label": "x", "value": 20}]]
