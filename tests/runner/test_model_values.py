"""What hooks and models return: numbers of every kind, labels in every spelling, exceptions of any length."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from modelyard_runner.models.frames import frame_of_rows
from modelyard_runner.models.hooks import Hooks
from modelyard_runner.models.structured import StructuredModel
from modelyard_runner.problems import MAX_MESSAGE_CHARACTERS, LoadError, ModelFault, Refusal, shortened
from modelyard_runner.target import Target, TargetType, match_labels, plain_form, sorted_labels
from modelyard_runner.tasks.faults import TaskError
from modelyard_runner.wire.answers import Answers
from tests.runner.running import StartRunner

REGRESSION = Target(TargetType.REGRESSION, "t")
ANOMALY = Target(TargetType.ANOMALY)
FRAME = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "b": [1.0, 0.0, 1.0, 0.0]})


def answer(target: Target, result: Any, rows: int = 2) -> Any:
    """The rows of predictions that a score hook with this result gives, which can be written as JSON and CSV."""
    model = StructuredModel(Hooks(score=lambda data, model: result), None, target)
    predictions = model.predict(frame_of_rows([{"x": 1}] * rows))
    Answers(model.target).json(predictions, None, None)
    Answers(model.target).csv(predictions, None, 2)
    return [tuple(row) for row in predictions.rows]


@pytest.mark.parametrize(
    "values",
    [
        [Decimal("1.5"), Decimal(2)],
        [Fraction(3, 2), Fraction(2)],
        np.array([1.5, 2], dtype=np.longdouble),
        np.array([1.5, 2], dtype=np.float16),
        [np.float32(1.5), 2],
        pd.array([1.5, 2], dtype="Float64"),
    ],
    ids=["decimal", "fraction", "longdouble", "half", "mixed", "nullable"],
)
@pytest.mark.parametrize(
    "wrap", [lambda values: values, pd.Series, lambda values: pd.DataFrame({"Predictions": values})]
)
def test_numbers_of_any_kind_are_floats(values: Any, wrap: Any) -> None:
    found = answer(REGRESSION, wrap(values))
    assert found == [(1.5,), (2.0,)]
    assert all(type(value) in {int, float} for row in found for value in row)


def test_integers_beyond_64_bits_are_floats_or_reported() -> None:
    assert answer(REGRESSION, [2**70, -(2**65)]) == [(float(2**70),), (float(-(2**65)),)]
    assert answer(REGRESSION, [2**63 - 1, 5]) == [(2**63 - 1,), (5,)]
    with pytest.raises(Refusal, match="int beyond the range of floats in the column 'Predictions' of row 1"):
        answer(REGRESSION, [1, 10**400])
    with pytest.raises(Refusal, match="Decimal beyond the range of floats in the column 'Predictions' of row 0"):
        answer(REGRESSION, pd.DataFrame({"Predictions": [Decimal("1e400"), Decimal(1)]}))


def test_booleans_are_no_regression() -> None:
    for result in ([True, False], np.array([True, False]), pd.DataFrame({"Predictions": [2.5, True]}, dtype=object)):
        with pytest.raises(Refusal, match=r"returned (True|False) \(a bool\) in row \d; a Regression model"):
            answer(REGRESSION, result)
    assert answer(ANOMALY, np.array([True, False])) == [(1.0,), (0.0,)]
    assert answer(Target(TargetType.BINARY, "t"), [True, False]) == [(1.0, 0.0), (0.0, 1.0)]


def test_what_is_no_number_is_reported_by_name() -> None:
    for value, words in ((1j, "1j"), (object, "object"), ("high", "'high'"), (Decimal("NaN"), "NaN"), (pd.NA, "NaN")):
        with pytest.raises(Refusal, match=words):
            answer(REGRESSION, pd.Series([1.0, value], dtype=object))


@pytest.mark.parametrize("noise", [1e-6, -1e-6, 1e-7, -1e-7])
def test_probabilities_within_float_noise_are_accepted(noise: float) -> None:
    binary, three = Target(TargetType.BINARY, "t"), Target(TargetType.MULTICLASS, "t", ("a", "b", "c"))
    answers = [
        *answer(binary, [[noise, 1 - noise], [0.5 + noise, 0.5]]),
        *answer(binary, [1 + noise, noise]),
        *answer(three, [[noise, 1.0, 0.0], [0.2, 0.3, 0.5 + noise]]),
    ]
    assert all(0 <= value <= 1 for row in answers for value in row)
    assert answers[2] == (pytest.approx(1, abs=2e-6), pytest.approx(0, abs=2e-6))
    with pytest.raises(ModelFault, match="probabilities are from 0 to 1"):
        answer(binary, [1 + 20 * noise, 20 * noise, 0.5], 3)


@pytest.mark.filterwarnings("ignore:The inplace keyword")
def test_rows_in_another_order_are_refused() -> None:
    """What a hook sorts by its index would be taken for the predictions of other rows."""

    def model(score: Any) -> StructuredModel:
        return StructuredModel(Hooks(score=score), None, REGRESSION)

    def sorted_in_place(data: Any, model: Any) -> Any:
        data.sort_values("x", inplace=True)
        return data["x"].to_numpy()

    frame = frame_of_rows([{"x": number} for number in (3, 1, 2)])
    for score in (
        lambda data, model: data["x"].sort_values(),
        lambda data, model: data.sort_values("x").rename(columns={"x": "Predictions"}),
        lambda data, model: data["x"][::-1],
        sorted_in_place,
    ):
        with pytest.raises(ModelFault, match="in another order"):
            model(score).predict(frame.copy())
    kept = [(lambda data, model: data["x"]), lambda data, model: data["x"].sort_values().sort_index()]
    for score in (*kept, lambda data, model: pd.Series([3, 1, 2], index=[7, 7, 9])):
        assert [list(row) for row in model(score).predict(frame.copy()).rows] == [[3], [1], [2]]
    own = frame.set_index(pd.Index([2, 0, 1]))  # rows that read_input_data gave labels of its own
    assert [list(row) for row in model(kept[0]).predict(own).rows] == [[3], [1], [2]]


# labels


@pytest.mark.parametrize(
    ("classes", "labels"),
    [
        ([0.0, 1.0], ("0.0", "1.0")),
        ([0.0, 1.0], ("1", "0")),
        ([0, 1], ("0.0", "1.0")),
        ([2.0, 15.0], ("15.00", "2")),
        ([False, True], ("true", "false")),
        ([False, True], ("True", "False")),
        (["0.0", "1.0"], ("1.0", "0.0")),
        (["010", "10"], ("10", "010")),
    ],
)
def test_labels_match_the_classes_they_write(classes: list[Any], labels: tuple[str, str]) -> None:
    target = np.array(classes)[[0, 0, 1, 1]]
    model = LogisticRegression().fit(FRAME, target)
    chances = model.predict_proba(FRAME)
    positive = match_labels([str(each) for each in classes], labels)
    assert positive is not None
    place = next(place for place, each in enumerate(classes) if positive[str(each)] == labels[0])
    bare = StructuredModel(Hooks(), model, Target(TargetType.BINARY, "t", labels))
    predictions = bare.predict(FRAME)
    assert predictions.columns == labels
    assert [row[0] for row in predictions.rows] == pytest.approx(chances[:, place])
    named = pd.DataFrame(chances, columns=model.classes_)
    assert [row[0] for row in answer(Target(TargetType.BINARY, "t", labels), named, rows=4)] == pytest.approx(
        chances[:, place]
    )


def test_other_labels_are_refused() -> None:
    model = LogisticRegression().fit(FRAME, [10, 10, 20, 20])
    for labels in (("010", "20"), ("10", "20.5"), ("10.0", "10")):
        with pytest.raises(LoadError, match="classes are '10', '20'"):
            StructuredModel(Hooks(), model, Target(TargetType.BINARY, "t", labels))


@pytest.mark.parametrize(
    ("labels", "ordered"),
    [
        (["10", "9", "-1"], ("-1", "9", "10")),
        (["1.5", "10", "2"], ("1.5", "2", "10")),
        (["b", "a", "10"], ("10", "a", "b")),
        (["10", "09"], ("09", "10")),
        (["Z", "a"], ("Z", "a")),
    ],
)
def test_labels_are_sorted_as_libraries_do(labels: list[str], ordered: Sequence[str]) -> None:
    assert sorted_labels(labels) == ordered


def test_texts_of_digits_are_sorted_as_texts_where_the_classes_are_texts() -> None:
    assert sorted_labels(["9", "10"], as_texts=True) == ("10", "9")


def test_plain_forms() -> None:
    same = {"1": ["1", "1.0", "1.00", "1e0", "10e-1"], "true": ["True", "TRUE"], "0.5": ["0.50", "5e-1"]}
    assert all(plain_form(text) == form for form, texts in same.items() for text in texts)
    for text in ("01", "+1", " 1", "1_0", "nan", "inf", "12345678901234567890"):
        assert plain_form(text) == text


# messages


def test_long_messages_are_cut_and_say_so() -> None:
    message = "x" * 100_000
    assert shortened("short") == "short"
    for text in (
        shortened(message),
        Refusal(422, message).message,
        LoadError(message).message,
        TaskError(message).message,
    ):
        assert len(text) <= MAX_MESSAGE_CHARACTERS
        assert "of 100000 characters are left out; see the log" in text


def test_a_long_exception_reaches_the_client_cut_and_the_log_whole(start_runner: StartRunner) -> None:
    code = """
        def score(data, model):
            raise ValueError("secret" + "y" * 100_000 + "end")
    """
    runner = start_runner({"custom.py": code}, ("--target-type", "regression"))
    answer = runner.predict([{"x": 1}])
    assert answer.status == 422
    assert answer.message().startswith("The model failed: ValueError: secretyyy")
    assert len(answer.message()) <= MAX_MESSAGE_CHARACTERS
    assert "characters are left out; see the log" in answer.message()
    assert "y" * 100_000 + "end" in runner.log()
