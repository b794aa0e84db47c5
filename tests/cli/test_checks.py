"""``modelyard model build`` and ``test``: live output, and how they end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Terminal

PYTHON = "Python 3.11 Drop-In"
METADATA = "name: {name}\ntype: inference\ntargetType: regression\ninferenceModel:\n  targetName: y\n"
DOUBLES = """
import pandas as pd


def load_model(code_dir):
    return "model"


def score(data, model, **kwargs):
    return pd.DataFrame({"Predictions": data["x"].astype(float).fillna(0) * 2})
"""
REFUSES = DOUBLES.replace("    return pd", '    raise ValueError("the scale is broken")\n    return pd')
SLEEPS = DOUBLES.replace('    return "model"', '    import time\n\n    time.sleep(60)\n    return "model"')


@pytest.fixture
def rows(modelyard: Terminal) -> Path:
    path = modelyard.folder / "rows.csv"
    path.write_text("x,z\n" + "".join(f"{number},{number % 3}\n" for number in range(100)))
    return path


def test_a_build_shows_its_log_and_succeeds(modelyard: Terminal) -> None:
    folder = modelyard.a_model_folder("Builds", {"requirements.txt": "iniconfig==2.1.0\n"})
    outcome = modelyard.ok("model", "push", folder, "--env", PYTHON)
    assert outcome.err.startswith("next: modelyard model build ")
    outcome = modelyard("model", "log", "Builds")
    assert outcome.code == 3
    assert outcome.err.startswith("error: its dependencies were never built\nhint: build it: modelyard model build ")
    outcome = modelyard.ok("model", "build", "Builds")
    assert outcome.out == "Built version 1.0 of Builds.\n"
    assert "iniconfig==2.1.0" in outcome.err or "built already" in outcome.err
    assert modelyard.ok("model", "log", "Builds").out == outcome.err
    assert modelyard.ok("model", "build", "Builds", "--json").json["buildStatus"] == "success"


def test_a_failed_build_names_the_line(modelyard: Terminal) -> None:
    folder = modelyard.a_model_folder("Fails", {"requirements.txt": "iniconfig\nno-such-package-anywhere>=3\n"})
    modelyard.ok("model", "push", folder, "--env", PYTHON)
    outcome = modelyard("model", "build", "Fails")
    assert (outcome.code, outcome.out) == (1, "")
    reason, hint = outcome.err.splitlines()[-2:]
    assert reason.startswith('error: the build failed: Line 2 of requirements.txt ("no-such-package-anywhere>=3")')
    assert hint == "hint: correct requirements.txt, push again and build again"
    outcome = modelyard("model", "build", "Fails", "--json")
    assert outcome.code == 1
    assert outcome.json["buildStatus"] == "failed"
    assert outcome.error["message"].startswith("the build failed: Line 2 ")


def test_without_requirements_there_is_nothing_to_build(modelyard: Terminal) -> None:
    modelyard.ok("model", "push", modelyard.a_model_folder("Plain"), "--env", PYTHON)
    assert modelyard.ok("model", "build", "Plain").out == (
        "Nothing to build: version 1.0 of Plain has no requirements.txt and runs in its environment.\n"
    )


def test_a_test_shows_its_checks(modelyard: Terminal, rows: Path) -> None:
    files = {"custom.py": DOUBLES, "model-metadata.yaml": METADATA.format(name="Doubles")}
    modelyard.ok("model", "push", modelyard.a_model_folder("Doubles", files), "--env", PYTHON)
    dataset = modelyard.ok("dataset", "upload", rows, "--name", "tested rows", "--json").json["datasetId"]
    outcome = modelyard.ok("model", "test", "Doubles", "-d", dataset, "--check", "stabilityCheck=skip")
    table = [line.split(maxsplit=2) for line in outcome.out.splitlines()]
    statuses = {line[0]: line[1] for line in table[1:-1]}
    assert table[0] == ["CHECK", "STATUS", "MESSAGE"]
    assert statuses["errorCheck"] == statuses["sideEffects"] == "succeeded"
    assert statuses["stabilityCheck"] == "skipped"
    assert outcome.out.splitlines()[-1].endswith(" of version 1.0 of Doubles: succeeded.")
    assert "errorCheck: succeeded" in outcome.err.splitlines()
    modelyard.ok("model", "log", "Doubles", "--test")


def test_a_failed_test_says_what_failed(modelyard: Terminal, rows: Path) -> None:
    files = {"custom.py": REFUSES, "model-metadata.yaml": METADATA.format(name="Refuses")}
    modelyard.ok("model", "push", modelyard.a_model_folder("Refuses", files), "--env", PYTHON)
    dataset = modelyard.ok("dataset", "upload", rows, "--name", "refused rows", "--json").json["datasetId"]
    outcome = modelyard("model", "test", "Refuses", "-d", dataset, "--json")
    assert outcome.code == 1
    assert outcome.json["overallStatus"] == "failed"
    assert "the scale is broken" in outcome.error["message"]
    assert "the scale is broken" in modelyard.ok("model", "log", "Refuses", "--test").out


def test_wrong_checks_are_told(modelyard: Terminal) -> None:
    modelyard.ok("model", "push", modelyard.a_model_folder("Checked"), "--env", PYTHON)
    outcome = modelyard("model", "test", "Checked", "--check", "errorChek=fail")
    assert (outcome.code, outcome.err) == (
        2,
        "error: there is no check 'errorChek'\nhint: did you mean errorCheck or performanceCheck?\n",
    )
    outcome = modelyard("model", "test", "Checked", "--check", "errorCheck=maybe")
    assert (outcome.code, outcome.err) == (2, "error: --check errorCheck=maybe: the level is one of fail, warn, skip\n")
    assert modelyard("model", "test", "Checked", "--parameter", "performanceCheck=1").code == 2
    outcome = modelyard("model", "log", "Checked", "--test")
    assert outcome.code == 3
    assert outcome.err.startswith("error: Checked was never tested\n")


def test_ctrl_c_says_how_to_come_back(modelyard: Terminal, rows: Path) -> None:
    files = {"custom.py": SLEEPS, "model-metadata.yaml": METADATA.format(name="Sleeps")}
    modelyard.ok("model", "push", modelyard.a_model_folder("Sleeps", files), "--env", PYTHON)
    modelyard.ok("dataset", "upload", rows, "--name", "slow rows")
    command = [str(Path(sys.executable).with_name("modelyard")), "model", "test", "Sleeps", "-d", "slow rows"]
    process = subprocess.Popen(command, env=modelyard.environment(), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "in progress" in process.stderr.readline()
    os.kill(process.pid, signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(20) == 130
    assert "Stopped waiting; the server goes on. See it: modelyard model log " in rest
    assert "Traceback" not in rest
    test_id = modelyard.ok("status", "--json").json[0]["statusId"]
    assert modelyard.ok("status", test_id, "--json").json["statusType"] == "Testing"
