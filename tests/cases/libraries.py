"""An environment with XGBoost, LightGBM and ONNX Runtime, and models that are served or asked in it.

One environment for all cases, with the pins of the built-in ones; one process has imported the libraries and forks.
"""

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uv

import modelyard_runner
from modelyard.environments.builtin import load_builtin
from tests.runner.running import RunningRunner

KEYS = ("xgboost", "lightgbm", "onnx", "scikit-learn")
SOURCE = Path(modelyard_runner.__file__).parents[1]
RUNNER_NEEDS = ("orjson", "uvloop", "httptools")
PROGRAM = Path(__file__).with_name("preloaded.py")


def install(folder: Path) -> Path:
    """Make an environment with the pins of the built-in ones; its Python."""
    command = [uv.find_uv_bin(), "venv", "--quiet", str(folder)]
    subprocess.run(command, check=True, timeout=60)
    python = folder / "bin/python"
    requirements = folder / "requirements.txt"
    texts = [each.requirements for each in load_builtin() if each.key in KEYS]
    lines = {line for text in texts for line in text.splitlines() if line and not line.startswith("#")}
    requirements.write_text("\n".join([*sorted(lines), *RUNNER_NEEDS]) + "\n")
    command = [uv.find_uv_bin(), "pip", "install", "--quiet", "--python", str(python), "-r", str(requirements)]
    subprocess.run(command, check=True, timeout=500)
    return python


@dataclass
class ForkedProcess:
    """A fork of the preloaded process, as far as a runner's tests need it."""

    pid: int

    def poll(self) -> int | None:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return 0
        return None

    def wait(self, _timeout_s: float = 0) -> int:
        return 0

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


class ForkedRunner(RunningRunner):
    """A runner that is forked off a process that has imported the libraries."""

    def __init__(self, libraries: "Libraries", code_dir: Path, options: Sequence[str]) -> None:
        self.prefix = ""
        self.code_dir = code_dir
        self.folder = Path(tempfile.mkdtemp(prefix="runner-"))
        self.socket = self.folder / "s"
        self.failure_file = self.folder / "failure.json"
        self._log = self.folder / "log"
        arguments = ["serve", "--socket", str(self.socket), "--code", str(code_dir)]
        arguments += ["--failure-file", str(self.failure_file), *options]
        pid = libraries.ask({"serve": arguments, "log": str(self._log)})
        self.process = ForkedProcess(pid)  # type: ignore[assignment]


class Libraries:
    """The preloaded process."""

    def __init__(self, python: Path) -> None:
        self.python = python
        environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [str(python), str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        )

    def ask(self, question: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the preloaded process has ended"
        answer = json.loads(line)
        assert "failure" not in answer, answer["failure"]
        return answer["answer"]

    def make(self, function: str, folder: Path) -> Path:
        """Call a function of tests/cases/training.py, which leaves an artifact in a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self.ask({"make": function, "folder": str(folder)})
        return folder

    def reason(self, code_dir: Path, *options: str) -> str:
        """Why a model cannot be loaded."""
        answer = self.ask({"load": str(code_dir), "options": options, "bodies": []})
        assert "error" in answer, answer
        return str(answer["error"])

    def predict(self, code_dir: Path, bodies: Sequence[object], *options: str) -> list[Any]:
        """What a model answers to bodies: the rows of predictions by label, or the message of a refusal."""
        texts = [body if isinstance(body, str) else json.dumps(body) for body in bodies]
        answer = self.ask({"load": str(code_dir), "options": options, "bodies": texts})
        assert "error" not in answer, answer["error"]
        answers: list[Any] = answer["answers"]
        return answers

    def reference(self, function: str, code_dir: Path, rows: list[dict[str, Any]]) -> list[Any]:
        """What a function of tests/cases/training.py computes for rows with the library alone."""
        values: list[Any] = self.ask({"reference": function, "folder": str(code_dir), "rows": rows})
        return values

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


@contextmanager
def preloaded(folder: Path) -> Iterator[Libraries]:
    libraries = Libraries(install(folder))
    try:
        yield libraries
    finally:
        libraries.stop()


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Libraries]:
    with preloaded(tmp_path_factory.mktemp("libraries") / "environment") as found:
        yield found
