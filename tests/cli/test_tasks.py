"""``modelyard task``: from a folder to versions, builds, copies and the end."""

import io
import zipfile
from pathlib import Path

from tests.cli.conftest import Terminal

PYTHON = "Python 3.11 Drop-In"
CODE = "def fit(X, y, output_dir, **kwargs):\n    pass\n"
METADATA = """\
name: {name}
type: training
targetType: regression
description: What it does.
hyperparameters:
  - {{name: depth, type: int, min: 1, max: 10, default: 3}}
  - {{name: kernel, type: select, values: [rbf, linear]}}
  - {{name: features, type: multi, values: {{int: {{min: 1}}, select: {{values: [all]}}}}}}
"""


def a_task_folder(terminal: Terminal, name: str, files: dict[str, str] | None = None) -> Path:
    folder = terminal.folder / name.replace(" ", "_")
    folder.mkdir()
    for path, text in ({"custom.py": CODE, "model-metadata.yaml": METADATA.format(name=name)} | (files or {})).items():
        (folder / path).write_text(text)
    return folder


def test_the_first_push_makes_the_task(modelyard: Terminal) -> None:
    folder = a_task_folder(modelyard, "First task")
    lines = modelyard.ok("task", "push", folder, "--env", PYTHON).out.splitlines()
    assert lines[0].startswith("Made the task First task (")
    assert lines[0].endswith("): Regression.")
    assert lines[1:3] == ["  + custom.py", "  + model-metadata.yaml"]
    assert lines[-1].startswith("Version 1.0 of First task (")
    assert modelyard.ok("task", "push", folder).out == "Nothing changed: version 1.0 of First task has these files.\n"

    shown = modelyard.ok("task", "show", "First task").out
    assert "depth: int from 1 to 10, default 3" in shown
    assert "kernel: select of rbf, linear" in shown
    assert "features: multi of int, select" in shown
    task = modelyard.ok("task", "show", "First task", "--json").json
    assert (task["description"], task["customModelType"]) == ("What it does.", "training")

    (folder / "custom.py").write_text("x = 1\n")
    pushed = modelyard.ok("task", "push", folder, "--json").json
    assert (pushed["isNewTask"], pushed["changed"], pushed["replaced"]) == (False, True, ["custom.py"])
    assert pushed["task"] == {"id": task["id"], "name": "First task"}
    assert pushed["version"]["baseEnvironmentId"] == task["latestVersion"]["baseEnvironmentId"]
    listed = modelyard.ok("task", "versions", "First task", "--json").json
    assert [version["label"] for version in listed] == ["1.1", "1.0"]
    assert modelyard.ok("task", "push", folder, "--major", "--env", "onnx", "--json").json["version"]["label"] == "2.0"


def test_a_task_of_its_own_making(modelyard: Terminal) -> None:
    made = modelyard.ok("task", "create", "Strange", "-t", "anomaly", "--calibrate", "--json").json
    assert (made["targetType"], made["calibratePredictions"]) == ("Anomaly", True)
    assert modelyard.ok("task", "create", "Scale", "-t", "transform").out.startswith("Made the task Scale (")
    names = [task["name"] for task in modelyard.ok("task", "list", "--search", "strange", "--json").json]
    assert names == ["Strange"]
    assert "Scale" in modelyard.ok("task", "list").out
    outcome = modelyard("task", "build", "Strange")
    assert (outcome.code, outcome.err) == (
        3,
        f"error: task 'Strange' has no version yet\nhint: modelyard task push DIR --task {made['id']}\n",
    )
    folder = a_task_folder(modelyard, "elsewhere")
    (folder / "model-metadata.yaml").unlink()
    (folder / "custom.py").rename(folder / "main.py")
    outcome = modelyard.ok("task", "push", folder, "--task", "Strange", "--env", PYTHON)
    assert outcome.err.startswith("warning: There is no custom.py at the top of the files")


def test_build_and_its_log(modelyard: Terminal) -> None:
    folder = a_task_folder(modelyard, "Built task")
    modelyard.ok("task", "push", folder, "--env", PYTHON)
    assert modelyard.ok("task", "build", "Built task").out.startswith("Nothing to build: version 1.0 of Built task")
    assert modelyard.ok("task", "build", "Built task", "--json").json["buildStatus"] is None
    (folder / "requirements.txt").write_text("no-such-package-anywhere==1.0\n")
    assert "next: modelyard task build" in modelyard.ok("task", "push", folder).err
    outcome = modelyard("task", "build-log", "Built task")
    assert (outcome.code, outcome.err.splitlines()[0]) == (3, "error: its dependencies were never built")
    outcome = modelyard("task", "build", "Built task", "--json")
    assert (outcome.code, outcome.json["buildStatus"]) == (1, "failed")
    assert set(outcome.json) >= {"customTaskId", "customTaskVersionId"}
    assert "no-such-package-anywhere" in modelyard.ok("task", "build-log", "Built task").out
    assert "no-such-package" in modelyard.ok("task", "build-log", "Built task", "--json").json["log"]


def test_copy_download_share_and_delete(modelyard: Terminal) -> None:
    modelyard.ok("task", "push", a_task_folder(modelyard, "Copied"), "--env", PYTHON)
    copy = modelyard.ok("task", "copy", "Copied", "--name", "The copy", "--json").json
    assert (copy["name"], copy["latestVersion"]["label"]) == ("The copy", "1.0")
    modelyard.ok("task", "download", "The copy", "--version", "1.0", "-o", "copy.zip")
    archive = zipfile.ZipFile(io.BytesIO((modelyard.folder / "copy.zip").read_bytes()))
    assert sorted(archive.namelist()) == ["custom.py", "model-metadata.yaml"]
    modelyard.ok("admin", "user", "create", "task-colleague")
    told = modelyard.ok("task", "share", "The copy", "task-colleague", "--role", "editor")
    assert told.out == "The copy: task-colleague is now EDITOR.\n"
    assert "task-colleague" in modelyard.ok("task", "share", "The copy").out
    assert modelyard("task", "delete", "The copy").code == 2
    assert modelyard.ok("task", "delete", "The copy", "--yes").out == "Deleted the task The copy.\n"
    assert modelyard("task", "show", "The copy", "--json").code == 3
    assert modelyard.ok("task", "show", "Copied", "--json").json["latestVersion"]["label"] == "1.0"


def test_a_task_is_not_pushed_as_a_model_nor_a_model_as_a_task(modelyard: Terminal) -> None:
    task = a_task_folder(modelyard, "No model")
    outcome = modelyard("model", "push", task, "--env", PYTHON)
    assert outcome.code == 1
    assert outcome.err == (
        "error: model-metadata.yaml says type: training, so this is a task and not a model\n"
        "hint: push it with: modelyard task push\n"
    )
    model = modelyard.a_model_folder("No task")
    outcome = modelyard("task", "push", model, "--env", PYTHON)
    assert outcome.err.startswith("error: model-metadata.yaml says type: inference, so this is a model and not a task")
    (task / "model-metadata.yaml").write_text("name: No model\ntargetType: unstructured\n")
    outcome = modelyard("task", "push", task, "--env", PYTHON)
    assert outcome.code == 1
    assert "(binary, regression, multiclass, anomaly, transform)" in outcome.err


def test_a_model_and_a_task_may_have_one_name(modelyard: Terminal) -> None:
    task = modelyard.ok("task", "push", a_task_folder(modelyard, "Namesake"), "--env", PYTHON, "--json").json["task"]
    folder = modelyard.a_model_folder("other", {"model-metadata.yaml": "name: Namesake\ntargetType: unstructured\n"})
    model = modelyard.ok("model", "push", folder, "--env", PYTHON, "--json").json["model"]
    assert model["id"] != task["id"]
    assert modelyard.ok("model", "show", "Namesake", "--json").json["id"] == model["id"]
    assert modelyard.ok("task", "show", "Namesake", "--json").json["id"] == task["id"]
    listed = modelyard.ok("model", "list", "--search", "Namesake", "--json").json
    assert [one["id"] for one in listed] == [model["id"]]


def test_faults_of_the_metadata_are_told(modelyard: Terminal) -> None:
    metadata = "name: Faulty\ntargetType: binary\nhyperparameters: [{name: a, type: real}]\n"
    folder = a_task_folder(modelyard, "Faulty", {"model-metadata.yaml": metadata})
    outcome = modelyard("task", "push", folder, "--env", PYTHON)
    assert outcome.code == 1
    assert "hyperparameters[0]: type must be one of int, float, select, string, multi, not 'real'" in outcome.err
