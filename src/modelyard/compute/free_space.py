"""Whether enough of the server's disk is free for what writes to it."""

import os
from pathlib import Path

from modelyard.kernel.errors import Unavailable

WAITING = "waiting for disk space"
SETTING = "MODELYARD_MIN_FREE_BYTES"
SPACE_PAUSE_S = 5.0
_MIB = 1024 * 1024


class NoSpace(Unavailable):
    """Too little space is free to start a workload or to take an upload; it is enough again some time later."""


def missing_space(folder: Path, min_free_bytes: int) -> str | None:
    """What to tell somebody who waits for space on the file system of ``folder``; None where enough is free."""
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    if free >= min_free_bytes:
        return None
    return (
        f"{WAITING}: {free // _MIB} MiB are free on the server's disk, which is less than the "
        f"{min_free_bytes // _MIB} MiB of {SETTING}"
    )
