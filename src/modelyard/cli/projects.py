"""``modelyard project``: what is to be learned of which data, and the models that learn it."""

from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from modelyard.cli.client import Api, Json, connect
from modelyard.cli.errors import CommandError, ExitCode
from modelyard.cli.following import wait_for
from modelyard.cli.groups import AsJson, Yes, confirm, group
from modelyard.cli.lookup import DATASET, PROJECT, find
from modelyard.cli.project_deploy import deploy
from modelyard.cli.project_models import Project, cancel, leaderboard, list_models, log, remove, show_model
from modelyard.cli.project_predictions import predict
from modelyard.cli.project_training import train
from modelyard.cli.screen import Column, done, plural, print_details, print_json, print_list, show_time
from modelyard.cli.sharing import share_command
from modelyard.cli.uploads import new_dataset

app = group("Projects: train chains of tasks, compare and deploy.")


class TargetType(StrEnum):
    BINARY = "Binary"
    REGRESSION = "Regression"
    MULTICLASS = "Multiclass"
    ANOMALY = "Anomaly"


class Metric(StrEnum):
    LOG_LOSS = "LogLoss"
    AUC = "AUC"
    ACCURACY = "Accuracy"
    RMSE = "RMSE"
    MAE = "MAE"
    R_SQUARED = "R Squared"
    GAMMA_DEVIANCE = "Gamma Deviance"
    POISSON_DEVIANCE = "Poisson Deviance"


class Method(StrEnum):
    CV = "cv"
    TVH = "tvh"


RankedBy = Annotated[
    Metric | None, typer.Option("--metric", case_sensitive=False, help="What models are ranked by; else as the target.")
]


@app.command("list")
def list_projects(
    search: Annotated[str | None, typer.Option(help="Only those whose name holds this.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="How many at most.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the projects that you may see, newest first."""
    columns: list[Column] = [
        ("id", "id"),
        ("name", "projectName"),
        ("target", "target"),
        ("type", "targetType"),
        ("metric", "metric"),
        ("rows", "rowCount"),
        ("models", "modelCount"),
        ("status", "status"),
        ("created", lambda one: show_time(one["created"])),
    ]
    found = connect().pages(PROJECT.path, limit=limit, searchFor=search)
    nothing = "There is no project. Make one: modelyard project create NAME FILE --target COLUMN"
    print_list(found, columns, as_json=as_json, nothing=nothing)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is called.", show_default=False)],
    file: Annotated[
        Path | None, typer.Argument(help="CSV (UTF-8), JSON lines or Parquet to upload as a dataset.")
    ] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", "-d", help="A dataset (id or name) instead.")] = None,
    dataset_version: Annotated[str | None, typer.Option(help="A version (id) of the dataset; else the latest.")] = None,
    target: Annotated[
        str | None, typer.Option("--target", "-t", help="The column to learn; without it, find anomalies.")
    ] = None,
    target_type: Annotated[
        TargetType | None, typer.Option(case_sensitive=False, help="What the target is; else by its values.")
    ] = None,
    metric: RankedBy = None,
    positive_class: Annotated[
        str | None, typer.Option(help="Binary: the class whose probability is predicted; else the last one.")
    ] = None,
    method: Annotated[
        Method | None,
        typer.Option(help="cv: each fold is validated on in turn; tvh: one part is. cv, unless --validation-pct."),
    ] = None,
    folds: Annotated[int | None, typer.Option(min=2, max=50, help="cv: how many folds; 5 by default.")] = None,
    validation_pct: Annotated[
        float | None, typer.Option(help="tvh: percent of the rows to validate on; 16 by default.")
    ] = None,
    holdout_pct: Annotated[
        float | None, typer.Option(help="Percent of the rows kept out to the end; 20 by default, 0 for none.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Draws the parts; 0 by default.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until its data are ready.")] = True,
    as_json: AsJson = False,
) -> None:
    """Make a project of a table and what is to be learned of it."""
    if (file is None) == (dataset is None):
        hint = "modelyard project create NAME FILE, or --dataset DATASET"
        raise CommandError("name either a file or a dataset", hint=hint, code=ExitCode.USAGE)
    api = connect()
    optional = {
        "datasetVersionId": dataset_version,
        "target": target,
        "targetType": target_type,
        "metric": metric,
        "positiveClassLabel": positive_class,
        "partitioning": _partitioning(method, folds, validation_pct, holdout_pct, seed),
    }
    body: Json = {"projectName": name} | _given(optional)
    with _data(api, file, dataset) as dataset_id:
        made, location = api.start("POST", PROJECT.path, body | {"datasetId": dataset_id})
    if wait:
        _wait_until_ready(api, location, made)
    project = api.get(f"{PROJECT.path}{made['id']}/")
    if as_json:
        print_json(project)
    elif wait:
        print(f"Made the project {name} ({project['id']}): {_aim(project)}, {plural(project['rowCount'], 'row')}.")
        print(f"Rows: {_parts(project)}")
    else:
        print(f"Making {name} ready ({project['id']}): modelyard project show {project['id']}")


def _data(api: Api, file: Path | None, dataset: str | None) -> AbstractContextManager[str]:
    """The id of the dataset; one that is made of a file goes again where no project comes of it."""
    if file is not None:
        return new_dataset(api, file)
    return nullcontext(str(find(api, DATASET, str(dataset))["datasetId"]))


def _wait_until_ready(api: Api, location: str, project: Json) -> None:
    try:
        wait_for(api, location, f"Making the data of {project['projectName']} ready")
    except CommandError as error:
        error.hint = error.hint or f"nothing can be trained in it: modelyard project delete {project['id']}"
        raise


def _partitioning(
    method: Method | None,
    folds: int | None,
    validation_pct: float | None,
    holdout_pct: float | None,
    seed: int | None,
) -> Json | None:
    given = _given({"folds": folds, "validationPct": validation_pct, "holdoutPct": holdout_pct, "seed": seed})
    if method is None and not given:
        return None
    return {"method": method or (Method.CV if validation_pct is None else Method.TVH)} | given


def _given(values: dict[str, Any]) -> Json:
    return {name: value for name, value in values.items() if value is not None}


@app.command()
def show(project: Project, as_json: AsJson = False) -> None:
    """Show a project: its target, data and partitions."""
    found = find(connect(), PROJECT, project)
    rows: list[Column] = [
        ("Project", "projectName"),
        ("Id", "id"),
        ("Status", "status"),
        ("Reason", "reason"),
        ("Learns", _aim),
        ("Metric", "metric"),
        ("Classes", _classes),
        ("Dataset", lambda one: f"{one['datasetId']} (version {one['datasetVersionId']})"),
        ("Rows", "rowCount"),
        ("Partitions", _partitions),
        ("Rows of each", _parts),
        ("Features", "features"),
        ("Models", "modelCount"),
        ("Created", lambda one: f"{show_time(one['created'])} by {one['createdBy']}"),
    ]
    print_details(found, rows, as_json=as_json)


def _aim(project: Json) -> str:
    return "anomalies" if project["target"] is None else f"{project['target']} ({project['targetType']})"


def _classes(project: Json) -> list[str]:
    positive = project["positiveClassLabel"]
    return [f"{label} (positive)" if label == positive else label for label in project["classLabels"]]


def _partitions(project: Json) -> str:
    parts = project["partitioning"]
    first = f"{parts['folds']} folds" if parts["method"] == "cv" else f"{parts['validationPct']:g} % validation"
    return f"{first}, {parts['holdoutPct']:g} % holdout, seed {parts['seed']}"


def _parts(project: Json) -> list[str] | str:
    return ", ".join(f"{count} {name}" for name, count in project["partitionRows"].items())


@app.command()
def update(
    project: Project,
    name: Annotated[str | None, typer.Option(help="What it is called from now on.")] = None,
    metric: RankedBy = None,
    as_json: AsJson = False,
) -> None:
    """Rename a project, or rank its models by another metric."""
    body = _given({"projectName": name, "metric": metric})
    if not body:
        raise CommandError("there is nothing to change", hint="give --name or --metric", code=ExitCode.USAGE)
    api = connect()
    found = find(api, PROJECT, project)
    changed = api.patch(f"{PROJECT.path}{found['id']}/", body)
    ranked = f", ranks by {changed['metric']}" if metric else ""
    done(f"Changed the project {changed['projectName']} ({changed['id']}){ranked}.", changed, as_json=as_json)


@app.command()
def delete(project: Project, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a project with its models; what was deployed stays.

    The dataset stays, too.
    """
    api = connect()
    found = find(api, PROJECT, project)
    confirm(f"Delete the project {found['projectName']} with all its models?", yes=yes)
    api.delete(f"{PROJECT.path}{found['id']}/")
    done(f"Deleted the project {found['projectName']}.", {"id": found["id"], "deleted": True}, as_json=as_json)


app.command("share")(share_command(PROJECT))
app.command("train")(train)
app.command("leaderboard")(leaderboard)
app.command("models")(list_models)
app.command("model")(show_model)
app.command("log")(log)
app.command("cancel")(cancel)
app.command("remove")(remove)
app.command("predict")(predict)
app.command("deploy")(deploy)
