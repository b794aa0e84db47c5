"""Predictions as numbers in a file: float64, a row for each row of the table, little-endian."""

from typing import Any

import numpy as np

from modelyard_runner.target import Target, TargetType
from modelyard_runner.wire.outputs import Predictions

MOST_ROWS = 50_000
MOST_CELLS = 1_000_000
"""So much is scored at a time: while a prediction is checked its cells are Python's own numbers, which are large."""


def width(target: Target) -> int:
    """The columns of the file: one for each class of several, else one."""
    return len(target.labels) if target.kind is TargetType.MULTICLASS else 1


def block_rows(target: Target) -> int:
    """How many rows are scored at a time."""
    return max(1, min(MOST_ROWS, MOST_CELLS // max(1, len(target.labels))))


def prediction_matrix(target: Target, predictions: Predictions) -> Any:
    """Predictions as the file holds them: of a binary target the probability of the positive class."""
    matrix = np.array(predictions.rows, dtype="<f8").reshape(len(predictions.rows), -1)
    return np.ascontiguousarray(matrix[:, : width(target)])
