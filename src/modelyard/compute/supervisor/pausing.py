"""Stopping the processes of a workload for a moment, so that nothing moves while it is measured."""

import contextlib
import os
import signal
import time

from .system import descendants, read_text, send

TYPE_CHECKING = False  # typing itself takes longer to import than all of this
if TYPE_CHECKING:
    from collections.abc import Iterator

_TIMEOUT_S = 2.0
_PAUSE_S = 0.002
_STILL = "TtZXDI"
"""States of threads that do nothing: stopped, ended, or waiting inside the kernel; see proc_pid_stat(5)."""


@contextlib.contextmanager
def paused(root_pid: int) -> "Iterator[bool]":
    """Stop every process below one, and let them go on afterwards. The value says whether all of them stopped.

    Those that were stopped before stay so. A process may not refuse SIGSTOP, but processes can wake each other faster
    than they are stopped.
    """
    stopped: set[int] = set()
    try:
        yield _stop(root_pid, stopped)
    finally:
        for pid in stopped:
            send(pid, signal.SIGCONT)


def _stop(root_pid: int, stopped: set[int]) -> bool:
    before: list[int] | None = None
    deadline = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline:
        pids = descendants(root_pid)
        active = [pid for pid in pids if _is_active(pid)]
        for pid in active:
            stopped.add(pid)
            send(pid, signal.SIGSTOP)
        if not active and pids == before:  # else a process may have been born between the list and the look
            return True
        before = pids
        if active:
            time.sleep(_PAUSE_S)
    return False


def _is_active(pid: int) -> bool:
    """Whether some thread of a process runs, or can be woken."""
    try:
        tids = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return False
    states = (read_text(f"/proc/{pid}/task/{tid}/stat").rpartition(") ")[2][:1] for tid in tids)
    return any(state not in _STILL for state in states if state)
