"""How far a training is, read where the runner writes it down: nothing has to be stored on the way."""

import os
from pathlib import Path

import msgspec

from modelyard.compute.executor import Executor
from modelyard.learning.partitions import Partitioning, fits
from modelyard.learning.schemas import Progress
from modelyard.learning.tables import LearningModel, ModelStatus, Project
from modelyard.operations.places import waited_for

OUTPUT_FOLDER = "output"
PROGRESS_FILE = "progress.jsonl"
MAX_PROGRESS_BYTES = 4 << 20


class _Line(msgspec.Struct):
    fit: str
    task: int
    phase: str


def progress_of(executor: Executor, project: Project, model: LearningModel, ahead: int) -> Progress:
    """Steps done of all: each task's fit and, but for the estimator's, transform, and the predictions of each fit.

    ``ahead``: how many wait longer than one that is queued.
    """
    rounds = fits(msgspec.convert(project.partitioning, Partitioning))
    total = sum(2 * len(model.tasks) - 1 + bool(fit.score) for fit in rounds)
    if model.status == ModelStatus.QUEUED.value:
        return Progress(done=0, total=total, message=f"waiting for {waited_for(ahead, 'training')}")
    if model.status == ModelStatus.PREPARING.value:
        return Progress(done=0, total=total, message="making the environment and the data ready")
    if model.status == ModelStatus.COMPLETED.value:
        return Progress(done=total, total=total, message="completed")
    if model.status != ModelStatus.TRAINING.value or model.workload_id is None:
        return Progress(done=min(model.steps_done, total), total=total, message=model.reason or model.status)
    lines = read_progress(executor.work(model.workload_id) / OUTPUT_FOLDER)
    if not lines:
        return Progress(done=0, total=total, message="starting")
    last = lines[-1]
    message = f"{last.fit}: {last.phase} of task {last.task + 1} of {len(model.tasks)} is done"
    return Progress(done=min(len(lines), total), total=total, message=message)


def read_progress(folder: Path) -> list[_Line]:
    """What was done so far, step by step. User code may have put anything there."""
    try:
        file = os.open(folder / PROGRESS_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(file, "rb") as content:
            text = content.read(MAX_PROGRESS_BYTES)
        return [msgspec.json.decode(line, type=_Line) for line in text.split(b"\n")[:-1] if line]
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return []
