"""Watching what a workload uses, beside what the kernel limits by itself."""

import os
import stat
import threading
import time

from .cgroups import Groups
from .system import descendants_now, proportional_bytes, resident_bytes

MIB = 1024 * 1024
_ENTRY_BYTES = 4096
_PAUSES_S = (0.5, 3.0)
_PAUSE_PER_WALK = 10


class MemoryWatch:
    """The memory of everything below this process: the peak, and whether it is over the limit."""

    def __init__(self, groups: Groups, limit_bytes: int | None, *, is_enforced: bool) -> None:
        self.peak_bytes = 0
        self._groups = groups
        self._limit_bytes = limit_bytes
        self._is_enforced = is_enforced

    def look(self, processes: list[int]) -> str | None:
        """Measure; returns the reason to end the workload, if there is one."""
        used = self._groups.memory_bytes()
        if used is None:
            used = sum(map(resident_bytes, processes))
            if self._limit_bytes is not None and used > self._limit_bytes:
                used = sum(map(proportional_bytes, processes))
        self.peak_bytes = max(self.peak_bytes, used)
        return self.verdict(is_over=not self._is_enforced and used > (self._limit_bytes or used))

    def verdict(self, *, is_over: bool = False) -> str | None:
        """The reason to end the workload: over the limit, or the kernel found so."""
        if self._limit_bytes is None or not (is_over or self._groups.has_run_out_of_memory()):
            return None
        self.peak_bytes = max(self.peak_bytes, self._limit_bytes)
        return f"memory limit of {amount(self._limit_bytes)} exceeded"


class DiskWatch:
    """Measures folders again and again in a thread of its own, so that a slow disk holds up nothing else."""

    def __init__(self, folders: list[str], limit_bytes: int, root_pid: int) -> None:
        self.verdict: str | None = None
        self._folders = folders
        self._limit_bytes = limit_bytes
        self._root_pid = root_pid
        threading.Thread(target=self._watch, name="disk", daemon=True).start()

    def _watch(self) -> None:
        pause_s, before = _PAUSES_S[0], 0
        while self.verdict is None:
            begun = time.monotonic()
            used = sum(map(used_bytes, self._folders)) + self._deleted_bytes()
            if used > self._limit_bytes:
                self.verdict = f"disk limit of {amount(self._limit_bytes)} exceeded"
            # Who writes is watched closely; who does not costs next to nothing.
            pause_s = min(2 * pause_s, _PAUSES_S[1]) if used == before else _PAUSES_S[0]
            before = used
            time.sleep(max(pause_s, _PAUSE_PER_WALK * (time.monotonic() - begun)))

    def _deleted_bytes(self) -> int:
        """The disk that files take which were deleted and are still open."""
        devices = {os.stat(folder).st_dev for folder in self._folders if os.path.isdir(folder)}
        seen: dict[int, int] = {}
        for pid in descendants_now(self._root_pid):
            try:
                for name in os.listdir(f"/proc/{pid}/fd"):
                    file = os.stat(f"/proc/{pid}/fd/{name}")
                    if file.st_nlink == 0 and file.st_dev in devices and stat.S_ISREG(file.st_mode):
                        seen[file.st_ino] = file.st_blocks * 512
            except OSError:
                continue
        return sum(seen.values())


def used_bytes(folder: str) -> int:
    """The disk that a folder takes; each entry counts for 4 KiB at least, so that empty files are not free.

    A folder whose owner took away the right to list it gets the right back: nothing hides in there.
    """
    total = 0
    stack = [folder]
    while stack:
        path = stack.pop()
        try:
            entries = os.scandir(path)
        except PermissionError:
            try:
                os.chmod(path, 0o700, follow_symlinks=False)
                entries = os.scandir(path)
            except (OSError, NotImplementedError):
                continue
        except OSError:
            continue
        with entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                total += max(status.st_blocks * 512, _ENTRY_BYTES)
                if stat.S_ISDIR(status.st_mode):
                    stack.append(entry.path)
    return total


def amount(size_bytes: int) -> str:
    """A size in MiB, or in bytes where it is no whole number of them."""
    return f"{size_bytes // MIB} MiB" if size_bytes % MIB == 0 else f"{size_bytes} bytes"
