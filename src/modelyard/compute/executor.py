"""What every executor can do with a workload."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from modelyard.compute.logs import LogFile
from modelyard.compute.workload import Workload


class State(StrEnum):
    """Where a workload is.

    `absent`: never started here, or removed. `lost`: it was started and is gone, and nobody saw how it ended (its
    supervisor was killed, or the machine restarted).
    """

    ABSENT = "absent"
    STARTING = "starting"
    RUNNING = "running"
    EXITED = "exited"
    LOST = "lost"


@dataclass(frozen=True)
class Observation:
    """What is known of a workload now.

    `exit_code` is the command's, 128 + n when signal n ended it. `reason` says in words why it ended, when that was
    not simply the command's own doing. `supervisor_pid` is there while the workload lives.
    """

    state: State
    exit_code: int | None = None
    reason: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    peak_memory_bytes: int | None = None
    supervisor_pid: int | None = None

    @property
    def is_alive(self) -> bool:
        """Whether it is starting or running."""
        return self.state in {State.STARTING, State.RUNNING}


class Executor(Protocol):
    """Executes workloads: five verbs, and two for collecting what is over."""

    node_id: str
    """Which machine, with which data directory, has the workloads (see `nodes`)."""

    def start(self, workload: Workload) -> None:
        """Start it and return at once. A workload whose id was started before is left as it is.

        Raises `NoSpace` while too little of the disk is free: to be tried again.
        """

    def observe(self, workload_id: str) -> Observation:
        """What is known of it now. Cheap enough to be asked many times a second."""

    def stop(self, workload_id: str, grace_s: float | None = None) -> None:
        """Ask it to end, gracefully, and by force after `grace_s`. Returns at once."""

    def logs(self, workload_id: str) -> LogFile:
        """Its output so far."""

    def address(self, workload_id: str) -> Path | None:
        """The folder in which it puts its sockets, or None when there is none."""

    def work(self, workload_id: str) -> Path:
        """The folder that was its working directory. Everything in it was written by user code."""

    def describe(self, workload_id: str) -> Workload | None:
        """The workload as it was started, without the values of its secrets; None when it is absent."""

    def missing_space(self) -> str | None:
        """What is waited for while too little space is free to start anything; None where there is enough."""

    def ids(self) -> list[str]:
        """Every workload that is or was here, in the order of their names."""

    def remove(self, workload_id: str) -> None:
        """Delete what is left of it. Raises Conflict while it lives."""
