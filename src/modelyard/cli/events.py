"""``modelyard events``: what happened to deployments and jobs."""

from enum import StrEnum
from typing import Annotated

import typer

from modelyard.cli.client import connect
from modelyard.cli.groups import AsJson
from modelyard.cli.lookup import DEPLOYMENT, find
from modelyard.cli.screen import Column, print_list, show_time


class Type(StrEnum):
    CREATED = "deploymentCreated"
    REPLACED = "deploymentReplaced"
    ERRORED = "deploymentErrored"
    HEALTH = "deploymentHealthChanged"
    RUN_FAILED = "runFailed"


def events(
    deployment: Annotated[
        str | None, typer.Option("--deployment", "-d", help="Only of this one (id or label).")
    ] = None,
    types: Annotated[
        list[Type] | None,
        typer.Option(
            "--type", metavar="TYPE", help=f"Only of this type; repeat it: {', '.join(Type)}.", case_sensitive=False
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many to list.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List what happened to your deployments and jobs, newest first."""
    api = connect()
    columns: list[Column] = [("at", lambda one: show_time(one["at"])), ("type", "type"), ("message", "message")]
    found = api.pages(
        "/events/",
        limit=limit,
        deploymentId=find(api, DEPLOYMENT, deployment)["id"] if deployment is not None else None,
        type=[one.value for one in types] if types else None,
    )
    print_list(found, columns, as_json=as_json, nothing="Nothing happened.")
