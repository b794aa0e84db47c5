"""The cells of a frame as the values that an artifact's inputs take; whatever does not fit is refused, never cast.

A cell may be a number, a text, a boolean or missing (None, NaN). Messages name the row (from 0) and the column.
"""

import math
import re
from collections.abc import Callable, Sequence
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd

from modelyard_runner.problems import Refusal
from modelyard_runner.target import label_text, plain_form

_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*", re.ASCII)
_BOOLEANS = {"true": True, "false": False}
_MAX_SHOWN = 100
_DIRECT = {str, int, float}


def is_missing(cell: object) -> bool:
    """Whether a cell has no value."""
    return cell is None or cell is pd.NA or cell is pd.NaT or (isinstance(cell, float) and math.isnan(cell))


def float_matrix(frame: pd.DataFrame) -> Any:
    """The cells as float64, missing ones NaN. Raises Refusal 422 for a text that is no number."""
    kinds = frame.dtypes.tolist()
    if all(isinstance(kind, np.dtype) and kind.kind in "fiub" for kind in kinds):
        return frame.to_numpy(dtype=np.float64)
    columns = [float_column(frame.iloc[:, place], str(name)) for place, name in enumerate(frame.columns)]
    return np.column_stack(columns) if columns else np.empty((len(frame), 0))


def float_column(column: "pd.Series[Any]", name: str) -> Any:
    """A column as float64, missing cells NaN. Raises Refusal 422 for a text that is no number."""
    if _is_plain(column, "fiub") or isinstance(column.dtype, pd.SparseDtype):
        return column.to_numpy(dtype=np.float64)
    return _each(column, name, np.float64, _float, missing=math.nan, wanted="a number")


def integer_column(column: "pd.Series[Any]", name: str, kind: type[np.signedinteger[Any]]) -> Any:
    """A column as integers. Raises Refusal 422 for missing cells, fractions and what the type does not hold."""
    limits = np.iinfo(kind)
    low, high = int(limits.min), int(limits.max)
    wanted = f"an integer of {limits.bits} bits"
    if _is_plain(column, "b"):
        return column.to_numpy(dtype=kind)
    if _is_plain(column, "iu"):
        values = column.to_numpy()
        if not len(values) or (int(values.min()) >= low and int(values.max()) <= high):
            return values.astype(kind)
    if _is_plain(column, "f"):
        values = column.to_numpy()
        if bool(np.all((values == np.trunc(values)) & (values >= low) & (values < float(high + 1)))):
            return values.astype(kind)

    def integer(cell: object) -> int:
        number = _number(cell)
        whole = int(number)
        if whole != number or not low <= whole <= high:
            raise ValueError(cell)
        return whole

    return _each(column, name, kind, integer, wanted=wanted)


def boolean_column(column: "pd.Series[Any]", name: str) -> Any:
    """A column as booleans: true and false, also written as texts, 1 and 0. Raises Refusal 422 for anything else."""
    if _is_plain(column, "b"):
        return column.to_numpy()
    return _each(column, name, np.bool_, _boolean, wanted="true or false")


def text_column(column: "pd.Series[Any]", name: str) -> Any:
    """A column as texts, numbers as they are written. Raises Refusal 422 for missing cells."""
    return _each(column, name, np.object_, label_text, wanted="a text")


class Categories:
    """The categories of a column by their code; a number matches its text (`3`, 3.0) and a text its number."""

    def __init__(self, values: Sequence[Any]) -> None:
        self.values = [value.item() if isinstance(value, np.generic) else value for value in values]
        self._codes: dict[Any, int] = {}
        forms: dict[str, list[int]] = {}
        for code, value in enumerate(self.values):
            self._codes[str(value) if isinstance(value, bool) else value] = code
            forms.setdefault(plain_form(label_text(value)), []).append(code)
        self._by_form = {form: codes[0] for form, codes in forms.items() if len(codes) == 1}

    def codes(self, column: "pd.Series[Any]", unseen: float) -> Any:
        """The code of each cell as float64: NaN for a missing one, `unseen` for one that is no category."""
        known, cells = self._codes, column.tolist()
        codes = [known.get(cell) if type(cell) in _DIRECT else None for cell in cells]
        found = [self._code(cell, unseen) if code is None else code for cell, code in zip(cells, codes, strict=True)]
        return np.array(found, dtype=np.float64)

    def _code(self, cell: object, unseen: float) -> float:
        if is_missing(cell):
            return math.nan
        text = label_text(cell)
        code = self._codes.get(text)
        return self._by_form.get(plain_form(text), unseen) if code is None else code


def _is_plain(column: "pd.Series[Any]", kinds: str) -> bool:
    return isinstance(column.dtype, np.dtype) and column.dtype.kind in kinds


_REQUIRED = object()


def _each(
    column: "pd.Series[Any]",
    name: str,
    kind: Any,
    convert: Callable[[Any], Any],
    *,
    wanted: str,
    missing: Any = _REQUIRED,
) -> Any:
    values = np.empty(len(column), dtype=kind)
    for row, cell in enumerate(column.tolist()):
        if is_missing(cell):
            if missing is _REQUIRED:
                raise Refusal(422, f"The column {name!r} has no value in row {row}; the model takes {wanted} there.")
            values[row] = missing
            continue
        try:
            values[row] = convert(cell)
        except (ValueError, TypeError, OverflowError) as error:
            shown = repr(cell)
            shown = shown if len(shown) <= _MAX_SHOWN else f"{shown[:_MAX_SHOWN]}..."
            message = f"The column {name!r} has {shown} in row {row}; the model takes {wanted} there."
            raise Refusal(422, message) from error
    return values


def _number(cell: object) -> Any:
    """A cell as the number it is or spells, exactly. Raises ValueError."""
    if isinstance(cell, str):
        if _NUMBER.fullmatch(cell) is None:
            raise ValueError(cell)
        return int(cell) if cell.strip().lstrip("+-").isdigit() else float(cell)
    if isinstance(cell, Number):
        return cell
    raise ValueError(cell)


def _float(cell: object) -> float:
    return float(_number(cell))


def _boolean(cell: object) -> bool:
    if isinstance(cell, str) and cell.lower() in _BOOLEANS:
        return _BOOLEANS[cell.lower()]
    number = _number(cell)
    if number not in {0, 1}:
        raise ValueError(cell)
    return bool(number)
