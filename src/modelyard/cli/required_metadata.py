"""Required metadata: what environments ask for, and the values of what is made on them."""

from collections.abc import Iterable
from typing import Annotated

import typer

from modelyard.cli.client import Json
from modelyard.cli.errors import CommandError, ExitCode

Metadata = Annotated[
    list[str] | None,
    typer.Option("--metadata", metavar="NAME=VALUE", help="What its environment asks for; repeat it."),
]


def asked_keys(options: Iterable[str]) -> list[Json]:
    """``NAME`` or ``NAME=what people call it``, as keys of an environment."""
    parts = [option.partition("=") for option in options]
    return [{"fieldName": name, "displayName": shown or name} for name, _, shown in parts]


def metadata_values(options: Iterable[str], before: Iterable[Json] = ()) -> list[Json]:
    """``NAME=VALUE`` lines over the values that were there before."""
    values = {str(one["fieldName"]): str(one["value"]) for one in before}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals:
            raise CommandError(f"--metadata {option}: write it as NAME=VALUE", code=ExitCode.USAGE)
        values[name] = value
    return [{"fieldName": name, "value": value} for name, value in values.items()]


def shown_values(values: Iterable[Json]) -> list[str]:
    """Values for people to read."""
    return [f"{one['fieldName']}={one['value']}" for one in values]
