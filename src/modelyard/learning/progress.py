"""How far a training is, read where the runner writes it down: nothing has to be stored on the way."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from modelyard.compute.executor import Executor
from modelyard.compute.shared_files import read_below
from modelyard.learning.partitions import Partitioning, fits
from modelyard.learning.results import OUTPUT_FOLDER
from modelyard.learning.schemas import Progress
from modelyard.learning.tables import LearningModel, ModelStatus, Project
from modelyard.operations.places import waited_for

PROGRESS_FILE = "progress.jsonl"
MAX_PROGRESS_BYTES = 1 << 20
"""Of 51 fits of 20 tasks, with a line for each step, a quarter."""


class _Line(msgspec.Struct):
    fit: Annotated[str, Meta(max_length=100)]
    task: Annotated[int, Meta(ge=0, lt=1000)]
    phase: Annotated[str, Meta(max_length=100)]


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
    lines = read_progress(executor.work(model.workload_id))
    if not lines:
        return Progress(done=0, total=total, message="starting")
    last = lines[-1]
    message = f"{last.fit}: {last.phase} of task {last.task + 1} of {len(model.tasks)} is done"
    return Progress(done=min(len(lines), total), total=total, message=message)


def read_progress(work: Path) -> list[_Line]:
    """What was done so far, step by step, by a workload's working directory. User code may have put anything there."""
    try:
        content = read_below(work, f"{OUTPUT_FOLDER}/{PROGRESS_FILE}", MAX_PROGRESS_BYTES)
        return [msgspec.json.decode(line, type=_Line) for line in content.split(b"\n")[:-1] if line]
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return []
