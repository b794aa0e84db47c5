"""Wire types: the bases of every request and response schema, and how input is read into them."""

from collections.abc import Iterable, Mapping, MutableMapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import fields

from modelyard.kernel.clock import to_wire
from modelyard.kernel.errors import BadRequest, Invalid, TooLarge, Unread, raise_all
from modelyard.kernel.field_errors import SECRET, converted, field_errors, lower_first, members
from modelyard.kernel.numbers import may_exceed
from modelyard.kernel.texts import UNSTORABLE, all_storable

__all__ = [
    "NOT_JSON",
    "SECRET",
    "UNSET",
    "Body",
    "BoolText",
    "Moment",
    "PartialBody",
    "Query",
    "Schema",
    "UnsetType",
    "Uri",
    "WebUrl",
    "changes",
    "convert",
    "decode",
    "decode_body",
    "decode_json",
    "moment",
    "read_bool",
    "read_json_object",
    "read_json_text",
    "recast",
    "text_errors",
]

S = TypeVar("S", bound=msgspec.Struct)
B = TypeVar("B", bound="Body")
T = TypeVar("T")

NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What reading JSON raises for content that is none; the last is nesting that nobody means."""
MAX_JSON_VALUES = 250_000
TOO_MANY_VALUES = f"the JSON holds more than {MAX_JSON_VALUES} values; send it in several requests"
BoolText = Literal["false", "False", "true", "True"]
Uri = Annotated[str, Meta(extra_json_schema={"format": "uri"})]
"""An address that the API answers with."""
WebUrl = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=2048,
        pattern=r"^[Hh][Tt][Tt][Pp][Ss]?://"
        r"([A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"
        r"([/?#][!#-;=?-Z_a-z~\[\]]*)?$(?!\n)",
        description="an http or https address (RFC 3986) of a host, without user name, blanks and control characters",
        extra_json_schema={"format": "uri"},
    ),
]
"""An address that a client sends: every field of a request that is documented as ``format: uri``."""
Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


class Schema(msgspec.Struct, rename="camel", kw_only=True):
    """What the API answers. Fields are snake_case here, camelCase on the wire; ``UNSET`` leaves a field out."""


class Body(msgspec.Struct, rename="camel", kw_only=True, dict=True):
    """What the API is sent, as JSON or as a form. ``UNSET``: the client said nothing; ``None``: it said null.

    A body with ``faults`` is refused in any case, by ``kernel.http``; until then the rules are asked what else is
    wrong. A field that could not be read counts as not sent: it has its default, or raises ``Unread`` without one.
    """

    @property
    def faults(self) -> Mapping[str, str]:
        """What is wrong with the fields as they came, by their wire names."""
        found: Mapping[str, str] = self.__dict__.get("_faults", {})
        return found

    @property
    def unread(self) -> frozenset[str]:
        """The fields that have faults, by their Python names: a rule that needs one of them cannot be checked."""
        if not self.faults:
            return frozenset()
        return frozenset(info.name for info in fields(type(self)) if info.encode_name in self.faults)

    if not TYPE_CHECKING:  # or every name would be an attribute to the type checker

        def __getattr__(self, name: str) -> Any:
            if name in self.__struct_fields__:
                raise Unread(name)
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")


class PartialBody(Body, kw_only=True):
    """A part of a body that is read field by field: one that is wrong does not keep the rules from the others."""


class Query(msgspec.Struct, rename="camel", kw_only=True):
    """The query parameters of an operation."""


def changes(body: msgspec.Struct) -> dict[str, Any]:
    """The fields that the client sent, by their Python names."""
    return {name: value for name, value in _readable(body) if value is not UNSET}


def recast(body: Body, type_: type[B], **fixed: Any) -> B:
    """``body`` as another type that has fields of the same names, with the ``fixed`` ones set.

    What could not be read of ``body`` counts as not sent to the other type, with the same faults.
    """
    infos = fields(type_)
    names = {info.name for info in infos}
    given = {name: value for name, value in _readable(body) if name in names} | fixed
    unread = [info.name for info in infos if info.required and info.name not in given]
    made = type_(**given, **dict.fromkeys(unread, UNSET))
    for name in unread:
        delattr(made, name)
    if body.faults:
        made.__dict__["_faults"] = body.faults
    return made


def _readable(body: msgspec.Struct) -> Iterable[tuple[str, Any]]:
    for name in body.__struct_fields__:
        with suppress(Unread):
            yield name, getattr(body, name)


def moment(time: datetime) -> str:
    """A time as the wire writes it."""
    return to_wire(time)


def decode(type_: type[S], content: bytes, faults: MutableMapping[str, str] | None = None) -> S:
    """A JSON body as ``type_``; no content reads as ``{}``. For wrong fields see ``convert``."""
    if has_too_many_values(content):
        raise TooLarge(TOO_MANY_VALUES)
    try:
        content.decode()  # msgspec skips unknown fields without a look at their texts
        if _is_storable_json(content) and not may_exceed(content):
            try:
                return msgspec.json.decode(content if content.strip() else b"{}", type=type_)
            except msgspec.ValidationError:
                pass
    except NOT_JSON as error:
        raise BadRequest(f"the body is not valid JSON: {error}") from error
    return convert(type_, decode_body(content), faults=faults)


def decode_body(content: bytes) -> Any:
    """The JSON body of a request; no content reads as ``{}``.

    Raises ``BadRequest`` for what is no JSON, ``Invalid`` for numbers that no computer holds.
    """
    try:
        return msgspec.json.decode(content if content.strip() else b"{}")
    except msgspec.ValidationError as error:
        raise Invalid(f"the body holds a number that is too large: {lower_first(str(error))}") from error
    except NOT_JSON as error:
        raise BadRequest(f"the body is not valid JSON: {error}") from error


def decode_json(text: str | bytes, type_: type[T]) -> T:
    """JSON that a client wrote, as ``type_``; the only way to read any.

    Raises one of ``NOT_JSON``, which a text that no database can hold is too.
    """
    content = text.encode() if isinstance(text, str) else text
    if has_too_many_values(content):
        raise msgspec.ValidationError(TOO_MANY_VALUES)
    if not _is_storable_json(content) and not all_storable(msgspec.json.decode(content)):
        raise msgspec.ValidationError(UNSTORABLE)
    return msgspec.json.decode(content, type=type_)


def has_too_many_values(content: bytes) -> bool:
    """Whether a JSON text may hold more values than any request needs: each takes fifty times its bytes in memory.

    Each value but the first of its object or list follows a comma; those in texts are counted, too.
    """
    if len(content) <= MAX_JSON_VALUES:
        return False
    return content.count(b",") + content.count(b"[") + content.count(b"{") > MAX_JSON_VALUES


def _is_storable_json(content: bytes) -> bool:
    """Whether no text in it can be unstorable: msgspec refuses raw NULs and lone surrogates, but not escaped NULs."""
    return b"\\u0000" not in content


def convert(type_: type[S], values: Any, *, strict: bool = True, faults: MutableMapping[str, str] | None = None) -> S:
    """A mapping as ``type_``. ``strict=False`` reads numbers and booleans out of text, as queries and forms need.

    Raises ``Invalid`` with one text for each wrong, missing or null field. With ``faults``, ``type_`` is a ``Body``,
    and the texts are added there instead; of a field that is among them already nothing more is said.
    """
    errors = text_errors(values)
    told = "" if faults is None else "; ".join(faults.values())
    if not errors and not told:
        try:
            return converted(type_, values, strict=strict)
        except msgspec.ValidationError as error:
            told = str(error)
    if not isinstance(values, Mapping):
        raise Invalid(f"the body must be a JSON object: {told}")
    known = errors.keys() | (faults or {}).keys()
    for info in fields(type_):
        if info.encode_name not in known:
            errors |= field_errors(info, values, strict=strict)
    if faults is None:
        raise_all(errors)
        raise Invalid(told)
    if not errors and not faults:
        raise Invalid(told)
    faults.update(errors)
    return _partial(type_, values, faults, strict=strict)


def _partial(type_: type[S], values: Mapping[str, Any], faults: Mapping[str, str], *, strict: bool) -> S:
    """What could be read of a body."""
    given: dict[str, Any] = {}
    unread = []
    for info in fields(type_):
        value = values.get(info.encode_name, UNSET)
        if info.encode_name not in faults and value is not UNSET:
            given[info.name] = msgspec.convert(value, type=info.type, strict=strict)
        elif isinstance(value, Mapping) and (inner := _partial_type(info.type)):
            wrong: dict[str, str] = {}
            for part in fields(inner):
                wrong |= field_errors(part, value, strict=strict)
            given[info.name] = _partial(inner, value, wrong, strict=strict)
        elif info.required:
            given[info.name] = UNSET
            unread.append(info.name)
    made = type_(**given)
    for name in unread:
        delattr(made, name)
    made.__dict__["_faults"] = faults
    return made


def _partial_type(hint: Any) -> type[PartialBody] | None:
    found = (one for one in members(hint) if isinstance(one, type) and issubclass(one, PartialBody))
    return next(found, None)


def text_errors(values: Any) -> dict[str, str]:
    """The fields with texts that no database can hold, and what to say of them."""
    if not isinstance(values, Mapping):
        return {}
    return {_shown_name(name): UNSTORABLE for name, value in values.items() if not all_storable([name, value])}


def _shown_name(name: Any) -> str:
    return str(name).encode("utf-8", "backslashreplace").decode()


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
        return decode_json(text, type_)
    except (*NOT_JSON, UnicodeEncodeError) as error:
        raise Invalid(f"{field}: {error}", {field: str(error)}) from error


def read_json_object(text: str, type_: type[S], field: str) -> S:
    """An object that came as JSON in a text; raises ``Invalid`` naming each wrong field of it below ``field``."""
    try:
        content = msgspec.json.decode(text)
    except (*NOT_JSON, UnicodeEncodeError) as error:
        raise Invalid(f"{field}: {error}", {field: str(error)}) from error
    if not isinstance(content, dict):
        raise Invalid(f"{field}: must be a JSON object", {field: f"must be a JSON object, not {text[:80]!r}"})
    try:
        return convert(type_, content)
    except Invalid as error:
        errors = {f"{field}.{name}": told for name, told in error.errors.items()} or {field: error.message}
        raise Invalid("; ".join(f"{name}: {told}" for name, told in errors.items()), errors) from None
