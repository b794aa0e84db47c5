"""Tables as plain Python: the rows of JSON and CSV bodies. The rules are in docs/cells.md."""

import csv
import io
import math
import re
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson

from modelyard_runner.problems import Refusal, listing

# fmt: off
MISSING_TEXTS = frozenset({
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
})
# fmt: on
"""The words for a missing value in CSV. Source: pandas.read_csv, `na_values`."""

SEPARATORS = ",;\t|"
"""What may separate the values of CSV; of those that a header line has equally often, the first."""

MAX_COLUMNS = 20_000
"""Of one request, unless the option `--max-columns` says otherwise."""

MIN_INT64, MAX_INT64 = -(2**63), 2**63 - 1

_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_QUOTED = re.compile(r'"[^"]*(?:"|$)')

Row = dict[str, Any]


def json_rows(body: bytes) -> list[Row]:
    """The row objects of a JSON body: an array of objects, one bare object, or one object a line.

    Raises Refusal 400 when the body is not that, 422 when it has no rows.
    """
    if not body.strip():
        raise Refusal(400, "The body is empty; send a JSON array of row objects.")
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        content = _json_lines(body, error)
    rows = [content] if isinstance(content, dict) else content
    if not isinstance(rows, list):
        raise Refusal(400, "The JSON body has to be an array of row objects.")
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise Refusal(400, f"Row {number} of the JSON array is not an object of column names and values.")
    if not rows:
        raise Refusal(422, "The data has no rows.")
    return rows


def _json_lines(body: bytes, error: orjson.JSONDecodeError) -> list[Any]:
    """The objects of a body that is no JSON as a whole, one a line. Raises Refusal 400 for what is none."""
    lines = [(number, line) for number, line in enumerate(body.splitlines(), 1) if line.strip()]
    if len(lines) < 2 or not all(line.lstrip().startswith(b"{") for _, line in lines):
        raise Refusal(400, f"The body is not valid JSON: {error}.") from error
    rows = []
    for number, line in lines:
        try:
            rows.append(orjson.loads(line))
        except orjson.JSONDecodeError as wrong:
            raise Refusal(400, f"Line {number} of the body is not valid JSON: {wrong}.") from wrong
    return rows


def column_names(rows: list[Row]) -> list[str]:
    """The columns of JSON rows in order of first appearance."""
    first = rows[0]
    if all(row.keys() == first.keys() for row in rows):
        return list(first)
    return list(dict.fromkeys(name for row in rows for name in row))


def check_width(columns: int, max_columns: int) -> None:
    """Raises Refusal 422 for a table with too many columns."""
    if columns > max_columns:
        raise Refusal(
            422,
            f"The data has {columns} columns, and at most {max_columns} are taken; leave out those that the model does "
            "not need, or raise MODELYARD_MAX_PREDICTION_COLUMNS.",
        )


def separator_of(text: str) -> str:
    """The separator of CSV text: the one that its header line has most of, outside of quotes."""
    line = _QUOTED.sub("", text).lstrip("\r\n ").partition("\n")[0].partition("\r")[0]
    return max(SEPARATORS, key=line.count)


def csv_header(text: str) -> list[str]:
    """The column names of CSV text. Raises Refusal 400 when there is none or one appears twice."""
    return _Records(text).header


def csv_table(text: str) -> tuple[list[str], list[list[str]]]:
    """The header and the records of CSV text; short records are filled up with empty cells.

    Raises Refusal 400 for broken CSV and 422 when there are no rows.
    """
    found = _Records(text)
    records = list(found)
    if not records:
        raise Refusal(422, "The data has no rows, only a header line.")
    return found.header, records


def check_first_record(text: str) -> list[str]:
    """The header of CSV text whose first record is no longer than it. Raises Refusal 400."""
    found = _Records(text)
    next(iter(found), None)
    return found.header


class _Records:
    """The records of CSV text, one by one. Blank lines count only where there is a single column, as an empty cell."""

    def __init__(self, text: str) -> None:
        if not text.strip():
            raise Refusal(400, "The body is empty; send CSV with a header line.")
        if "\0" in text:
            raise Refusal(400, "The CSV body cannot be read: it holds a NUL character.")
        csv.field_size_limit(sys.maxsize)
        self._reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator_of(text), strict=True)
        try:
            self.header = next(record for record in self._reader if not _is_blank(record))
        except (csv.Error, StopIteration) as error:
            raise Refusal(400, f"The header line of the CSV body cannot be read: {error or 'it is empty'}.") from error
        twice = [name for name, count in Counter(self.header).items() if count > 1 and name]
        if twice:
            raise Refusal(400, f"The CSV header names columns twice: {listing(twice)}.")

    def __iter__(self) -> Iterator[list[str]]:
        width = len(self.header)
        try:
            for record in self._reader:
                if len(record) == width:
                    yield record
                elif len(record) > width:
                    columns = "1 column" if width == 1 else f"{width} columns"
                    raise Refusal(
                        400,
                        f"The CSV body cannot be read: line {self._reader.line_num} has {len(record)} values, which is "
                        f"more values than its header has columns ({columns}).",
                    )
                elif width == 1 or not _is_blank(record):
                    yield record + [""] * (width - len(record))
        except csv.Error as error:
            raise Refusal(400, f"The CSV body cannot be read: line {self._reader.line_num}: {error}.") from error


def _is_blank(record: list[str]) -> bool:
    return not record or (len(record) == 1 and record[0].isspace())


def json_number(text: str) -> int | float | None:
    """A CSV cell as the number that it is in JSON, None for any other; an integer beyond 64 bits is a float."""
    match = _JSON_NUMBER.fullmatch(text)
    if match is None:
        return None
    if match.group(1) is None and match.group(2) is None and len(text) <= len(str(MIN_INT64)):
        whole = int(text)
        return whole if MIN_INT64 <= whole <= MAX_INT64 else float(whole)
    real = float(text)
    return real if math.isfinite(real) else None


def json_value(text: str) -> Any:
    """A CSV cell as a JSON value: None for a missing value, a number for what is one in JSON, else the text."""
    if text in MISSING_TEXTS:
        return None
    number = json_number(text)
    return text if number is None else number


def verbatim_value(text: str) -> Any:
    """A CSV cell that is copied into JSON: a number only where it is written there as it was sent, else the text."""
    if not text:
        return None
    number = json_number(text)
    return number if number is not None and repr(number) == text else text
