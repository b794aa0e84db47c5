"""Whether a workload that serves is ready, and if it never will be, why."""

import json
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPException
from pathlib import Path

from modelyard.compute.executor import Executor, State
from modelyard.compute.services.service import ServiceSpec
from modelyard.compute.shared_files import read_regular
from modelyard.compute.unix_http import ask_once

PROBE_TIMEOUT_S = 2.0
MAX_FAILURE_BYTES = 65536


@dataclass(frozen=True)
class Sight:
    """What was seen of a replica: missing, alive, ready, late or ended."""

    state: str
    reason: str | None = None
    socket_path: str | None = None


def look_at(
    executor: Executor, workload_id: str, spec: ServiceSpec | None, *, created_at: datetime, now: datetime, probe: bool
) -> Sight:
    """Asks the executor, and with ``probe`` the server itself whether it is ready."""
    seen = executor.observe(workload_id)
    if seen.state is State.ABSENT:
        return Sight("missing")
    folder = executor.address(workload_id)
    if not seen.is_alive:
        told = own_reason(folder) if seen.reason is None else seen.reason
        return Sight("ended", reason=told or f"it ended with exit code {seen.exit_code}")
    if not probe or folder is None or spec is None:
        return Sight("alive")
    socket = folder / spec.socket_name
    try:
        answer = ask_once(socket, "GET", spec.health_path, timeout_s=PROBE_TIMEOUT_S)
    except (OSError, HTTPException):
        answer = None
    if answer is not None and answer.status == 200:
        return Sight("ready", socket_path=str(socket))
    if (now - created_at).total_seconds() > spec.start_timeout_s:
        return Sight("late", reason=f"it was not ready after {spec.start_timeout_s:.0f} s")
    return Sight("alive")


def own_reason(folder: Path | None) -> str | None:
    """What the program itself wrote about its failure to start, in ``failure.json`` beside its socket."""
    if folder is None:
        return None
    try:
        told = json.loads(read_regular(folder / "failure.json", MAX_FAILURE_BYTES))
    except (OSError, ValueError):
        return None
    message = told.get("message") if isinstance(told, dict) else None
    return message[:4000] if isinstance(message, str) else None
