"""What the runner says of a training, read as what it is: files that user code may have written."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from modelyard.compute.shared_files import read_below

OUTPUT_FOLDER = "output"
RESULT_FILE = "result.json"
MAX_RESULT_BYTES = 8 << 20
MAX_MESSAGE_LENGTH = 2000

Count = Annotated[int, Meta(ge=0, le=2**53)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]


class TaskResult(msgspec.Struct, rename="camel"):
    fit_seconds: Seconds = 0.0
    transform_seconds: Seconds | None = None
    columns: Count | None = None
    sparse: bool | None = None
    cached: bool = False


class FitResult(msgspec.Struct, rename="camel"):
    id: str
    rows: Count
    tasks: list[TaskResult]
    train_rows: Count | None = None
    predict_seconds: Seconds | None = None
    peak_memory_bytes: Count | None = None


class Failure(msgspec.Struct):
    message: str
    fit: str | None = None
    task: int | None = None
    phase: str | None = None

    @property
    def text(self) -> str:
        """The message as it can be kept: the runner's are in bounds, but a task may have written this."""
        return self.message.replace("\0", "\N{REPLACEMENT CHARACTER}")[:MAX_MESSAGE_LENGTH]


class Result(msgspec.Struct):
    fits: list[FitResult] = []  # msgspec copies it
    error: Failure | None = None

    def is_of(self, fit_ids: Sequence[str], tasks: int) -> bool:
        """Whether it tells of just these fits of a chain of so many tasks."""
        return [fit.id for fit in self.fits] == list(fit_ids) and all(len(fit.tasks) == tasks for fit in self.fits)

    def of_task(self, number: int) -> dict[str, Any]:
        """How a task did over all fits: times are sums, the shape is that of the last."""
        found = [fit.tasks[number] for fit in self.fits if number < len(fit.tasks)]
        if not found:
            return {}
        transforms = [one.transform_seconds for one in found if one.transform_seconds is not None]
        return {
            "fitSeconds": sum(one.fit_seconds for one in found),
            "transformSeconds": sum(transforms) if transforms else None,
            "columns": found[-1].columns,
            "sparse": found[-1].sparse,
            "cached": sum(one.cached for one in found),
        }


def read_result(work: Path) -> Result | None:
    """The result that a workload left in its working directory, or ``None`` where there is none that can be read."""
    content = read_output(work, RESULT_FILE, MAX_RESULT_BYTES)
    if content is None:
        return None
    try:
        return msgspec.json.decode(content, type=Result)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def read_output(work: Path, path: str, max_bytes: int) -> bytes | None:
    """A regular file of at most ``max_bytes`` in the output folder; links are not followed and nothing else is read."""
    try:
        content = read_below(work, f"{OUTPUT_FOLDER}/{path}", max_bytes + 1)
    except OSError:
        return None
    return content if len(content) <= max_bytes else None
