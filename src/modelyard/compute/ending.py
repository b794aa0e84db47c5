"""Ending a workload and deleting what is left of it."""

import time

from modelyard.compute.executor import Executor
from modelyard.kernel.errors import Conflict

LOOK_S = 0.01


def end_and_remove(executor: Executor, workload_id: str, timeout_s: float) -> None:
    """Kill a workload if it lives, and delete what is left of it. Raises ``Conflict`` if it has not ended in time."""
    deadline = time.monotonic() + timeout_s
    while True:
        executor.stop(workload_id, 0)
        try:
            return executor.remove(workload_id)
        except Conflict:  # its supervisor goes a moment after it has said how the command ended
            if time.monotonic() > deadline:
                raise
        time.sleep(LOOK_S)
