"""When a prediction is what a dataset says."""

from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from modelyard.models.testing.checks import holds_labels, matches
from modelyard.models.testing.conversation import Prediction


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("1", 1.0),
        ("1", 1),
        ("1.0", 1),
        ("0.50", 0.5),
        ("true", True),
        ("True", True),
        ("yes", "yes"),
        ("007", "007"),
        ("2024-01-31", date(2024, 1, 31)),
        ("12345678901234567890", "12345678901234567890"),
    ],
)
def test_the_same_label(label: str, expected: Any) -> None:
    assert matches(Prediction(label, {label: 0.9, "other": 0.1}), expected, 0)
    assert holds_labels(pl.Series([expected, None]), [label, "other"])


@pytest.mark.parametrize(("label", "expected"), [("1", 2.0), ("007", 7), ("1", True), ("yes", "Yes"), ("1", "one")])
def test_another_label(label: str, expected: Any) -> None:
    assert not matches(Prediction(label, {label: 0.9, "other": 0.1}), expected, 0)
    assert not holds_labels(pl.Series([expected]), [label, "other"])


def test_labels_that_are_the_same_number_are_compared_as_written() -> None:
    assert not holds_labels(pl.Series([1.0]), ["1", "1.0"])


def test_probabilities_are_no_labels() -> None:
    assert holds_labels(pl.Series([1.0, 0.0]), ["1", "0"])
    assert not holds_labels(pl.Series([1.0, 0.25]), ["1", "0"])
    assert matches(Prediction("1", {"1": 0.75, "0": 0.25}), 0.75, 0, "1")
    assert not matches(Prediction("1", {"1": 0.75, "0": 0.25}), 1.0, 0.1, "1")


@pytest.mark.parametrize(
    ("found", "expected", "precision"),
    [
        (100.001, 100, 0.001),
        (100, 100.001, 0.001),
        (0.3, 0.1 + 0.2, 0),
        (1e-3, 0, 1e-3),
        (-5.1, -5.0, 0.1),
        (1e17, 10**17, 0),
        (2.5, Decimal("2.501"), 0.001),
    ],
)
def test_a_number_within_the_precision(found: float, expected: Any, precision: float) -> None:
    assert matches(Prediction(found, {"y": found}), expected, precision)


@pytest.mark.parametrize(
    ("found", "expected", "precision"), [(100.00100001, 100, 0.001), (1.0, float("nan"), 1), (1.0, float("inf"), 1)]
)
def test_a_number_beyond_the_precision(found: float, expected: Any, precision: float) -> None:
    assert not matches(Prediction(found, {"y": found}), expected, precision)
