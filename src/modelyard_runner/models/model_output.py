"""What a model or a hook returned, as rows of plain Python values."""

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd

from modelyard_runner.problems import ModelFault
from modelyard_runner.target import TargetType
from modelyard_runner.wire.outputs import PREDICTIONS_COLUMN, Output

_INT64 = range(-(2**63), 2**63)


def output_of(result: Any, kind: TargetType | None = None, given: "pd.Index[Any] | None" = None) -> Output:
    """What a model or a hook returned, as rows: DataFrame, Series, array, sparse matrix or list.

    Cells are plain numbers: decimals, fractions, numpy's own and integers beyond 64 bits become floats, and so do the
    booleans of a `kind` that predicts numbers. Raises ModelFault for anything that is not a table, for a number beyond
    the floats, for the booleans of a regression, and for rows in another order than that of the index `given`.
    """
    if isinstance(result, pd.DataFrame | pd.Series) and given is not None and is_reordered(result.index, given):
        raise ModelFault("The model returned the rows in another order than it was given them.")
    if isinstance(result, pd.DataFrame):
        names = result.columns.tolist()
        return Output(_rows(result.to_numpy(), kind, names), names)
    if isinstance(result, pd.Series):
        return Output(_rows(result.to_numpy().reshape(-1, 1), kind))
    if hasattr(result, "toarray"):
        result = result.toarray()
    if isinstance(result, str | bytes | dict) or result is None or np.ndim(result) == 0:
        raise ModelFault(f"The model returned a {type(result).__name__}; it has to return a DataFrame.")
    array = np.asarray(result)
    if array.ndim not in {1, 2}:
        raise ModelFault(
            f"The model returned an array of {array.ndim} dimensions; it has to return one row per input row."
        )
    return Output(_rows(array.reshape(-1, 1) if array.ndim == 1 else array, kind))


def is_reordered(index: "pd.Index[Any]", given: "pd.Index[Any] | None" = None) -> bool:
    """Whether rows have come back in another order: with the labels of those `given`, but at other places.

    Without `given`, which are by default the numbers from 0 on. Labels that appear twice tell nothing.
    """
    given = pd.RangeIndex(len(index)) if given is None else given
    if len(index) != len(given) or index.equals(given) or index.dtype.kind != given.dtype.kind:
        return False
    if not index.is_unique:
        return False
    try:
        return bool(index.sort_values().equals(given.sort_values()))
    except TypeError:  # labels that cannot be compared
        return False


def _rows(array: Any, kind: TargetType | None, names: list[Any] | None = None) -> list[list[Any]]:
    """The cells of a matrix, row by row, as plain Python values."""
    rows: list[list[Any]] = array.tolist()
    if array.dtype.kind in "iuSUMm" or (array.dtype.kind == "f" and array.dtype.itemsize <= 8):
        return rows
    return [
        [_plain(cell, kind, number, names[place] if names else PREDICTIONS_COLUMN) for place, cell in enumerate(row)]
        for number, row in enumerate(rows)
    ]


def _plain(cell: Any, kind: TargetType | None, row: int, column: Any) -> Any:
    of = type(cell)
    if of is float or of is str or cell is None or (of is int and cell in _INT64):
        return cell
    if of is bool or of is np.bool_:
        return _plain_boolean(bool(cell), kind, row)
    if cell is pd.NA or cell is pd.NaT:
        return math.nan
    if isinstance(cell, np.complexfloating) or not isinstance(cell, int | float | Decimal | Fraction | np.number):
        return cell
    try:
        number = float(cell)
    except OverflowError:
        number = math.inf
    except ValueError:  # a signaling NaN of decimal
        return math.nan
    if math.isinf(number) and _is_finite(cell):
        message = (
            f"The model returned a {of.__name__} beyond the range of floats in the column {column!r} of row {row}."
        )
        raise ModelFault(message)
    return number


def _plain_boolean(cell: bool, kind: TargetType | None, row: int) -> Any:
    if kind is TargetType.REGRESSION:
        raise ModelFault(f"The model returned {cell} (a bool) in row {row}; a {kind} model returns numbers.")
    return float(cell) if kind in {TargetType.BINARY, TargetType.MULTICLASS, TargetType.ANOMALY} else cell


def _is_finite(cell: Any) -> bool:
    if isinstance(cell, int | Fraction):
        return True
    return cell.is_finite() if isinstance(cell, Decimal) else bool(np.isfinite(cell))
