"""``modelyard project``: from tasks and a table to models that are compared, predict and are deployed."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Terminal
from tests.learning.builders import churn_rows
from tests.servers import Server
from tests.waiting import wait_until

TASKS = Path(__file__).parents[2] / "examples" / "tasks"
SHARE = """\
import sys
from pathlib import Path

import pandas as pd


def fit(X, y, output_dir, class_order, parameters, **kwargs):
    sys.stdout.write(f"fitting on {len(X)} rows\\n")  # at once: fits run side by side
    if parameters["mood"] == "bad":
        raise ValueError("not today")
    if parameters["mood"] == "slow":
        import time

        time.sleep(600)
    Path(output_dir, "share.txt").write_text(str((y == class_order[1]).mean() ** parameters["power"]))


def load_model(code_dir):
    return float(Path(code_dir, "share.txt").read_text())


def score(data, model, positive_class_label, negative_class_label, **kwargs):
    rows = [model] * len(data)
    return pd.DataFrame({positive_class_label: rows, negative_class_label: [1 - one for one in rows]})
"""
SHARE_METADATA = """\
name: {name}
type: training
targetType: binary
hyperparameters:
  - {{name: mood, type: select, values: [good, bad, slow], default: good}}
  - {{name: power, type: float, min: 0.5, max: 9, default: 1}}
"""
COPY = """\
def fit(X, y, output_dir, **kwargs):
    open(output_dir + "/nothing", "w").close()


def load_model(code_dir):
    return None


def transform(X, transformer):
    return X
"""
COPY_METADATA = """\
name: {name}
type: training
targetType: transform
hyperparameters:
  - {{name: depth, type: int, min: 1, default: 3}}
  - {{name: word, type: string, default: "1"}}
  - {{name: leaf, type: multi, values: {{int: {{min: 1}}, float: {{min: 0, max: 1}}, select: {{values: [all, half]}}}}}}
"""


def a_task(terminal: Terminal, name: str, code: str, metadata: str) -> str:
    """The id of a pushed task."""
    folder = terminal.folder / name.replace(" ", "_")
    folder.mkdir()
    (folder / "custom.py").write_text(code)
    (folder / "model-metadata.yaml").write_text(metadata.format(name=name))
    return str(terminal.ok("task", "push", folder, "--env", "scikit-learn", "--json").json["task"]["id"])


def a_table(terminal: Terminal, name: str = "churn.csv") -> Path:
    file = terminal.folder / name
    file.write_text("".join(f"{line}\n" for line in churn_rows()))
    return file


def a_project(terminal: Terminal, name: str, *options: str) -> dict[str, Any]:
    file = a_table(terminal, f"{name.replace(' ', '_')}.csv")
    aim = options or ("--target", "churned", "--folds", "2")
    project: dict[str, Any] = terminal.ok("project", "create", name, file, *aim, "--json").json
    return project


def test_a_project_is_made_of_a_file_changed_and_deleted(modelyard: Terminal) -> None:
    file = a_table(modelyard, "first.csv")
    made = modelyard.ok("project", "create", "First project", file, "--target", "churned", "--positive-class", "no")
    lines = made.out.splitlines()
    assert lines[0].startswith("Made the project First project (")
    assert lines[0].endswith("): churned (Binary), 120 rows.")
    assert lines[1].startswith("Rows: 24 holdout, ")
    shown = modelyard.ok("project", "show", "First project").out
    assert "Classes       no (positive), yes\n" in shown
    assert "Partitions    5 folds, 20 % holdout, seed 0\n" in shown
    assert "Features      age, city, income, weight\n" in shown

    changed = modelyard.ok("project", "update", "First project", "--name", "Renamed", "--metric", "auc")
    assert changed.out.startswith("Changed the project Renamed (")
    assert changed.out.endswith("), ranks by AUC.\n")
    assert modelyard("project", "update", "Renamed").code == 2
    (listed,) = modelyard.ok("project", "list", "--search", "renamed", "--json").json
    assert (listed["projectName"], listed["metric"]) == ("Renamed", "AUC")
    refused = modelyard("project", "update", "Renamed", "--metric", "rmse", "--json")
    assert (refused.code, list(refused.error["errors"])) == (1, ["metric"])

    assert modelyard("project", "delete", "Renamed").code == 2  # there is nobody to ask
    assert modelyard.ok("project", "delete", "Renamed", "--yes").out == "Deleted the project Renamed.\n"
    assert modelyard("project", "show", listed["id"]).code == 3
    assert modelyard.ok("dataset", "show", "first.csv", "--json").json["datasetId"] == listed["datasetId"]


def test_what_a_project_is_to_learn(modelyard: Terminal) -> None:
    modelyard.ok("dataset", "upload", a_table(modelyard), "--name", "aims")
    create = ("project", "create", "Aims", "--dataset", "aims", "--json")
    found = modelyard.ok(*create).json
    assert (found["targetType"], found["target"], found["metric"]) == ("Anomaly", None, None)
    found = modelyard.ok(*create, "-t", "age", "--validation-pct", "30", "--holdout-pct", "10", "--seed", "5").json
    assert found["partitioning"] == {"method": "tvh", "folds": None, "validationPct": 30, "holdoutPct": 10, "seed": 5}
    assert (found["targetType"], found["metric"]) == ("Regression", "RMSE")
    found = modelyard.ok(*create, "-t", "age", "--target-type", "multiclass", "--method", "tvh", "--no-wait").json
    assert (found["status"], found["targetType"]) == ("preparing", "Multiclass")
    found = modelyard.ok(*create, "-t", "churned", "--folds", "3", "--holdout-pct", "0").json
    assert found["partitionRows"] == {"fold-1": 40, "fold-2": 40, "fold-3": 40}

    refused = modelyard(*create, "-t", "left", "--folds", "3", "--validation-pct", "20")
    assert (refused.code, sorted(refused.error["errors"])) == (1, ["partitioning", "target"])
    assert modelyard(*create, "--metric", "speed").code == 2
    assert modelyard("project", "create", "Aims", "--dataset", "no such table").code == 3
    assert modelyard("project", "create", "Aims").err.startswith("error: name either a file or a dataset\n")
    assert modelyard("project", "create", "Aims", "aims.csv", "--dataset", "aims").code == 2
    assert modelyard("project", "create", "Aims", "nowhere.csv").err == "error: there is no file nowhere.csv\n"
    refused = modelyard("project", "create", "Aims", a_table(modelyard, "refused.csv"), "-t", "left")
    assert (refused.code, "there is no column 'left' in the dataset" in refused.err) == (1, True)
    assert modelyard.ok("dataset", "list", "--search", "refused.csv", "--json").json == []
    errored = modelyard(*create, "-t", "churned", "--positive-class", "maybe")
    assert (errored.code, "not 'maybe'" in errored.error["message"]) == (1, True)
    id_ = errored.error["hint"].removeprefix("nothing can be trained in it: modelyard project delete ")
    assert modelyard.ok("project", "show", id_, "--json").json["status"] == "errored"


def test_a_name_that_two_projects_have(modelyard: Terminal) -> None:
    ids = [a_project(modelyard, "Twin")["id"] for _ in range(2)]
    outcome = modelyard("project", "leaderboard", "Twin")
    assert outcome.code == 2
    assert outcome.err.startswith("error: 'Twin' is the name of 2 projects:\n")
    assert all(id_ in outcome.err for id_ in ids)
    nothing = modelyard.ok("project", "leaderboard", ids[0])
    assert (nothing.out, nothing.err) == (
        "",
        f"It has no model. Train one: modelyard project train {ids[0]} TASK...\n",
    )
    unknown = modelyard("project", "leaderboard", "Twins")
    assert (unknown.code, unknown.err) == (
        3,
        "error: there is no project with the id or name 'Twins'\nhint: did you mean 'Twin'?\n",
    )
    assert modelyard("project", "model", ids[0], "best").err.startswith("error: no model of Twin has a LogLoss yet\n")
    assert modelyard("project", "model", ids[0], "worst").code == 3


def test_a_chain_is_trained_compared_and_predicts(modelyard: Terminal) -> None:
    project = a_project(modelyard, "Story")
    for name in ("missing_values", "one_hot", "binary"):
        modelyard.ok("task", "push", TASKS / name, "--env", "scikit-learn")
    chain = ("Missing values", "One-hot", "Binary classification")
    trained = modelyard.ok("project", "train", "Story", *chain, "-p", "c=10", "--weights", "weight")
    lines = trained.out.splitlines()
    assert lines[0].startswith("Trained Missing values → One-hot → Binary classification (")
    assert lines[1].split("  ")[0] == "METRIC"
    assert [line.split()[0] for line in lines[2:]] == ["LogLoss", "AUC", "Accuracy"]
    assert trained.err.startswith("0/18 ")

    share = a_task(modelyard, "Story share", SHARE, SHARE_METADATA)
    worse = modelyard.ok("project", "train", "Story", share, "--name", "Plain", "--log", "--json")
    assert worse.json["status"] == "completed"
    assert worse.json["tasks"][0]["parameters"] == {"mood": "good", "power": 1}
    assert "fitting on 96 rows\n" in worse.err

    board = modelyard.ok("project", "leaderboard", "Story", "--json").json
    assert [one["name"] for one in board] == [" → ".join(chain), "Plain"]
    assert board[0]["rowWeightsColumn"] == "weight"
    heading, first, second = modelyard.ok("project", "leaderboard", "Story").out.splitlines()
    assert heading.split("  ")[0] == "RANK"
    assert "LOGLOSS CROSS VALIDATION  LOGLOSS HOLDOUT" in heading
    assert (first[0], second[0]) == ("1", "2")
    assert [one["name"] for one in modelyard.ok("project", "models", "Story", "--json").json] == [
        "Plain",
        " → ".join(chain),
    ]

    best = modelyard.ok("project", "model", "Story", "best")
    assert f"Id            {board[0]['id']}\n" in best.out
    assert "c=10" in best.out
    assert "fitting on 96 rows\n" in modelyard.ok("project", "log", "Story", "Plain").out
    followed = modelyard.ok("project", "log", "Story", "Plain", "-f", "--tail", "1").out
    assert followed == modelyard.ok("project", "log", "Story", "Plain", "--tail", "1").out

    rows = a_table(modelyard, "rows.csv")
    answer = modelyard.ok("project", "predict", "Story", "best", rows).out.splitlines()
    assert answer[0] == "churned_yes_PREDICTION,churned_no_PREDICTION,churned_PREDICTION"
    assert len(answer) == 121
    names = [one["name"] for one in modelyard.ok("dataset", "list", "--search", "rows.csv", "--json").json]
    assert names == []
    told = modelyard.ok(
        "project", "predict", project["id"], board[0]["id"], "-d", project["datasetId"], "-o", "out.csv", "--json"
    ).json
    assert (told["status"], told["rowCount"], told["file"]) == ("completed", 120, "out.csv")
    assert (modelyard.folder / "out.csv").read_text().splitlines() == answer
    (modelyard.folder / "short.csv").write_text("age,city\n1,Oslo\n")
    refused = modelyard("project", "predict", "Story", "best", "short.csv")
    assert (refused.code, "'income'" in refused.err) == (1, True)
    assert modelyard.ok("dataset", "list", "--search", "short.csv", "--json").json == []
    assert modelyard("project", "predict", "Story", "best").code == 2

    modelyard.ok("project", "remove", "Story", "Plain", "--yes")
    assert len(modelyard.ok("project", "leaderboard", "Story", "--json").json) == 1


def test_values_of_hyperparameters_find_their_task_and_type(modelyard: Terminal) -> None:
    project = a_project(modelyard, "Values")
    copy = a_task(modelyard, "Copy v1.5", COPY, COPY_METADATA)
    share = a_task(modelyard, "Values share", SHARE, SHARE_METADATA)
    version = modelyard.ok("task", "show", share, "--json").json["latestVersion"]["id"]

    def sent(*arguments: str) -> list[dict[str, Any]]:
        started = modelyard.ok("project", "train", "Values", *arguments, "--detach", "--json").json
        modelyard("project", "cancel", "Values", started["id"])  # unless it has ended already
        return [one["parameters"] for one in started["tasks"]]

    options = ("-p", "depth=4", "-p", "word=7", "-p", "Copy v1.5.leaf=half", "-p", "2.power=2")
    assert sent("Copy v1.5", share, *options) == [
        {"depth": 4, "word": "7", "leaf": "half"},
        {"mood": "good", "power": 2},
    ]
    assert sent("Copy v1.5@1.0", copy, version, "-p", "1.leaf=3", "-p", "2.leaf=0.5", "-p", "3.power=3") == [
        {"depth": 3, "word": "1", "leaf": 3},
        {"depth": 3, "word": "1", "leaf": 0.5},
        {"mood": "good", "power": 3},
    ]

    wrong = {
        (
            "Copy v1.5",
            "Copy v1.5",
            share,
            "-p",
            "depth=4",
        ): "error: --param depth: 2 tasks of the chain could be meant\n",
        (share, "-p", "powr=2"): "error: no task of the chain has a hyperparameter 'powr'\nhint: did you mean power?",
        (share, "-p", "1.powr=2"): "error: Values share has no hyperparameter 'powr'\nhint: did you mean power?",
        (share, "-p", "Chair.power=2"): "error: --param Chair.power: the chain has no task 'Chair'\n",
        (share, "-p", "power=much"): "error: Values share: power is a number, not 'much'\n",
        (share, "-p", "power"): "error: --param power: write it as NAME=VALUE or TASK.NAME=VALUE\n",
        (): "Usage: modelyard project train ",
    }
    for arguments, told in wrong.items():
        outcome = modelyard("project", "train", "Values", *arguments)
        assert (outcome.code, outcome.err[: len(told)]) == (2, told)
    for arguments in (("Copied",), (f"{share}@9.9",), ("Copy v1.5@9.9",)):
        assert modelyard("project", "train", "Values", *arguments).code == 3
    refused = modelyard("project", "train", "Values", "0123456789abcdef01234567", share, "-p", "power=10", "--json")
    assert (refused.code, list(refused.error["errors"])) == (1, ["tasks"])
    assert "power: 10.0 is above max" in refused.error["errors"]["tasks"]
    outcome = modelyard("project", "train", "Values", "Copy v1.5", "--json")
    assert (outcome.code, "there is no estimator" in outcome.error["message"]) == (1, True)
    before = modelyard.ok("project", "show", project["id"], "--json").json["modelCount"]
    assert before == 2


def test_a_training_that_fails_ends_with_1_and_the_reason(modelyard: Terminal) -> None:
    a_project(modelyard, "Failing")
    a_task(modelyard, "Failing share", SHARE, SHARE_METADATA)
    outcome = modelyard("project", "train", "Failing", "Failing share", "-p", "mood=bad")
    assert (outcome.code, outcome.out) == (1, "")
    error, hint = outcome.err.splitlines()[-2:]
    assert error.startswith("error: the training failed: task 1, Failing share 1.0, fit of ")
    assert error.endswith("ValueError: not today")
    assert hint.startswith("hint: its log: modelyard project log ")
    model_id = hint.split()[-1]
    outcome = modelyard("project", "train", "Failing", "Failing share", "-p", "mood=bad", "--json")
    assert (outcome.code, outcome.json["status"], outcome.error["code"]) == (1, "errored", 1)
    assert "not today" in modelyard.ok("project", "log", "Failing", model_id).out
    assert "ValueError: not today" in modelyard.ok("project", "models", "Failing").out
    assert modelyard.ok("project", "leaderboard", "Failing").out.splitlines()[1].startswith("-  ")
    ambiguous = modelyard("project", "log", "Failing", "Failing share")
    assert (ambiguous.code, "is the name of 2 models" in ambiguous.err) == (2, True)
    refused = modelyard("project", "predict", "Failing", model_id, a_table(modelyard))
    assert (refused.code, "errored" in refused.err) == (1, True)
    refused = modelyard("project", "deploy", "Failing", model_id, "--json")
    assert (refused.code, list(refused.error["errors"])) == (1, ["modelId"])
    assert modelyard("project", "cancel", "Failing", model_id).code == 1


@pytest.mark.parametrize("bar", [False, True])
def test_ctrl_c_leaves_the_training_alone(modelyard: Terminal, server: Server, bar: bool) -> None:
    name = f"Left alone {bar}"
    project = a_project(modelyard, name)
    a_task(modelyard, f"{name} share", SHARE, SHARE_METADATA)
    command = [
        Path(sys.executable).with_name("modelyard"),
        "project",
        "train",
        name,
        f"{name} share",
        "-p",
        "mood=slow",
    ]
    mine, its = pty.openpty() if bar else os.pipe()
    path = f"/projects/{project['id']}/models/"
    with subprocess.Popen(command, env=modelyard.environment(), cwd=modelyard.folder, stderr=its) as process:
        os.close(its)
        told = [os.read(mine, 65536)]
        wait_until(_is_training(server, path), 60, "the training")
        process.send_signal(signal.SIGINT)
        while block := _read(mine):
            told.append(block)
        assert process.wait(30) == 130
    os.close(mine)
    text = b"".join(told).decode().replace("\r", "")
    assert ("━" in text, "0/6" in text) == (bar, True)
    (model,) = server.api.get(path).json()["data"]
    names = f"{project['id']} {model['id']}"
    assert (
        f"Stopped waiting; the server goes on. Watch the training: modelyard project log {names} -f; "
        f"cancel it: modelyard project cancel {names}\n"
    ) in text
    assert model["status"] == "training"
    modelyard_says = modelyard.ok("project", "cancel", name, model["id"]).out
    assert modelyard_says == f"The training of {name} share ({model['id']}) is canceled.\n"


def _is_training(server: Server, path: str) -> Callable[[], bool]:
    return lambda: [one["status"] for one in server.api.get(path).json()["data"]] == ["training"]


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # a terminal that nobody has open any more
        return b""


def test_the_best_model_is_deployed(modelyard: Terminal) -> None:
    a_project(modelyard, "Deployed")
    a_task(modelyard, "Deployed share", SHARE, SHARE_METADATA)
    modelyard.ok("project", "train", "Deployed", "Deployed share")
    modelyard.ok("admin", "user", "create", "ivan", "--email", "ivan@example.com")
    modelyard.ok("project", "share", "Deployed", "ivan", "--role", "read_only")
    options = ("--label", "Deployed model", "--threshold", "0.9", "--importance", "high")
    outcome = modelyard.ok("project", "deploy", "Deployed", "best", *options)
    assert outcome.out.splitlines()[0].startswith("Deployed model (")
    assert outcome.out.splitlines()[0].endswith(") is active.")
    answer = modelyard.ok("predict", a_table(modelyard), "-d", "Deployed model").out.splitlines()
    assert len(answer) == 121
    assert ",0.9,yes" in answer[1]
    roles = modelyard.ok("deployment", "share", "Deployed model", "--json").json
    assert [one["username"] for one in roles] == ["admin", "ivan"]

    later = modelyard.ok(
        "project", "deploy", "Deployed", "best", "-l", "Later", "--inactive", "--no-share", "--json"
    ).json
    assert (later["status"], later["label"]) == ("inactive", "Later")
    assert len(modelyard.ok("deployment", "share", "Later", "--json").json) == 1
    assert modelyard.ok("project", "model", "Deployed", "best", "--json").json["customModelId"]
    assert modelyard("project", "deploy", "Deployed", "best", "--threshold", "2").code == 2
    refused = modelyard("project", "delete", "Deployed", "--yes")
    assert (refused.code, "existing deployments (1)" in refused.err) == (1, True), "one of the two answers"
    modelyard.ok("deployment", "stop", "Deployed model")
    modelyard.ok("project", "delete", "Deployed", "--yes")
    modelyard.ok("deployment", "start", "Deployed model")
    assert modelyard.ok("predict", a_table(modelyard), "-d", "Deployed model").out.splitlines() == answer
