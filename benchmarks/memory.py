"""How much memory processes hold, read from the kernel."""

import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

MIB = 2**20


def resident_bytes(pid: int) -> int:
    """The memory of one process that is in RAM, pages shared with others included."""
    return _field(f"/proc/{pid}/status", "VmRSS")


def proportional_bytes(pids: Iterable[int]) -> int:
    """The memory of processes together; a page that several share counts once, divided among them."""
    return sum(_field(f"/proc/{pid}/smaps_rollup", "Pss") for pid in pids)


def _field(path: str, name: str) -> int:
    for line in Path(path).read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"{path} has no line {name}")


class Growth:
    """Watches a process while the block runs: ``bytes`` is its peak above where it began."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ended = threading.Event()
        self.bytes = 0

    def __enter__(self) -> "Growth":
        self._before = resident_bytes(self._pid)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.02):
            self.bytes = max(self.bytes, resident_bytes(self._pid) - self._before)
