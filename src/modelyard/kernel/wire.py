"""Wire types: the bases of every request and response schema, and how input is read into them."""

import typing
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import FieldInfo, fields

from modelyard.kernel.clock import to_wire
from modelyard.kernel.errors import BadRequest, Invalid

__all__ = [
    "NOT_JSON",
    "SECRET",
    "UNSET",
    "Body",
    "BoolText",
    "DeferredBody",
    "Moment",
    "Query",
    "Schema",
    "UnsetType",
    "Uri",
    "changes",
    "convert",
    "decode",
    "moment",
    "read_bool",
    "read_json_text",
    "refuse_nul",
]

S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")

NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What reading JSON raises for content that is none; the last is nesting that nobody means."""
_NUL_IN_JSON = b"\\u0000"
BoolText = Literal["false", "False", "true", "True"]
Uri = Annotated[str, Meta(extra_json_schema={"format": "uri"})]
Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
SECRET: dict[str, Any] = {"writeOnly": True}
"""``extra_json_schema`` of a field whose value is never shown, not even to say that it is wrong."""


class Schema(msgspec.Struct, rename="camel", kw_only=True):
    """What the API answers. Fields are snake_case here, camelCase on the wire; ``UNSET`` leaves a field out."""


class Body(msgspec.Struct, rename="camel", kw_only=True):
    """What the API is sent, as JSON or as a form. ``UNSET``: the client said nothing; ``None``: it said null."""


class DeferredBody(Body, dict=True):
    """A body whose wrong fields are not refused when it is read, since the service knows of more that can be wrong.

    Until ``refuse`` has passed, a field that is wrong or missing is ``UNSET``, whatever its type says.
    """

    @property
    def faults(self) -> dict[str, str]:
        """What is wrong with the fields as they came, by their wire names."""
        found: dict[str, str] = self.__dict__.get("_faults", {})
        return found

    def refuse(self, more: Mapping[str, str]) -> None:
        """Raises ``Invalid`` if anything is wrong, by the wire or by the service; of two texts the wire's counts."""
        errors = {**more, **self.faults}
        if errors:
            raise Invalid("; ".join(f"{field}: {text}" for field, text in errors.items()), errors)


class Query(msgspec.Struct, rename="camel", kw_only=True):
    """The query parameters of an operation."""


def changes(body: msgspec.Struct) -> dict[str, Any]:
    """The fields that the client sent, by their Python names."""
    return {name: value for name in body.__struct_fields__ if (value := getattr(body, name)) is not UNSET}


def moment(time: datetime) -> str:
    """A time as the wire writes it."""
    return to_wire(time)


def decode(type_: type[S], content: bytes) -> S:
    """A JSON body as ``type_``; no content reads as ``{}``. Every wrong field is named in one ``Invalid``."""
    if not content.strip():
        content = b"{}"
    if _NUL_IN_JSON in content:
        refuse_nul(_plain(content))
    try:
        try:
            return msgspec.json.decode(content, type=type_)
        except msgspec.ValidationError:
            values = msgspec.json.decode(content)
    except NOT_JSON as error:
        raise BadRequest(f"the body is not valid JSON: {error}") from error
    return convert(type_, values)


def convert(type_: type[S], values: Any, *, strict: bool = True) -> S:
    """A mapping as ``type_``. ``strict=False`` reads numbers and booleans out of text, as queries and forms need.

    Raises ``Invalid`` with one text for each wrong, missing or null field.
    """
    if not strict:
        refuse_nul(values)
    try:
        return msgspec.convert(values, type=type_, strict=strict)
    except msgspec.ValidationError as error:
        if not isinstance(values, Mapping):
            raise Invalid(f"the body must be a JSON object: {error}") from error
        errors = {field: text for info in fields(type_) for field, text in _faults(info, values, strict=strict)}
        if errors and issubclass(type_, DeferredBody):
            return _deferred(type_, values, errors, strict=strict)
        message = "; ".join(f"{field}: {text}" for field, text in errors.items()) or str(error)
        raise Invalid(message, errors) from error


def _deferred(type_: type[S], values: Mapping[str, Any], errors: dict[str, str], *, strict: bool) -> S:
    given: dict[str, Any] = {}
    for info in fields(type_):
        if info.encode_name in errors:
            given[info.name] = UNSET
        elif info.encode_name in values:
            given[info.name] = msgspec.convert(values[info.encode_name], type=info.type, strict=strict)
    made = type_(**given)
    made.__dict__["_faults"] = errors
    return made


def refuse_nul(values: Any) -> None:
    """Raises ``Invalid`` for text with NUL characters, which no database of ours can hold, naming its fields."""
    if not isinstance(values, Mapping):
        return
    errors = {str(name): "must not hold NUL characters" for name, value in values.items() if _has_nul([name, value])}
    if errors:
        raise Invalid("; ".join(f"{field}: {text}" for field, text in errors.items()), errors)


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, Mapping):
        return any(_has_nul(part) for pair in value.items() for part in pair)
    return isinstance(value, Sequence) and any(_has_nul(part) for part in value)


def _plain(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except NOT_JSON:
        return None


def _faults(info: FieldInfo, values: Mapping[str, Any], *, strict: bool) -> Sequence[tuple[str, str]]:
    name = info.encode_name
    if name not in values:
        return [(name, "is required")] if info.required else []
    try:
        msgspec.convert(values[name], type=info.type, strict=strict)
    except msgspec.ValidationError as error:
        text = _lower_first(str(error)) + _allowed(info.type, str(error))
        return [(name, text if _is_secret(info.type) else f"{text}; got {_shown(values[name])}")]
    return []


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


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 120 else text[:117] + "..."


def read_bool(value: str | bool, field: str) -> bool:
    """``true/false/True/False`` of a query or form, or a JSON boolean."""
    if isinstance(value, bool):
        return value
    if value in {"true", "True"}:
        return True
    if value in {"false", "False"}:
        return False
    raise Invalid(f"{field} must be true or false, not {value!r}", {field: f"must be true or false, not {value!r}"})


def read_json_text(text: str, type_: type[T], field: str) -> T:
    """The value of a form field that holds JSON in a string."""
    try:
        return msgspec.json.decode(text, type=type_)
    except (*NOT_JSON, UnicodeEncodeError) as error:
        raise Invalid(f"{field}: {error}", {field: str(error)}) from error
