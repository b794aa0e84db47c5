"""``modelyard registry``: registered models, whose versions are deployed."""

from typing import Annotated

import typer

from modelyard.cli.client import connect
from modelyard.cli.groups import AsJson, group
from modelyard.cli.lookup import MODEL, REGISTERED_MODEL, find, find_version
from modelyard.cli.packages import package_of
from modelyard.cli.screen import Column, done, print_details, print_list, show_time
from modelyard.cli.sharing import share_command

app = group("Registered models and their versions.")


@app.command("list")
def list_registered(
    search: Annotated[str | None, typer.Option(help="Only those whose name holds this.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="How many at most.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the registered models, the last changed first."""
    columns: list[Column] = [
        ("id", "id"),
        ("name", "name"),
        ("versions", "lastVersionNum"),
        ("target", "target.type"),
        ("changed", lambda one: show_time(one["modifiedAt"])),
    ]
    found = connect().pages(REGISTERED_MODEL.path, limit=limit, search=search)
    print_list(found, columns, as_json=as_json, nothing="Nothing is registered: modelyard registry register MODEL")


@app.command()
def show(
    registered_model: Annotated[str, typer.Argument(help="The registered model's id or name.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Show a registered model and its versions."""
    api = connect()
    found = find(api, REGISTERED_MODEL, registered_model)
    versions = list(api.pages(f"{REGISTERED_MODEL.path}{found['id']}/versions/"))
    rows: list[Column] = [
        ("Registered model", "name"),
        ("Id", "id"),
        ("Description", "description"),
        ("Target type", "target.type"),
        ("Target", "target.name"),
        ("Created", lambda one: f"{show_time(one['createdAt'])} by {one['createdBy']}"),
    ]
    print_details(found | {"versions": versions}, rows, as_json=as_json)
    if as_json:
        return
    print()
    columns: list[Column] = [
        ("version", "registeredModelVersion"),
        ("package id", "id"),
        ("name", "name"),
        ("build", "buildStatus"),
        ("deployments", "activeDeploymentCount"),
        ("created", lambda one: show_time(one["createdAt"])),
    ]
    print_list(versions, columns, as_json=False, nothing="It has no version.")


@app.command()
def register(
    model: Annotated[str, typer.Argument(help="The custom model's id or name.", show_default=False)],
    name: Annotated[
        str | None, typer.Option(help="Registered model to add to or to make; else the model's name.")
    ] = None,
    version: Annotated[str | None, typer.Option("--version", help="A version's id or label; else the latest.")] = None,
    as_json: AsJson = False,
) -> None:
    """Register a version of a custom model, which freezes it. One that is registered stays as it is."""
    api = connect()
    found = find(api, MODEL, model)
    package, is_new = package_of(api, found, find_version(api, MODEL, found, version), name)
    how = "Registered" if is_new else "It is registered already:"
    done(f"{how} {package['name']} (package {package['id']}).", package | {"isNew": is_new}, as_json=as_json)


app.command("share")(share_command(REGISTERED_MODEL))
