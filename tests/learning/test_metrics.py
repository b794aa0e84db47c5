"""Metrics against their definitions, written down a second time in the slowest and plainest way."""

import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.learning.metrics import distribution, mean_of, of_classes, of_numbers

LEVELS = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0])
ROW = st.tuples(st.integers(0, 1), LEVELS, st.sampled_from([0.0, 0.5, 1.0, 3.0]))


def both(positive: list[float]) -> pl.DataFrame:
    return pl.DataFrame({"yes": positive, "no": [1 - one for one in positive]})


@given(st.lists(ROW, min_size=1, max_size=40))
def test_of_two_classes(rows: list[tuple[int, float, float]]) -> None:
    """Class 0 is the positive one, whose probability is given."""
    actual = pl.Series([number for number, _, _ in rows])
    weights = pl.Series([weight for _, _, weight in rows])
    found = of_classes(actual, both([share for _, share, _ in rows]), weights)
    total = sum(weight for _, _, weight in rows)
    if not total:
        assert set(found.values()) == {None}
        return
    losses = [
        -math.log(min(max(share if number == 0 else 1 - share, 1e-15), 1 - 1e-15)) * weight
        for number, share, weight in rows
    ]
    assert found["LogLoss"] == pytest.approx(sum(losses) / total, abs=1e-9)
    right = sum(weight for number, share, weight in rows if (share >= 0.5) == (number == 0))
    assert found["Accuracy"] == pytest.approx(right / total)
    pairs = [
        (hit_weight * miss_weight, 1.0 if hit > miss else 0.5 if hit == miss else 0.0)
        for number, hit, hit_weight in rows
        if number == 0
        for other, miss, miss_weight in rows
        if other == 1
    ]
    possible = sum(weight for weight, _ in pairs)
    expected = sum(weight * win for weight, win in pairs) / possible if possible else None
    assert found["AUC"] == (None if expected is None else pytest.approx(expected))


def test_of_three_classes() -> None:
    actual = pl.Series([0, 1, 2, 2])
    shares = pl.DataFrame({"a": [0.7, 0.2, 0.1, 0.5], "b": [0.2, 0.5, 0.3, 0.3], "c": [0.1, 0.3, 0.6, 0.2]})
    found = of_classes(actual, shares, None)
    assert found["LogLoss"] == pytest.approx(-sum(map(math.log, [0.7, 0.5, 0.6, 0.2])) / 4)
    assert found["Accuracy"] == 0.75
    assert found["AUC"] == pytest.approx((1 + 1 + 3 / 4) / 3)  # each class against the others


def test_a_class_that_is_not_there_has_no_area() -> None:
    assert of_classes(pl.Series([0, 0]), both([0.2, 0.9]), None)["AUC"] is None


def test_of_numbers() -> None:
    actual, predicted = pl.Series([1, 2, 4]), pl.Series([1.5, 2.0, 3.0])
    found = of_numbers(actual, predicted, None)
    assert found["RMSE"] == pytest.approx(math.sqrt((0.25 + 0 + 1) / 3))
    assert found["MAE"] == pytest.approx(0.5)
    assert found["R Squared"] == pytest.approx(1 - 1.25 / ((4 / 3) ** 2 + (1 / 3) ** 2 + (5 / 3) ** 2))
    pairs = list(zip([1.0, 2.0, 4.0], [1.5, 2.0, 3.0], strict=True))
    assert found["Gamma Deviance"] == pytest.approx(sum(2 * (math.log(p / a) + a / p - 1) for a, p in pairs) / 3)
    assert found["Poisson Deviance"] == pytest.approx(sum(2 * (a * math.log(a / p) - a + p) for a, p in pairs) / 3)


def test_weights_count_rows_several_times() -> None:
    twice = of_numbers(pl.Series([1.0, 2.0, 2.0, 5.0]), pl.Series([1.1, 2.5, 2.5, 4.0]), None)
    weighted = of_numbers(pl.Series([1.0, 2.0, 5.0]), pl.Series([1.1, 2.5, 4.0]), pl.Series([1, 2, 1]))
    assert weighted == {name: pytest.approx(value) for name, value in twice.items()}


def test_deviances_are_for_positive_numbers() -> None:
    found = of_numbers(pl.Series([0.0, 1.0]), pl.Series([0.5, 1.0]), None)
    assert found["Gamma Deviance"] is None
    assert found["Poisson Deviance"] == pytest.approx((2 * 0.5) / 2)
    assert of_numbers(pl.Series([-1.0, 1.0]), pl.Series([1.0, 1.0]), None)["Poisson Deviance"] is None


def test_a_target_of_one_value_has_no_r_squared() -> None:
    assert of_numbers(pl.Series([2.0, 2.0]), pl.Series([1.0, 2.0]), None)["R Squared"] is None


def test_how_scores_spread() -> None:
    found = distribution(pl.Series([0.0, 1.0, 2.0, 3.0]))
    assert (found["count"], found["mean"]) == (4, 1.5)
    assert found["quantiles"] == pytest.approx(
        {"0": 0, "0.01": 0.03, "0.05": 0.15, "0.25": 0.75, "0.5": 1.5, "0.75": 2.25, "0.95": 2.85, "0.99": 2.97, "1": 3}
    )


def test_the_mean_over_folds_needs_every_fold() -> None:
    folds: list[dict[str, float | None]] = [{"R Squared": 0.5, "RMSE": 1.0}, {"R Squared": None, "RMSE": 3.0}]
    assert mean_of(folds) == {"R Squared": None, "RMSE": 2.0}
    assert mean_of([]) == {}


def test_the_area_is_that_of_the_folds_that_have_all_classes() -> None:
    assert mean_of([{"AUC": 0.5}, {"AUC": None}, {"AUC": 0.7}]) == {"AUC": pytest.approx(0.6)}
    assert mean_of([{"AUC": None}, {"AUC": None}]) == {"AUC": None}


@pytest.mark.parametrize("size", [1e-300, 5e-324, 1e300])
def test_only_the_ratios_of_weights_count(size: float) -> None:
    actual, scores, numbers = pl.Series([0, 1, 0, 1]), [0.9, 0.6, 0.4, 0.2], pl.Series([1.0, 2.0, 4.0, 4.5])
    weights = pl.Series([2.0, 1.0, 1.0, 3.0])
    assert of_classes(actual, both(scores), weights * size) == pytest.approx(of_classes(actual, both(scores), weights))
    predicted = pl.Series([1.5, 2.0, 3.0, 5.0])
    assert of_numbers(numbers, predicted, weights * size) == pytest.approx(of_numbers(numbers, predicted, weights))
