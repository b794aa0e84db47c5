"""What `train` and `predict` leave beside their predictions: `result.json`, written last and at once."""

import json
from pathlib import Path
from typing import Any

RESULT_FILE = "result.json"


def write_result(output: Path, content: dict[str, Any]) -> None:
    """Write the result; a reader sees all of it or nothing."""
    temporary = output / f"{RESULT_FILE}.part"
    temporary.write_text(json.dumps(content), encoding="utf-8")
    temporary.replace(output / RESULT_FILE)


def fault(fit: str | None, task: int | None, phase: str, message: str) -> dict[str, Any]:
    """What went wrong, as the result tells it; `task` is a place in the chain, from 0."""
    return {"fit": fit, "task": task, "phase": phase, "message": message}
