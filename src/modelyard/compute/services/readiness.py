"""Whether a workload that serves is ready, and if it never will be, why."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from modelyard.compute.executor import Executor, State
from modelyard.compute.services.probing import message_in
from modelyard.compute.services.service import ServiceSpec
from modelyard.compute.shared_files import read_regular

MAX_FAILURE_BYTES = 65536
MAX_REASON_LENGTH = 4000


@dataclass(frozen=True)
class Sight:
    """What was seen of a replica: missing, alive, ready, late, stuck or ended."""

    state: str
    reason: str | None = None
    socket_path: str | None = None


def look_at(
    executor: Executor,
    workload_id: str,
    spec: ServiceSpec | None,
    *,
    created_at: datetime,
    now: datetime,
    is_ready: Callable[[Path, str], bool] | None,
    masked: Callable[[str], str],
) -> Sight:
    """Asks the executor, and with ``is_ready`` (of a socket and a path) the server itself whether it is ready.

    What the program itself wrote about its failure is shown as ``masked`` leaves it.
    """
    seen = executor.observe(workload_id)
    if seen.state is State.ABSENT:
        return Sight("missing")
    folder = executor.address(workload_id)
    if not seen.is_alive:
        told = seen.reason
        if told is None and (own := own_reason(folder)) is not None:
            told = masked(own)
        return Sight("ended", reason=told or f"it ended with exit code {seen.exit_code}")
    if is_ready is None or folder is None or spec is None:
        return Sight("alive")
    socket = folder / spec.socket_name
    if is_ready(socket, spec.health_path):
        return Sight("ready", socket_path=str(socket))
    if (now - created_at).total_seconds() > spec.start_timeout_s:
        return Sight("late", reason=f"it was not ready after {spec.start_timeout_s:.0f} s")
    return Sight("alive")


def own_reason(folder: Path | None) -> str | None:
    """What the program itself wrote about its failure to start, in ``failure.json`` beside its socket."""
    if folder is None:
        return None
    try:
        return message_in(read_regular(folder / "failure.json", MAX_FAILURE_BYTES), MAX_REASON_LENGTH)
    except OSError:
        return None
