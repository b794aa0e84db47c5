"""Runtime parameters that name something else: whether the caller may use what they name.

The port between runtime parameters and the slices that know credentials, deployments and model packages.
"""

import re
from collections.abc import Callable, Mapping

from sqlalchemy.orm import Session

from modelyard.identity.caller import Caller
from modelyard.workspaces.runtime_parameters import REFERENCE_TYPES, Definition, ParameterType, ReferenceFault

Check = Callable[[Session, Caller, str, Definition | None], str | None]
"""What is wrong with an id that a parameter names, for this caller; ``None`` when they may use it."""


class References:
    """For each type of parameter that holds an id, who knows about it. A type nobody registered has no ids."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        unknown = checks.keys() - REFERENCE_TYPES
        if unknown:
            raise ValueError(f"no types of runtime parameters that name something: {', '.join(sorted(unknown))}")
        self._checks = dict(checks)

    def seen_by(self, session: Session, caller: Caller) -> ReferenceFault:
        """The check of one caller, as ``runtime_parameters.check_values`` takes it."""

        def fault(type_: ParameterType, value: str, definition: Definition | None) -> str | None:
            check = self._checks.get(type_)
            return no_such(type_, value) if check is None else check(session, caller, value, definition)

        return fault


def no_such(type_: str, value: str) -> str:
    """The fault of an id that names nothing the caller may use."""
    what = re.sub("[A-Z]", lambda match: " " + match[0].lower(), type_)
    return f"there is no {what} {value!r} that you may use"
