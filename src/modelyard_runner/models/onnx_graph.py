"""The class labels that an ONNX file holds, read without the package onnx.

Source of the fields: onnx.proto and the wire format of protocol buffers (protobuf.dev/programming-guides/encoding).
"""

from collections.abc import Iterator
from pathlib import Path

_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER = 1, 5
_NODE_ATTRIBUTE = 5
_ATTRIBUTE_NAME, _ATTRIBUTE_INTS, _ATTRIBUTE_STRINGS = 1, 8, 9
_TENSOR_STRINGS, _TENSOR_INT64S, _TENSOR_NAME, _TENSOR_RAW = 6, 7, 8, 9
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LABELS = b"classlabels_"
_CLASSES = b"classes"

Field = tuple[int, int | memoryview]


def class_labels(path: Path) -> list[tuple[str, ...]]:
    """The different lists of class labels in the nodes of an ONNX file and in its constants named `classes`.

    Empty for a file that cannot be read.
    """
    found: dict[tuple[str, ...], None] = {}
    try:
        for number, graph in _fields(memoryview(path.read_bytes())):
            if number == _MODEL_GRAPH and isinstance(graph, memoryview):
                found.update(dict.fromkeys(_of_graph(graph)))
    except (OSError, ValueError, IndexError):
        return []
    return [labels for labels in found if labels]


def _of_graph(graph: memoryview) -> Iterator[tuple[str, ...]]:
    for number, part in _fields(graph):
        if not isinstance(part, memoryview):
            continue
        if number == _GRAPH_NODE:
            for field, attribute in _fields(part):
                if field == _NODE_ATTRIBUTE and isinstance(attribute, memoryview):
                    yield _of_attribute(attribute)
        elif number == _GRAPH_INITIALIZER:
            yield _of_tensor(part)


def _of_attribute(attribute: memoryview) -> tuple[str, ...]:
    fields = list(_fields(attribute))
    name = _name(fields, _ATTRIBUTE_NAME)
    if not name.startswith(_LABELS):
        return ()
    return _values(fields, _ATTRIBUTE_INTS, _ATTRIBUTE_STRINGS)


def _of_tensor(tensor: memoryview) -> tuple[str, ...]:
    fields = list(_fields(tensor))
    name = _name(fields, _TENSOR_NAME)
    if not name.startswith(_CLASSES):
        return ()
    raw = next((value for number, value in fields if number == _TENSOR_RAW and isinstance(value, memoryview)), None)
    if raw is not None and len(raw) % 8 == 0:
        return tuple(str(int.from_bytes(raw[at : at + 8], "little", signed=True)) for at in range(0, len(raw), 8))
    return _values(fields, _TENSOR_INT64S, _TENSOR_STRINGS)


def _values(fields: list[Field], ints: int, strings: int) -> tuple[str, ...]:
    texts: list[str] = []
    for number, value in fields:
        if number == ints:
            numbers = [value] if isinstance(value, int) else _varints(value)
            texts += [str(each - 2**64 if each >= 2**63 else each) for each in numbers]
        elif number == strings and isinstance(value, memoryview):
            texts.append(bytes(value).decode("utf-8", "replace"))
    return tuple(texts)


def _name(fields: list[Field], wanted: int) -> bytes:
    return next((bytes(value) for number, value in fields if number == wanted and isinstance(value, memoryview)), b"")


def _fields(data: memoryview) -> Iterator[Field]:
    """The fields of a message: their numbers, and their integers or bytes. Raises ValueError and IndexError."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
        elif kind == _BYTES:
            size, at = _varint(data, at)
            yield number, data[at : at + size]
            at += size
        elif kind in {_FIXED64, _FIXED32}:
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"unknown wire type {kind}")


def _varints(data: memoryview) -> list[int]:
    values, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        values.append(value)
    return values


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
