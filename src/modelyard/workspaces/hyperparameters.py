"""Hyperparameters: what a task's metadata file lets a training set, and whether what a training sets is allowed.

The file's ``hyperparameters`` are a list of ``{name, type, min, max, values, default}``. An ``int`` or ``float`` may
have bounds, a ``select`` has a list of values, a ``string`` has neither. A ``multi`` takes values of several kinds: its
``values`` are a map from ``int``, ``float``, ``select`` and ``string`` to the bounds or values of each.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

import msgspec

from modelyard.workspaces.metadata_file import INT64

Scalar = str | bool | int | float
SingleType = Literal["int", "float", "select", "string"]
HyperparameterType = Literal["int", "float", "select", "string", "multi"]

MAX_HYPERPARAMETERS = 100
MAX_TEXT_LENGTH = 4096
MAX_NAMED = 20
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_EXPONENT = re.compile(r"[-+]?\d+[eE]")
_SINGLE_TYPES: tuple[str, ...] = get_args(SingleType)
_TYPES: tuple[str, ...] = get_args(HyperparameterType)
_KEYS = frozenset({"name", "type", "min", "max", "values", "default", "description"})
_KEYS_OF = {
    "int": frozenset({"min", "max"}),
    "float": frozenset({"min", "max"}),
    "select": frozenset({"values"}),
    "string": frozenset[str](),
    "multi": frozenset({"values"}),
}
"""What each type may have beside a name, a default and a description."""


class AllowedValues(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What values of one kind may be."""

    min: int | float | None = None
    max: int | float | None = None
    values: list[Scalar] | None = None


class Hyperparameter(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A hyperparameter as its file defines it. Without a default, one that is not set is not handed to the task."""

    name: str
    type: HyperparameterType
    min: int | float | None = None
    max: int | float | None = None
    values: list[Scalar] | dict[SingleType, AllowedValues] | None = None
    default: Scalar | None = None
    description: str | None = None

    def choices(self) -> dict[str, AllowedValues]:
        """What its values may be, by their kinds: one kind, unless it is a ``multi``."""
        if isinstance(self.values, dict):
            return {str(kind): choice for kind, choice in self.values.items()}
        return {self.type: AllowedValues(min=self.min, max=self.max, values=self.values)}


def read_hyperparameters(metadata: dict[str, Any], file_name: str) -> list[Hyperparameter]:
    """The ``hyperparameters`` of a metadata file; raises ``ValueError`` with everything that is wrong."""
    found = metadata.get("hyperparameters")
    if found is None:
        return []
    if not isinstance(found, list):
        raise ValueError(f"{file_name}: hyperparameters must be a list, not {shown(found)}")  # noqa: TRY004
    if len(found) > MAX_HYPERPARAMETERS:
        raise ValueError(f"{file_name}: at most {MAX_HYPERPARAMETERS} hyperparameters, not {len(found)}")
    problems: list[str] = []
    read: list[Hyperparameter] = []
    for index, entry in enumerate(found):
        faults = _entry_faults(entry)
        if not faults:
            hyperparameter = msgspec.convert(_complete(entry), Hyperparameter)
            faults = _default_faults(hyperparameter)
            if any(other.name == hyperparameter.name for other in read):
                faults.append(f"name {hyperparameter.name!r} is defined twice")
            read.append(hyperparameter)
        problems += [f"hyperparameters[{index}]: {fault}" for fault in faults]
    if problems:
        raise ValueError(f"{file_name}: {'; '.join(problems[:MAX_NAMED])}")
    return read


def check_parameters(
    definitions: Sequence[Hyperparameter | Mapping[str, Any]], given: Mapping[str, object]
) -> tuple[dict[str, Scalar], dict[str, str]]:
    """What a task is handed (``given`` over the defaults), and what is wrong with ``given``, by name.

    ``definitions`` may be as versions store them. A parameter that is neither given nor has a default is left out.
    """
    known = {one.name: one for one in msgspec.convert(definitions, list[Hyperparameter])}
    values: dict[str, Scalar] = {name: one.default for name, one in known.items() if one.default is not None}
    faults: dict[str, str] = {}
    for name, value in given.items():
        definition = known.get(name)
        fault = _unknown(known) if definition is None else _value_fault(definition, value)
        if fault is not None:
            faults[name] = fault
        elif definition is not None:
            values[name] = float(value) if definition.type == "float" else value  # type: ignore[arg-type, assignment]
    return values, faults


def shown(value: object) -> str:
    """A value for a message, shortened."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def text_fault(value: str) -> str | None:
    """What keeps a text from being stored or sent, or ``None``."""
    if len(value) > MAX_TEXT_LENGTH:
        return f"has {len(value)} characters; at most {MAX_TEXT_LENGTH} are allowed"
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        return "holds characters that are no text"
    return None


def _unknown(known: Iterable[str]) -> str:
    names = sorted(known)
    if not names:
        return "is not a hyperparameter of the task, which has none"
    more = "" if len(names) <= MAX_NAMED else f" and {len(names) - MAX_NAMED} more"
    return f"is not a hyperparameter of the task, which has {', '.join(names[:MAX_NAMED])}{more}"


def _value_fault(definition: Hyperparameter, value: object) -> str | None:
    faults = {kind: _kind_fault(kind, choice, value) for kind, choice in definition.choices().items()}
    if None in faults.values():
        return None
    return " or ".join(f"{fault}" for fault in faults.values())


def _kind_fault(kind: str, choice: AllowedValues, value: object) -> str | None:
    """What is wrong with a value of one kind."""
    if kind == "int":
        if not isinstance(value, int) or isinstance(value, bool) or value not in INT64:
            return f"must be a whole number, not {shown(value)}"
        return _bounds_fault(choice, value)
    if kind == "float":
        if not _is_number(value):
            return f"must be a finite number, not {shown(value)}{_hint(value)}"
        return _bounds_fault(choice, value)
    if kind == "select":
        values = choice.values or []
        if any(_is_same(value, one) for one in values):
            return None
        more = "" if len(values) <= MAX_NAMED else f" and {len(values) - MAX_NAMED} more"
        return f"must be one of {', '.join(shown(one) for one in values[:MAX_NAMED])}{more}, not {shown(value)}"
    if not isinstance(value, str):
        return f"must be text, not {shown(value)}"
    return text_fault(value)


def _bounds_fault(choice: AllowedValues, value: Any) -> str | None:
    if choice.min is not None and value < choice.min:
        return f"{value} is below min {choice.min}"
    if choice.max is not None and value > choice.max:
        return f"{value} is above max {choice.max}"
    return None


def _is_same(one: object, other: object) -> bool:
    """``True`` is not 1, as it would be to Python."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _is_number(value: object) -> bool:
    if isinstance(value, bool):
        return False
    return value in INT64 if isinstance(value, int) else isinstance(value, float) and math.isfinite(value)


def _hint(value: object) -> str:
    """YAML 1.1 reads ``1e-3`` as text, which nobody expects."""
    return " (YAML reads it as text: write it as 1.0e-3)" if isinstance(value, str) and _EXPONENT.match(value) else ""


def _entry_faults(entry: Any) -> list[str]:
    if not isinstance(entry, dict):
        return [f"must be a mapping with name and type, not {shown(entry)}"]
    faults = []
    name, type_ = entry.get("name"), entry.get("type")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        faults.append(f"name must be letters, digits and underscores, not beginning with a digit, not {shown(name)}")
    faults += [f"{shown(key)} is not a key of a hyperparameter" for key in entry if key not in _KEYS]
    description = entry.get("description")
    if description is not None:
        fault = text_fault(description) if isinstance(description, str) else f"must be text, not {shown(description)}"
        faults += [f"description {fault}"] if fault else []
    if not isinstance(type_, str) or type_ not in _TYPES:
        return [*faults, f"type must be one of {', '.join(_TYPES)}, not {shown(type_)}"]
    return faults + (_multi_faults(entry) if type_ == "multi" else _choice_faults(type_, entry))


def _multi_faults(entry: dict[Any, Any]) -> list[str]:
    faults = [f"{key} is not for the type multi" for key in ("min", "max") if entry.get(key) is not None]
    kinds = entry.get("values")
    if not isinstance(kinds, dict) or not kinds:
        told = f"a map from {', '.join(_SINGLE_TYPES)} to what is allowed of each"
        return [*faults, f"values of the type multi must be {told}, not {shown(kinds)}"]
    for kind, choice in kinds.items():
        if not isinstance(kind, str) or kind not in _SINGLE_TYPES:
            faults.append(f"values: {shown(kind)} is none of {', '.join(_SINGLE_TYPES)}")
        elif choice is None and kind != "select":
            continue  # anything of the kind
        elif not isinstance(choice, dict):
            faults.append(f"values.{kind} must be a map such as {{min: 1}}, not {shown(choice)}")
        else:
            faults += [f"values.{kind}: {shown(key)} is not for it" for key in choice if key not in _KEYS_OF[kind]]
            faults += [f"values.{kind}: {fault}" for fault in _choice_faults(kind, choice)]
    return faults


def _choice_faults(kind: str, entry: dict[Any, Any]) -> list[str]:
    """What is wrong with the bounds or the values of one kind."""
    given = {key: entry[key] for key in ("min", "max", "values") if entry.get(key) is not None}
    faults = [f"{key} is not for the type {kind}" for key in given if key not in _KEYS_OF[kind]]
    if kind == "select":
        return faults + _select_faults(given.get("values"))
    if kind == "string":
        return faults
    bounds = {key: given[key] for key in ("min", "max") if key in given}
    wrong = [
        f"{key} must be a {'whole' if kind == 'int' else 'finite'} number, not {shown(bound)}{_hint(bound)}"
        for key, bound in bounds.items()
        if not _is_number(bound) or (kind == "int" and not isinstance(bound, int))
    ]
    if not wrong and len(bounds) == 2 and bounds["min"] > bounds["max"]:
        wrong = [f"min {bounds['min']} is above max {bounds['max']}"]
    return faults + wrong


def _select_faults(values: Any) -> list[str]:
    if not isinstance(values, list) or not values:
        return [f"values of the type select must be a list of at least one value, not {shown(values)}"]
    faults = []
    for index, value in enumerate(values):
        if isinstance(value, str):
            fault = text_fault(value)
            faults += [f"values[{index}] {fault}"] if fault else []
        elif not isinstance(value, bool) and not _is_number(value):
            faults.append(f"values[{index}] must be text, a number, true or false, not {shown(value)}")
        if any(_is_same(value, other) for other in values[:index]):
            faults.append(f"values[{index}] {shown(value)} stands there twice")
    return faults


def _complete(entry: dict[str, Any]) -> dict[str, Any]:
    """A ``multi`` may name a kind and say nothing of it."""
    values = entry.get("values")
    return entry | {"values": {kind: it or {} for kind, it in values.items()}} if isinstance(values, dict) else entry


def _default_faults(definition: Hyperparameter) -> list[str]:
    fault = None if definition.default is None else _value_fault(definition, definition.default)
    return [f"default {fault}"] if fault else []
