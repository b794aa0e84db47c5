"""``modelyard model push``: what is sent, what stays, and what is refused."""

from pathlib import Path

from tests.cli.conftest import Terminal

PYTHON = "Python 3.11 Drop-In"


def test_the_first_push_makes_the_model(modelyard: Terminal) -> None:
    folder = modelyard.a_model_folder("First push")
    outcome = modelyard.ok("model", "push", folder, "--env", PYTHON)
    lines = outcome.out.splitlines()
    assert lines[0].startswith("Made the model First push (")
    assert lines[0].endswith("): Unstructured.")
    assert lines[1:4] == ["  + custom.py", "  + model-metadata.yaml", "Sent 2 files (242 B); 0 unchanged."]
    assert lines[4].startswith("Version 1.0 of First push (")
    assert outcome.err == ""
    model = modelyard.ok("model", "show", "First push", "--json").json
    assert [item["filePath"] for item in model["latestVersion"]["items"]] == ["custom.py", "model-metadata.yaml"]


def test_only_what_changed_is_sent(modelyard: Terminal) -> None:
    folder = modelyard.a_model_folder("Changing", {"data/words.txt": "one\n", "old.txt": "gone soon\n"})
    first = modelyard.ok("model", "push", folder, "--env", PYTHON, "--json").json
    assert (first["isNewModel"], first["changed"], first["version"]["label"]) == (True, True, "1.0")
    assert first["added"] == ["custom.py", "data/words.txt", "model-metadata.yaml", "old.txt"]

    again = modelyard.ok("model", "push", folder)
    assert again.out == "Nothing changed: version 1.0 of Changing has these files.\n"
    assert modelyard.ok("model", "push", folder, "--json").json["changed"] is False

    (folder / "data" / "words.txt").write_text("one\ntwo\n")
    (folder / "new.txt").write_text("new\n")
    (folder / "old.txt").unlink()
    outcome = modelyard.ok("model", "push", folder)
    assert outcome.out.splitlines()[:4] == [
        "  + new.txt",
        "  ~ data/words.txt",
        "  - old.txt",
        "Sent 2 files (12 B); 2 unchanged.",
    ]
    listed = modelyard.ok("model", "versions", "Changing", "--json").json
    assert [version["label"] for version in listed] == ["1.1", "1.0"]
    newest, oldest = ({item["filePath"]: item["id"] for item in version["items"]} for version in listed)
    assert newest.keys() == {"custom.py", "data/words.txt", "model-metadata.yaml", "new.txt"}
    assert newest["custom.py"] == oldest["custom.py"]
    assert newest["data/words.txt"] != oldest["data/words.txt"]


def test_another_environment_is_a_change(modelyard: Terminal) -> None:
    folder = modelyard.a_model_folder("Moving")
    modelyard.ok("model", "push", folder, "--env", PYTHON)
    moved = modelyard.ok("model", "push", folder, "--env", "onnx", "--json").json
    assert (moved["changed"], moved["added"], moved["version"]["label"]) == (True, [], "1.1")
    kept = modelyard.ok("model", "push", folder, "--json").json
    assert kept["changed"] is False
    assert kept["version"]["baseEnvironmentId"] == moved["version"]["baseEnvironmentId"]


def test_what_is_ignored_stays_here(modelyard: Terminal) -> None:
    files = {
        ".modelyardignore": "# training\n/training/\n*.tmp\n!keep.tmp\n",
        "training/train.py": "",
        "inner/training/kept.py": "kept = 1",
        "scratch.tmp": "",
        "keep.tmp": "",
        "__pycache__/custom.cpython-311.pyc": "",
        ".git/config": "",
        "inner/.DS_Store": "",
        ".venv/bin/python": "",
    }
    folder = modelyard.a_model_folder("Ignoring", files)
    pushed = modelyard.ok("model", "push", folder, "--env", PYTHON, "--json").json
    expected = [".modelyardignore", "custom.py", "inner/training/kept.py", "keep.tmp", "model-metadata.yaml"]
    assert pushed["added"] == expected


def test_metadata_describes_the_model(modelyard: Terminal) -> None:
    metadata = """
        name: Described
        type: inference
        targetType: Binary
        description: What it is for.
        environmentID: "{env}"
        inferenceModel:
          targetName: left
          positiveClassLabel: yes
          negativeClassLabel: 0
          predictionThreshold: 0.25
    """
    environments = modelyard.ok("env", "list", "--search", PYTHON, "--json").json
    text = "\n".join(line[8:] for line in metadata.splitlines()).format(env=environments[0]["id"])
    folder = modelyard.a_model_folder("Described", {"model-metadata.yaml": text})
    model = modelyard.ok("model", "push", folder, "--json").json["model"]
    found = modelyard.ok("model", "show", model["id"], "--json").json
    assert (found["targetType"], found["targetName"], found["description"]) == ("Binary", "left", "What it is for.")
    assert (found["positiveClassLabel"], found["negativeClassLabel"]) == ("yes", "0")
    assert found["predictionThreshold"] == 0.25
    assert found["latestVersion"]["baseEnvironmentId"] == environments[0]["id"]


def test_a_thousand_files_are_pushed_at_once(modelyard: Terminal) -> None:
    files = {f"parts/{number:04}.txt": f"part {number}" for number in range(998)}
    folder = modelyard.a_model_folder("Thousand", files)
    assert len(modelyard.ok("model", "push", folder, "--env", PYTHON, "--json").json["added"]) == 1000
    (folder / "parts" / "0007.txt").write_text("another part 7")
    assert modelyard.ok("model", "push", folder, "--json").json["replaced"] == ["parts/0007.txt"]


def test_what_cannot_be_pushed_is_told(modelyard: Terminal) -> None:
    outcome = modelyard("model", "push", "nowhere")
    assert (outcome.code, outcome.err) == (2, "error: nowhere does not exist\nhint: name a folder to push\n")

    folder = modelyard.a_model_folder("Refused")
    outcome = modelyard("model", "push", folder)
    assert outcome.code == 2
    assert outcome.err.startswith("error: the first version of a model needs an environment\nhint: push with --env")
    assert modelyard("model", "show", "Refused").code == 3

    outcome = modelyard("model", "push", folder, "--env", "sklearn")
    assert outcome.code == 3
    assert outcome.err.startswith("error: there is no environment with the id or name 'sklearn'\nhint: ")

    outcome = modelyard("model", "push", folder, "--env", PYTHON, "--model", "0123456789abcdef01234567")
    assert (outcome.code, outcome.out) == (3, "")

    (folder / "away").symlink_to(Path("/etc/passwd"))
    outcome = modelyard("model", "push", folder, "--env", PYTHON)
    assert outcome.code == 1
    assert outcome.err.startswith(f"error: {folder}/away is a link out of the folder\n")
    (folder / "away").unlink()

    (folder / "model-metadata.yaml").write_text("name: Refused\ntargetType: [\n")
    outcome = modelyard("model", "push", folder, "--env", PYTHON)
    assert outcome.code == 1
    assert outcome.err.startswith(f"error: {folder}/model-metadata.yaml, line 3, column 1: ")

    (folder / "model-metadata.yaml").write_text("name: Refused\ntargetType: guessing\n")
    outcome = modelyard("model", "push", folder, "--env", PYTHON)
    assert outcome.code == 1
    assert outcome.err.startswith(
        "error: the model 'Refused' is new and needs a target type, but 'guessing' is none\n"
        "hint: add targetType to model-metadata.yaml (binary, regression, "
    )
    assert modelyard("model", "show", "Refused").code == 3
