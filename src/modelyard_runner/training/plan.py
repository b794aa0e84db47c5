"""The plan of a training: what is fitted, on which rows. Its form is described in docs/decisions/0033."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard_runner.target import Target, TargetType
from modelyard_runner.tasks.specification import TaskSpecification, check_order, read_target, read_task

FINAL = "final"
"""The fit whose artifacts are kept."""

_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}")
_TARGETS = (TargetType.BINARY, TargetType.MULTICLASS, TargetType.REGRESSION, TargetType.ANOMALY)


class PlanError(Exception):
    """The plan, or the table it names, cannot be read."""


@dataclass(frozen=True, slots=True)
class Fit:
    """One fit of the chain: the parts of the partition it is fitted on, and those it then scores.

    `cached` has, for each transform, the folder that an earlier training left, or None.
    """

    id: str
    train: tuple[int, ...]
    score: tuple[int, ...]
    cached: tuple[Path | None, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What `train` does. `target_column` is None for anomalies, `weights` where rows have none."""

    target: Target
    table: Path
    features: tuple[str, ...]
    target_column: str | None
    weights: str | None
    partition: Path
    fits: tuple[Fit, ...]
    tasks: tuple[TaskSpecification, ...]
    calibrates: bool
    workers: int
    keeps_transforms: bool


def read_plan(path: Path) -> Plan:
    """Read a plan. Its paths begin in its own folder, those of code in `$MODELYARD_CODE_DIR` where that is set.

    Raises PlanError with what is wrong in it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        plan = _plan(content, path.parent.absolute())
        _check(plan)
    except KeyError as error:
        raise PlanError(f"{path}: {error} is missing") from error
    except (OSError, TypeError, ValueError, AttributeError) as error:
        raise PlanError(f"{path}: {error}") from error
    return plan


def _plan(content: dict[str, Any], folder: Path) -> Plan:
    code_dir = Path(os.environ.get("MODELYARD_CODE_DIR") or folder)
    tasks = tuple(read_task(task, code_dir) for task in content["tasks"])
    check_order(tasks)
    cached = content.get("cached") or {}
    return Plan(
        target=read_target(content),
        table=folder / content["table"],
        features=tuple(str(name) for name in content["features"]),
        target_column=content.get("target"),
        weights=content.get("weights"),
        partition=folder / content["partition"],
        fits=tuple(_fit(fit, cached.get(fit["id"]) or [], len(tasks) - 1) for fit in content["fits"]),
        tasks=tasks,
        calibrates=bool(content.get("calibrate", False)),
        workers=int(content.get("workers", 1)),
        keeps_transforms=bool(content.get("keepTransforms", False)),
    )


def _fit(content: dict[str, Any], cached: list[str | None], transforms: int) -> Fit:
    if not _ID.fullmatch(str(content["id"])):
        raise ValueError(f"the id of a fit is {content['id']!r}: letters, digits, '-', '_' and '.' make one")
    folders = [Path(one) if one is not None else None for one in cached[:transforms]]
    folders += [None] * (transforms - len(folders))
    train, score = (tuple(int(part) for part in content[name]) for name in ("train", "score"))
    return Fit(str(content["id"]), train, score, tuple(folders))


def _check(plan: Plan) -> None:
    if plan.target.kind not in _TARGETS:
        raise ValueError(f"a chain is not trained for the target type {plan.target.kind}")
    if plan.target.is_classification and len(plan.target.labels) < 2:
        raise ValueError("the labels are missing, which a classification needs")
    if plan.target_column is None and plan.target.kind is not TargetType.ANOMALY:
        raise ValueError(f"the target is missing, which the target type {plan.target.kind} needs")
    if plan.calibrates and plan.target.kind is not TargetType.ANOMALY:
        raise ValueError("only anomaly scores are calibrated")
    if not plan.fits or len({fit.id for fit in plan.fits}) != len(plan.fits):
        raise ValueError("the ids of the fits are not different from each other")
    if plan.workers < 1:
        raise ValueError(f"workers is {plan.workers}, it has to be at least 1")
