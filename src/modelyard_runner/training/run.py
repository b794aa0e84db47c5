"""The command `train`: one process maps the data, forks one for each fit, and tells what they did."""

import gc
import json
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

import numpy as np

from modelyard_runner.training.children import Child, Children, Message, fork
from modelyard_runner.training.fits import FitRun
from modelyard_runner.training.plan import Fit, Plan, PlanError
from modelyard_runner.training.preloading import preload
from modelyard_runner.training.results import fault, write_result
from modelyard_runner.training.tables import Table

PROGRESS_FILE = "progress.jsonl"
UNFINISHED = ("work", "predictions", "artifacts")


def train_plan(plan: Plan, output: Path) -> int:
    """Run all fits; 0 when all are done, 1 when one failed, which ends the others. Raises PlanError."""
    table = Table(plan.table)
    names = [name for name in (plan.target_column, plan.weights) if name is not None]
    table.require([*plan.features, *names])
    partition = _partition(plan.partition, table.rows)
    output.mkdir(parents=True, exist_ok=True)
    for name in (*UNFINISHED, "transforms"):
        shutil.rmtree(output / name, ignore_errors=True)
    preload(task.code for task in plan.tasks)
    gc.collect()
    gc.freeze()
    with (output / PROGRESS_FILE).open("w", encoding="utf-8") as progress:
        results, failed = _run_all(plan, table, partition, output, progress)
    if failed is not None:
        for name in UNFINISHED:
            shutil.rmtree(output / name, ignore_errors=True)
        write_result(output, {"fits": results, "error": _fault_of(failed)})
        sys.stderr.write(f"{_line_of(failed, plan)}\n")
        return 1
    shutil.rmtree(output / "work", ignore_errors=True)
    write_result(output, {"fits": results, "error": None})
    return 0


def _partition(path: Path, rows: int) -> Any:
    try:
        partition = np.fromfile(path, dtype="<i2")
    except OSError as error:
        raise PlanError(f"the partition {path} cannot be read: {error.strerror}") from error
    if len(partition) != rows:
        raise PlanError(f"the partition {path} has {len(partition)} rows, the table {rows}")
    return partition


def _run_all(
    plan: Plan, table: Table, partition: Any, output: Path, progress: TextIO
) -> tuple[list[dict[str, Any]], Child | None]:
    """The results of the fits that were done, in the plan's order, and the one that failed."""

    def hear(done: Message) -> None:
        progress.write(json.dumps(done) + "\n")
        progress.flush()

    results: dict[str, dict[str, Any]] = {}
    failed: Child | None = None
    waiting = [(fit, *_rows_of(fit, partition)) for fit in plan.fits]
    waiting.sort(key=lambda one: len(one[1]), reverse=True)  # the longest first: both processors end together
    children = Children(hear)
    _end_on_signal()
    try:
        while failed is None and (waiting or children):
            while waiting and len(children) < plan.workers:
                fit, train, scored = waiting.pop(0)
                children.add(fork(fit.id, _work(plan, table, fit, train, scored, output)))
            for child in children.next_ended():
                if child.result is None:
                    failed = failed or child
                else:
                    results[child.name] = {**child.result, "peakMemoryBytes": child.peak_memory_bytes}
    finally:
        children.end_all()
    return [results[fit.id] for fit in plan.fits if fit.id in results], failed


def _rows_of(fit: Fit, partition: Any) -> tuple[Any, Any]:
    return tuple(np.flatnonzero(np.isin(partition, parts)) for parts in (fit.train, fit.score))  # type: ignore[return-value]


def _work(
    plan: Plan, table: Table, fit: Fit, train: Any, scored: Any, output: Path
) -> Callable[[Callable[[Message], None]], Message]:
    return lambda tell: FitRun(plan, table, fit, train, scored, output, tell).run()


def _end_on_signal() -> None:
    """Told to stop, the process takes its fits with it."""

    def end(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


def _fault_of(child: Child) -> dict[str, Any]:
    return fault(child.name, child.task, child.phase, child.fault or "")


def _line_of(child: Child, plan: Plan) -> str:
    task = f"task {child.task + 1} of {len(plan.tasks)}, {plan.tasks[child.task].name}"
    return f"[{child.name}] {task} failed in {child.phase}: {child.fault}"
