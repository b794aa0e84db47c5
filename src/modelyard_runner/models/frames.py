"""DataFrames from request bodies, by the rules of docs/cells.md.

JSON integers are int64, numbers float64, true and false bool, texts pandas' string type; a column without any value is
float64 NaN (as an empty CSV column is), and null is NaN everywhere. Rows that are scored together have the same
`signature`, so that each column has the type it would have had for the row alone.
"""

import io
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from modelyard_runner.models.columns import TEXTS, UNKNOWN, Kind, Schema, csv_column, json_column
from modelyard_runner.models.csv_cells import odd_columns
from modelyard_runner.problems import Refusal
from modelyard_runner.wire.payload import decode_text
from modelyard_runner.wire.rows import (
    MAX_COLUMNS,
    Row,
    check_first_record,
    check_width,
    column_names,
    csv_table,
    json_number,
    separator_of,
)

Signature = tuple[tuple[str, ...], tuple[type, ...]]

_NULL = type(None)
_HEADER_BYTES = 64 * 1024
_BLANK_LINES = re.compile(rb"\A(?: *(?:\r\n|\r|\n))+")
_PLAIN: dict[Kind | None, frozenset[type]] = {
    None: frozenset({int, float, bool, str, list, dict}),
    Kind.NUMBER: frozenset({int, float, bool}),
    Kind.BOOLEAN: frozenset({int, float, bool}),
    Kind.TEXT: frozenset({str}),
    Kind.MOMENT: frozenset(),
    Kind.TRUTH: frozenset(),
}
"""The types of JSON values that are cells of a kind as they are."""


def signature_of(row: Row) -> Signature:
    """The columns of a JSON row and the types of their values; null counts as a number, which is what NaN is."""
    kinds = tuple(map(type, row.values()))
    if _NULL in kinds:
        kinds = tuple(float if kind is _NULL else kind for kind in kinds)
    return tuple(row), kinds


@lru_cache(maxsize=64)
def _index(names: tuple[str, ...]) -> pd.Index:
    return pd.Index(named(names))


def _takes_floats(schema: Schema, names: Sequence[str]) -> bool:
    """Whether floats are cells of all these columns as they are."""
    if not schema.kinds:
        return schema.others not in TEXTS
    return all(schema.kind(name) not in TEXTS for name in names)


def named(names: Sequence[str]) -> list[str]:
    """Names of columns, as pandas reads them from CSV: one that is empty is called by its place."""
    return [name or f"Unnamed: {place}" for place, name in enumerate(names)] if "" in names else list(names)


def frame_of_alike(
    rows: Sequence[Row], signature: Signature, schema: Schema = UNKNOWN, max_columns: int = MAX_COLUMNS
) -> pd.DataFrame:
    """The frame of JSON rows that all have the same signature.

    Raises Refusal 422 for too many columns, OverflowError for several rows with integers over 64 bits with a sign,
    whose types would not be alike.
    """
    names, kinds = signature
    check_width(len(names), max_columns)
    if set(kinds) == {float} and _takes_floats(schema, names):
        return pd.DataFrame(np.array([list(row.values()) for row in rows], dtype=np.float64), columns=_index(names))
    columns = {
        shown: _column([row[name] for row in rows], kind, schema.kind(name))
        for shown, name, kind in zip(named(names), names, kinds, strict=True)
    }
    return pd.DataFrame(columns, index=range(len(rows)))


def _column(values: list[Any], signed: type, kind: Kind | None) -> Any:
    if signed not in _PLAIN[kind]:
        return json_column(values, kind)
    if signed is float:
        return np.array(values, dtype=np.float64)
    if signed is not int:
        return values
    try:
        return np.array(values, dtype=np.int64)
    except OverflowError:
        if len(values) > 1:
            raise
        return np.array(values, dtype=np.float64)


def frame_of_rows(rows: list[Row], schema: Schema = UNKNOWN, max_columns: int = MAX_COLUMNS) -> pd.DataFrame:
    """The frame of any JSON rows; a column that a row lacks is null there. Raises Refusal 422 for too many columns."""
    if len(rows) == 1:
        return frame_of_alike(rows, signature_of(rows[0]), schema, max_columns)
    names = column_names(rows)
    check_width(len(names), max_columns)
    columns = {
        shown: json_column([row.get(name) for row in rows], schema.kind(name))
        for shown, name in zip(named(names), names, strict=True)
    }
    return pd.DataFrame(columns, index=range(len(rows)))


def frame_of_csv(body: bytes, schema: Schema = UNKNOWN, max_columns: int = MAX_COLUMNS) -> pd.DataFrame:
    """The frame of a CSV body in UTF-8.

    Raises Refusal 400 when the body is not CSV with a header of different names or has rows that are longer than it,
    422 when it has no rows or too many columns.
    """
    head = body[:_HEADER_BYTES]
    if len(body) > _HEADER_BYTES:
        head = head[: head.rfind(b"\n") + 1]
        if head.count(b"\n") < 3 or head.count(b'"') % 2:
            head = body
    text = decode_text(head or body, "utf-8")
    if b"\0" in body:
        raise Refusal(400, "The CSV body cannot be read: it holds a NUL character.")
    header = check_first_record(text)
    check_width(len(header), max_columns)
    frame = _Csv(_BLANK_LINES.sub(b"", body, count=1), separator_of(text), header).frame(schema)
    if not len(frame):
        raise Refusal(422, "The data has no rows, only a header line.")
    return frame


class _Csv:
    """A CSV body that pandas reads, quickly or some of its columns as texts."""

    def __init__(self, body: bytes, separator: str, header: list[str]) -> None:
        self._body = body
        self._separator = separator
        self._names = named(header)

    def frame(self, schema: Schema) -> pd.DataFrame:
        names = self._names
        kinds = [schema.kind(name) for name in schema_names(names, schema)]
        texts = [place for place, kind in enumerate(kinds) if kind in TEXTS]
        frame = self._read(dtype={names[place]: "str" for place in texts})
        types = frame.dtypes.tolist()
        doubtful = [place for place, kind in enumerate(kinds) if self._is_doubtful(frame, place, types[place], kind)]
        numbers = [place for place, kind in enumerate(kinds) if kind is None and types[place].kind in "if"]
        if numbers:
            odd = odd_columns(self._body, self._separator, len(names))
            suspect = set(numbers) if odd is None else odd | _infinite(frame, numbers)
            doubtful += [place for place in numbers if place in suspect]
        again = {place for place in doubtful if not isinstance(types[place], pd.StringDtype)}
        cells = self._read(usecols=sorted(again), dtype="str") if again else frame
        changed = {
            place: _cells((cells if place in again else frame)[names[place]], kinds[place]) for place in doubtful
        }
        if not changed:
            return frame
        columns = {name: changed[place] if place in changed else frame[name].array for place, name in enumerate(names)}
        return pd.DataFrame(columns, index=frame.index)

    def _is_doubtful(self, frame: pd.DataFrame, place: int, type_: Any, kind: Kind | None) -> bool:
        """Whether the cells of a column have to be looked at one by one."""
        of = type_.kind
        if kind is Kind.TEXT:
            return False
        if kind in TEXTS:
            return True
        is_text = isinstance(type_, pd.StringDtype)
        if of in "uO" and not is_text:
            return True
        if kind is not None:
            return of not in "ifb"
        if not is_text:
            return bool(of == "b")
        return _has_numbers(frame.iloc[:, place])

    def _read(self, **options: Any) -> pd.DataFrame:
        try:
            frame: pd.DataFrame = pd.read_csv(
                io.BytesIO(self._body),
                sep=self._separator,
                index_col=False,
                skip_blank_lines=len(self._names) > 1,
                low_memory=False,
                **options,
            )
        except (pd.errors.ParserError, UnicodeDecodeError) as error:
            csv_table(decode_text(self._body, "utf-8"))  # names the line
            raise Refusal(400, f"The CSV body cannot be read: {str(error).strip()}.") from error
        return frame


def _infinite(frame: pd.DataFrame, places: list[int]) -> set[int]:
    """Which of the columns of numbers hold one that is infinite."""
    found = np.isinf(frame.iloc[:, places].to_numpy(dtype=np.float64)).any(axis=0)
    return {place for place, is_infinite in zip(places, found.tolist(), strict=True) if is_infinite}


def _has_numbers(texts: "pd.Series[Any]") -> bool:
    """Whether some cell of a column of texts is a number in JSON."""
    return any(isinstance(text, str) and json_number(text) is not None for text in texts.unique().tolist())


def _cells(texts: "pd.Series[Any]", kind: Kind | None) -> Any:
    if kind is None and isinstance(texts.dtype, pd.StringDtype) and texts.notna().any() and not _has_numbers(texts):
        return texts
    return csv_column(texts.tolist(), kind)


def schema_names(names: list[str], schema: Schema) -> list[str]:
    """The names by which a schema knows the columns of a frame: an empty name, or the one that pandas gives it."""
    return [
        "" if name == f"Unnamed: {place}" and name not in schema.kinds and "" in schema.kinds else name
        for place, name in enumerate(names)
    ]
