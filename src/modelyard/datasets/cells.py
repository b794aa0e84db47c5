"""What a cell of a table is, by the rules of docs/cells.md: those of the runner, for tables that the platform reads."""

import re
from typing import Any

import polars as pl

# fmt: off
MISSING = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
]
# fmt: on
"""The words for a missing value in CSV, which are those of pandas."""

MIN_INT64, MAX_INT64 = -(2**63), 2**63 - 1
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def json_cell(text: str | None) -> Any:
    """A cell of CSV as the JSON value that means the same: a number where it is one in JSON, else the text."""
    match = None if text is None else _JSON_NUMBER.fullmatch(text)
    if text is None or match is None:
        return text
    is_whole = match.group(1) is None and match.group(2) is None
    if is_whole and len(text) <= len(str(MIN_INT64)) and MIN_INT64 <= int(text) <= MAX_INT64:
        return int(text)
    real = float(text)
    return text if abs(real) == float("inf") else real


def spelled(column: pl.Series) -> pl.Series:
    """A column as its values are spelled in CSV and JSON, other types as they are.

    Dates with a time, and times, are texts in one spelling; single precision numbers are the shortest that mean them.
    """
    kind = column.dtype
    if kind.is_float() and kind != pl.Float64:
        return column.cast(pl.String).cast(pl.Float64)
    if kind.is_temporal() and kind != pl.Duration:
        text = column.dt.to_string("%H:%M:%S%.f") if kind == pl.Time else column.cast(pl.String)
        return text if kind == pl.Date else pl.select(_moments(pl.lit(text))).to_series().alias(column.name)
    return column


def _moments(text: pl.Expr) -> pl.Expr:
    """``2024-02-29 12:30:00.500+01:00`` with a fraction of no digits, six or up to nine."""
    fraction = text.str.extract(r"\.(\d+)").str.strip_chars_end("0").fill_null("")
    whole, rest = (
        text.str.extract(r"^([^.+]*?\d{2}:\d{2}:\d{2})"),
        text.str.extract(r"\d{2}:\d{2}:\d{2}(?:\.\d+)?(.*)$"),
    )
    shown = pl.when(fraction == "").then(pl.lit("")).otherwise(pl.lit(".") + fraction.str.pad_end(6, "0"))
    return whole + shown + rest
