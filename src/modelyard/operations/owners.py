"""Who holds a lease, written so that another process of the same machine can tell that it is gone."""

import functools
import os
import socket
from pathlib import Path


@functools.cache
def _machine() -> str:
    """This start of this machine and the process numbers that hold here: containers that share a host's name differ."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        numbers = str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]")
    except OSError:
        return ""
    return f"{boot[:13]}-{numbers}"


def lease_owner() -> str:
    """This process: host, machine, process number and the tick in which it started."""
    return f"{socket.gethostname()[:64]}/{_machine()}/{os.getpid()}/{_start_ticks(os.getpid())}"


def is_dead(owner: str) -> bool:
    """Whether ``owner`` was a process of this machine that no longer runs; False for what cannot be told from here."""
    here, _, started = owner.rpartition("/")
    here, _, pid = here.rpartition("/")
    if not _machine() or here != f"{socket.gethostname()[:64]}/{_machine()}":
        return False
    return str(_start_ticks(int(pid))) != started


def _start_ticks(pid: int) -> int | None:
    """When a process started, since the boot, which no change of the clock moves; None when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])
