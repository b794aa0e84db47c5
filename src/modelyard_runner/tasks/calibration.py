"""Anomaly scores of any scale as the share of the training rows that score lower: from 0 to 1, in the same order."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

CALIBRATION_FILE = "calibration.json"
LEVELS = 1_001


class Calibration:
    """Quantiles of the scores of the training rows, evenly spaced from the lowest to the highest.

    The share of a score is that of the rows below it, of all others: 0 for the lowest, 1 for the highest where it
    appears once. What lies between two quantiles is interpolated.
    """

    def __init__(self, quantiles: Sequence[float]) -> None:
        self._quantiles = np.asarray(quantiles, dtype=np.float64)
        self._levels = np.linspace(0.0, 1.0, len(self._quantiles))

    @classmethod
    def of(cls, scores: Any) -> "Calibration":
        """The calibration by the scores of the training rows."""
        return cls(np.quantile(scores, np.linspace(0.0, 1.0, LEVELS)).tolist())

    def apply(self, scores: Any) -> Any:
        """Scores as values from 0 to 1, interpolated between the quantiles."""
        scores = np.asarray(scores, dtype=np.float64)
        first = np.searchsorted(self._quantiles, scores, side="left")
        is_known = first < np.searchsorted(self._quantiles, scores, side="right")
        between = np.interp(scores, self._quantiles, self._levels)
        return np.where(is_known, self._levels[np.minimum(first, len(self._levels) - 1)], between)

    def save(self, folder: Path) -> None:
        """Write the quantiles."""
        content = {"version": 1, "quantiles": self._quantiles.tolist()}
        (folder / CALIBRATION_FILE).write_text(json.dumps(content), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Calibration":
        """Read what `save` wrote. Raises OSError or ValueError."""
        return cls(json.loads((folder / CALIBRATION_FILE).read_text(encoding="utf-8"))["quantiles"])
