"""Kinds of columns, and what a cell is in a column of a kind. The rules are in docs/cells.md.

What becomes of a cell depends on the cell and on its column's kind, never on other rows.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

from modelyard_runner.target import label_text
from modelyard_runner.wire.rows import MAX_INT64, MIN_INT64, MISSING_TEXTS, json_number

MAX_EXACT_INTEGER = 2**53
"""Integers up to here are floats, too, without a loss."""

_NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*")
_INFINITIES = {
    f"{sign}{word}": float(f"{sign}inf") for sign in ("", "+", "-") for word in ("inf", "Inf", "INF", "Infinity")
}
_TRUTHS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_MOMENT = re.compile(
    r"(?=.{5})(\d{4}-\d{2}-\d{2})?[T ]?(?:(\d{2}:\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?)?"
    r" ?(Z|UTC|[+-]\d{2}(?::?\d{2})?)?"
)


class Kind(StrEnum):
    """What the cells of a column are."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    TEXT = "text"
    MOMENT = "datetime"
    """Text: a date with a time in one spelling."""
    TRUTH = "truth"
    """Text: True or False, of a column of booleans that had gaps."""


TEXTS = frozenset({Kind.TEXT, Kind.MOMENT, Kind.TRUTH})


@dataclass(frozen=True, slots=True)
class Schema:
    """The kinds of a model's columns; `others` is that of the columns that are not named, None where it is unknown."""

    kinds: Mapping[str, Kind] = field(default_factory=dict)
    others: Kind | None = None

    def kind(self, name: str) -> Kind | None:
        """The kind of a column, None where it is not known."""
        return self.kinds.get(name, self.others)

    def or_else(self, other: "Schema") -> "Schema":
        """This schema, and of the columns that it does not know what another says."""
        if self.others is not None:
            return self
        return Schema({**other.kinds, **self.kinds}, other.others)


UNKNOWN = Schema()


def number_of(text: str) -> int | float | str:
    """A text as the number that it is in any usual spelling (`007`, `+5`, `.5`, ` 5`, `inf`), else the text."""
    number = json_number(text)
    if number is not None:
        return number
    if _NUMBER.fullmatch(text) is None:
        return _INFINITIES.get(text.strip(), text)
    digits = text.strip().lstrip("+")
    if digits.lstrip("-").isdigit() and len(digits) <= len(str(MIN_INT64)):
        whole = int(digits)
        return whole if MIN_INT64 <= whole <= MAX_INT64 else float(whole)
    return float(digits)


def moment_of(text: str) -> str:
    """A date and time in one spelling, `2024-02-29 12:30:00`, any other text as it is.

    A fraction and an offset follow only where there are some: `.500000`, `+01:00`.
    """
    match = _MOMENT.fullmatch(text)
    if match is None or not (match.group(1) or match.group(2)):
        return text
    day, minute, second, fraction, offset = match.groups()
    digits = (fraction or "").rstrip("0")
    if offset in {"Z", "UTC"}:
        offset = "+00:00"
    elif offset:
        offset = f"{offset[:3]}:{offset[3:].lstrip(':') or '00'}"
    clock = f"{minute or '00:00'}:{second or '00'}{f'.{digits:0<6}' if digits else ''}{offset or ''}"
    return clock if day is None else f"{day} {clock}"


def _number_cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    truth = _TRUTHS.get(value)
    return number_of(value) if truth is None else truth


def _text_cell(value: Any) -> Any:
    return value if isinstance(value, str | list | dict) else label_text(value)


def _moment_cell(value: Any) -> Any:
    return moment_of(value) if isinstance(value, str) else _text_cell(value)


def _json_cell(value: Any) -> Any:
    return value


def _csv_cell(text: str) -> Any:
    number = json_number(text)
    return text if number is None else number


_CELLS: dict[Kind, Callable[[Any], Any]] = {
    Kind.NUMBER: _number_cell,
    Kind.BOOLEAN: _number_cell,
    Kind.TEXT: _text_cell,
    Kind.MOMENT: _moment_cell,
    Kind.TRUTH: lambda value: _text_cell(_TRUTHS.get(value, value) if isinstance(value, str) else value),
}


def csv_column(texts: Iterable[Any], kind: Kind | None) -> Any:
    """A column of CSV cells, given as their texts: words for a missing value are NaN."""
    convert: Callable[[Any], Any] = _csv_cell if kind is None else _CELLS[kind]
    known: dict[Any, Any] = {}
    values = []
    for text in texts:
        if text not in known:
            known[text] = np.nan if not isinstance(text, str) or text in MISSING_TEXTS else convert(text)
        values.append(known[text])
    return array_of(values, kind)


def json_column(values: Iterable[Any], kind: Kind | None) -> Any:
    """A column of JSON values: null is NaN."""
    convert: Callable[[Any], Any] = _json_cell if kind is None else _CELLS[kind]
    return array_of([np.nan if value is None else convert(value) for value in values], kind)


def cells_of(column: "pd.Series[Any]") -> list[Any]:
    """The cells of any column as JSON values: None where one is missing."""
    return [None if missing else cell for cell, missing in zip(column.tolist(), column.isna(), strict=True)]


def array_of(values: list[Any], kind: Kind | None) -> Any:
    """Cells (NaN where a value is missing) as a column.

    Integers are int64, where one is missing or has a fraction float64; booleans bool, and where one is missing
    objects, or floats in a column that is known to be of booleans or numbers; texts are of pandas' string type. What
    is mixed stays what it is, as objects.
    """
    types = set(map(type, values))
    if kind in {Kind.NUMBER, Kind.BOOLEAN} and bool in types and len(types) > 1 and types <= {bool, int, float}:
        values = [int(value) if isinstance(value, bool) else value for value in values]
        types = set(map(type, values))
    if types == {int}:
        try:
            return np.array(values, dtype=np.int64)
        except OverflowError:
            types.add(float)
    if types <= {int, float}:
        column = np.array(values, dtype=np.float64)
        return texts_of(values) if kind in TEXTS and np.isnan(column).all() else column
    if types == {bool}:
        return np.array(values, dtype=np.bool_)
    if str in types and types <= {str, float} and all(isinstance(one, str) or one != one for one in values):  # noqa: PLR0124 # NaN
        return texts_of(values)
    return pd.Series(values, dtype=object).array


def texts_of(values: list[Any]) -> Any:
    """Texts and NaN as a column of texts."""
    return pd.Series(values, dtype=pd.Series(["text"]).dtype).array


def kinds_of_texts(columns: Mapping[str, Iterable[str]]) -> Schema:
    """The kinds of an example's columns, given as the texts of their cells.

    Numbers where every cell is one in JSON, booleans where every cell is a word for one, texts otherwise; unknown where
    every cell is missing.
    """
    kinds: dict[str, Kind] = {}
    for name, texts in columns.items():
        present = set(texts) - MISSING_TEXTS
        if not present:
            continue
        if all(json_number(text) is not None for text in present):
            kinds[name] = Kind.NUMBER
        else:
            kinds[name] = Kind.BOOLEAN if present <= _TRUTHS.keys() else Kind.TEXT
    return Schema(kinds)
