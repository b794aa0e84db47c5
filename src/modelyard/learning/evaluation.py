"""Measuring what a training predicted for the rows that it did not see."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from modelyard.learning.metrics import distribution, mean_of, of_classes, of_numbers
from modelyard.learning.partitions import FINAL, Fit
from modelyard.learning.results import read_output
from modelyard.learning.table_files import plain_column, read_column
from modelyard.learning.tables import LearningModel, Project
from modelyard.learning.targets import label_text
from modelyard.operations.work import OperationFailed
from modelyard.storage.blobs import BlobStore

SUM_TOLERANCE = 1e-3
VALUE_BYTES = 8


class WrongPredictionsError(Exception):
    """What the training predicted are no predictions; the text says why."""


@dataclass(frozen=True)
class Evaluation:
    """Metrics by partition and by fit, and for anomalies how the scores spread."""

    metrics: dict[str, dict[str, float | None]]
    by_fit: dict[str, dict[str, float | None]]
    distribution: dict[str, Any] | None


def evaluate(
    blobs: BlobStore, staging: Path, project: Project, model: LearningModel, fits: Sequence[Fit], work: Path
) -> Evaluation:
    """Reads the predictions of each fit and compares them. Raises ``WrongPredictionsError``."""
    parts = read_parts(blobs, project)
    actual = _actual(blobs, staging, project)
    weights = None
    if model.row_weights_column is not None:
        weights = read_weights(blobs, staging, project, model.row_weights_column)
    by_fit: dict[str, dict[str, float | None]] = {}
    scores: list[pl.Series] = []
    for fit in fits:
        if not fit.score:
            continue
        chosen = parts.is_in(fit.score)
        found = read_predictions(work, f"predictions/{fit.id}.bin", int(chosen.sum()), width(project), fit.id)
        check_predictions(project, found, fit.id)
        own_weights = None if weights is None else weights.filter(chosen)
        if actual is None:
            scores += [] if fit.id == FINAL else [found.to_series()]
        elif project.target_type == "Regression":
            by_fit[fit.id] = of_numbers(actual.filter(chosen), found.to_series(), own_weights)
        else:
            by_fit[fit.id] = of_classes(actual.filter(chosen), with_both_classes(project, found), own_weights)
    validated = [by_fit[fit.id] for fit in fits if fit.id != FINAL and fit.id in by_fit]
    metrics = {}
    if validated:
        metrics["crossValidation" if project.partitioning["method"] == "cv" else "validation"] = mean_of(validated)
    if FINAL in by_fit:
        metrics["holdout"] = by_fit[FINAL]
    return Evaluation(metrics, by_fit, distribution(pl.concat(scores)) if scores else None)


def width(project: Project) -> int:
    """How many numbers are predicted for a row."""
    return len(project.class_labels) if project.target_type == "Multiclass" else 1


def read_predictions(work: Path, path: str, rows: int, columns: int, what: str) -> pl.DataFrame:
    """Predictions as the runner writes them: float64, row by row. Raises ``WrongPredictionsError``."""
    wanted = rows * columns * VALUE_BYTES
    content = read_output(work, path, wanted)
    if content is None or len(content) != wanted:
        raise WrongPredictionsError(f"{what}: there are no predictions for just {rows} rows")
    values = pl.Series(pa.Array.from_buffers(pa.float64(), rows * columns, [None, pa.py_buffer(content)]))
    return pl.DataFrame([values.gather_every(columns, offset).alias(str(offset)) for offset in range(columns)])


def check_predictions(project: Project, found: pl.DataFrame, what: str) -> None:
    """Raises ``WrongPredictionsError`` unless these are numbers, and of classes probabilities."""
    if not all(bool(column.is_finite().all()) for column in found.iter_columns()):
        raise WrongPredictionsError(f"{what}: predictions must be finite numbers")
    if project.target_type not in {"Binary", "Multiclass"}:
        return
    if not all(bool(((column >= 0) & (column <= 1)).all()) for column in found.iter_columns()):
        raise WrongPredictionsError(f"{what}: probabilities must be from 0 to 1")
    if project.target_type == "Multiclass" and not bool(((found.sum_horizontal() - 1).abs() <= SUM_TOLERANCE).all()):
        raise WrongPredictionsError(f"{what}: the probabilities of each row must sum to 1")


def with_both_classes(project: Project, found: pl.DataFrame) -> pl.DataFrame:
    """One column per class, of two the positive first."""
    if project.target_type != "Binary":
        return found
    return found.select(pl.col("0"), (1 - pl.col("0")).alias("1"))


def read_parts(blobs: BlobStore, project: Project) -> pl.Series:
    """The part of each row of the project's data."""
    content = blobs.read(str(project.partition_digest))
    return pl.Series(pa.Array.from_buffers(pa.int16(), project.row_count, [None, pa.py_buffer(content)]))


def read_weights(blobs: BlobStore, staging: Path, project: Project, column: str) -> pl.Series:
    """The weights of all rows; raises ``OperationFailed`` unless they can be that."""
    weights = read_column(blobs, staging, project.table_digest, column).cast(pl.Float64)
    if weights.null_count() or not bool((weights.is_finite() & (weights >= 0)).all()) or not weights.sum() > 0:
        raise OperationFailed(f"rowWeightsColumn: {column!r} must be a number from 0 in every row, above 0 in some.")
    return weights


def _actual(blobs: BlobStore, staging: Path, project: Project) -> pl.Series | None:
    """The target: numbers, or the number of each row's class."""
    if project.target is None:
        return None
    target = read_column(blobs, staging, project.table_digest, project.target)
    if project.target_type == "Regression":
        return target.cast(pl.Float64)
    places = {label: number for number, label in enumerate(project.class_labels)}
    target = plain_column(target)
    values = target.unique().to_list()
    return target.replace_strict(values, [places[label_text(value)] for value in values], return_dtype=pl.Int64)
