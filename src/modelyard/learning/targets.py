"""What a project learns: its target type, classes and metric, from what is known of the data."""

from collections.abc import Sequence
from typing import Literal

import polars as pl

from modelyard.datasets.profile import Column

TargetType = Literal["Binary", "Regression", "Multiclass", "Anomaly"]
Metric = Literal["LogLoss", "AUC", "Accuracy", "RMSE", "MAE", "R Squared", "Gamma Deviance", "Poisson Deviance"]

METRICS: dict[str, tuple[Metric, ...]] = {
    "Binary": ("LogLoss", "AUC", "Accuracy"),
    "Multiclass": ("LogLoss", "AUC", "Accuracy"),
    "Regression": ("RMSE", "MAE", "R Squared", "Gamma Deviance", "Poisson Deviance"),
    "Anomaly": (),
}
"""What models of a target type are measured by; the first is what a project ranks by where it says nothing."""

HIGHER_IS_BETTER = frozenset({"AUC", "Accuracy", "R Squared"})
MAX_CLASSES = 1000
MIN_ROWS = 10


def default_metric(target_type: str) -> Metric | None:
    return next(iter(METRICS[target_type]), None)


def infer_type(column: Column) -> TargetType:
    """Two different values are classes, other numbers are a quantity, all else are classes."""
    if column.unique_count == 2:
        return "Binary"
    return "Regression" if column.type == "Numeric" else "Multiclass"


def target_fault(column: Column, target_type: str) -> str | None:
    """Why nothing of this type can be learned of the column, or ``None``."""
    if column.missing_count:
        return f"column {column.name!r} has no value in {column.missing_count} rows; leave them out of the dataset"
    if column.unique_count < 2:
        return f"column {column.name!r} has one value only, so there is nothing to learn"
    if target_type == "Binary" and column.unique_count != 2:
        return f"column {column.name!r} has {column.unique_count} different values; a Binary target has two"
    if target_type == "Multiclass" and column.unique_count > MAX_CLASSES:
        return (
            f"column {column.name!r} has {column.unique_count} different values; a Multiclass target may have "
            f"{MAX_CLASSES}"
        )
    if target_type == "Regression" and column.type != "Numeric":
        return f"column {column.name!r} is {column.type}; a Regression target is Numeric"
    return None


def class_labels(values: pl.Series) -> list[str]:
    """The classes of a target in their order: numbers by size, all else by text."""
    found = values.unique().sort().to_list()
    return [label_text(value) for value in found]


def label_text(value: object) -> str:
    """A class as the text that it is named by: 1, 1.0 are both ``1``. As in the runner's ``target.label_text``."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def in_order(labels: Sequence[str], positive: str | None) -> list[str]:
    """The labels as the runner wants them: of two the positive class first, by default the last one."""
    if len(labels) != 2:
        return list(labels)
    first = positive if positive is not None else labels[-1]
    return [first, next(label for label in labels if label != first)]
