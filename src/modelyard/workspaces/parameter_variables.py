"""How runtime parameters reach code: as environment variables (supporting-endpoints.md, C.6), for every kind of code.

Credentials are only ids here; ``credentials.variables`` opens them when the code is started.
"""

import json
import re
from collections.abc import Iterable

from msgspec import UNSET

from modelyard.workspaces.runtime_parameters import RuntimeParameterUnified

PARAMETER_PREFIX = "MLOPS_RUNTIME_PARAM_"

_RESERVED = re.compile(
    r"(DRUM|MLOPS|KUBERNETES|MODELYARD|DATAROBOT|CUSTOM_MODEL|LD|DYLD)_.*|PYTHON.*|PATH|HOME|LANG|TMPDIR|URL_PREFIX|PORT"
)
"""Names that other code than the user's relies on: a parameter of such a name comes in the prefixed form only."""
RESERVED_NAMES = (
    "PATH, HOME, LANG, TMPDIR, PORT, URL_PREFIX, PYTHON..., and what begins with MODELYARD_, DATAROBOT_, MLOPS_, "
    "DRUM_, CUSTOM_MODEL_, KUBERNETES_, LD_ or DYLD_"
)
"""The same in words."""


def is_free(name: str) -> bool:
    """Whether a parameter may have the plain variable of this name."""
    return not _RESERVED.fullmatch(name)


def parameter_variables(parameters: Iterable[RuntimeParameterUnified]) -> dict[str, str]:
    """The variables of all parameters but credentials that are set: prefixed as JSON, and plain where free.

    Plain is text as it is, ``true`` or ``false``, and numbers as JSON writes them.
    """
    variables: dict[str, str] = {}
    for one in parameters:
        value = None if one.current_value is UNSET else one.current_value
        if one.type == "credential" and value is not None:
            continue
        variables[PARAMETER_PREFIX + one.field_name] = json.dumps({"type": one.type, "payload": value})
        if value is None or not is_free(one.field_name):
            continue
        plain = value if isinstance(value, str) else json.dumps(value)
        if "\0" not in plain:  # which no environment can hold
            variables[one.field_name] = plain
    return variables


def credential_ids(parameters: Iterable[RuntimeParameterUnified]) -> dict[str, str]:
    """The ids of the credentials that are set, by the names of their parameters."""
    return {
        one.field_name: str(one.current_value)
        for one in parameters
        if one.type == "credential" and one.current_value is not UNSET
    }


def missing_names(parameters: Iterable[RuntimeParameterUnified]) -> list[str]:
    """The parameters that must have a value (their ``allowEmpty`` is false) and have none."""
    return [one.field_name for one in parameters if not one.allow_empty and one.current_value in {UNSET, ""}]
