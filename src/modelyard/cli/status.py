"""``modelyard status``: the operations that the server does for you."""

from typing import Annotated

import typer

from modelyard.cli.client import connect
from modelyard.cli.errors import CommandError
from modelyard.cli.following import UNFINISHED, failed, wait_for
from modelyard.cli.groups import AsJson
from modelyard.cli.screen import Column, print_details, print_list, show_time

FINISHED_BADLY = ("ERROR", "ABORTED", "EXPIRED")


def status(
    status_id: Annotated[str | None, typer.Argument(help="One operation; without it, the latest.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is over.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many to list.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show what the server is doing for you, or how one operation goes."""
    api = connect()
    if status_id is None:
        rows: list[Column] = [
            ("id", "statusId"),
            ("type", "statusType"),
            ("status", "status"),
            ("started", lambda one: show_time(one["created"])),
            ("message", "message"),
        ]
        found = api.pages("/status/", limit=limit)
        print_list(found, rows, as_json=as_json, nothing="The server has done nothing for you yet.")
        return
    path = f"/status/{status_id}/"
    result = wait_for(api, path, f"Waiting for {status_id}") if wait else None
    response = api.request("GET", path, follow_redirects=False)
    entry = response.json() | {"result": result or response.headers.get("Location")}
    details: list[Column] = [
        ("Operation", "statusId"),
        ("Type", "statusType"),
        ("Status", "status"),
        ("Started", lambda one: show_time(one["created"])),
        ("Message", "message"),
        ("Description", "description"),
        ("Result", "result"),
    ]
    print_details(entry, details, as_json=as_json)
    if entry["status"] in FINISHED_BADLY:
        raise failed(entry)
    if wait and entry["status"] in UNFINISHED:
        raise CommandError("it has not ended")
