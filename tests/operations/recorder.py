"""A program: an engine whose steps write down when and where they ran, and die when their payload says so.

The operation "recorded" has three steps. In its payload, ``die_in`` names the step in which the process kills itself
when that step runs for the first time, ``die_always`` has it do so every time, ``hold_s`` is how long a step takes,
``waits`` how often each step gives its thread back before it does its work.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import String, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from modelyard.kernel.database import Database
from modelyard.kernel.ids import new_id
from modelyard.kernel.parts import Parts
from modelyard.operations.engine import Engine
from modelyard.operations.work import Handler, Waiting, Work

KIND = "recorded"
STEPS = 3
MAX_ATTEMPTS = 3


class Runs(DeclarativeBase):
    """Tables of the tests only."""


class StepRun(Runs):
    """One run of one step. Times are the machine's monotonic clock, the same in every process."""

    __tablename__ = "step_runs"

    id: Mapped[str] = mapped_column(String(24), primary_key=True)
    operation_id: Mapped[str] = mapped_column(String(24), index=True)
    step: Mapped[int]
    pid: Mapped[int]
    began: Mapped[float]
    ended: Mapped[float | None]


def step(number: int) -> Callable[[Work], dict[str, Any]]:
    def run(work: Work) -> dict[str, Any]:
        with work.database.write() as session:
            earlier = session.scalar(
                select(func.count()).where(StepRun.operation_id == work.id, StepRun.step == number)
            )
            row = StepRun(
                id=new_id(), operation_id=work.id, step=number, pid=os.getpid(), began=time.monotonic(), ended=None
            )
            session.add(row)
        if work.payload.get("die_always") or (work.payload.get("die_in") == number and not earlier):
            os.kill(os.getpid(), signal.SIGKILL)
        deadline = time.monotonic() + work.payload.get("hold_s", 0)
        while time.monotonic() < deadline:
            work.checkpoint()
            work.pause(0.01)
        with work.database.write() as session:
            session.get_one(StepRun, row.id).ended = time.monotonic()
        if earlier < work.payload.get("waits", 0):
            raise Waiting(0.01)
        return {f"step{number}": number}

    return run


def note_failure(work: Work, message: str) -> None:
    """As step 0, so that tests see that the end was put right."""
    with work.unit() as session:
        now = time.monotonic()
        session.add(StepRun(id=new_id(), operation_id=work.id, step=0, pid=os.getpid(), began=now, ended=now))


def handlers() -> list[Handler]:
    steps = tuple(step(number) for number in range(1, STEPS + 1))
    return [Handler(KIND, steps, on_failure=note_failure, max_attempts=MAX_ATTEMPTS)]


def main() -> None:
    url, lease_s, workers = sys.argv[1:]
    engine = Engine(Database(url), Parts(), handlers(), lease_s=float(lease_s), workers=int(workers))
    signal.signal(signal.SIGTERM, lambda *_: engine.stop())
    print("ready", flush=True)
    engine.run()


if __name__ == "__main__":
    main()
