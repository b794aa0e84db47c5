"""The models of a project: comparing, looking at, cancelling and removing them."""

from typing import Annotated, Any

import typer

from modelyard.cli.client import Api, Json, connect
from modelyard.cli.errors import CommandError, ExitCode
from modelyard.cli.following import interruptible, patient, pauses, spinner, step_bar
from modelyard.cli.groups import AsJson, Yes, confirm
from modelyard.cli.lookup import PROJECT, Kind, find
from modelyard.cli.run_log import RunLog, print_as_json, print_log, print_text, print_with_time
from modelyard.cli.screen import Column, done, print_details, print_list, print_table, show_size, show_time

Project = Annotated[str, typer.Argument(help="The project's id or name.", show_default=False)]
Model = Annotated[
    str, typer.Argument(help="The model's id or name; best is the leaderboard's first.", show_default=False)
]

BEST = "best"
ENDED = ("completed", "errored", "canceled")
BEGUN = ("training", *ENDED)
MOST_FOLDS_SHOWN = 10
PARTITIONS = {"crossValidation": "cross validation", "validation": "validation", "holdout": "holdout"}


def models_of(project: Json) -> Kind:
    return Kind("model", f"{PROJECT.path}{project['id']}/models/", "", command=f"project models {project['id']}")


def model_path(model: Json) -> str:
    return f"{PROJECT.path}{model['projectId']}/models/{model['id']}/"


def find_model(api: Api, project: Json, text: str) -> Json:
    """A project's model by its id or name; ``best`` is the first of those that its metric ranks."""
    kind = models_of(project)
    if text != BEST:
        return find(api, kind, text)
    if project["metric"] is None:
        raise CommandError(
            f"{project['projectName']} has no metric, so no model is the best",
            hint=f"name one: modelyard project leaderboard {project['id']}",
            code=ExitCode.USAGE,
        )
    first = next(api.pages(kind.path, limit=1, orderBy="score"), None)
    if first is None or score_of(project, first) is None:
        raise CommandError(
            f"no model of {project['projectName']} has a {project['metric']} yet",
            hint=f"modelyard project models {project['id']} shows what there is",
            code=ExitCode.NOT_FOUND,
        )
    return first


def validated_on(project: Json) -> str:
    """The partition that models are ranked by."""
    return "crossValidation" if project["partitioning"]["method"] == "cv" else "validation"


def score_of(project: Json, model: Json) -> float | None:
    found: float | None = model["metrics"].get(validated_on(project), {}).get(project["metric"])
    return found


def leaderboard(
    project: Project,
    limit: Annotated[int | None, typer.Option(min=1, help="How many at most.")] = None,
    as_json: AsJson = False,
) -> None:
    """Rank the models of a project, the best first.

    What counts is the project's metric where models are validated; those without one come last.
    """
    api = connect()
    found = find(api, PROJECT, project)
    listed = list(api.pages(models_of(found).path, limit=limit, orderBy="score"))
    ranks = {model["id"]: rank for rank, model in enumerate(listed, 1) if score_of(found, model) is not None}
    columns: list[Column] = [
        ("rank", lambda one: ranks.get(one["id"])),
        ("id", "id"),
        ("name", "name"),
        *_score_columns(found),
        ("time", lambda one: _seconds(one["trainingSeconds"])),
        ("memory", lambda one: _size(one["peakMemory"])),
        ("status", "status"),
    ]
    print_list(listed, columns, as_json=as_json, nothing=_nothing(found))


def _score_columns(project: Json) -> list[Column]:
    metric = project["metric"]
    if metric is None:
        return [
            ("mean score", lambda one: show_number((one["scoreDistribution"] or {}).get("mean"))),
            ("deviation", lambda one: show_number((one["scoreDistribution"] or {}).get("standardDeviation"))),
        ]
    parts = [validated_on(project), *(["holdout"] if project["partitioning"]["holdoutPct"] else [])]
    return [(f"{metric} {PARTITIONS[part]}", _metric_in(part, metric)) for part in parts]


def _metric_in(part: str, metric: str) -> Any:
    return lambda one: show_number(one["metrics"].get(part, {}).get(metric))


def list_models(
    project: Project,
    limit: Annotated[int | None, typer.Option(min=1, help="How many at most.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the models of a project, newest first."""
    api = connect()
    found = find(api, PROJECT, project)
    columns: list[Column] = [
        ("id", "id"),
        ("name", "name"),
        ("status", "status"),
        ("steps", lambda one: f"{one['progress']['done']}/{one['progress']['total']}"),
        ("created", lambda one: show_time(one["created"])),
        ("remark", lambda one: one["reason"] or (None if one["ended"] else one["progress"]["message"])),
    ]
    listed = api.pages(models_of(found).path, limit=limit, orderBy="-created")
    print_list(listed, columns, as_json=as_json, nothing=_nothing(found))


def _nothing(project: Json) -> str:
    return f"It has no model. Train one: modelyard project train {project['id']} TASK..."


def show_model(project: Project, model: Model, as_json: AsJson = False) -> None:
    """Show a model: its chain, its metrics and what it took."""
    api = connect()
    found = find_model(api, find(api, PROJECT, project), model)
    rows: list[Column] = [
        ("Model", "name"),
        ("Id", "id"),
        ("Status", "status"),
        ("Reason", "reason"),
        ("Progress", lambda one: None if one["ended"] else _progress(one)),
        ("Weights", "rowWeightsColumn"),
        ("Calibrated", lambda one: one["calibrate"] or None),
        ("Environment", lambda one: f"{one['executionEnvironmentId']} ({one['executionEnvironmentVersionId']})"),
        ("Image", "imageDigest"),
        ("Took", lambda one: _seconds(one["trainingSeconds"])),
        ("Memory", lambda one: _size(one["peakMemory"])),
        ("Artifacts", lambda one: _size(one["artifactSize"])),
        ("Custom model", "customModelId"),
        ("Created", lambda one: f"{show_time(one['created'])} by {one['createdBy']}"),
    ]
    print_details(found, rows, as_json=as_json)
    if as_json:
        return
    print()
    print_list(found["tasks"], _TASK_COLUMNS, as_json=False, nothing="")
    if found["status"] == "completed":
        print()
        print_metrics(found)


def _progress(model: Json) -> str:
    progress = model["progress"]
    return f"{progress['done']} of {progress['total']} steps; {progress['message']}"


_TASK_COLUMNS: list[Column] = [
    ("task", lambda one: f"{one['name']} {one['label']}"),
    ("kind", "kind"),
    ("parameters", lambda one: [f"{name}={value}" for name, value in one["parameters"].items()]),
    ("fit", lambda one: _seconds(one["fitSeconds"])),
    ("transform", lambda one: _seconds(one["transformSeconds"])),
    ("columns", "columns"),
    ("sparse", "sparse"),
    ("cached", "cached"),
]


def print_metrics(model: Json) -> None:
    """Each metric by partition, and by fold unless there are many; of anomalies, how the scores spread."""
    spread = model["scoreDistribution"]
    if spread is not None:
        headings = ["scores", "mean", "deviation", *(f"q{float(share) * 100:g}" for share in spread["quantiles"])]
        numbers = [spread["mean"], spread["standardDeviation"], *spread["quantiles"].values()]
        print_table(headings, [[str(spread["count"]), *map(show_number, numbers)]])
        return
    folds = [each for each in model["folds"] if each["id"].startswith("fold-")]
    if len(folds) > MOST_FOLDS_SHOWN:
        folds = []
    parts = [part for part in PARTITIONS if part in model["metrics"]]
    columns = [model["metrics"][part] for part in parts] + [each["metrics"] for each in folds]
    names = list(columns[0]) if columns else []
    rows = [[name, *(show_number(column.get(name)) for column in columns)] for name in names]
    print_table(["metric", *(PARTITIONS[part] for part in parts), *(each["id"] for each in folds)], rows)


def show_number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f} s"


def _size(value: int | None) -> str | None:
    return None if value is None else show_size(value)


def log(
    project: Project,
    model: Model,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the training ends.")] = False,
    tail: Annotated[int | None, typer.Option(min=0, max=100_000, help="Only so many of the newest lines.")] = None,
    timestamps: Annotated[bool, typer.Option("--timestamps", help="Each line after the time it was written.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print what tasks wrote in a training. With --json and --follow, each line is one line of JSON."""
    api = connect()
    found = find_model(api, find(api, PROJECT, project), model)
    path = f"{model_path(found)}log/"
    if not follow:
        print_log(api, path, tail=tail, timestamps=timestamps, as_json=as_json)
        return
    show = print_as_json if as_json else print_with_time if timestamps else print_text
    watch(api, found, until=BEGUN, quiet=as_json)
    with interruptible(come_back(found)):
        for line in RunLog(api, path, tail).lines():
            show(line)


def watch(api: Api, model: Json, *, until: tuple[str, ...] = ENDED, quiet: bool) -> Json:
    """The model once its status is one of these; until then a bar shows how far the training is."""
    path = model_path(model)
    with interruptible(come_back(model)), step_bar(f"Training {model['name']}", quiet=quiet) as show:
        for _ in pauses():
            state: Json = patient(lambda: api.get(path))
            if state["status"] in until:
                return state
            progress = state["progress"]
            if not quiet:
                show(progress["done"], progress["total"], progress["message"])
    raise AssertionError


def come_back(model: Json) -> str:
    """How to get back to a training that goes on."""
    names = f"{model['projectId']} {model['id']}"
    return f"Watch the training: modelyard project log {names} -f; cancel it: modelyard project cancel {names}"


def cancel(
    project: Project,
    model: Model,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it has ended.")] = True,
    as_json: AsJson = False,
) -> None:
    """Cancel a training."""
    api = connect()
    found = find_model(api, find(api, PROJECT, project), model)
    api.delete(f"{model_path(found)}training/")
    state = _wait_for_end(api, found) if wait else api.get(model_path(found))
    done(f"The training of {state['name']} ({state['id']}) is {state['status']}.", state, as_json=as_json)


def _wait_for_end(api: Api, model: Json) -> Json:
    come = f"See how it goes: modelyard project models {model['projectId']}"
    with interruptible(come), spinner("Canceling"):
        for _ in pauses():
            state: Json = patient(lambda: api.get(model_path(model)))
            if state["status"] in ENDED:
                return state
    raise AssertionError


def remove(project: Project, model: Model, yes: Yes = False, as_json: AsJson = False) -> None:
    """Remove a model; what was deployed of it stays.

    Its training must have ended; what it predicted goes with it.
    """
    api = connect()
    found = find_model(api, find(api, PROJECT, project), model)
    confirm(f"Remove the model {found['name']} ({found['id']})?", yes=yes)
    api.delete(model_path(found))
    done(f"Removed the model {found['name']}.", {"id": found["id"], "deleted": True}, as_json=as_json)
