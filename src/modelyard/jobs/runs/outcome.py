"""From how a workload ended to how a run ended."""

from dataclasses import dataclass

from modelyard.compute.executor import Observation, State
from modelyard.jobs.tables import RunStatus

STOPPED = "stopped on request"
TIME_LIMIT = "time limit"
"""How the supervisor's reasons begin."""


@dataclass(frozen=True)
class Outcome:
    """``reason`` says in words why, where that was not simply the program's own exit code."""

    status: RunStatus
    reason: str | None = None

    def last_line(self, seen: Observation, attempt: int, retries: int, pause_s: float | None) -> str | None:
        """What the log ends with, where the supervisor could not say it or another attempt follows."""
        if pause_s is None:
            return self.reason if seen.state is State.LOST else None
        why = self.reason or f"exit code {seen.exit_code}"
        return f"attempt {attempt} of {retries + 1} ended ({why}); the next begins in {pause_s:g} s"


def outcome_of(seen: Observation, *, is_canceled: bool) -> Outcome:
    """The exit code decides, unless somebody or something else ended the workload."""
    if is_canceled:
        return Outcome(RunStatus.CANCELED, seen.reason or "canceled")
    reason = seen.reason
    if seen.state is State.LOST or seen.exit_code is None:
        return Outcome(RunStatus.INTERRUPTED, reason)
    if reason is not None and reason.startswith((STOPPED, TIME_LIMIT)):
        return Outcome(RunStatus.INTERRUPTED, reason)
    return Outcome(RunStatus.SUCCEEDED if seen.exit_code == 0 and reason is None else RunStatus.FAILED, reason)
