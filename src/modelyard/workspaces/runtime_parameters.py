"""Runtime parameters: defined in a workspace's metadata file, set by clients, handed to the code as variables.

What the metadata file defines and what clients set are kept apart, so that values survive new files. The same rules
hold for models, jobs and applications (supporting-endpoints A.7 and C.7).
"""

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Annotated, Any, Literal, NamedTuple, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from modelyard.kernel.errors import Invalid, invalid
from modelyard.kernel.wire import NOT_JSON, Schema, decode_json

ParameterType = Literal["boolean", "credential", "customMetric", "deployment", "modelPackage", "numeric", "string"]
CredentialType = Literal[
    "adlsGen2Oauth",
    "apiToken",
    "azure",
    "azureServicePrincipal",
    "basic",
    "bearer",
    "databricksAccessTokenAccount",
    "databricksServicePrincipalAccount",
    "datasphereOauth",
    "gcp",
    "oauth",
    "rsa",
    "s3",
    "sapOauth",
    "snowflakeKeyPairUserAccount",
    "snowflakeOauthUserAccount",
    "tableauAccessToken",
]
Scalar = str | bool | int | float
REFERENCE_TYPES = frozenset({"credential", "customMetric", "deployment", "modelPackage"})
"""The types whose values are ids of something else (``workspaces.references``)."""

MAX_PARAMETERS = 100
MAX_TEXT_LENGTH = 4096
SHOWN_CHARACTERS = 100
MAX_NUMBER = sys.float_info.max
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_TYPES: tuple[str, ...] = get_args(ParameterType)
CREDENTIAL_TYPES: tuple[str, ...] = get_args(CredentialType)


class Definition(msgspec.Struct, rename="camel", kw_only=True, omit_defaults=True):
    """A parameter that the metadata file defines."""

    field_name: str
    type: ParameterType
    default_value: Scalar | None = None
    min_value: int | float | None = None
    max_value: int | float | None = None
    credential_type: CredentialType | None = None
    allow_empty: bool = True
    description: str | None = None


class Value(msgspec.Struct, rename="camel", kw_only=True):
    """A value that a client set; ``None`` only in a wish, where it clears."""

    field_name: str
    type: ParameterType
    value: Scalar | None


class _CurrentValue(msgspec.Struct, rename="camel", kw_only=True):
    field_name: str
    type: ParameterType
    current_value: Scalar | None


class RuntimeParameterUnified(Schema):
    """A parameter as the wire shows it: what is not set is left out, because null is no value there."""

    field_name: str
    type: ParameterType
    default_value: Scalar | UnsetType
    override_value: Scalar | UnsetType
    current_value: Scalar | UnsetType
    min_value: int | float | None
    max_value: int | float | None
    credential_type: CredentialType | None
    allow_empty: bool
    description: str | None


ReferenceFault = Callable[[ParameterType, str, Definition | None], str | None]
"""What is wrong with an id as the value of a parameter of a type, for the one who sends it."""

Values = Annotated[list[Value], Meta(max_length=MAX_PARAMETERS)]
CurrentValues = Annotated[list[_CurrentValue], Meta(max_length=MAX_PARAMETERS)]


def read_definitions(metadata: dict[str, Any], file_name: str) -> list[Definition]:
    """The ``runtimeParameterDefinitions`` of a metadata file; raises ``ValueError`` with everything that is wrong."""
    found = metadata.get("runtimeParameterDefinitions")
    if found is None:
        return []
    if not isinstance(found, list):
        raise ValueError(f"{file_name}: runtimeParameterDefinitions must be a list, not {found!r}")  # noqa: TRY004
    if len(found) > MAX_PARAMETERS:
        raise ValueError(f"{file_name}: at most {MAX_PARAMETERS} runtime parameters, not {len(found)}")
    problems: list[str] = []
    definitions: list[Definition] = []
    for index, entry in enumerate(found):
        faults = _definition_faults(entry)
        if not faults:
            definition = _definition(entry)
            faults = _limit_faults(definition)
            if any(other.field_name == definition.field_name for other in definitions):
                faults.append(f"fieldName {definition.field_name!r} is defined twice")
            definitions.append(definition)
        problems += [f"runtimeParameterDefinitions[{index}]: {fault}" for fault in faults]
    if problems:
        raise ValueError(f"{file_name}: {'; '.join(problems[:20])}")
    return definitions


def _definition_faults(entry: Any) -> list[str]:
    if not isinstance(entry, dict):
        return [f"must be a mapping with fieldName and type, not {entry!r}"]
    faults = []
    name = entry.get("fieldName")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        faults.append(f"fieldName must be letters, digits and underscores, not beginning with a digit, not {name!r}")
    if entry.get("type") not in _TYPES:
        faults.append(f"type must be one of {', '.join(_TYPES)}, not {entry.get('type')!r}")
    faults += [
        f"{key} must be {what}, not {entry[key]!r}"
        for key, allowed, what in (
            ("minValue", (int, float), "a number"),
            ("maxValue", (int, float), "a number"),
            ("description", (str,), "text"),
            ("allowEmpty", (bool,), "true or false"),
        )
        if entry.get(key) is not None and not _is_a(entry[key], allowed)
    ]
    credential_type = entry.get("credentialType")
    if credential_type is not None and _credential_type(credential_type) not in CREDENTIAL_TYPES:
        faults.append(f"credentialType must be one of {', '.join(CREDENTIAL_TYPES)}, not {credential_type!r}")
    return faults


def _definition(entry: dict[str, Any]) -> Definition:
    credential_type = entry.get("credentialType")
    return Definition(
        field_name=entry["fieldName"],
        type=entry["type"],
        default_value=entry.get("defaultValue"),
        min_value=entry.get("minValue"),
        max_value=entry.get("maxValue"),
        credential_type=None if credential_type is None else _credential_type(credential_type),  # type: ignore[arg-type]
        allow_empty=entry.get("allowEmpty") is not False,
        description=entry.get("description"),
    )


def _limit_faults(definition: Definition) -> list[str]:
    low, high = definition.min_value, definition.max_value
    faults = []
    if definition.type != "numeric" and (low is not None or high is not None):
        faults.append(f"minValue and maxValue are for numeric parameters, {definition.field_name} is {definition.type}")
    if definition.type != "credential" and definition.credential_type is not None:
        faults.append(f"credentialType is for credentials, {definition.field_name} is {definition.type}")
    if any(bound is not None and not _is_finite(bound) for bound in (low, high)):
        faults.append("minValue and maxValue must be finite")
    if low is not None and high is not None and low > high:
        faults.append(f"minValue {low} is above maxValue {high}")
    if definition.default_value is not None:
        fault = value_fault(definition.type, definition.default_value, definition)
        faults += [f"defaultValue {fault}"] if fault else []
    return faults


def _credential_type(value: object) -> str:
    """Older files write ``api_token``, the wire writes ``apiToken``."""
    first, *rest = str(value).split("_")
    return first + "".join(part.title() for part in rest)


def _is_a(value: object, allowed: tuple[type, ...]) -> bool:
    return isinstance(value, allowed) and (bool in allowed or not isinstance(value, bool))


def _is_finite(number: int | float) -> bool:
    """Whether it is a number that a float could be, so that every client can read it."""
    return abs(number) <= MAX_NUMBER


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."


def value_fault(type_: str, value: object, definition: Definition | None) -> str | None:
    """What is wrong with a value of a parameter of ``type_``, or ``None``."""
    if type_ == "boolean":
        return None if isinstance(value, bool) else f"must be true or false, not {value!r}"
    if type_ == "numeric":
        if not isinstance(value, int | float) or isinstance(value, bool) or not _is_finite(value):
            return f"must be a finite number, not {_shortened(repr(value))}"
        if definition and definition.min_value is not None and value < definition.min_value:
            return f"{value} is below minValue {definition.min_value}"
        if definition and definition.max_value is not None and value > definition.max_value:
            return f"{value} is above maxValue {definition.max_value}"
        return None
    if not isinstance(value, str):
        return f"must be text, not {value!r}; put it in quotes"
    if len(value) > MAX_TEXT_LENGTH:
        return f"has {len(value)} characters; at most {MAX_TEXT_LENGTH} are allowed"
    return None


def read_values(text: str, field: str = "runtimeParameterValues") -> list[Value]:
    """The v1 form: a JSON list of ``{fieldName, type, value}``."""
    return [coerced(value) for value in _decoded(text, Values, field)]


def read_current_values(text: str, field: str = "runtimeParameters") -> list[Value]:
    """The v2 form: a JSON list of ``{fieldName, type, currentValue}``."""
    return [
        coerced(Value(field_name=value.field_name, type=value.type, value=value.current_value))
        for value in _decoded(text, CurrentValues, field)
    ]


class Wanted(NamedTuple):
    """What a client sent: under which ``field``, and whether it takes the place of all values that were set."""

    field: str
    values: list[Value]
    replaces: bool


def read_wanted(values_text: str | None, parameters_text: str | None) -> Wanted:
    """The v1 form, which is merged into what is set, or the v2 form, which takes its place (A.7); never both."""
    if parameters_text is None:
        values = read_values(values_text) if values_text else []
        return Wanted("runtimeParameterValues", values, replaces=False)
    if values_text:
        raise invalid(runtimeParameters="cannot be combined with runtimeParameterValues; send one of the two")
    return Wanted("runtimeParameters", read_current_values(parameters_text), replaces=True)


def _decoded(text: str, type_: Any, field: str) -> Any:
    try:
        return decode_json(text, type_)
    except (*NOT_JSON, UnicodeEncodeError) as error:
        raise invalid(**{field: f"must be a JSON list of parameters: {error}"}) from error


def coerced(value: Value) -> Value:
    """A value as it is meant: many clients send numbers and booleans as text, wherever values are sent."""
    if isinstance(value.value, str) and value.type == "boolean" and value.value.lower() in {"true", "false"}:
        return msgspec.structs.replace(value, value=value.value.lower() == "true")
    if isinstance(value.value, str) and value.type == "numeric":
        return msgspec.structs.replace(value, value=_number(value.value))
    return value


def _number(text: str) -> Scalar:
    """The number that a text means, whole ones exactly; the text itself where it means none."""
    if "_" in text:  # which Python reads, and nobody else
        return text
    try:
        number = float(text)
        if not number.is_integer():
            return number
    except ValueError:
        return text
    with suppress(ValueError):
        return int(text)
    return int(number)


def merge(values: Iterable[Value], wanted: Iterable[Value]) -> list[Value]:
    """``values`` with the wanted ones set, and those wanted to be ``None`` cleared."""
    merged = {value.field_name: value for value in values}
    for value in wanted:
        merged[value.field_name] = value
    return without_empty(merged.values())


def without_empty(values: Iterable[Value]) -> list[Value]:
    return [value for value in values if value.value is not None]


def check_values(
    definitions: Iterable[Definition],
    values: Sequence[Value],
    field: str,
    reference_fault: ReferenceFault,
    inherited: Sequence[Value] = (),
    beneath: Sequence[Value] = (),
    *,
    null_keeps: bool = False,
) -> None:
    """Refuses values that do not fit their type or definition, all of them in one ``Invalid``.

    A parameter without a definition is one of the client's own. ``inherited`` are the values that hold where the
    client sent none, ``beneath`` those (of a deployed version) that hold where a null has cleared even that. They are
    checked too, as are the ids among the defaults, since what they name is handed to code that the client chose:
    ``reference_fault`` (``References.seen_by``) says whether the client may use it. With ``null_keeps`` a null clears
    nothing: the inherited value holds.
    """
    known = {definition.field_name: definition for definition in definitions}
    sent = {value.field_name for value in values}
    taken = {value.field_name for value in values if value.value is not None or not null_keeps}
    kept = [value for value in inherited if value.field_name not in taken]
    problems = [
        f"{value.field_name}: {fault}"
        for value in values
        if (fault := _fault(value, known.get(value.field_name), reference_fault))
    ]
    problems += [
        f"{value.field_name}: {fault} (it has this value already: send another one, or null to clear it)"
        for value in kept
        if (fault := _fault(value, known.get(value.field_name), reference_fault))
    ]
    holding = {value.field_name for value in [*values, *kept] if value.value is not None}
    bare = [value for value in beneath if value.field_name not in holding]
    problems += [
        f"{value.field_name}: {fault} (it is the value of the model's version: send one of your own)"
        for value in bare
        if (fault := _fault(value, known.get(value.field_name), reference_fault))
    ]
    holding |= {value.field_name for value in bare}
    problems += [
        f"{name}: {fault} (it is the default in the metadata file: send a value of your own)"
        for name, definition in known.items()
        if name not in holding and (fault := _default_fault(definition, reference_fault))
    ]
    repeated = {value.field_name for value in values if sum(v.field_name == value.field_name for v in values) > 1}
    problems += [f"{name}: is given twice" for name in sorted(repeated)]
    if len(known.keys() | sent | {value.field_name for value in [*kept, *bare]}) > MAX_PARAMETERS:
        problems.append(f"there may be at most {MAX_PARAMETERS} runtime parameters")
    if problems:
        text = "; ".join(problems[:20])
        raise Invalid(f"{field}: {text}", {field: text})


def _fault(value: Value, definition: Definition | None, reference_fault: ReferenceFault) -> str | None:
    if not _NAME.fullmatch(value.field_name):
        return "a name has letters, digits and underscores and does not begin with a digit"
    if definition is not None and definition.type != value.type:
        return f"is {definition.type} by its definition, not {value.type}; send a fitting value, or null to clear it"
    if value.value is None:
        return None
    fault = value_fault(value.type, value.value, definition)
    if fault is not None:
        return f"the value {fault}"
    return reference_fault(value.type, str(value.value), definition) if value.type in REFERENCE_TYPES else None


def _default_fault(definition: Definition, reference_fault: ReferenceFault) -> str | None:
    if definition.type not in REFERENCE_TYPES or definition.default_value is None:
        return None
    return reference_fault(definition.type, str(definition.default_value), definition)


def views(definitions: Sequence[Definition], values: Sequence[Value]) -> list[RuntimeParameterUnified]:
    """Defined parameters in the file's order, then the clients' own."""
    overrides = {value.field_name: value for value in values}
    own = [
        Definition(field_name=value.field_name, type=value.type)
        for value in values
        if all(value.field_name != definition.field_name for definition in definitions)
    ]
    return [_view(definition, overrides.get(definition.field_name)) for definition in [*definitions, *own]]


def _view(definition: Definition, override: Value | None) -> RuntimeParameterUnified:
    default = UNSET if definition.default_value is None else definition.default_value
    fallback = False if default is UNSET and definition.type == "boolean" else default
    set_value = UNSET if override is None or override.value is None else override.value
    return RuntimeParameterUnified(
        field_name=definition.field_name,
        type=definition.type,
        default_value=default,
        override_value=set_value,
        current_value=fallback if set_value is UNSET else set_value,
        min_value=definition.min_value,
        max_value=definition.max_value,
        credential_type=definition.credential_type,
        allow_empty=definition.allow_empty,
        description=definition.description,
    )
