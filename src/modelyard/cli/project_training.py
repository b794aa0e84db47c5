"""``modelyard project train``: from tasks to a model and its metrics."""

from typing import Annotated

import typer

from modelyard.cli.client import Api, Json, connect
from modelyard.cli.errors import CommandError
from modelyard.cli.following import interruptible, patient
from modelyard.cli.groups import AsJson
from modelyard.cli.lookup import PROJECT, find
from modelyard.cli.project_chains import read_chain
from modelyard.cli.project_models import BEGUN, Project, come_back, model_path, print_metrics, watch
from modelyard.cli.run_log import RunLog
from modelyard.cli.screen import done, note, print_json


def train(
    project: Project,
    tasks: Annotated[
        list[str],
        typer.Argument(
            metavar="task",
            help="The chain, in order: ids or names of tasks, TASK@VERSION, or ids of versions.",
            show_default=False,
        ),
    ],
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param",
            "-p",
            help="NAME=VALUE of a hyperparameter; TASK.NAME=VALUE where several tasks have it. Repeat it.",
        ),
    ] = None,
    weights: Annotated[str | None, typer.Option(help="A column that says how much each row counts.")] = None,
    calibrate: Annotated[
        bool | None,
        typer.Option("--calibrate/--no-calibrate", help="Anomaly scores from 0 to 1; else as the estimator says."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the model is called; else as its tasks.")] = None,
    log: Annotated[bool, typer.Option("--log", help="Print what the tasks write, on stderr.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", " /--detach", help="Wait for the end.")] = True,
    as_json: AsJson = False,
) -> None:
    """Train a chain of tasks: transforms, then an estimator.

    Each task is taken at its latest version unless you name one. A task in --param is named as in the chain, or by
    its place in it: 1 is the first. Ctrl-C stops the waiting only.
    """
    api = connect()
    found = find(api, PROJECT, project)
    body: Json = {"tasks": read_chain(api, tasks, param or [])}
    optional = {"name": name, "rowWeightsColumn": weights, "calibrate": calibrate}
    body |= {key: value for key, value in optional.items() if value is not None}
    started = api.post(f"{PROJECT.path}{found['id']}/models/", body)
    if not wait:
        sentence = f"Training {started['name']} ({started['id']})."
        done(sentence, started, as_json=as_json)
        if not as_json:
            note(come_back(started))
        return
    if log:
        watch(api, started, until=BEGUN, quiet=as_json)
        _follow(api, started)
    ended = watch(api, started, quiet=as_json)
    if as_json:
        print_json(ended)
    if ended["status"] != "completed":
        raise _failure(ended)
    if not as_json:
        print(f"Trained {ended['name']} ({ended['id']}) in {ended['trainingSeconds'] or 0:.1f} s.")
        print_metrics(ended)


def _follow(api: Api, model: Json) -> None:
    with interruptible(come_back(model)):
        for line in RunLog(api, f"{model_path(model)}log/").lines():
            note(line.text)
        patient(lambda: api.get(model_path(model)))


def _failure(model: Json) -> CommandError:
    hint = f"its log: modelyard project log {model['projectId']} {model['id']}"
    if model["status"] == "canceled":
        return CommandError("the training was canceled", hint=hint)
    return CommandError(f"the training failed: {model['reason']}", hint=hint)
