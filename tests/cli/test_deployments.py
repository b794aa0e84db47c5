"""From a folder to predictions and back, by the command line alone."""

import csv
import io
import json
import os
import shlex
import subprocess
from pathlib import Path

from modelyard.cli.csv_pieces import PIECE_BYTES
from tests.cli.conftest import Terminal
from tests.cli.test_checks import DOUBLES, METADATA, PYTHON
from tests.conftest import ADMIN_TOKEN
from tests.servers import Server


def test_the_life_of_a_deployment(modelyard: Terminal, server: Server) -> None:
    files = {"custom.py": DOUBLES, "model-metadata.yaml": METADATA.format(name="Lives")}
    folder = modelyard.a_model_folder("Lives", files)
    modelyard.ok("model", "push", folder, "--env", PYTHON)
    registered = modelyard.ok("registry", "register", "Lives").out
    assert registered.startswith("Registered Lives (v1) (package ")
    assert modelyard.ok("registry", "register", "Lives").out.startswith("It is registered already: Lives (v1) ")
    (version,) = modelyard.ok("registry", "show", "Lives", "--json").json["versions"]
    assert version["buildStatus"] == "complete"

    told = modelyard.ok("deploy", "Lives", "--label", "doubles", "--importance", "high").out.splitlines()
    assert told[0].startswith("doubles (")
    assert told[0].endswith(") is active.")
    url = told[1].removeprefix("Predictions: ")
    assert url.startswith(f"{server.gateway_url}/predApi/v1.0/deployments/")
    deployment = modelyard.ok("deployment", "show", "doubles", "--json").json
    assert (deployment["status"], deployment["importance"], deployment["predictionUrl"]) == ("active", "HIGH", url)
    assert modelyard("deploy", "Lives", "--label", "doubles", "--env", "nowhere").code == 3

    (modelyard.folder / "rows.csv").write_text("x,name\n1,ada\n2,bob\n")
    the_line = shlex.split(told[2].removeprefix("Try it:").strip().replace("$MODELYARD_API_TOKEN", ADMIN_TOKEN))
    answer = subprocess.run([*the_line, "-sS"], cwd=modelyard.folder, capture_output=True, check=True)
    assert [row["prediction"] for row in json.loads(answer.stdout)["data"]] == [2.0, 4.0]
    _predict(modelyard)
    assert _statuses(modelyard) == {"doubles": "active"}

    (folder / "custom.py").write_text(DOUBLES.replace("* 2", "* 3"))
    modelyard.ok("model", "push", folder)
    assert modelyard.ok("deployment", "replace", "doubles", "Lives").out == "doubles answers with Lives 2.0.\n"
    assert modelyard.ok("predict", "rows.csv", "-d", "doubles").out.splitlines()[1:] == ["3.0", "6.0"]

    assert modelyard.ok("deployment", "stop", "doubles").out == "doubles is stopped.\n"
    outcome = modelyard("predict", "rows.csv", "-d", "doubles")
    assert (outcome.code, outcome.out) == (1, "")
    assert modelyard.ok("deployment", "start", "doubles").out == "doubles is active.\n"
    assert modelyard.ok("predict", "rows.csv", "-d", "doubles").out.splitlines()[1:] == ["3.0", "6.0"]
    assert "The model is ready." in modelyard.ok("deployment", "log", "doubles").out
    modelyard.ok("deployment", "log", "doubles", "--launch")

    outcome = modelyard("model", "delete", "Lives", "--yes")
    assert outcome.code == 1
    assert outcome.err.endswith("hint: 1 deployment of it: modelyard deployment list; modelyard deployment delete ID\n")
    assert modelyard.ok("deployment", "delete", "doubles", "--yes").out == "Deleted the deployment doubles.\n"
    assert modelyard("deployment", "show", "doubles").code == 3


def _statuses(modelyard: Terminal) -> dict[str, str]:
    listed = modelyard.ok("deployment", "list", "--search", "doubles", "--status", "active", "--json").json
    return {one["label"]: one["status"] for one in listed}


def _predict(modelyard: Terminal) -> None:
    """Every way in and out."""
    folder = modelyard.folder
    assert modelyard.ok("predict", "rows.csv", "-d", "doubles").out == "y_PREDICTION\n2.0\n4.0\n"
    as_json = modelyard.ok("predict", "rows.csv", "-d", "doubles", "--accept", "json").json
    assert [row["prediction"] for row in as_json["data"]] == [2.0, 4.0]
    assert modelyard.ok("predict", "rows.csv", "-d", "doubles", "--json").json == as_json

    (folder / "rows.json").write_text(json.dumps([{"x": 5}, {"x": 6}]))
    assert modelyard.ok("predict", "rows.json", "-d", "doubles").json["data"][1]["prediction"] == 12.0
    assert modelyard.ok("predict", "-", "-d", "doubles", stdin='[{"x": 7}]').json["data"][0]["prediction"] == 14.0
    assert modelyard.ok("predict", "-", "-d", "doubles", stdin="x\n8\n").out.splitlines()[1] == "16.0"

    outcome = modelyard.ok("predict", "rows.csv", "-d", "doubles", "-o", "out.json")
    assert (outcome.out, outcome.err) == ("", "Saved out.json (application/json).\n")
    assert len(json.loads((folder / "out.json").read_text())["data"]) == 2
    modelyard.ok("predict", "rows.csv", "-d", "doubles", "-o", "out.csv", "--passthrough", "name")
    rows = list(csv.DictReader(io.StringIO((folder / "out.csv").read_text())))
    assert [(row["name"], row["y_PREDICTION"]) for row in rows] == [("ada", "2.0"), ("bob", "4.0")]
    everything = modelyard.ok("predict", "rows.csv", "-d", "doubles", "-p", "all").out
    assert next(csv.reader(io.StringIO(everything))) == ["y_PREDICTION", "x", "name"]

    large = folder / "large.csv"
    numbers = range(60_000)
    large.write_text("x,note\n" + "".join(f'{number},"{"long" * 90}\n"\n' for number in numbers))
    assert large.stat().st_size > PIECE_BYTES
    modelyard.ok("predict", large, "-d", "doubles", "-o", "large-out.csv")
    scores = (folder / "large-out.csv").read_text().splitlines()
    assert scores == ["y_PREDICTION", *(str(number * 2.0) for number in numbers)]

    (folder / "wrong.csv").write_text("other\n1\n")
    outcome = modelyard("predict", "wrong.csv", "-d", "doubles", "-o", "never.csv")
    assert outcome.code == 1
    assert outcome.err.startswith("error: ")
    assert not (folder / "never.csv").exists()
    outcome = modelyard("predict", "-", "-d", "doubles")
    assert (outcome.code, outcome.err) == (2, "error: - is empty\nhint: predictions need at least one row\n")
    assert modelyard("predict", "nowhere.csv", "-d", "doubles").code == 2
    assert modelyard("predict", "rows.csv", "-d", "triples").code == 3
    stranger = Terminal(folder, modelyard.forks, modelyard.endpoint, "wrong")
    assert stranger("predict", "rows.csv", "-d", "doubles").code == 4


def test_an_unstructured_model_takes_and_gives_anything(modelyard: Terminal) -> None:
    modelyard.ok("model", "push", modelyard.a_model_folder("Echoes"), "--env", PYTHON)
    deployment = modelyard.ok("deploy", "Echoes", "--replicas", "2", "--json").json
    assert (deployment["label"], deployment["status"]) == ("Echoes", "active")
    assert deployment["predictionUrl"].endswith("/predictionsUnstructured")
    noise = os.urandom(1000)
    Path(modelyard.folder / "noise.bin").write_bytes(noise)
    modelyard.ok("predict", "noise.bin", "-d", "Echoes", "-o", "back.bin")
    assert (modelyard.folder / "back.bin").read_bytes() == noise
    assert modelyard.ok("predict", "-", "-d", "Echoes", stdin="hello").out == "hello"
    model = modelyard.ok("model", "show", "Echoes", "--json").json
    assert (model["latestVersion"]["label"], model["latestVersion"]["replicas"]) == ("1.1", 2)
    modelyard.ok("deployment", "delete", "Echoes", "--yes")


def test_a_model_that_cannot_start_says_why(modelyard: Terminal) -> None:
    files = {"custom.py": "raise RuntimeError('no licence')\n"}
    modelyard.ok("model", "push", modelyard.a_model_folder("Crashes", files), "--env", PYTHON)
    outcome = modelyard("deploy", "Crashes")
    assert outcome.code == 1
    assert "no licence" in outcome.err
    (found,) = modelyard.ok("deployment", "list", "--search", "Crashes", "--json").json
    assert found["status"] == "errored"
    modelyard.ok("deployment", "delete", found["id"], "--yes")
