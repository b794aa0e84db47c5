"""One fit of a chain, in a process of its own: every task is fitted, loaded from what it left, and called."""

import os
import random
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modelyard_runner.problems import listing
from modelyard_runner.target import TargetType
from modelyard_runner.tasks.calibration import CALIBRATION_FILE, Calibration
from modelyard_runner.tasks.code import FittedTask, TaskCode
from modelyard_runner.tasks.faults import TaskError
from modelyard_runner.tasks.specification import TaskSpecification
from modelyard_runner.tasks.values import Sparse, Value, column_names, part, row_count, shape_text
from modelyard_runner.training.outputs import block_rows, prediction_matrix, width
from modelyard_runner.training.plan import FINAL, Fit, Plan
from modelyard_runner.training.storage import load_value, save_value
from modelyard_runner.training.tables import Table

SEED = 0
"""Where a task does not seed its random numbers itself, numpy's and Python's own begin here at every `fit`."""


@dataclass(slots=True)
class TaskReport:
    """What is told of a task in a fit."""

    fit_s: float = 0.0
    transform_s: float = 0.0
    columns: int = 0
    is_sparse: bool = False
    is_cached: bool = False

    def content(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "fitSeconds": round(self.fit_s, 6),
            "transformSeconds": round(self.transform_s, 6),
            "columns": self.columns,
            "sparse": self.is_sparse,
            "cached": self.is_cached,
        }


@dataclass(slots=True)
class Rows:
    """What the tasks have made so far of the rows to train on and of those to score (None when there are none)."""

    train: Value
    score: Value | None


@dataclass(slots=True)
class FitRun:
    """One fit under way. `tell` sends a message to the process that watches; `output` is the training's folder."""

    plan: Plan
    table: Table
    fit: Fit
    train: Any
    scored: Any
    output: Path
    tell: Callable[[dict[str, Any]], None]
    reports: list[TaskReport] = field(default_factory=list)
    predict_s: float = 0.0

    @property
    def work(self) -> Path:
        """The folder of what is not finished."""
        return self.output / "work" / self.fit.id

    def run(self) -> dict[str, Any]:
        """Fit all tasks, write the predictions, keep what is to be kept; the fit's part of the result.

        Raises TaskError.
        """
        self.work.mkdir(parents=True)
        rows: Rows | None = None
        for place, task in enumerate(self.plan.tasks[:-1]):
            cached = self.fit.cached[place]
            rows = self._reuse(place, cached) if cached is not None else self._transform(place, task, rows)
        fitted = self._fit(len(self.plan.tasks) - 1, rows := rows or self._rows())
        self._predict(fitted, rows)
        self._keep()
        return {
            "id": self.fit.id,
            "rows": len(self.scored),
            "trainRows": len(self.train),
            "predictSeconds": round(self.predict_s, 6),
            "tasks": [report.content() for report in self.reports],
        }

    def _rows(self) -> Rows:
        names = self.plan.features
        score = self.table.frame(names, self.scored) if len(self.scored) else None
        return Rows(self.table.frame(names, self.train), score)

    def _reuse(self, place: int, cached: Path) -> Rows:
        self._say(place, "as it was fitted before")
        self._begin(place, "transform")
        try:
            shutil.copytree(cached / "artifact", self.work / str(place) / "artifact")
            train = load_value(cached / "train")
            score = load_value(cached / "score") if len(self.scored) else None
        except (OSError, ValueError, KeyError) as error:
            raise TaskError(f"what an earlier training left cannot be read: {error}") from error
        counts = (row_count(train), 0 if score is None else row_count(score))
        if counts != (len(self.train), len(self.scored)):
            raise TaskError(f"what an earlier training left is of other rows: {counts[0]:,} and {counts[1]:,}")
        self.reports.append(_report(train, TaskReport(is_cached=True)))
        for phase in ("fit", "transform"):
            self._done(place, phase, 0.0, is_cached=True)
        return Rows(train, score)

    def _transform(self, place: int, task: TaskSpecification, rows: Rows | None) -> Rows:
        rows = rows or self._rows()
        fitted = self._fit(place, rows)
        report = self.reports[-1]
        self._say(place, f"transforming {len(self.train) + len(self.scored):,} rows")
        self._begin(place, "transform")
        start_s = time.perf_counter()
        train = fitted.transform(rows.train)
        score = None if rows.score is None else fitted.transform(rows.score)
        if score is not None and column_names(score) != column_names(train):
            raise TaskError("transform returned other columns for the rows to score than for those to train on")
        report.transform_s = time.perf_counter() - start_s
        self._done(place, "transform", report.transform_s)
        _report(train, report)
        if self.plan.keeps_transforms:
            folder = self.work / str(place)
            save_value(folder / "train", train)
            if score is not None:
                save_value(folder / "score", score)
        return Rows(train, score)

    def _fit(self, place: int, rows: Rows) -> FittedTask:
        self._say(place, f"fitting on {shape_text(rows.train)}")
        self._begin(place, "fit")
        if not len(self.train):
            raise TaskError("there are no rows to fit on")
        task = self.plan.tasks[place]
        self._enter_own_folder(place)
        code = TaskCode(task, self.plan.target)
        y, class_order, weights = self._target(is_estimator=not task.is_transform)
        artifact = self.work / str(place) / "artifact"
        artifact.mkdir(parents=True)
        start_s = time.perf_counter()
        code.fit(rows.train, y, artifact, class_order, weights)
        report = TaskReport(fit_s=time.perf_counter() - start_s)
        fitted = code.load(artifact)
        self.reports.append(report)
        self._done(place, "fit", report.fit_s)
        return fitted

    def _enter_own_folder(self, place: int) -> None:
        folder = self.work / str(place) / "working"
        folder.mkdir(parents=True)
        os.chdir(folder)
        random.seed(SEED)
        np.random.seed(SEED)

    def _target(self, *, is_estimator: bool) -> tuple[Any, list[Any] | None, Any]:
        """The target, the class order and the row weights of the rows to train on, as a task gets them.

        Booleans are given as the texts True and False; the classes are of the target's type, for a binary target the
        negative one first.
        """
        plan, name = self.plan, self.plan.target_column
        y = None
        if name is not None:
            y = pd.Series(self.table.column(name, self.train), name=name)
            if self.table.kind(name) == "bool" and plan.target.is_classification:
                y = y.map({True: "True", False: "False"})
        order = weights = None
        if is_estimator and name is not None and plan.target.is_classification:
            order = _classes(plan, self.table.kind(name))
        if is_estimator and plan.weights is not None:
            weights = np.array(self.table.column(plan.weights, self.train), dtype=np.float64)
        return y, order, weights

    def _predict(self, fitted: FittedTask, rows: Rows) -> None:
        place = len(self.plan.tasks) - 1
        self._say(place, f"predicting {len(self.scored):,} rows")
        self._begin(place, "predict")
        scores = self._scores(fitted, rows.train) if self.plan.calibrates else None
        start_s = time.perf_counter()
        matrix = np.empty(0) if rows.score is None else self._scores(fitted, rows.score)
        self.predict_s = time.perf_counter() - start_s
        if scores is not None:
            calibration = Calibration.of(scores[:, 0])
            calibration.save(self.work)
            matrix = calibration.apply(matrix)
        (self.work / "predictions.bin").write_bytes(matrix.tobytes())
        self.reports[-1].columns = width(self.plan.target)
        self._done(place, "predict", self.predict_s)

    def _scores(self, fitted: FittedTask, value: Value) -> Any:
        """The checked predictions of all rows, scored in blocks."""
        target, step = self.plan.target, block_rows(self.plan.target)
        starts = range(0, row_count(value), step)
        blocks = [prediction_matrix(target, fitted.predict(part(value, start, start + step))) for start in starts]
        return np.concatenate(blocks)

    def _keep(self) -> None:
        """Bring what the fit made to where it is looked for; each thing is whole when it appears."""
        os.chdir(self.output)
        for place, report in enumerate(self.reports):
            folder = self.work / str(place)
            if self.fit.id == FINAL:
                shutil.copytree(folder / "artifact", self.output / "artifacts" / str(place), copy_function=_linked)
            is_transform = place < len(self.reports) - 1
            if is_transform and self.plan.keeps_transforms and not report.is_cached:
                shutil.rmtree(folder / "working")
                kept = self.output / "transforms" / self.fit.id
                kept.mkdir(parents=True, exist_ok=True)
                folder.rename(kept / str(place))
        if self.fit.id == FINAL and self.plan.calibrates:
            (self.work / CALIBRATION_FILE).rename(self.output / "artifacts" / CALIBRATION_FILE)
        predictions = self.output / "predictions"
        predictions.mkdir(exist_ok=True)
        (self.work / "predictions.bin").rename(predictions / f"{self.fit.id}.bin")

    def _begin(self, place: int, phase: str) -> None:
        self.tell({"begin": [place, phase]})

    def _done(self, place: int, phase: str, duration_s: float, *, is_cached: bool = False) -> None:
        line = {"fit": self.fit.id, "task": place, "phase": phase, "seconds": round(duration_s, 6), "cached": is_cached}
        self.tell({"done": line})

    def _say(self, place: int, what: str) -> None:
        tasks = self.plan.tasks
        sys.stdout.write(f"[{self.fit.id}] task {place + 1} of {len(tasks)}, {tasks[place].name}: {what}\n")
        sys.stdout.flush()


def _classes(plan: Plan, kind: str) -> list[Any]:
    labels = list(plan.target.labels)
    if plan.target.kind is TargetType.BINARY:
        labels.reverse()
    convert: Callable[[str], Any] = {"int64": int, "float64": float}.get(kind, str)
    try:
        return [convert(label) for label in labels]
    except ValueError as error:
        raise TaskError(f"the class labels {listing(labels)} are not of the target's type, {kind}") from error


def _report(value: Value, report: TaskReport) -> TaskReport:
    report.columns = len(column_names(value))
    report.is_sparse = isinstance(value, Sparse)
    return report


def _linked(source: str, target: str) -> None:
    """A further name for a file, or a copy where the folder cannot have one."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
