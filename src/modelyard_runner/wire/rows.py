"""Tables as plain Python: the rows of JSON and CSV bodies."""

import csv
import io
import math
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

import orjson

from modelyard_runner.problems import Refusal, listing

MISSING_TEXTS = frozenset({"", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>"})
LARGEST_EXACT_INTEGER = 2**53

Row = dict[str, Any]


def json_rows(body: bytes) -> list[Row]:
    """The row objects of a JSON body: an array of objects or one bare object.

    Raises Refusal 400 when the body is not that, 422 when it has no rows.
    """
    if not body.strip():
        raise Refusal(400, "The body is empty; send a JSON array of row objects.")
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, f"The body is not valid JSON: {error}.") from error
    rows = [content] if isinstance(content, dict) else content
    if not isinstance(rows, list):
        raise Refusal(400, "The JSON body has to be an array of row objects.")
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise Refusal(400, f"Row {number} of the JSON array is not an object of column names and values.")
    if not rows:
        raise Refusal(422, "The data has no rows.")
    return rows


def column_names(rows: list[Row]) -> list[str]:
    """The columns of JSON rows in order of first appearance."""
    first = rows[0]
    if all(row.keys() == first.keys() for row in rows):
        return list(first)
    return list(dict.fromkeys(name for row in rows for name in row))


def csv_header(text: str) -> list[str]:
    """The column names of CSV text. Raises Refusal 400 when there is none or one appears twice."""
    if not text.strip():
        raise Refusal(400, "The body is empty; send CSV with a header line.")
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(record for record in reader if _has_content(record))
    except (csv.Error, StopIteration) as error:
        raise Refusal(400, f"The header line of the CSV body cannot be read: {error or 'it is empty'}.") from error
    twice = [name for name, count in Counter(header).items() if count > 1 and name]
    if twice:
        raise Refusal(400, f"The CSV header names columns twice: {listing(twice)}.")
    return header


def csv_table(text: str) -> tuple[list[str], list[list[str]]]:
    """The header and the records of CSV text; short records are filled up with empty cells.

    Raises Refusal 400 for broken CSV and 422 when there are no rows.
    """
    header = csv_header(text)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    width = len(header)
    records: list[list[str]] = []
    try:
        for record in reader:
            if not _has_content(record):
                continue
            if len(record) > width:
                count = f"{len(record)} values for {width} columns"
                raise Refusal(400, f"The CSV body cannot be read: line {reader.line_num} has {count}.")
            records.append(record if len(record) == width else record + [""] * (width - len(record)))
    except csv.Error as error:
        raise Refusal(400, f"The CSV body cannot be read: line {reader.line_num}: {error}.") from error
    if len(records) < 2:
        raise Refusal(422, "The data has no rows, only a header line.")
    return header, records[1:]


def _has_content(record: list[str]) -> bool:
    return len(record) > 1 or (len(record) == 1 and not record[0].isspace())


def typed_column(texts: Sequence[str]) -> list[Any]:
    """CSV cells as JSON values: integers or floats where every cell with content is one, else the texts.

    A number with leading zeros, or an integer that a double cannot hold, makes a column of texts; an empty cell is
    None.
    """
    present = {text for text in texts if text not in MISSING_TEXTS}
    values: dict[str, Any] = {}
    try:
        for text in present:
            values[text] = _number(text)
    except ValueError:
        return [text or None for text in texts]
    if any(isinstance(value, float) for value in values.values()):
        values = {text: float(value) for text, value in values.items()}
    return [values.get(text) for text in texts]


def _number(text: str) -> int | float:
    digits = text.removeprefix("-")
    if "_" in text or (len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()):
        raise ValueError(text)
    if digits.isdigit():
        number = int(text)
        if abs(number) > LARGEST_EXACT_INTEGER:
            raise ValueError(text)
        return number
    real = float(text)
    if not math.isfinite(real):
        raise ValueError(text)
    return real
