"""``modelyard model``: custom models and their versions."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from modelyard.cli.client import connect
from modelyard.cli.errors import CommandError, ExitCode
from modelyard.cli.groups import AsJson, Yes, confirm, group
from modelyard.cli.lookup import MODEL, find
from modelyard.cli.model_checks import log, run_test
from modelyard.cli.push import push_command
from modelyard.cli.repositories import pull_command
from modelyard.cli.screen import Column, done, plural, print_details, print_list, show_time
from modelyard.cli.sharing import share_command
from modelyard.cli.versioned import build_command, download_command, versions_command

app = group("Custom models: push, build, test and share them.")

Model = Annotated[str, typer.Argument(help="The model's id or name.", show_default=False)]


class TargetType(StrEnum):
    BINARY = "Binary"
    REGRESSION = "Regression"
    MULTICLASS = "Multiclass"
    ANOMALY = "Anomaly"
    TRANSFORM = "Transform"
    TEXT_GENERATION = "TextGeneration"
    UNSTRUCTURED = "Unstructured"


@app.command("list")
def list_models(
    search: Annotated[str | None, typer.Option(help="Only those whose name or description holds this.")] = None,
    deployed: Annotated[bool | None, typer.Option("--deployed/--not-deployed", help="Only those.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="How many at most.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the models that you may see."""
    is_deployed = None if deployed is None else str(deployed).lower()
    found = MODEL.listed(connect(), limit=limit, searchFor=search, isDeployed=is_deployed, orderBy="-updated")
    columns: list[Column] = [
        ("id", "id"),
        ("name", "name"),
        ("target", "targetType"),
        ("version", "latestVersion.label"),
        ("deployed", "deploymentsCount"),
        ("updated", lambda one: show_time(one["updated"])),
    ]
    print_list(found, columns, as_json=as_json, nothing="There is no model. Push one: modelyard model push DIR")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is called.", show_default=False)],
    target_type: Annotated[
        TargetType, typer.Option("--target-type", "-t", case_sensitive=False, help="What it predicts.")
    ],
    target: Annotated[str | None, typer.Option(help="The name of what it predicts.")] = None,
    positive: Annotated[str | None, typer.Option(help="Binary: the label of the positive class.")] = None,
    negative: Annotated[str | None, typer.Option(help="Binary: the label of the negative class.")] = None,
    threshold: Annotated[float | None, typer.Option(min=0, max=1, help="Binary: positive from this value on.")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", help="Multiclass: one class; repeat it.")] = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    language: Annotated[str | None, typer.Option(help="What it is written in.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a model without a version. A first push makes one too, from model-metadata.yaml."""
    optional = {
        "targetName": target,
        "positiveClassLabel": positive,
        "negativeClassLabel": negative,
        "predictionThreshold": threshold,
        "classLabels": label,
        "description": description,
        "language": language,
    }
    body: dict[str, Any] = {"name": name, "customModelType": "inference", "targetType": target_type.value}
    made = connect().post(MODEL.path, body | {key: value for key, value in optional.items() if value is not None})
    done(f"Made the model {made['name']} ({made['id']}).", made, as_json=as_json)


app.command("versions")(versions_command(MODEL))


@app.command()
def show(model: Model, as_json: AsJson = False) -> None:
    """Show a model and the files of its latest version."""
    found = find(connect(), MODEL, model)
    rows: list[Column] = [
        ("Model", "name"),
        ("Id", "id"),
        ("Description", "description"),
        ("Target type", "targetType"),
        ("Target", "targetName"),
        ("Classes", lambda one: one.get("classLabels") or _both_labels(one)),
        ("Threshold", "predictionThreshold"),
        ("Deployments", "deploymentsCount"),
        ("Created", lambda one: f"{show_time(one['created'])} by {one['createdBy']}"),
        ("Version", "latestVersion.label"),
        ("Version id", "latestVersion.id"),
        ("Environment", "latestVersion.baseEnvironmentId"),
        ("Frozen", "latestVersion.isFrozen"),
        ("Files", lambda one: [item["filePath"] for item in (one["latestVersion"] or {"items": []})["items"]]),
        (
            "Requirements",
            lambda one: [each["line"] for each in (one["latestVersion"] or {"dependencies": []})["dependencies"]],
        ),
    ]
    print_details(found, rows, as_json=as_json)


def _both_labels(model: dict[str, Any]) -> list[str] | None:
    positive = model.get("positiveClassLabel")
    return [f"{positive} (positive)", f"{model.get('negativeClassLabel')} (negative)"] if positive else None


app.command("download")(download_command(MODEL))


@app.command()
def delete(model: Model, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a model and its versions; not one that is deployed."""
    api = connect()
    found = find(api, MODEL, model)
    confirm(f"Delete the model {found['name']} with all its versions?", yes=yes)
    try:
        api.delete(f"{MODEL.path}{found['id']}/")
    except CommandError as error:
        if error.status == 409 and found["deploymentsCount"]:
            number = plural(found["deploymentsCount"], "deployment")
            hint = f"{number} of it: modelyard deployment list; modelyard deployment delete ID"
            raise CommandError(error.message, hint=hint, code=ExitCode.FAILED, status=409) from error
        raise
    done(f"Deleted the model {found['name']}.", {"id": found["id"], "deleted": True}, as_json=as_json)


app.command("push")(push_command(MODEL))
app.command("pull")(pull_command(MODEL))
app.command("build")(build_command(MODEL, "model log"))
app.command("test")(run_test)
app.command("log")(log)
app.command("share")(share_command(MODEL))
