"""Finding the files without a name that processes hold: open, mapped, executed, or in flight between them."""

import errno
import os
import stat

from .in_flight import QueuePeek, count_in_flight
from .system import descendants_now, duplicate, memory_holder, open_process, read_text, share_files

TYPE_CHECKING = False  # typing itself takes longer to import than all of this
if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_TABLES = 64
_DELETED = " (deleted)"


class HeldFiles:
    """One measurement after the other of what the processes below one hold.

    Args:
        root_pid: the processes below this one are looked at.
        places: the folders that the processes write to, by the names that they have for them.
    """

    def __init__(self, root_pid: int, places: list[str]) -> None:
        self.own_pid: int | None = None
        """The process that only keeps the sandbox together, once it is known: it may refuse to be looked at."""
        self.sizes: dict[tuple[int, int], int] = {}
        """Bytes by device and inode, of files that have no name."""
        self.missed: str | None = None
        """Why something could not be measured."""
        self._root_pid = root_pid
        self._places = tuple(f"{place}/" for place in places)
        self._other_sockets: set[int] = set()
        """Inodes of sockets that were of another kind than UNIX when they were seen last."""
        self._seen_sockets: set[int] = set()
        self._unsized: set[tuple[int, str]] = set()

    def measure(self, devices: set[int]) -> None:
        """Look at every process. What is opened, closed and passed on meanwhile may be missed, until the next time.

        Args:
            devices: those of the folders that the processes write to.
        """
        self.sizes, self.missed = {}, None
        self._seen_sockets, self._unsized = set(), set()
        others: set[int] = set()
        peek = QueuePeek(self._note)
        for pid in descendants_now(self._root_pid):
            try:
                self._look_at_process(pid, peek, others)
            except OSError as error:
                if error.errno in {errno.EACCES, errno.EPERM} and pid != self.own_pid:
                    self.missed = "a process hides which files it holds"
        self._other_sockets = others
        self.missed = self.missed or peek.missed
        for inode, path in self._unsized:
            if path.startswith(self._places) and not any((device, inode) in self.sizes for device in devices):
                self.missed = "a deleted file is held by a mapping alone, which only a server that is root can measure"

    def total(self, devices: set[int]) -> int:
        """The bytes of the files on these devices."""
        return sum(size for (device, _), size in self.sizes.items() if device in devices)

    def _note(self, status: os.stat_result) -> None:
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 0:
            self.sizes[status.st_dev, status.st_ino] = status.st_blocks * 512

    def _look_at_process(self, pid: int, peek: QueuePeek, others: set[int]) -> None:
        for tid in _tables(pid):
            self._look_at_table(pid, tid, peek, others)
        holder = memory_holder(pid)
        try:
            self._note(os.stat(f"/proc/{holder}/exe"))
        except FileNotFoundError:
            return  # it has ended
        self._look_at_mappings(holder)

    def _look_at_table(self, pid: int, tid: int, peek: QueuePeek, others: set[int]) -> None:
        base = f"/proc/{pid}/task/{tid}"
        table = _Table(pid, tid)
        try:
            for fd in table.numbers():
                status = table.stat(fd)
                if status is None:
                    continue
                self._note(status)
                inode = status.st_ino
                if not stat.S_ISSOCK(status.st_mode) or inode in self._seen_sockets:
                    continue
                self._seen_sockets.add(inode)
                if inode in self._other_sockets:
                    others.add(inode)
                    continue
                text = read_text(f"{base}/fdinfo/{fd}")
                count = count_in_flight(text)
                if count is None and text:
                    others.add(inode)
                elif count != 0:
                    self._look_into_queue(table, fd, peek)
        finally:
            table.close()

    def _look_into_queue(self, table: "_Table", fd: int, peek: QueuePeek) -> None:
        try:
            copy = table.duplicate(fd)
        except OSError as error:
            if error.errno not in {errno.EBADF, errno.ESRCH}:  # closed, or its process ended
                self.missed = f"files wait in a socket that cannot be looked into ({os.strerror(error.errno or 0)})"
            return
        try:
            peek.look(copy)
        finally:
            os.close(copy)

    def _look_at_mappings(self, pid: int) -> None:
        """Note deleted files that are mapped. Their descriptors may be closed."""
        maps = read_text(f"/proc/{pid}/maps")
        if _DELETED not in maps:
            return
        for line in maps.splitlines():
            if not line.endswith(_DELETED):
                continue
            addresses, _, _, _, inode, path = line.split(maxsplit=5)
            start, _, end = addresses.partition("-")
            try:
                self._note(os.stat(f"/proc/{pid}/map_files/{int(start, 16):x}-{int(end, 16):x}"))
            except FileNotFoundError:
                continue
            except OSError:  # only root may follow these links
                self._unsized.add((int(inode), path))


class _Table:
    """A table of file descriptors: of a process, or of a thread that has one of its own."""

    def __init__(self, pid: int, tid: int) -> None:
        self._pid, self._tid = pid, tid
        self._base = f"/proc/{pid}/task/{tid}"
        self._pidfd: int | None = None

    def numbers(self) -> "Iterator[int]":
        """Every descriptor. One that may not be listed is looked for by trying."""
        for folder in ("fd", "fdinfo"):
            try:
                names = os.listdir(f"{self._base}/{folder}")
            except PermissionError:
                continue
            except OSError:  # it has ended
                return
            yield from map(int, names)
            return
        for line in read_text(f"{self._base}/status").splitlines():
            if line.startswith("FDSize:"):
                yield from range(int(line.split()[1]))

    def stat(self, fd: int) -> os.stat_result | None:
        """The status of an open file, or None where it was closed. Raises `OSError` where we may not know."""
        try:
            return os.stat(f"{self._base}/fd/{fd}")
        except PermissionError:
            pass
        except OSError:
            return None
        try:
            copy = self.duplicate(fd)
        except OSError as error:
            if error.errno in {errno.EBADF, errno.ESRCH}:
                return None
            raise
        try:
            return os.fstat(copy)
        finally:
            os.close(copy)

    def duplicate(self, fd: int) -> int:
        """A descriptor of ours for the same open file."""
        if self._pidfd is None:
            self._pidfd = open_process(self._pid, self._tid)
        return duplicate(self._pidfd, fd)

    def close(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)


def _tables(pid: int) -> list[int]:
    """A thread for each table of descriptors in a process: threads can have tables of their own (unshare(2))."""
    try:
        tids = [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []
    found: list[int] = []
    for tid in tids:
        if len(found) >= _MAX_TABLES or not any(share_files(tid, other) for other in found):
            found.append(tid)
    return found
