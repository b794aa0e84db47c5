"""A controller in a process of its own that may kill itself at a chosen place: ``python -m tests.jobs.controller``."""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelyard.app import build
from modelyard.compute.process_executor import ProcessExecutor
from modelyard.jobs.runs import work
from modelyard.kernel.settings import Settings
from modelyard.learning import training
from modelyard.learning.table_files import TableStore

PLACES: dict[str, tuple[Any, str, bool]] = {
    "preparing": (work, "ensure_image", False),
    "workload written": (ProcessExecutor, "start", False),
    "executing": (ProcessExecutor, "start", True),
    "concluding": (work, "keep_log", False),
    "output stored": (work, "collect_files", True),
    "concluded": (ProcessExecutor, "remove", False),
}
"""Where it dies: in this function of that module or class, before it or after it."""
TRAINING_PLACES: dict[str, tuple[Any, str, bool]] = {
    "making the table": (TableStore, "path", False),
    "training written": (ProcessExecutor, "start", False),
    "training": (ProcessExecutor, "start", True),
    "measuring": (training, "evaluate", False),
    "artifacts stored": (training, "collect_files", True),
    "trained": (ProcessExecutor, "remove", False),
}


def main(settings: dict[str, Any], place: str) -> None:
    application = build(Settings(**{name: _path(name, value) for name, value in settings.items()}))
    if place:
        owner, name, is_after = (PLACES | TRAINING_PLACES)[place]
        setattr(owner, name, _deadly(getattr(owner, name), is_after=is_after))
    engine = application.engine()
    signal.signal(signal.SIGTERM, lambda *_: engine.stop())
    engine.run()


def _deadly(function: Callable[..., Any], *, is_after: bool) -> Callable[..., Any]:
    def die(*arguments: Any, **options: Any) -> None:
        if is_after:
            function(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    return die


def _path(name: str, value: Any) -> Any:
    return Path(value) if name.endswith("_dir") and value else value


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2])
