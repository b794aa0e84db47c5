"""Required metadata: what an environment asks of everything that is made on it, and hands to the code as variables.

The keys are the environment's (supporting-endpoints A.4); the values are those of a version or a job on it (seeds 000
and 001, requiredMetadata and requiredMetadataValues). A key's name is the name of its environment variable.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta
from sqlalchemy.orm import Session

from modelyard.environments.tables import Environment
from modelyard.kernel.errors import invalid
from modelyard.kernel.problems import Problems
from modelyard.kernel.wire import UNSET, Body, UnsetType
from modelyard.workspaces.parameter_variables import RESERVED_NAMES, is_free

MAX_VALUE_LENGTH = 100
VALUES_FIELD = "requiredMetadataValues"
OBJECT_FIELD = "requiredMetadata"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
KeyText = Annotated[str, Meta(min_length=1, max_length=255)]


class RequiredMetadataKey(Body):
    """``displayName`` is what people call what they are asked for."""

    field_name: KeyText
    display_name: KeyText


class RequiredMetadataValue(Body):
    field_name: str
    value: Annotated[str, Meta(max_length=MAX_VALUE_LENGTH)]


RequiredMetadataKeys = Annotated[list[RequiredMetadataKey], Meta(max_length=100)]


def check_keys(keys: Sequence[RequiredMetadataKey]) -> None:
    """Refuses keys that cannot become variables of their own, all in one ``Invalid``."""
    names = [key.field_name for key in keys]
    problems = [
        f"fieldName must be letters, digits and underscores, not beginning with a digit, not {name!r}"
        for name in names
        if not _NAME.fullmatch(name)
    ]
    problems += [f"fieldName {name!r} is taken, as are {RESERVED_NAMES}" for name in names if not is_free(name)]
    problems += [
        f"fieldName {name!r} is there twice" for name in sorted({one for one in names if names.count(one) > 1})
    ]
    if problems:
        raise invalid(requiredMetadataKeys="; ".join(problems[:20]))


def keys_of(environment: Environment) -> list[RequiredMetadataKey]:
    return msgspec.convert(environment.required_metadata_keys, list[RequiredMetadataKey])


def one_of_both(
    by_name: Mapping[str, str] | UnsetType, listed: Sequence[RequiredMetadataValue] | UnsetType
) -> dict[str, str] | None:
    """The two ways to send values, as one; None when there is neither. Raises ``Invalid`` when they differ."""
    from_list = None if listed is UNSET else {entry.field_name: entry.value for entry in listed}
    if from_list is not None and listed is not UNSET and len(from_list) < len(listed):
        raise invalid(**{VALUES_FIELD: "names a field twice"})
    if by_name is UNSET:
        return from_list
    if too_long := sorted(name for name, value in by_name.items() if len(value) > MAX_VALUE_LENGTH):
        raise invalid(
            **{OBJECT_FIELD: f"a value has at most {MAX_VALUE_LENGTH} characters; too long: {', '.join(too_long)}"}
        )
    if from_list is not None and from_list != by_name:
        raise invalid(**{OBJECT_FIELD: f"differs from {VALUES_FIELD}; send one of the two"})
    return dict(by_name)


def settled(
    session: Session,
    environment_id: str | None,
    sent: Mapping[str, str] | None,
    before: Mapping[str, str] | None = None,
    field: str = VALUES_FIELD,
) -> dict[str, str]:
    """The values of something on this environment: those ``sent``, else those ``before`` that are still asked for.

    Raises ``Invalid`` for ``field``, naming each key that has no value and each name that is no key.
    """
    environment = session.get(Environment, environment_id) if environment_id is not None else None
    keys = keys_of(environment) if environment is not None else []
    names = {key.field_name: key.display_name for key in keys}
    values = dict(sent) if sent is not None else {name: one for name, one in (before or {}).items() if name in names}
    problems = Problems()
    if unknown := sorted(values.keys() - names.keys()):
        asked = f"it asks for {', '.join(names)}" if names else "it asks for nothing"
        where = "the environment does not ask for" if environment is not None else "without an environment there is no"
        problems.add(field, f"{where} {', '.join(map(repr, unknown[:20]))}" + (f"; {asked}" if environment else ""))
    if missing := [f"{name} ({shown})" for name, shown in names.items() if not values.get(name)]:
        problems.add(field, f"the environment asks for a value of {', '.join(missing)}")
    problems.raise_all()
    return values


def listed(values: Mapping[str, str] | None) -> list[RequiredMetadataValue]:
    """Values as the wire lists them, by name: databases keep the names of an object in an order of their own."""
    return [RequiredMetadataValue(field_name=name, value=value) for name, value in sorted((values or {}).items())]


def stored_keys(keys: Iterable[RequiredMetadataKey]) -> list[dict[str, str]]:
    built: list[dict[str, str]] = msgspec.to_builtins(list(keys))
    return built
