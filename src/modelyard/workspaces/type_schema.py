"""The ``typeSchema`` of a metadata file: what a task takes and what a transform gives (supporting-endpoints C.7)."""

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from modelyard.workspaces.hyperparameters import MAX_NAMED, shown
from modelyard.workspaces.metadata_file import INT64

Side = Literal["input_requirements", "output_requirements"]
Field = Literal["data_types", "sparse", "number_of_columns", "contains_missing"]

SIDES: tuple[Side, ...] = ("input_requirements", "output_requirements")
DATA_TYPES = ("NUM", "TXT", "IMG", "DATE", "CAT", "DATE_DURATION", "COUNT_DICT", "GEO")
CONDITIONS: dict[Field, tuple[str, ...]] = {
    "data_types": ("EQUALS", "IN", "NOT_EQUALS", "NOT_IN"),
    "sparse": ("EQUALS",),
    "number_of_columns": (
        "EQUALS",
        "IN",
        "NOT_EQUALS",
        "GREATER_THAN",
        "LESS_THAN",
        "NOT_GREATER_THAN",
        "NOT_LESS_THAN",
    ),
    "contains_missing": ("EQUALS",),
}
SPARSE: dict[Side, tuple[str, ...]] = {
    "input_requirements": ("FORBIDDEN", "SUPPORTED", "REQUIRED"),
    "output_requirements": ("NEVER", "DYNAMIC", "ALWAYS", "IDENTITY"),
}
CONTAINS_MISSING: dict[Side, tuple[str, ...]] = {
    "input_requirements": ("FORBIDDEN", "SUPPORTED"),
    "output_requirements": ("NEVER", "DYNAMIC"),
}
TRANSFORM = "Transform"
MAX_REQUIREMENTS = 100
_KEYS = frozenset({"field", "condition", "value"})
_ALONE = frozenset({"EQUALS", "IN"})
"""Conditions on the number of columns that say it all, so that there is no other one beside them."""


class TypeRequirement(msgspec.Struct, kw_only=True):
    """One line: ``value`` is a list where the file has one."""

    field: Field
    condition: str
    value: str | int | list[str | int]


class TypeSchema(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a file does not say is left out; the defaults of C.7 hold then."""

    input_requirements: list[TypeRequirement] | None = None
    output_requirements: list[TypeRequirement] | None = None


def read_type_schema(metadata: dict[str, Any], file_name: str, target_type: str) -> TypeSchema | None:
    """The ``typeSchema`` of a task's metadata file; raises ``ValueError`` with everything that is wrong.

    Only transforms have output requirements.
    """
    found = metadata.get("typeSchema")
    if found is None:
        return None
    if not isinstance(found, dict):
        raise ValueError(f"{file_name}: typeSchema must be a map of {' and '.join(SIDES)}, not {shown(found)}")  # noqa: TRY004
    problems = [f"{shown(key)} is none of {', '.join(SIDES)}" for key in found if key not in SIDES]
    for side in SIDES:
        problems += _side_faults(side, found.get(side))
    if found.get("output_requirements") and target_type != TRANSFORM:
        problems.append(f"output_requirements are for transforms only; the task's target type is {target_type}")
    if problems:
        raise ValueError(f"{file_name}: {'; '.join(f'typeSchema: {problem}' for problem in problems[:MAX_NAMED])}")
    return msgspec.convert(found, TypeSchema)


def _side_faults(side: Side, entries: Any) -> list[str]:
    if entries is None:
        return []
    if not isinstance(entries, list):
        return [f"{side} must be a list, not {shown(entries)}"]
    if len(entries) > MAX_REQUIREMENTS:
        return [f"{side} has at most {MAX_REQUIREMENTS} entries, not {len(entries)}"]
    faults: list[str] = []
    met: list[tuple[Any, Any]] = []
    for index, entry in enumerate(entries):
        wrong = _entry_faults(side, entry)
        if not wrong:
            wrong = _repeated(entry, met)
            met.append((entry["field"], entry["condition"]))
        faults += [f"{side}[{index}]: {fault}" for fault in wrong]
    return faults


def _repeated(entry: dict[str, Any], met: list[tuple[Any, Any]]) -> list[str]:
    field, condition = entry["field"], entry["condition"]
    others = [other for known, other in met if known == field]
    if not others:
        return []
    if field != "number_of_columns":
        return [f"{field} stands there twice"]
    if condition in _ALONE or _ALONE & set(others):
        return ["number_of_columns with EQUALS or IN stands alone"]
    return []


def _entry_faults(side: Side, entry: Any) -> list[str]:
    if not isinstance(entry, dict):
        return [f"must be a mapping with field, condition and value, not {shown(entry)}"]
    faults = [f"{shown(key)} is none of field, condition, value" for key in entry if key not in _KEYS]
    faults += [f"{key} is missing" for key in ("field", "condition", "value") if entry.get(key) is None]
    field = entry.get("field")
    if not isinstance(field, str) or field not in CONDITIONS:
        known = f"field must be one of {', '.join(CONDITIONS)}, not {shown(field)}"
        return faults if field is None else [*faults, known]
    conditions = CONDITIONS[field]
    condition = entry.get("condition")
    if condition is not None and condition not in conditions:
        faults.append(f"condition of {field} must be {_one_of(conditions)}, not {shown(condition)}")
    if entry.get("value") is not None:
        faults += [f"value of {field} {fault}" for fault in _value_faults(side, field, condition, entry["value"])]
    return faults


def _value_faults(side: Side, field: str, condition: Any, value: Any) -> list[str]:
    if field == "number_of_columns":
        wanted = "a whole number that is not negative"
        return _each(value, _is_count, wanted, may_be_many=condition == "IN")
    allowed = {"data_types": DATA_TYPES, "sparse": SPARSE[side], "contains_missing": CONTAINS_MISSING[side]}[field]
    may_be_many = field == "data_types" and side == "input_requirements"
    return _each(value, lambda one: isinstance(one, str) and one in allowed, _one_of(allowed), may_be_many=may_be_many)


def _each(value: Any, is_right: Callable[[Any], bool], wanted: str, *, may_be_many: bool) -> list[str]:
    if not isinstance(value, list):
        return [] if is_right(value) else [f"must be {wanted}, not {shown(value)}"]
    if not value:
        return [f"must be {wanted}, not an empty list"]
    if len(value) > 1 and not may_be_many:
        return [f"must be one value only, not {shown(value)}"]
    faults = [f"must be {wanted}, not {shown(one)}" for one in value if not is_right(one)]
    return faults or (["holds a value twice"] if len(set(value)) < len(value) else [])


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0 and value in INT64


def _one_of(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"one of {', '.join(words)}"
