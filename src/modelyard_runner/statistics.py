"""What the process has done since it started, and how much memory it holds."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import orjson

PROC = Path("/proc")


@dataclass(slots=True)
class Statistics:
    """Counts since the start. `batches` are calls of the model; `rows` those it predicted."""

    requests: int = 0
    rows: int = 0
    batches: int = 0
    refused: int = 0
    started_s: float = field(default_factory=time.monotonic)

    def to_json(self) -> bytes:
        """The body of the stats route; memory includes the processes that this one started."""
        pids = _family(os.getpid())
        return orjson.dumps(
            {
                "requests": self.requests,
                "refused": self.refused,
                "rows": self.rows,
                "batches": self.batches,
                "uptimeSeconds": round(time.monotonic() - self.started_s, 3),
                "memory": {"rssBytes": sum(map(_resident_bytes, pids)), "processes": len(pids)},
            }
        )


def _family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for parent in found:
        try:
            threads = list((PROC / str(parent) / "task").iterdir())
            for thread in threads:
                found.extend(int(child) for child in (thread / "children").read_text().split())
        except OSError:
            continue
    return found


def _resident_bytes(pid: int) -> int:
    try:
        pages = int((PROC / str(pid) / "statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
