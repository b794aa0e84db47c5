"""Scoring of a file from the command line."""

import json
import subprocess
import sys
from pathlib import Path

from tests.runner.running import YES_NO, a_code_folder

CODE = """
    import pandas as pd

    def score(data, model, **kwargs):
        return data["p"]

    def score_unstructured(model, data, **kwargs):
        return data.upper()
"""


def score(code: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "modelyard_runner", "score", "--code", str(code), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_scores_a_file(tmp_path: Path) -> None:
    code = a_code_folder(tmp_path / "code", {"custom.py": CODE})
    table = tmp_path / "in.csv"
    table.write_text("p\n0.25\n0.75\n")
    done = score(code, *YES_NO, "--input", table, "--output", tmp_path / "out.csv")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.csv").read_text().splitlines()[1:] == ["0.25,0.75,no,0.5,yes", "0.75,0.25,yes,0.5,yes"]
    assert score(code, *YES_NO, "--input", table, "--output", tmp_path / "out.json").returncode == 0
    assert [row["prediction"] for row in json.loads((tmp_path / "out.json").read_text())["data"]] == ["no", "yes"]
    rows = tmp_path / "in.json"
    rows.write_text('[{"p": 0.25}]')
    assert score(code, *YES_NO, "--input", rows).stdout.splitlines()[1:] == ["0.25,0.75,no,0.5,yes"]


def test_scores_anything(tmp_path: Path) -> None:
    code = a_code_folder(tmp_path / "code", {"custom.py": CODE})
    text = tmp_path / "in.txt"
    text.write_text("hello")
    assert score(code, "--target-type", "unstructured", "--input", text).stdout == "HELLO"


def test_says_what_is_wrong(tmp_path: Path) -> None:
    code = a_code_folder(tmp_path / "code", {"custom.py": CODE})
    table = tmp_path / "in.csv"
    done = score(code, *YES_NO, "--input", table)
    assert done.returncode == 1
    assert done.stderr == f"{table}: No such file or directory\n"
    table.write_text("p\n7\n")
    done = score(code, *YES_NO, "--input", table, "--output", tmp_path / "out.csv")
    assert done.returncode == 1
    assert "probabilities are from 0 to 1" in done.stderr
    assert not (tmp_path / "out.csv").exists()
    table.write_text("q\n7\n")
    done = score(code, *YES_NO, "--input", table)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "The model failed: KeyError: 'p'"
