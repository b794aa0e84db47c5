"""DataFrames from request bodies.

Types are those of pandas.read_csv and of a DataFrame of columns: JSON integers int64, numbers float64, true and false
bool, texts pandas' string type; a column without any value is float64 NaN (as an empty CSV column is), and null is NaN
everywhere. Rows that are scored together have the same `signature`, so that each column has the type it would have had
for the row alone.
"""

import io
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from modelyard_runner.problems import Refusal
from modelyard_runner.wire.payload import decode_text
from modelyard_runner.wire.rows import Row, column_names, csv_header

Signature = tuple[tuple[str, ...], tuple[type, ...]]

_NULL = type(None)
_HEADER_BYTES = 64 * 1024


def signature_of(row: Row) -> Signature:
    """The columns of a JSON row and the types of their values; null counts as a number, which is what NaN is."""
    kinds = tuple(map(type, row.values()))
    if _NULL in kinds:
        kinds = tuple(float if kind is _NULL else kind for kind in kinds)
    return tuple(row), kinds


@lru_cache(maxsize=64)
def _index(names: tuple[str, ...]) -> pd.Index:
    return pd.Index(names)


def frame_of_alike(rows: Sequence[Row], signature: Signature) -> pd.DataFrame:
    """The frame of JSON rows that all have the same signature.

    Raises OverflowError for several rows with integers over 64 bits with a sign, whose types would not be alike.
    """
    names, kinds = signature
    only = set(kinds)
    if only == {float}:
        return pd.DataFrame(np.array([list(row.values()) for row in rows], dtype=np.float64), columns=_index(names))
    columns = {name: _column([row[name] for row in rows], kind) for name, kind in zip(names, kinds, strict=True)}
    return pd.DataFrame(columns, index=range(len(rows)))


def _column(values: list[Any], kind: type) -> Any:
    if kind is float:
        return np.array(values, dtype=np.float64)
    if kind is not int:
        return values
    try:
        return np.array(values, dtype=np.int64)
    except OverflowError:
        if len(values) > 1:
            raise
        return values  # uint64, or an object where not even that holds it


def frame_of_rows(rows: list[Row]) -> pd.DataFrame:
    """The frame of any JSON rows; a column that a row lacks is null there."""
    if len(rows) == 1:
        return frame_of_alike(rows, signature_of(rows[0]))
    columns: dict[str, Any] = {}
    for name in column_names(rows):
        values = [row.get(name) for row in rows]
        kinds = set(map(type, values))
        if kinds <= {int, float, _NULL} and kinds != {int}:
            columns[name] = np.array(values, dtype=np.float64)
        elif _NULL in kinds:
            present: list[Any] = [np.nan if value is None else value for value in values]
            columns[name] = present if kinds == {str, _NULL} else pd.Series(present, dtype=object)
        else:
            columns[name] = values
    return pd.DataFrame(columns, index=range(len(rows)))


def frame_of_csv(body: bytes) -> pd.DataFrame:
    """The frame of a CSV body in UTF-8.

    Raises Refusal 400 when the body is not CSV with a header of different names, 422 when it has no rows.
    """
    head = body[:_HEADER_BYTES]
    whole_lines = head[: head.rfind(b"\n") + 1] if len(body) > _HEADER_BYTES else head
    csv_header(decode_text(whole_lines or body, "utf-8"))
    try:
        frame = pd.read_csv(io.BytesIO(body), low_memory=False)
    except pd.errors.EmptyDataError as error:
        raise Refusal(400, "The body is empty; send CSV with a header line.") from error
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise Refusal(400, f"The CSV body cannot be read: {str(error).strip()}.") from error
    if not isinstance(frame.index, pd.RangeIndex):
        raise Refusal(400, "The CSV body cannot be read: its rows have more values than its header has columns.")
    if not len(frame):
        raise Refusal(422, "The data has no rows, only a header line.")
    return frame


def texts_of_csv(body: bytes, names: list[str]) -> pd.DataFrame:
    """Some columns of a CSV body that `frame_of_csv` has read, as the texts they are written as."""
    return pd.read_csv(io.BytesIO(body), usecols=names, dtype=str)
