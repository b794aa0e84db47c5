"""How a command tells that it could not do what it was asked."""

import difflib
import json
import sys
from collections.abc import Iterable
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """What ``modelyard`` ends with."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_ALLOWED = 4


class CommandError(Exception):
    """A command failed. ``hint`` says what to do next; ``errors`` names wrong fields as the API does.

    ``code`` is an ``ExitCode``, or what a program on the server ended with.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        code: int = ExitCode.FAILED,
        errors: dict[str, Any] | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = int(code)
        self.errors = errors or {}
        self.status = status


def report(error: CommandError, *, as_json: bool) -> None:
    """Prints an error to stderr, for people or as one line of JSON."""
    if as_json:
        body = {"message": error.message, "code": error.code}
        optional = {"errors": error.errors, "hint": error.hint, "status": error.status}
        print(json.dumps(body | {name: value for name, value in optional.items() if value}), file=sys.stderr)
        return
    faults = [f"{field}: {text}" for field, text in error.errors.items()]
    if "; ".join(faults) != error.message:
        print(f"error: {error.message}", file=sys.stderr)
    elif len(faults) == 1:  # which the message says already
        print(f"error: {faults.pop()}", file=sys.stderr)
    else:
        print(f"error: {len(faults)} fields are wrong", file=sys.stderr)
    for fault in faults:
        print(f"  {fault}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)


def near_matches(text: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """The names that are close to ``text``, or hold it, whatever their case; the closest first."""
    lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(text.lower(), lower, limit, cutoff=0.6)
    close += [name for name in lower if text.lower() in name and name not in close]
    return [lower[name] for name in close[:limit]]
