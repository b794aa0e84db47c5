"""What the runner says of a training, read as what it is: files that user code may have written."""

import os
from pathlib import Path
from typing import Any

import msgspec

RESULT_FILE = "result.json"
MAX_RESULT_BYTES = 8 << 20


class TaskResult(msgspec.Struct, rename="camel"):
    fit_seconds: float = 0.0
    transform_seconds: float | None = None
    columns: int | None = None
    sparse: bool | None = None
    cached: bool = False


class FitResult(msgspec.Struct, rename="camel"):
    id: str
    rows: int
    tasks: list[TaskResult]
    train_rows: int | None = None
    predict_seconds: float | None = None
    peak_memory_bytes: int | None = None


class Failure(msgspec.Struct):
    message: str
    fit: str | None = None
    task: int | None = None
    phase: str | None = None


class Result(msgspec.Struct):
    fits: list[FitResult] = []  # msgspec copies it
    error: Failure | None = None

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


def read_result(folder: Path) -> Result | None:
    """The result, or ``None`` where there is none that can be read."""
    content = read_bytes(folder / RESULT_FILE, MAX_RESULT_BYTES)
    if content is None:
        return None
    try:
        return msgspec.json.decode(content, type=Result)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def read_bytes(path: Path, max_bytes: int) -> bytes | None:
    """A regular file of at most ``max_bytes``; links are not followed and nothing else is opened."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(max_bytes + 1)
    except OSError:
        return None
    return content if len(content) <= max_bytes else None
