"""Predictions as the JSON and CSV that clients get. Source: contract/supporting-endpoints.md D.2.

Rows are written with a byte template per answer: the labels are escaped once, only the numbers change. Our own forms,
where the source names none: a text generation row has one prediction value labelled with the target's name; a
transform row has one prediction value per output column and the list of them as its prediction; the CSV of a
transform has the model's columns under their own names.
"""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from modelyard_runner.problems import Refusal, listing
from modelyard_runner.target import Target, TargetType
from modelyard_runner.wire.outputs import Predictions
from modelyard_runner.wire.passthrough import Passthrough

_NEEDS_QUOTES = re.compile('[,"\r\n]')
_ANY = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY


def json_bytes(value: object) -> bytes:
    """JSON of any cell; what JSON has no form for becomes its text, NaN and infinity null."""
    return orjson.dumps(value, default=str, option=_ANY)


def _fixed(text: str) -> bytes:
    """A JSON string as a part of a template."""
    return orjson.dumps(text).replace(b"%", b"%%")


def _number_texts(rows: Sequence[Sequence[float]], decimals: int | None) -> list[bytes]:
    """Every number of the rows, one after the other, in its shortest exact form."""
    flat: list[float] = [value for row in rows for value in row]
    if decimals is not None:
        flat = [round(float(value), decimals) for value in flat]
    return orjson.dumps(flat, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",") if flat else []


def _rounded_cell(value: object, decimals: int | None) -> object:
    if decimals is not None and isinstance(value, float) and math.isfinite(value):
        return round(value, decimals)
    return value


def _pairs(flat: list[bytes]) -> Iterable[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)


class Answers:
    """Writes the answers of one target."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._name = _fixed(target.shown_name)
        self._positive = orjson.dumps(target.positive_label)
        self._negative = orjson.dumps(target.negative_label)
        threshold = orjson.dumps(target.threshold)
        self._binary_template = (
            b'{"rowId":%%d,"prediction":%%b,"predictionValues":[{"label":%b,"value":%%b},{"label":%b,"value":%%b}],'
            b'"predictionThreshold":%b' % (_fixed(target.positive_label), _fixed(target.negative_label), threshold)
        )
        self._value_template = (
            b'{"rowId":%%d,"prediction":%%b,"predictionValues":[{"label":%b,"value":%%b}]' % self._name
        )

    # JSON

    def json(self, predictions: Predictions, passthrough: Passthrough | None, decimals: int | None) -> bytes:
        """`{"data": [row, ...]}`."""
        template, fields = self._json_fields(predictions, decimals)
        if passthrough is None:
            rows = [template % values for values in fields]
            return b'{"data":[' + b"},".join(rows) + b"}]}" if rows else b'{"data":[]}'
        template += b',"passthroughValues":%b'
        names = passthrough.names
        copies = (json_bytes(dict(zip(names, row, strict=True))) for row in passthrough.rows)
        rows = [template % (*values, copy) for values, copy in zip(fields, copies, strict=True)]
        return b'{"data":[' + b"},".join(rows) + b"}]}"

    def _json_fields(self, predictions: Predictions, decimals: int | None) -> tuple[bytes, Iterable[tuple[Any, ...]]]:
        """The template of a row without its closing brace, and the values to put into it for each row."""
        rows = predictions.rows
        numbers = range(len(rows))
        match self._target.kind:
            case TargetType.REGRESSION | TargetType.ANOMALY:
                texts = _number_texts(rows, decimals)
                return self._value_template, zip(numbers, texts, texts, strict=True)
            case TargetType.BINARY:
                threshold = self._target.threshold
                chosen = [self._positive if row[0] >= threshold else self._negative for row in rows]
                texts = _number_texts(rows, decimals)
                return self._binary_template, zip(numbers, chosen, texts[::2], texts[1::2], strict=True)
            case TargetType.MULTICLASS:
                return self._multiclass_fields(predictions, decimals)
            case TargetType.TEXT_GENERATION:
                texts = [orjson.dumps(row[0]) for row in rows]
                return self._value_template, zip(numbers, texts, texts, strict=True)
        template = b'{"rowId":%d,"prediction":%b,"predictionValues":%b'
        return template, self._transform_fields(predictions, decimals)

    def _multiclass_fields(
        self, predictions: Predictions, decimals: int | None
    ) -> tuple[bytes, Iterable[tuple[Any, ...]]]:
        labels = [orjson.dumps(label) for label in predictions.columns]
        values = ",".join(['{"label":%b,"value":%b}'] * len(labels)).encode()
        template = b'{"rowId":%d,"prediction":%b,"predictionValues":[' + values + b"]"
        texts = _number_texts(predictions.rows, decimals)
        fields: list[tuple[Any, ...]] = []
        places = range(len(labels))
        for number, row in enumerate(predictions.rows):
            start = number * len(labels)
            order = sorted(places, key=row.__getitem__, reverse=True)
            fields.append((number, labels[order[0]], *(part for i in order for part in (labels[i], texts[start + i]))))
        return template, fields

    def _transform_fields(self, predictions: Predictions, decimals: int | None) -> Iterable[tuple[Any, ...]]:
        for number, row in enumerate(predictions.rows):
            cells = [_rounded_cell(value, decimals) for value in row]
            pairs = [{"label": name, "value": cell} for name, cell in zip(predictions.columns, cells, strict=True)]
            yield number, json_bytes(cells), json_bytes(pairs)

    # CSV

    def csv(self, predictions: Predictions, passthrough: Passthrough | None, decimals: int | None) -> bytes:
        """A header line and one line per row. Raises Refusal 422 when a passthrough column has an answer's name."""
        names, lines = self._csv_lines(predictions, decimals)
        if passthrough is not None:
            clashes = [name for name in passthrough.names if name in set(names)]
            if clashes:
                raise Refusal(422, f"The passthrough columns {listing(clashes)} have names that the answer uses.")
            names = [*names, *passthrough.names]
            copies = (b",".join([_csv_cell(value) for value in row]) for row in passthrough.rows)
            lines = [line + b"," + copy for line, copy in zip(lines, copies, strict=True)]
        return b"\n".join([b",".join([_csv_cell(name) for name in names]), *lines, b""])

    def _csv_lines(self, predictions: Predictions, decimals: int | None) -> tuple[list[str], Iterable[bytes]]:
        rows = predictions.rows
        name = self._target.shown_name
        match self._target.kind:
            case TargetType.REGRESSION | TargetType.ANOMALY:
                return [f"{name}_PREDICTION"], _number_texts(rows, decimals)
            case TargetType.BINARY:
                return self._binary_csv_lines(predictions, decimals)
            case TargetType.MULTICLASS:
                names = [f"{name}_{label}_PREDICTION" for label in predictions.columns] + [f"{name}_PREDICTION"]
                labels = [_csv_cell(label) for label in predictions.columns]
                texts = _number_texts(rows, decimals)
                width = len(labels)
                lines = []
                for number, row in enumerate(rows):
                    best = labels[max(range(width), key=row.__getitem__)]
                    lines.append(b",".join([*texts[number * width : (number + 1) * width], best]))
                return names, lines
            case TargetType.TEXT_GENERATION:
                return [f"{name}_PREDICTION"], [_csv_cell(row[0]) or b'""' for row in rows]
        cells = ([_csv_cell(_rounded_cell(value, decimals)) for value in row] for row in rows)
        return list(predictions.columns), [b",".join(row) for row in cells]

    def _binary_csv_lines(self, predictions: Predictions, decimals: int | None) -> tuple[list[str], Iterable[bytes]]:
        target = self._target
        name, positive, negative = target.shown_name, target.positive_label, target.negative_label
        names = [
            f"{name}_{positive}_PREDICTION",
            f"{name}_{negative}_PREDICTION",
            f"{name}_PREDICTION",
            "THRESHOLD",
            "POSITIVE_CLASS",
        ]
        constants = b",%b,%b" % (orjson.dumps(target.threshold), _csv_cell(positive))
        endings = (b"," + _csv_cell(negative) + constants, b"," + _csv_cell(positive) + constants)
        threshold = target.threshold
        chosen = (endings[row[0] >= threshold] for row in predictions.rows)
        pairs = _pairs(_number_texts(predictions.rows, decimals))
        return names, [b"%b,%b%b" % (*pair, ending) for pair, ending in zip(pairs, chosen, strict=True)]

    # the container contract

    def contract(self, predictions: Predictions) -> bytes:
        """`{"predictions": [...]}`: numbers, texts, or an object of class labels (columns) and values per row."""
        if self._target.is_classification or self._target.kind is TargetType.TRANSFORM:
            columns = predictions.columns
            content: list[Any] = [dict(zip(columns, row, strict=True)) for row in predictions.rows]
        else:
            content = [row[0] for row in predictions.rows]
        return json_bytes({"predictions": content})


def _csv_cell(value: object) -> bytes:
    if isinstance(value, str):
        text = value
    elif value is None or (isinstance(value, float) and math.isnan(value)):
        return b""
    elif isinstance(value, bool | int | float | dict | list):
        text = json_bytes(value).decode()
    else:
        text = str(value)
    if _NEEDS_QUOTES.search(text):
        return b'"' + text.replace('"', '""').encode() + b'"'
    return text.encode()
