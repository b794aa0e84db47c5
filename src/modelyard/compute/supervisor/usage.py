"""Watching what a workload uses, beside what the kernel limits by itself."""

import contextlib
import os
import threading
import time
import traceback

from .cgroups import Groups
from .folder_sizes import measure_folder
from .held_files import HeldFiles
from .pausing import paused
from .system import proportional_bytes, resident_bytes

MIB = 1024 * 1024
_PAUSES_S = (0.5, 3.0)
_PAUSE_PER_WALK = 10
_MEMORY_FOLDERS = ("/tmp", "/dev/shm")  # noqa: S108 - the sandbox's own
_NOISE_BYTES = MIB
_UNEXPLAINED_SHARE = 4


class SharedMemory:
    """Memory that belongs to files and not to processes. It is measured where the kernel keeps no memory limit."""

    def __init__(self, held: HeldFiles) -> None:
        self.total_bytes = 0
        self.inodes: frozenset[int] = frozenset()
        """Files of `memfd_create` that are counted in the total."""
        self.device = _memory_device()
        self._held = held

    def measure(self) -> None:
        """Take what `held` has just found, and what is in the sandbox's temporary folders."""
        own_pid = self._held.own_pid
        folders = [] if own_pid is None else _MEMORY_FOLDERS
        inodes = frozenset(inode for device, inode in self._held.sizes if device == self.device)
        self.total_bytes = self._held.total({self.device}) + sum(
            _used_of_temporary(folder, f"/proc/{own_pid}/root") for folder in folders
        )
        self.inodes = inodes


class MemoryWatch:
    """The memory of everything below this process: the peak, and whether it is over the limit."""

    def __init__(self, groups: Groups, limit_bytes: int | None, *, is_enforced: bool) -> None:
        self.peak_bytes = 0
        self._groups = groups
        self._limit_bytes = limit_bytes
        self._is_enforced = is_enforced

    def look(self, processes: list[int], shared: SharedMemory) -> str | None:
        """Measure; returns the reason to end the workload, if there is one."""
        used = self._groups.memory_bytes()
        if used is None:
            used = sum(map(resident_bytes, processes)) + shared.total_bytes
            if self._limit_bytes is not None and used > self._limit_bytes:
                counted = shared.inodes
                used = sum(proportional_bytes(pid, shared.device, counted) for pid in processes) + shared.total_bytes
        self.peak_bytes = max(self.peak_bytes, used)
        return self.verdict(is_over=not self._is_enforced and used > (self._limit_bytes or used))

    def verdict(self, *, is_over: bool = False) -> str | None:
        """The reason to end the workload: over the limit, or the kernel found so."""
        if self._limit_bytes is None or not (is_over or self._groups.has_run_out_of_memory()):
            return None
        self.peak_bytes = max(self.peak_bytes, self._limit_bytes)
        return f"memory limit of {amount(self._limit_bytes)} exceeded"


class FreeSpace:
    """Whether a workload that writes has to end, because too little space is free on its file systems."""

    def __init__(self, folders: list[str], min_free_bytes: int) -> None:
        self._folders = folders
        self._min_free_bytes = min_free_bytes
        self._accepted_bytes = 0

    def look(self, used_bytes: int) -> str | None:
        """The reason to end the workload that uses so much disk now: it wrote more since space became scarce."""
        free = min((free_bytes(folder) for folder in self._folders), default=self._min_free_bytes)
        if free >= self._min_free_bytes:
            self._accepted_bytes = used_bytes
            return None
        if used_bytes <= self._accepted_bytes + _NOISE_BYTES:
            return None
        return (
            f"it was writing while only {free // MIB} MiB were free on the server's disk; workloads that write are "
            f"stopped below {amount(self._min_free_bytes)} (MODELYARD_MIN_FREE_BYTES)"
        )


class SpaceBalance:
    """Notices that the file systems lost more space than was found in the workload's folders.

    Something else may have written, or the workload moves its files such that they are not seen: a folder that is read
    after another can be emptied into that one meanwhile (inotify says when).
    """

    def __init__(self, folders: list[str], limit_bytes: int, min_free_bytes: int) -> None:
        self._folders = folders
        self._limit_bytes = limit_bytes
        self._min_free_bytes = min_free_bytes
        self._explained_bytes: int | None = None
        """Free space and what was found, together, at the last measurement that is trusted."""
        self._free_bytes = 0

    def begin(self) -> None:
        """Note the free space, before a measurement."""
        self._free_bytes = min((free_bytes(folder) for folder in self._folders), default=0)

    def is_off(self, used_bytes: int) -> bool:
        """Whether space is missing that this measurement does not explain."""
        together = self._free_bytes + used_bytes
        if self._explained_bytes is None or together > self._explained_bytes:
            self._explained_bytes = together
        is_scarce = self._free_bytes < self._min_free_bytes
        missing = _NOISE_BYTES if is_scarce else max(_NOISE_BYTES, self._limit_bytes // _UNEXPLAINED_SHARE)
        return self._explained_bytes - together > missing

    def settle(self, used_bytes: int) -> None:
        """Trust a measurement: what is missing now was taken by something else."""
        self._explained_bytes = self._free_bytes + used_bytes


class DiskWatch:
    """Measures folders again and again in a thread of its own, so that a slow disk holds up nothing else.

    Args:
        folders: what is counted.
        places: the same folders by the names that the workload has for them.
        limit_bytes: what the workload may store.
        min_free_bytes: below so much free space it may store nothing more.
        root_pid: the workload's processes are below this one.
        watches_memory: whether memory is measured by us, so that files in memory need a close look.
    """

    def __init__(
        self,
        folders: list[str],
        places: list[str],
        limit_bytes: int,
        min_free_bytes: int,
        root_pid: int,
        *,
        watches_memory: bool,
    ) -> None:
        self.verdict: str | None = None
        self.held = HeldFiles(root_pid, places)
        self.shared = SharedMemory(self.held)
        self._folders = folders
        self._limit_bytes = limit_bytes
        self._free = FreeSpace(folders, min_free_bytes)
        self._balance = SpaceBalance(folders, limit_bytes, min_free_bytes)
        self._root_pid = root_pid
        self._max_pause_s = _PAUSES_S[0] if watches_memory else _PAUSES_S[1]
        self._missed_before = False
        threading.Thread(target=self._watch, name="disk", daemon=True).start()

    def _watch(self) -> None:
        pause_s, before = _PAUSES_S[0], 0
        while self.verdict is None:
            begun = time.monotonic()
            try:
                self._balance.begin()
                used, missed = self._measure()
                if used <= self._limit_bytes and self._balance.is_off(used):
                    used, missed = self._measure_paused()
                self.shared.measure()
            except Exception as error:  # noqa: BLE001 - a workload that cannot be measured must not go on
                traceback.print_exc()
                used, missed = before, f"{type(error).__name__}: {error}"
            self.verdict = self._judge(used, missed)
            # Who writes is watched closely; who does not costs next to nothing.
            is_calm = used == before and missed is None
            pause_s = min(2 * pause_s, self._max_pause_s) if is_calm else _PAUSES_S[0]
            before = used
            time.sleep(max(pause_s, _PAUSE_PER_WALK * (time.monotonic() - begun)))

    def _measure_paused(self) -> tuple[int, str | None]:
        """The same while the workload does nothing, so that nothing can hide."""
        with paused(self._root_pid) as is_still:
            self._balance.begin()
            used, missed = self._measure()
            self._balance.settle(used)
        return used, missed if is_still else "its processes cannot be stopped while it is measured"

    def _measure(self) -> tuple[int, str | None]:
        """The disk that is used now, and why that may not be all."""
        total, missed = 0, None
        for folder in self._folders:
            size, reason = measure_folder(folder, self._limit_bytes - total)
            total, missed = total + size, missed or reason
        devices = set()
        for folder in self._folders:
            with contextlib.suppress(FileNotFoundError):
                devices.add(os.stat(folder).st_dev)
        self.held.measure(devices)
        return total + self.held.total(devices), missed or self.held.missed

    def _judge(self, used_bytes: int, missed: str | None) -> str | None:
        if used_bytes > self._limit_bytes:
            return f"disk limit of {amount(self._limit_bytes)} exceeded"
        if missed is not None and self._missed_before:
            return f"its use of the disk could not be measured: {missed}"
        self._missed_before = missed is not None
        return self._free.look(used_bytes)


def free_bytes(folder: str) -> int:
    """The space that is free on the file system of a folder; what is reserved for root does not count."""
    try:
        status = os.statvfs(folder)
    except OSError:  # the folder is gone: nothing can be written there
        return 1 << 62
    return status.f_bavail * status.f_frsize


def amount(size_bytes: int) -> str:
    """A size in MiB, or in bytes where it is no whole number of them."""
    return f"{size_bytes // MIB} MiB" if size_bytes % MIB == 0 else f"{size_bytes} bytes"


def _used_of_temporary(folder: str, root: str) -> int:
    """What is stored in a temporary folder of the sandbox with this root: a file system in memory of its own."""
    try:
        device = os.stat(root + folder).st_dev
        if os.major(device) != 0 or (os.path.exists(folder) and device == os.stat(folder).st_dev):
            return 0  # the sandbox is not complete yet
        status = os.statvfs(root + folder)
    except OSError:  # there is none yet, or no more
        return 0
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def _memory_device() -> int:
    """The device of the files that `memfd_create` makes, and of shared memory without a file."""
    fd = os.memfd_create("probe", os.MFD_CLOEXEC)
    try:
        return os.fstat(fd).st_dev
    finally:
        os.close(fd)
