"""Whether what a model returned is a prediction, and the prediction in one form.

Rules (contract/supporting-endpoints.md C.4): as many rows as the input; regression and anomaly have one column of
finite numbers named `Predictions`; classification has one column per class label, values from 0 to 1 (what lies
outside by `NOISE` at most is taken for 0 or 1) whose sum is 1 within `SUM_TOLERANCE`; one column of a binary model is
the probability of the positive class; columns without names are (negative, positive), or the order of the multiclass
labels; text generation has one text column.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modelyard_runner.problems import ModelFault, listing
from modelyard_runner.target import Target, TargetType, label_text

SUM_TOLERANCE = 1e-3
NOISE = 1e-6
"""How far rounding in single precision may take a probability out of 0 to 1."""
PREDICTIONS_COLUMN = "Predictions"

Rows = Sequence[Sequence[Any]]


@dataclass(slots=True)
class Output:
    """What a model returned: rows of cells, and the names of the columns where it gave any."""

    rows: Rows
    columns: list[Any] | None = None


@dataclass(slots=True)
class Predictions:
    """Checked predictions, row by row.

    The columns of regression, anomaly and text generation are one value; of binary (positive, negative) probabilities;
    of multiclass the probabilities in the order of the class labels; of transform whatever the model returned.
    """

    columns: tuple[str, ...]
    rows: Rows

    def part(self, start: int, stop: int) -> "Predictions":
        """The predictions of some of the rows."""
        return Predictions(self.columns, self.rows[start:stop])


def check(target: Target, output: Output, row_count: int) -> Predictions:
    """Turn a model's output for `row_count` input rows into predictions; raises ModelFault with what is wrong."""
    if len(output.rows) != row_count:
        raise ModelFault(f"The model returned {len(output.rows)} rows for {row_count} rows of input.")
    widths = {len(row) for row in output.rows}
    if len(widths) > 1:
        raise ModelFault(f"The model returned rows of different lengths: {sorted(widths)}.")
    width = widths.pop() if widths else 0
    if output.columns is not None and len(output.columns) != width:
        raise ModelFault(f"The model returned {width} values per row for {len(output.columns)} columns.")
    match target.kind:
        case TargetType.REGRESSION | TargetType.ANOMALY:
            return _numbers(target, output, width)
        case TargetType.BINARY:
            return _binary(target, output, width)
        case TargetType.MULTICLASS:
            return _multiclass(target, output, width)
        case TargetType.TEXT_GENERATION:
            return _texts(target, output, width)
    return Predictions(_transform_columns(output, width), output.rows)


def _numbers(target: Target, output: Output, width: int) -> Predictions:
    names = output.columns
    if width != 1 or (names is not None and [str(name) for name in names] not in (["0"], [PREDICTIONS_COLUMN])):
        got = f"the columns {listing([str(name) for name in names])}" if names is not None else f"{width} columns"
        raise ModelFault(f"The model returned {got}; a {target.kind} model returns one column '{PREDICTIONS_COLUMN}'.")
    _check_finite(output.rows, [PREDICTIONS_COLUMN])
    return Predictions((target.shown_name,), output.rows)


def _binary(target: Target, output: Output, width: int) -> Predictions:
    labels = (target.positive_label, target.negative_label)
    names = _label_names(output, width)
    if width == 1 and names != [labels[1]]:
        _check_finite(output.rows, [names[0] if names else labels[0]])
        rows: Rows = [(row[0], 1.0 - row[0]) for row in output.rows]
    elif width == 1:
        _check_finite(output.rows, labels[1:])
        rows = [(1.0 - row[0], row[0]) for row in output.rows]
    else:
        rows = _in_order(output.rows, _places(labels, (labels[1], labels[0]), names, width))
        _check_finite(rows, labels)
    return Predictions(labels, _probabilities(rows, labels))


def _multiclass(target: Target, output: Output, width: int) -> Predictions:
    names = _label_names(output, width)
    labels = target.labels or tuple(names or ())
    if not labels:
        raise ModelFault("The model returned columns without names, and no class labels are set.")
    rows = _in_order(output.rows, _places(labels, labels, names, width))
    _check_finite(rows, labels)
    return Predictions(labels, _probabilities(rows, labels))


def _label_names(output: Output, width: int) -> list[str] | None:
    """The names of the columns as labels; None when they are only the numbers of the columns."""
    if output.columns is None:
        return None
    return [label_text(name) for name in output.columns] if width else []


def _places(
    labels: tuple[str, ...], unnamed_order: tuple[str, ...], names: list[str] | None, width: int
) -> list[int] | None:
    """Where each label's column is in the output; None when they are in order already."""
    if names is not None and set(names) != set(labels) and names == [str(place) for place in range(width)]:
        names = None
    if names is None:
        if width != len(labels):
            raise ModelFault(f"The model returned {width} columns for the {len(labels)} classes {listing(labels)}.")
        names = list(unnamed_order)
    if len(names) != len(labels) or set(names) != set(labels):
        raise ModelFault(f"The model returned the columns {listing(names)}; the class labels are {listing(labels)}.")
    places = [names.index(label) for label in labels]
    return None if places == list(range(width)) else places


def _in_order(rows: Rows, places: list[int] | None) -> Rows:
    if places is None:
        return rows
    if len(places) == 2:
        first, second = places
        return [(row[first], row[second]) for row in rows]
    return [[row[place] for place in places] for row in rows]


def _check_finite(rows: Rows, columns: Sequence[str]) -> None:
    try:
        if all(math.isfinite(value) for row in rows for value in row):
            return
    except (TypeError, OverflowError):
        pass
    for number, row in enumerate(rows):
        for column, value in zip(columns, row, strict=True):
            _check_number(value, column, number)


def _check_number(value: object, column: str, number: int) -> None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise ModelFault(f"The model returned NaN (a missing value) in the column {column!r} of row {number}.")
    if not isinstance(value, int | float):
        raise ModelFault(
            f"The model returned {value!r} in the column {column!r} of row {number}; it has to be a number."
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise ModelFault(f"The model returned an infinite value in the column {column!r} of row {number}.")


def _probabilities(rows: Rows, labels: tuple[str, ...]) -> Rows:
    """The rows as probabilities from 0 to 1. Raises ModelFault where they are none, beyond noise."""
    noisy: list[int] = []
    for number, row in enumerate(rows):
        total = 0.0
        for value in row:
            if not 0 <= value <= 1:
                if not -NOISE <= value <= 1 + NOISE:
                    raise ModelFault(f"The model returned {value} in row {number}; probabilities are from 0 to 1.")
                noisy.append(number)
            total += value
        if not -SUM_TOLERANCE <= total - 1 <= SUM_TOLERANCE:
            raise ModelFault(
                f"The probabilities of the classes {listing(labels)} in row {number} sum up to {total:g}, not to 1."
            )
    if not noisy:
        return rows
    cleaned = list(rows)
    for number in noisy:
        cleaned[number] = [min(1.0, max(0.0, value)) for value in rows[number]]
    return cleaned


def _texts(target: Target, output: Output, width: int) -> Predictions:
    names = [str(name) for name in output.columns] if output.columns is not None else None
    rows = output.rows
    if names is not None and target.name in names:
        place = names.index(target.name)
        rows = [(row[place],) for row in rows]
    elif width != 1:
        got = f"the columns {listing(names)}" if names else f"{width} columns"
        raise ModelFault(
            f"The model returned {got}; a text generation model returns one text column '{target.shown_name}'."
        )
    for number, row in enumerate(rows):
        if not isinstance(row[0], str):
            raise ModelFault(f"The model returned {row[0]!r} in row {number}; it has to be text.")
    return Predictions((target.shown_name,), rows)


def _transform_columns(output: Output, width: int) -> tuple[str, ...]:
    if output.columns is not None:
        return tuple(str(name) for name in output.columns)
    return tuple(str(place) for place in range(width))
