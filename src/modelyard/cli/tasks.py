"""``modelyard task``: custom tasks and their versions."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from modelyard.cli.client import connect
from modelyard.cli.groups import AsJson, Yes, confirm, group
from modelyard.cli.lookup import TASK, find
from modelyard.cli.push import push_command
from modelyard.cli.repositories import pull_command
from modelyard.cli.screen import Column, done, print_details, print_list, show_time
from modelyard.cli.sharing import share_command
from modelyard.cli.versioned import build_command, build_log_command, download_command, versions_command

app = group("Custom tasks: code that fits and transforms, to train models with.")

Task = Annotated[str, typer.Argument(help="The task's id or name.", show_default=False)]


class TargetType(StrEnum):
    BINARY = "Binary"
    REGRESSION = "Regression"
    MULTICLASS = "Multiclass"
    ANOMALY = "Anomaly"
    TRANSFORM = "Transform"


@app.command("list")
def list_tasks(
    search: Annotated[str | None, typer.Option(help="Only those whose name or description holds this.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="How many at most.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the tasks that you may see."""
    found = connect().pages(TASK.path, limit=limit, searchFor=search, orderBy="-updated")
    columns: list[Column] = [
        ("id", "id"),
        ("name", "name"),
        ("target", "targetType"),
        ("version", "latestVersion.label"),
        ("updated", lambda one: show_time(one["updated"])),
    ]
    print_list(found, columns, as_json=as_json, nothing="There is no task. Push one: modelyard task push DIR")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is called.", show_default=False)],
    target_type: Annotated[
        TargetType, typer.Option("--target-type", "-t", case_sensitive=False, help="What it predicts, or Transform.")
    ],
    calibrate: Annotated[
        bool | None, typer.Option("--calibrate/--no-calibrate", help="Anomaly: make probabilities of its scores.")
    ] = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    language: Annotated[str | None, typer.Option(help="What it is written in.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a task without a version. A first push makes one too, from model-metadata.yaml."""
    optional = {"calibratePredictions": calibrate, "description": description, "language": language}
    body: dict[str, Any] = {"name": name, "targetType": target_type.value}
    made = connect().post(TASK.path, body | {key: value for key, value in optional.items() if value is not None})
    done(f"Made the task {made['name']} ({made['id']}).", made, as_json=as_json)


@app.command()
def show(task: Task, as_json: AsJson = False) -> None:
    """Show a task, its files and hyperparameters."""
    found = find(connect(), TASK, task)
    rows: list[Column] = [
        ("Task", "name"),
        ("Id", "id"),
        ("Description", "description"),
        ("Target type", "targetType"),
        ("Calibrated", "calibratePredictions"),
        ("Created", lambda one: f"{show_time(one['created'])} by {one['createdBy']}"),
        ("Version", "latestVersion.label"),
        ("Version id", "latestVersion.id"),
        ("Environment", "latestVersion.baseEnvironmentId"),
        ("Frozen", "latestVersion.isFrozen"),
        ("Files", lambda one: [item["filePath"] for item in _latest(one, "items")]),
        ("Requirements", lambda one: [each["line"] for each in _latest(one, "dependencies")]),
        ("Hyperparameters", lambda one: [_hyperparameter(each) for each in _latest(one, "hyperparameters")]),
        ("Warnings", lambda one: _latest(one, "warning")),
    ]
    print_details(found, rows, as_json=as_json)


@app.command("copy")
def copy_task(
    task: Task,
    name: Annotated[str | None, typer.Option(help="What the copy is called; else as the task is.")] = None,
    as_json: AsJson = False,
) -> None:
    """Copy a task with its versions and files; the copy is yours."""
    api = connect()
    found = find(api, TASK, task)
    made = api.post(f"{TASK.path}fromCustomTask/", {"customTaskId": found["id"]})
    if name is not None:
        made = api.patch(f"{TASK.path}{made['id']}/", {"name": name})
    done(f"Made the task {made['name']} ({made['id']}), a copy of {found['id']}.", made, as_json=as_json)


@app.command()
def delete(task: Task, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a task and its versions; not one that is trained."""
    api = connect()
    found = find(api, TASK, task)
    confirm(f"Delete the task {found['name']} with all its versions?", yes=yes)
    api.delete(f"{TASK.path}{found['id']}/")
    done(f"Deleted the task {found['name']}.", {"id": found["id"], "deleted": True}, as_json=as_json)


def _latest(task: dict[str, Any], field: str) -> list[Any]:
    return list(task["latestVersion"][field]) if task["latestVersion"] else []


def _hyperparameter(one: dict[str, Any]) -> str:
    """Such as ``depth: int from 1 to 10, default 3``."""
    words = [f"{one['name']}: {one['type']}"]
    words += [f"{word} {one[key]}" for key, word in (("min", "from"), ("max", "to")) if one.get(key) is not None]
    values = one.get("values")
    if isinstance(values, list):
        words.append(f"of {', '.join(map(str, values))}")
    elif isinstance(values, dict):
        words.append(f"of {', '.join(values)}")
    default = f", default {one['default']!r}" if one.get("default") is not None else ""
    return " ".join(words) + default


app.command("push")(push_command(TASK))
app.command("pull")(pull_command(TASK))
app.command("versions")(versions_command(TASK))
app.command("download")(download_command(TASK))
app.command("build")(build_command(TASK, "task build-log"))
app.command("build-log")(build_log_command(TASK))
app.command("share")(share_command(TASK))
