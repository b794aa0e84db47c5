"""Noticing at once that a workload has ended, without a thread or a transaction for each one that goes on."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from modelyard.compute.executor import Executor, State
from modelyard.kernel.database import Database
from modelyard.operations import service as operations

LOOK_S = 0.04
IDLE_S = 1.0
AGAIN_S = 5.0
OVER = frozenset({State.EXITED, State.LOST})

Executing = Callable[[Session], Iterable[tuple[str, str]]]
"""The workloads that a slice waits for, each with the operation to be woken at its end."""


def awaited(session: Session, row: Any, *conditions: ColumnElement[bool]) -> list[tuple[str, str]]:
    """Those of the rows that have not ended: of a table with ``workload_id``, ``operation_id`` and ``ended_at``."""
    found = session.execute(select(row.workload_id, row.operation_id).where(row.ended_at.is_(None), *conditions))
    return [(str(workload_id), str(operation_id)) for workload_id, operation_id in found]


class Watch:
    """Looks at the workloads that are waited for, and wakes the operation of each that is over."""

    def __init__(self, database: Database, executor: Executor, executing: Sequence[Executing]) -> None:
        self._database = database
        self._executor = executor
        self._executing = executing
        self._woken: dict[str, float] = {}

    def look(self) -> float:
        """One look at all of them; the answer is when to look again, in seconds."""
        with self._database.read() as session:
            executing = [pair for one in self._executing for pair in one(session)]
        if not executing:
            self._woken.clear()
            return IDLE_S
        now = time.monotonic()
        over = [
            (workload_id, operation_id)
            for workload_id, operation_id in executing
            if now - self._woken.get(workload_id, -AGAIN_S) >= AGAIN_S
            and self._executor.observe(workload_id).state in OVER
        ]
        if over:
            with self._database.write() as session:
                for operation_id in sorted(operation_id for _, operation_id in over):  # others lock them in this order
                    operations.wake(session, operation_id)
            still = {workload_id for workload_id, _ in executing}
            self._woken = {one: at for one, at in self._woken.items() if one in still}
            self._woken.update((workload_id, now) for workload_id, _ in over)
        return LOOK_S
