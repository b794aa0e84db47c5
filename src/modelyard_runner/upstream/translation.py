"""Between the prediction routes and the container contract, without pandas.

Current contract: `predict/` takes CSV and answers `{"predictions": [...]}` or CSV. Older contract:
`predict_no_state/` takes `{"X": {column: [values]}}` and answers the JSON. An entry of `predictions` is a number, a
text, a list, or an object of class labels (columns) and values. Source: supporting-endpoints.md C.6 and seed 001, POST
/api/v2/customModels/.
"""

import csv
import io
from typing import Any

import orjson

from modelyard_runner.problems import ModelFault
from modelyard_runner.wire.answers import json_bytes
from modelyard_runner.wire.outputs import Output
from modelyard_runner.wire.payload import Form, Payload, decode_text, parse_content_type
from modelyard_runner.wire.rows import column_names, csv_table, json_rows, json_value, separator_of


class Table:
    """The rows of a request in the forms that either contract takes."""

    def __init__(self, payload: Payload, left_out: str = "") -> None:
        """Read a payload; the column named `left_out` (the target) is dropped. Raises Refusal 400 or 422."""
        self._csv: bytes | None = None
        self.names: list[str]
        self._columns: list[list[Any]]
        self._is_text = payload.form is Form.CSV
        if self._is_text:
            text = decode_text(payload.body, "utf-8")
            self.names, records = csv_table(text)
            is_plain = separator_of(text) == "," and left_out not in self.names
            self._csv = payload.body if is_plain else None
            self._columns = [list(column) for column in zip(*records, strict=True)]
            self.row_count = len(records)
        else:
            rows = json_rows(payload.body)
            self.names = column_names(rows)
            self._columns = [[row.get(name) for row in rows] for name in self.names]
            self.row_count = len(rows)
        if left_out and left_out in self.names:
            place = self.names.index(left_out)
            del self.names[place], self._columns[place]

    def csv(self) -> bytes:
        """The table as CSV; CSV input with commas stays as it was sent."""
        if self._csv is not None:
            return self._csv
        file = io.StringIO(newline="")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(self.names)
        columns = self._columns if self._is_text else [list(map(_cell, column)) for column in self._columns]
        writer.writerows(zip(*columns, strict=True))
        return file.getvalue().encode()

    def columns_json(self) -> bytes:
        """The table as `{"X": {column: [values]}}`; CSV cells that are numbers become numbers."""
        columns = [list(map(json_value, column)) for column in self._columns] if self._is_text else self._columns
        return json_bytes({"X": dict(zip(self.names, columns, strict=True))})


def _cell(value: object) -> object:
    if value is None or (isinstance(value, str | int | float) and not isinstance(value, bool)):
        return value
    return json_bytes(value).decode()


def read_predictions(body: bytes, content_type: bytes) -> Output:
    """The output in a server's answer. Raises ModelFault when it is not one."""
    if parse_content_type(content_type).mimetype == "text/csv":
        names, records = csv_table(decode_text(body, "utf-8"))
        return Output([[json_value(text) for text in record] for record in records], list(names))
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ModelFault(f"The model's server answered neither JSON nor CSV: {error}.") from error
    entries = content.get("predictions") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise ModelFault('The model\'s server did not answer {"predictions": [...]}.')
    return _output_of(entries)


def _output_of(entries: list[Any]) -> Output:
    if entries and all(isinstance(entry, dict) for entry in entries):
        names = list(entries[0])
        if any(entry.keys() != entries[0].keys() for entry in entries):
            raise ModelFault("The predictions of the model's server have different keys.")
        return Output([[entry[name] for name in names] for entry in entries], names)
    if entries and all(isinstance(entry, list) for entry in entries):
        return Output(entries)
    return Output([[entry] for entry in entries])


def read_message(body: bytes) -> str:
    """What a server says in an answer that is no prediction."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body[:500].decode("utf-8", "replace").strip()
    if isinstance(content, dict) and isinstance(content.get("message"), str):
        return str(content["message"])
    return body[:500].decode("utf-8", "replace").strip()
