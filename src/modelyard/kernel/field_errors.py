"""What is wrong with one field of a request, in words."""

import typing
from collections.abc import Iterator, Mapping
from itertools import islice
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta
from msgspec.structs import FieldInfo, fields

from modelyard.kernel.numbers import number_error

SECRET: dict[str, Any] = {"writeOnly": True}
"""``extra_json_schema`` of a field whose value is never shown, not even to say that it is wrong."""
MAX_REPORTED = 10
"""Errors of one field."""
T = TypeVar("T")

NOT_NULL = "must not be null; leave it out"


def converted(hint: type[T], values: Any, *, strict: bool) -> T:
    """Return ``values`` as the type, whose numbers can be stored.

    Raises ``ValidationError``, without ``strict`` also where msgspec would read the text ``null`` as None.
    """
    result = msgspec.convert(values, type=hint, strict=strict)
    if error := number_error(result):
        raise msgspec.ValidationError(error)
    if not strict and _has_null_text(result, values):
        raise msgspec.ValidationError(NOT_NULL)
    return result


def _has_null_text(result: Any, values: Any) -> bool:
    if isinstance(result, msgspec.Struct):
        pairs = ((getattr(result, info.name), values.get(info.encode_name)) for info in fields(type(result)))
        return any(value is None and isinstance(sent, str) for value, sent in pairs)
    return result is None and isinstance(values, str)


def field_errors(info: FieldInfo, values: Mapping[str, Any], *, strict: bool) -> dict[str, str]:
    name = info.encode_name
    if name not in values:
        return {name: "is required"} if info.required else {}
    texts = list(islice(_texts(info.type, values[name], "$", strict=strict), MAX_REPORTED))
    if not texts:
        try:
            converted(info.type, values[name], strict=strict)
        except msgspec.ValidationError as error:
            texts = [str(error)]
        else:
            return {}
    text = "; ".join(texts)
    return {name: text if _is_secret(info.type) else f"{text}; got {_shown(values[name])}"}


def _texts(hint: Any, value: Any, path: str, *, strict: bool) -> Iterator[str]:
    """Yield what is wrong with a value: with each of its parts where it has parts, else with itself."""
    try:
        msgspec.convert(value, type=hint, strict=strict)
    except msgspec.ValidationError as error:
        fault = str(error)
    else:
        return
    is_told = False
    for part, inner, place in _parts(hint, value, path):
        for text in _missing(place) if inner is UNSET else _texts(part, inner, place, strict=strict):
            is_told = True
            yield text
    if not is_told:
        where = "" if path == "$" or " - at `" in fault else f" - at `{path}`"
        yield _described(hint, lower_first(fault.replace("at `$", f"at `{path}"))) + where + _allowed(hint, fault)


def _described(hint: Any, fault: str) -> str:
    """What a text must be, where its type says so in words, instead of the expression that it has to match."""
    if not fault.startswith("expected `str` matching regex"):
        return fault
    for part in (hint, *typing.get_args(hint)):
        for note in getattr(part, "__metadata__", ()):
            if isinstance(note, Meta) and note.description:
                return f"must be {note.description}"
    return fault


def _missing(path: str) -> Iterator[str]:
    above, _, name = path.rpartition(".")
    yield f"object missing required field `{name}`" + ("" if above == "$" else f" - at `{above}`")


def _parts(hint: Any, value: Any, path: str) -> Iterator[tuple[Any, Any, str]]:
    """The type, value and place of each part of an object or list; ``UNSET`` where a required one is missing."""
    for one in members(hint):
        if isinstance(value, Mapping) and isinstance(one, type) and issubclass(one, msgspec.Struct):
            for info in fields(one):
                if info.required or info.encode_name in value:
                    yield info.type, value.get(info.encode_name, UNSET), f"{path}.{info.encode_name}"
        elif isinstance(value, list) and typing.get_origin(one) is list:
            for index, each in enumerate(value):
                yield typing.get_args(one)[0], each, f"{path}[{index}]"


def members(hint: Any) -> Iterator[Any]:
    """The types that a hint allows."""
    origin = typing.get_origin(hint)
    if origin is Annotated:
        yield from members(typing.get_args(hint)[0])
    elif origin in {typing.Union, UnionType}:
        for one in typing.get_args(hint):
            yield from members(one)
    else:
        yield hint


def takes_list(hint: Any) -> bool:
    """Whether a value of the type may be a list."""
    return any(typing.get_origin(one) is list for one in members(hint))


def _allowed(hint: Any, fault: str) -> str:
    """What may stand where none of a set of words does, if the type knows one such set only."""
    sets = set(_word_sets(hint)) if fault.startswith("Invalid enum value") else set()
    return f"; allowed are {', '.join(map(str, sets.pop()))}" if len(sets) == 1 else ""


def _word_sets(hint: Any) -> Iterator[tuple[Any, ...]]:
    if typing.get_origin(hint) is Literal:
        yield typing.get_args(hint)
    elif isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        for info in fields(hint):
            yield from _word_sets(info.type)
    else:
        for part in typing.get_args(hint):
            yield from _word_sets(part)


def _is_secret(hint: Any) -> bool:
    if typing.get_origin(hint) is Annotated:
        inner, *notes = typing.get_args(hint)
        return _is_secret(inner) or any(isinstance(one, Meta) and one.extra_json_schema == SECRET for one in notes)
    return any(_is_secret(part) for part in typing.get_args(hint))


def lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 120 else text[:117] + "..."
