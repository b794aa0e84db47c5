"""What is in the columns of a table, computed in one streaming pass."""

from datetime import date, datetime, time, timedelta
from typing import Any, Literal

import msgspec
import polars as pl

ColumnType = Literal["Numeric", "Categorical", "Text", "Boolean", "Date"]

CATEGORIES = 100
BATCH_COLUMNS = 200
EXACT_ROWS = 1_000_000
DATE_SAMPLE = 1_000
MEAN_TEXT_CHARACTERS = 60


class Column(msgspec.Struct, frozen=True):
    """One column. ``unique_count`` is an estimate (HyperLogLog) within some ten percent
    in tables of more than ``EXACT_ROWS`` rows, and exact below; numbers have the rest."""

    name: str
    type: ColumnType
    data_type: str
    missing_count: int
    unique_count: int
    min: int | float | str | None = None
    max: int | float | str | None = None
    mean: float | None = None
    standard_deviation: float | None = None


def describe(table: pl.LazyFrame) -> tuple[int, list[Column]]:
    """The number of rows, and each column in order. Memory does not grow with the rows."""
    schema = table.collect_schema()
    row_count = int(table.select(pl.len()).collect(engine="streaming").item())
    head = table.head(DATE_SAMPLE).collect()
    names = list(schema)
    columns: list[Column] = []
    for start in range(0, len(names), BATCH_COLUMNS):
        some = names[start : start + BATCH_COLUMNS]
        is_exact = row_count <= EXACT_ROWS
        measures = [
            measure
            for number, name in enumerate(some)
            for measure in _measures(number, name, schema[name], is_exact=is_exact)
        ]
        found = table.select(measures).collect(engine="streaming").row(0, named=True)
        columns += [
            _column(
                name,
                schema[name],
                {key.split(":")[1]: value for key, value in found.items() if key.startswith(f"{number}:")},
                head[name],
            )
            for number, name in enumerate(some)
        ]
    return row_count, columns


def _measures(number: int, name: str, kind: pl.DataType, *, is_exact: bool) -> list[pl.Expr]:
    def unique(values: pl.Expr) -> pl.Expr:
        known = values.drop_nulls()
        return known.n_unique() if is_exact else pl.min_horizontal(known.approx_n_unique(), known.len())

    column = pl.col(name)
    measures = {"missing": column.null_count(), "unique": unique(column)}
    if kind.is_float():
        known = column.fill_nan(None)
        measures = {"missing": known.null_count(), "unique": unique(known)}
        measures |= {"min": known.min(), "max": known.max(), "mean": known.mean(), "std": known.std()}
    elif kind.is_numeric():
        measures |= {"min": column.min(), "max": column.max(), "mean": column.mean(), "std": column.std()}
    elif kind.is_temporal():
        measures |= {"min": column.min(), "max": column.max()}
    elif kind in (pl.String, pl.Categorical, pl.Enum):
        text = column.cast(pl.String)
        measures["unique"] = unique(text)
        measures["length"] = text.str.len_chars().mean()
    return [expression.alias(f"{number}:{label}") for label, expression in measures.items()]


def _column(name: str, kind: pl.DataType, found: dict[str, Any], head: pl.Series) -> Column:
    return Column(
        name=name,
        type=_type(kind, found, head),
        data_type=str(kind),
        missing_count=found["missing"],
        unique_count=0 if kind == pl.Null else found["unique"],
        min=_plain(found.get("min")),
        max=_plain(found.get("max")),
        mean=_number(found.get("mean")),
        standard_deviation=_number(found.get("std")),
    )


def _type(kind: pl.DataType, found: dict[str, Any], head: pl.Series) -> ColumnType:
    if kind == pl.Boolean:
        return "Boolean"
    if kind.is_numeric() or kind == pl.Duration:
        return "Numeric"
    # A tuple, not a set: a type with parameters equals its class but has another hash.
    if kind in (pl.Date, pl.Datetime):
        return "Date"
    if kind == pl.String and _looks_like_dates(head):
        return "Date"
    is_text = found["unique"] > CATEGORIES and (found.get("length") or 0) > MEAN_TEXT_CHARACTERS
    return "Text" if is_text else "Categorical"


def _looks_like_dates(head: pl.Series) -> bool:
    known = head.drop_nulls()
    if known.is_empty() or not known.str.contains(r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?$").all():
        return False
    return bool(known.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False).is_not_null().all())


def _plain(value: Any) -> int | float | str | None:
    """A value of a column for JSON; an integer stays exact."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return _number(value)


def _number(value: Any) -> float | None:
    """A finite number; JSON has no others."""
    number = None if value is None else float(value)
    return number if number is not None and abs(number) != float("inf") and number == number else None  # noqa: PLR0124 # NaN
