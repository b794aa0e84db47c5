"""``make demo``: ends well, leaves nothing running, and fails loudly."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from modelyard.cli.commands import COMMANDS
from modelyard.cli.main import load

PROGRAM = Path(__file__).parents[2] / "demo" / "run.py"
TIME_LIMIT_S = 300


def run_demo(folder: Path, **settings: Path) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {f"MODELYARD_{name.upper()}": str(value) for name, value in settings.items()}
    command = [sys.executable, str(PROGRAM), "--once", "--folder", str(folder)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=TIME_LIMIT_S)


def processes_of(folder: Path) -> list[str]:
    found = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    return [line for line in found if str(folder) in line]


@pytest.mark.timeout(TIME_LIMIT_S + 30)
def test_the_demo_tells_the_whole_story(tmp_path: Path, shared_images: dict[str, Path]) -> None:
    told = run_demo(tmp_path / "demo", **shared_images)
    assert told.returncode == 0, told.stdout[-3000:] + told.stderr[-3000:]
    assert "churned_yes_PREDICTION,churned_no_PREDICTION,churned_PREDICTION" in told.stdout
    assert "Predictions a day  0 0 0 0 0 0 7500" in told.stdout
    assert "Scoring 7500 rows with deployment " in told.stdout
    assert "predictions.csv (365." in told.stdout
    assert "/api/v2/openapi.json" in told.stdout
    assert processes_of(tmp_path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="others run user code as themselves")
def test_without_a_sandbox_images_are_where_user_code_can_reach_them(monkeypatch: pytest.MonkeyPatch) -> None:
    without_sandbox = runpy.run_path(str(PROGRAM))["without_sandbox"]
    monkeypatch.delenv("MODELYARD_IMAGES_DIR", raising=False)
    changed = without_sandbox({"MODELYARD_IMAGES_DIR": "/root/.cache/images", "PATH": "/bin"})
    assert changed == {"MODELYARD_SANDBOX": "off", "PATH": "/bin"}


@pytest.mark.parametrize("sandbox", ["", "off"])
def test_the_job_is_pushed_by_commands_that_exist(tmp_path: Path, sandbox: str) -> None:
    program = runpy.run_path(str(PROGRAM))
    demo = program["Demo"](tmp_path, {"MODELYARD_SANDBOX": sandbox})
    told: list[tuple[str, ...]] = []
    demo.modelyard = lambda *arguments: told.append(arguments)
    program["push_job"](demo)
    assert len(told) == (2 if sandbox == "off" else 1)
    for group, verb, *arguments in told:
        command = load(group, COMMANDS[group]).commands[verb]
        command.make_context(verb, list(arguments), resilient_parsing=False)


def test_the_demo_fails_loudly(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    told = run_demo(tmp_path / "demo", images_dir=tmp_path / "file" / "images")
    assert told.returncode == 1
    assert "The demo failed: " in told.stderr
    assert processes_of(tmp_path) == []
