"""``modelyard deployment challengers``, ``challenge`` and ``withdraw``: what could replace a deployment's model."""

from typing import Annotated

import typer

from modelyard.cli.client import Api, Json, connect
from modelyard.cli.errors import CommandError, ExitCode
from modelyard.cli.following import wait_for
from modelyard.cli.groups import AsJson
from modelyard.cli.lookup import DEPLOYMENT, PACKAGE, find
from modelyard.cli.screen import Column, done, print_list, show_time

Deployment = Annotated[str, typer.Argument(help="The deployment's id or label.", show_default=False)]
CONFLICT = 409


def challenger_commands(app: typer.Typer) -> None:
    """Adds the commands to those of deployments."""
    app.command("challengers")(list_challengers)
    app.command("challenge")(challenge)
    app.command("withdraw")(withdraw)


def challenging(api: Api, deployment: Json, text: str) -> tuple[str, str]:
    """The id of a challenger's package, and its model and version in words."""
    found = _find(api, deployment, text)
    return found["modelPackage"]["id"], _model(found)


def list_challengers(
    deployment: Deployment,
    enable: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Whether challengers may be proposed.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what could replace a deployment's model; first, where challengers are enabled, the model itself."""
    api = connect()
    found = find(api, DEPLOYMENT, deployment)
    if enable is not None:
        body = {"challengerModels": {"enabled": enable}}
        _, location = api.start("PATCH", f"{DEPLOYMENT.path}{found['id']}/settings/", body)
        wait_for(api, location, f"Changing the settings of {found['label']}")
    columns: list[Column] = [
        ("id", "id"),
        ("name", "name"),
        ("model", _model),
        ("package", "modelPackage.name"),
        ("since", lambda one: show_time(one["createdAt"])),
        ("by", "createdBy"),
    ]
    nothing = f"Challengers are disabled: modelyard deployment challengers {found['id']} --enable"
    print_list(api.pages(_path(found)), columns, as_json=as_json, nothing=nothing)


def challenge(
    deployment: Deployment,
    package: Annotated[str, typer.Argument(help="The model package that challenges (id or name).", show_default=False)],
    name: Annotated[str | None, typer.Option(help="What the challenger is called; else as its package.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the end.")] = True,
    as_json: AsJson = False,
) -> None:
    """Propose a model package for a deployment: `deployment replace --challenger` accepts it."""
    api = connect()
    found = find(api, DEPLOYMENT, deployment)
    chosen = find(api, PACKAGE, package)
    called = name or chosen["name"]
    try:
        _, location = api.start("POST", _path(found), {"modelPackageId": chosen["id"], "name": called})
    except CommandError as error:
        if error.status == CONFLICT and "disabled" in error.message:
            error.hint = f"modelyard deployment challengers {found['id']} --enable"
        raise
    result = wait_for(api, location, f"Adding {called} to the challengers of {found['label']}") if wait else None
    made = api.get(result) if result else _find(api, found, called)
    accept = f"modelyard deployment replace {found['id']} --challenger {made['id']}"
    done(f"{called} challenges {found['label']}. To accept it: {accept}", made, as_json=as_json)


def withdraw(
    deployment: Deployment,
    challenger: Annotated[str, typer.Argument(help="The challenger's id or name.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Withdraw a challenger. Its package stays."""
    api = connect()
    found = find(api, DEPLOYMENT, deployment)
    gone = _find(api, found, challenger)
    api.delete(f"{_path(found)}{gone['id']}/")
    done(f"{gone['name']} no longer challenges {found['label']}.", {"id": gone["id"], "deleted": True}, as_json=as_json)


def _find(api: Api, deployment: Json, text: str) -> Json:
    there = [one for one in api.pages(_path(deployment)) if not one["isChampion"]]
    same = [one for one in there if one["id"] == text] or [one for one in there if one["name"] == text]
    if len(same) == 1:
        return same[0]
    if same:
        named = "\n".join(f"  {one['id']}  {one['name']}" for one in same)
        hint = "name the one you mean by its id"
        raise CommandError(f"{text!r} is the name of {len(same)} challengers:\n{named}", hint=hint, code=ExitCode.USAGE)
    raise CommandError(
        f"{deployment['label']} has no challenger with the id or name {text!r}",
        hint=f"modelyard deployment challengers {deployment['id']} shows what there is",
        code=ExitCode.NOT_FOUND,
    )


def _model(challenger: Json) -> str:
    return f"{challenger['model']['name']} {challenger['model']['versionLabel']}"


def _path(deployment: Json) -> str:
    return f"{DEPLOYMENT.path}{deployment['id']}/challengers/"
