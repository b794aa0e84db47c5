"""Builders of the tests of training: tables and plans as the platform writes them, and what a training left."""

import json
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

KINDS = {"i": "int64", "f": "float64", "b": "bool"}
EXAMPLES = Path(__file__).parents[2] / "examples" / "tasks"
TIME_LIMIT_S = 120


def a_table(folder: Path, frame: pd.DataFrame) -> Path:
    """A table's folder: columns one after the other, each at a multiple of 64 bytes."""
    folder.mkdir(parents=True)
    columns, content = [], b""
    for name in frame.columns:
        values = frame[name]
        kind = KINDS.get(values.dtype.kind, "text")
        column: dict[str, Any] = {"name": name, "kind": kind, "offset": len(content)}
        if kind == "text":
            codes, texts = pd.factorize(values)
            column["values"] = list(texts)
            raw = codes.astype("<i4").tobytes()
        else:
            raw = values.to_numpy().astype({"int64": "<i8", "float64": "<f8", "bool": "|b1"}[kind]).tobytes()
        columns.append(column)
        content += raw + bytes(-len(raw) % 64)
    (folder / "columns.json").write_text(json.dumps({"rows": len(frame), "columns": columns}))
    (folder / "table.bin").write_bytes(content)
    return folder


def folds(count: int) -> list[dict[str, Any]]:
    """The fits of a cross-validation in so many folds, and the final one."""
    everything = list(range(count))
    fits = [
        {"id": f"fold-{fold + 1}", "train": [part for part in everything if part != fold], "score": [fold]}
        for fold in everything
    ]
    return [*fits, {"id": "final", "train": everything, "score": [-1]}]


@dataclass(frozen=True)
class Task:
    """A task of a chain: the folder of its code, or the text of its custom.py."""

    code: Path | str
    kind: str = "estimator"
    parameters: Mapping[str, Any] | None = None
    schema: Mapping[str, Any] | None = None


def an_example(name: str, kind: str = "estimator", **parameters: Any) -> Task:
    """A shipped task, with the defaults of its hyperparameters and its type schema."""
    metadata = yaml.safe_load((EXAMPLES / name / "model-metadata.yaml").read_text())
    defaults = {one["name"]: one["default"] for one in metadata["hyperparameters"]}
    return Task(EXAMPLES / name, kind, {**defaults, **parameters}, metadata.get("typeSchema"))


@dataclass(frozen=True)
class Training:
    """What the command left."""

    output: Path
    plan: dict[str, Any]
    code: int
    log: str
    errors: str

    @property
    def result(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.output / "result.json").read_text())
        return content

    @property
    def error(self) -> dict[str, Any]:
        """The error of a training that failed as it should: nothing half-made is left."""
        assert self.code == 1, self.log + self.errors
        left = {path.name for path in self.output.iterdir()}
        assert left <= {"result.json", "progress.jsonl", "transforms"}, left
        error: dict[str, Any] = self.result["error"]
        assert error["message"]
        assert "\n" not in error["message"]
        return error

    def fit(self, name: str) -> dict[str, Any]:
        assert self.code == 0, self.log + self.errors
        found: dict[str, Any] = next(fit for fit in self.result["fits"] if fit["id"] == name)
        return found

    def progress(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.output / "progress.jsonl").read_text().splitlines()]

    def predictions(self, name: str, width: int = 1) -> Any:
        assert self.code == 0, self.log + self.errors
        return np.fromfile(self.output / "predictions" / f"{name}.bin", dtype="<f8").reshape(-1, width)

    def chain(self, folder: Path) -> Path:
        """The trained chain as a code folder."""
        assert self.code == 0, self.log + self.errors
        folder.mkdir(parents=True)
        (folder / "artifacts").symlink_to(self.output / "artifacts")
        (folder / "tasks").mkdir()
        tasks = []
        for place, task in enumerate(self.plan["tasks"]):
            (folder / "tasks" / str(place)).symlink_to(task["code"])
            tasks.append({**task, "code": f"tasks/{place}", "artifacts": f"artifacts/{place}"})
        columns = json.loads((Path(self.plan["table"]) / "columns.json").read_text())["columns"]
        kinds = {column["name"]: column["kind"] for column in columns}
        content = {
            "version": 1,
            "features": [{"name": name, "kind": kinds[name]} for name in self.plan["features"]],
            "tasks": tasks,
            "calibrated": self.plan["calibrate"],
        }
        content |= {key: self.plan[key] for key in ("targetType", "targetName", "labels")}
        (folder / "modelyard-chain.json").write_text(json.dumps(content))
        return folder


def a_plan(
    folder: Path,
    frame: pd.DataFrame,
    tasks: Sequence[Task],
    target_type: str,
    target: str | None,
    *,
    partition: Sequence[int] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """A plan over all columns but the target's and the weights'; two folds and a tenth held out, unless told."""
    if not (folder / "table").exists():
        a_table(folder / "table", frame)
    parts = [-1 if row % 10 == 9 else row % 2 for row in range(len(frame))] if partition is None else partition
    np.array(parts, dtype="<i2").tofile(folder / "partition.bin")
    told = []
    for place, task in enumerate(tasks):
        code = task.code
        if isinstance(code, str):
            path = folder / "tasks" / str(place) / "custom.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(code))
            code = path.parent
        one = {"name": f"Task {place}", "kind": task.kind, "code": str(code), "typeSchema": task.schema}
        told.append({**one, "parameters": dict(task.parameters or {})})
    labels: list[str] = []
    if target_type in {"Binary", "Multiclass"} and target is not None:
        labels = sorted({str(value) for value in frame[target]}, reverse=target_type == "Binary")
    weights = changes.get("weights")
    return {
        "targetType": target_type,
        "targetName": target or "",
        "labels": labels,
        "table": str(folder / "table"),
        "features": [name for name in frame.columns if name not in {target, weights}],
        "target": target,
        "weights": None,
        "partition": str(folder / "partition.bin"),
        "fits": folds(2),
        "tasks": told,
        "calibrate": False,
        "workers": 2,
        "cached": {},
        "keepTransforms": False,
        **changes,
    }


class Commands:
    """Runs commands of the runner in forks of one process."""

    def __init__(self) -> None:
        program = [sys.executable, str(Path(__file__).with_name("forking.py"))]
        self._process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one to its end; `folder` gets its log."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        log, errors = folder / "log", folder / "errors"
        told = {"arguments": arguments, "log": str(log), "errors": str(errors)}
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return subprocess.CompletedProcess(arguments, code, log.read_text(), errors.read_text())

    def train(self, folder: Path, plan: dict[str, Any], output: str = "output") -> Training:
        """Train as a plan says."""
        path = folder / f"{output}.plan.json"
        path.write_text(json.dumps(plan))
        done = self.run(folder, "train", "--plan", str(path), "--output", str(folder / output))
        return Training(folder / output, plan, done.returncode, done.stdout, done.stderr)

    def stop(self) -> None:
        """End the process."""
        self._process.communicate(timeout=TIME_LIMIT_S)


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the runner in a process of its own."""
    command = [sys.executable, "-m", "modelyard_runner", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIME_LIMIT_S)
