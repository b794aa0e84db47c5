"""``modelyard deployment``: what answers predictions."""

from enum import StrEnum
from typing import Annotated

import typer

from modelyard.cli.challengers import challenger_commands, challenging
from modelyard.cli.client import Api, Json, connect
from modelyard.cli.errors import CommandError, ExitCode
from modelyard.cli.following import wait_for
from modelyard.cli.groups import AsJson, Yes, confirm, group
from modelyard.cli.lookup import DEPLOYMENT, MODEL, find, find_version
from modelyard.cli.packages import package_of
from modelyard.cli.prediction_routes import prediction_url
from modelyard.cli.screen import Column, done, note, print_details, print_list, show_time
from modelyard.cli.sharing import share_command

app = group("Deployments: look at, replace, stop and start them.")

Deployment = Annotated[str, typer.Argument(help="The deployment's id or label.", show_default=False)]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the end.")]


class Importance(StrEnum):
    CRITICAL = "CRITICAL"
    HIGH = "HIGH"
    MODERATE = "MODERATE"
    LOW = "LOW"


class Status(StrEnum):
    ACTIVE = "active"
    INACTIVE = "inactive"
    ERRORED = "errored"
    LAUNCHING = "launching"
    REPLACING = "replacingModel"
    STOPPING = "stopping"


class Reason(StrEnum):
    ACCURACY = "ACCURACY"
    DATA_DRIFT = "DATA_DRIFT"
    ERRORS = "ERRORS"
    SCHEDULED_REFRESH = "SCHEDULED_REFRESH"
    SCORING_SPEED = "SCORING_SPEED"
    DEPRECATION = "DEPRECATION"
    OTHER = "OTHER"


@app.command("list")
def list_deployments(
    search: Annotated[str | None, typer.Option(help="Only those whose label or description holds this.")] = None,
    status: Annotated[Status | None, typer.Option(help="Only those.", case_sensitive=False)] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="How many at most.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the deployments that you may see, newest first."""
    columns: list[Column] = [
        ("id", "id"),
        ("label", "label"),
        ("status", "status"),
        ("health", "serviceHealth.status"),
        ("model", "model.customModelImage.customModelName"),
        ("version", "model.customModelImage.customModelVersionLabel"),
        ("last prediction", lambda one: show_time(one["predictionUsage"]["lastTimestamp"])),
    ]
    found = connect().pages(
        DEPLOYMENT.path,
        limit=limit,
        page=DEPLOYMENT.page,
        search=search,
        status=status and status.value,
        orderBy="-createdAtTimestamp",
    )
    print_list(found, columns, as_json=as_json, nothing="Nothing is deployed: modelyard deploy MODEL")


@app.command()
def show(deployment: Deployment, as_json: AsJson = False) -> None:
    """Show a deployment: state, model, use, and its address."""
    found = find(connect(), DEPLOYMENT, deployment)
    rows: list[Column] = [
        ("Deployment", "label"),
        ("Id", "id"),
        ("Description", "description"),
        ("Status", "status"),
        ("Message", "statusMessage"),
        ("Importance", "importance"),
        ("Model", lambda one: _model(one["model"]["customModelImage"])),
        ("Target", lambda one: f"{one['model'].get('targetName') or ''} ({one['model']['targetType']})".strip()),
        ("Package", lambda one: f"{one['modelPackage']['name']} ({one['modelPackage']['id']})"),
        ("Environment", "model.customModelImage.executionEnvironmentName"),
        ("Health", "serviceHealth.status"),
        ("Last prediction", lambda one: show_time(one["predictionUsage"]["lastTimestamp"])),
        ("Predictions a day", lambda one: _daily(one["predictionUsage"]["dailyRates"])),
        ("Created", lambda one: show_time(one["createdAt"])),
        ("Predictions", "predictionUrl"),
    ]
    print_details(found | {"predictionUrl": prediction_url(found)}, rows, as_json=as_json)


def _model(image: Json) -> str:
    return f"{image['customModelName']} {image['customModelVersionLabel']} ({image['customModelId']})"


def _daily(rates: list[int]) -> str | None:
    return " ".join(map(str, rates)) if any(rates) else None


@app.command()
def log(
    deployment: Deployment,
    launch: Annotated[
        bool, typer.Option("--launch", help="How its last launch went, not what the model wrote.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print what a deployment's model wrote while it served."""
    api = connect()
    found = find(api, DEPLOYMENT, deployment)
    path = f"/customModelDeployments/{found['id']}/logs/"
    if launch:
        text = api.text(path)
    else:
        _, location = api.start("POST", path)
        result = wait_for(api, location, f"Collecting the log of {found['label']}")
        text = api.text(result) if result else ""
    done(text.rstrip("\n"), {"log": text}, as_json=as_json)


@app.command()
def replace(
    deployment: Deployment,
    model: Annotated[
        str | None, typer.Argument(help="The custom model that takes over (id or name).", show_default=False)
    ] = None,
    challenger: Annotated[
        str | None, typer.Option("--challenger", help="The challenger that takes over (id or name) instead.")
    ] = None,
    version: Annotated[str | None, typer.Option("--version", help="A version's id or label; else the latest.")] = None,
    reason: Annotated[Reason, typer.Option(case_sensitive=False, help="Why.")] = Reason.OTHER,
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    """Replace a deployment's model. The one before answers until the new one is ready: no request fails."""
    api = connect()
    found = find(api, DEPLOYMENT, deployment)
    if (model is None) == (challenger is None) or (version and challenger):
        hint = "name a MODEL (and its --version), or a --challenger"
        raise CommandError("it is not clear what takes over", hint=hint, code=ExitCode.USAGE)
    if challenger is not None:
        package_id, title = challenging(api, found, challenger)
    else:
        custom_model = find(api, MODEL, str(model))
        chosen = find_version(api, MODEL, custom_model, version)
        package_id = package_of(api, custom_model, chosen)[0]["id"]
        title = f"{custom_model['name']} {chosen['label']}"
    path = f"{DEPLOYMENT.path}{found['id']}/model/"
    verdict = api.post(f"{path}validation/", {"modelPackageId": package_id})
    if verdict["status"] == "failing":
        raise CommandError(
            f"{found['label']} cannot take it: {verdict['message']}", hint="deploy it beside: modelyard deploy"
        )
    if verdict["status"] == "warning":
        note(f"warning: {verdict['message']}")
    _, location = api.start("PATCH", path, {"modelPackageId": package_id, "reason": reason.value})
    _finish(
        api,
        found,
        location,
        f"Replacing the model by {title}",
        f"{{label}} answers with {title}.",
        wait=wait,
        as_json=as_json,
    )


@app.command()
def stop(deployment: Deployment, wait: Wait = True, as_json: AsJson = False) -> None:
    """Stop a deployment; it keeps its settings and its address."""
    _change_status("inactive", "Stopping", "{label} is stopped.", deployment, wait=wait, as_json=as_json)


@app.command()
def start(deployment: Deployment, wait: Wait = True, as_json: AsJson = False) -> None:
    """Start a stopped deployment again."""
    _change_status("active", "Starting", "{label} is active.", deployment, wait=wait, as_json=as_json)


def _change_status(status: str, doing: str, sentence: str, name: str, *, wait: bool, as_json: bool) -> None:
    api = connect()
    found = find(api, DEPLOYMENT, name)
    _, location = api.start("PATCH", f"{DEPLOYMENT.path}{found['id']}/status/", {"status": status})
    _finish(api, found, location, f"{doing} {found['label']}", sentence, wait=wait, as_json=as_json)


def _finish(api: Api, found: Json, location: str, title: str, sentence: str, *, wait: bool, as_json: bool) -> None:
    if wait:
        wait_for(api, location, title)
    state = api.get(f"{DEPLOYMENT.path}{found['id']}/")
    message = sentence.format(label=found["label"]) if wait else f"{title}: modelyard deployment show {found['id']}"
    done(message, state, as_json=as_json)


@app.command()
def delete(deployment: Deployment, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a deployment: it stops, and nobody sees it any more. Its model stays."""
    api = connect()
    found = find(api, DEPLOYMENT, deployment)
    confirm(f"Delete the deployment {found['label']}?", yes=yes)
    api.delete(f"{DEPLOYMENT.path}{found['id']}/")
    done(f"Deleted the deployment {found['label']}.", {"id": found["id"], "deleted": True}, as_json=as_json)


challenger_commands(app)
app.command("share")(share_command(DEPLOYMENT))
