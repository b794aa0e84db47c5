"""The disk that a folder takes, whatever the one who fills it does to hide something in there."""

import contextlib
import os
import stat

_ENTRY_BYTES = 4096
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def measure_folder(folder: str, enough_bytes: int) -> tuple[int, str | None]:
    """The bytes of a folder, and why that may not be all of them.

    Each entry counts for 4 KiB at least, so that empty files are not free. Counting ends above `enough_bytes`.
    """
    try:
        walk = _Walk(folder, enough_bytes)
    except OSError:  # it is gone
        return 0, None
    try:
        while walk.total <= enough_bytes and walk.step():
            continue
    finally:
        walk.close()
    return walk.total, walk.missed


class _Walk:
    """Goes through folders with one of them open, down by name and up by `..`.

    The path of a deep folder is longer than the kernel takes, and there may be more levels than descriptors. A folder
    that was moved meanwhile is noticed on the way up.
    """

    def __init__(self, folder: str, enough_bytes: int) -> None:
        self.total = 0
        self.missed: str | None = None
        self._enough_bytes = enough_bytes
        self._fd = _open(folder, None)
        self._identities: list[tuple[int, int]] = []
        self._waiting: list[list[str]] = []
        """For each level, the names of its folders that were not looked at yet."""
        self._enter()

    def step(self) -> bool:
        """Go on to the next folder; False after the last."""
        if not self._waiting[-1]:
            return self._leave()
        name = self._waiting[-1].pop()
        try:
            below = _open(name, self._fd)
        except (FileNotFoundError, NotADirectoryError):  # moved or removed meanwhile
            return True
        except OSError as error:
            self.missed = f"a folder cannot be read ({error.strerror})"
            return True
        os.close(self._fd)
        self._fd = below
        self._enter()
        return True

    def close(self) -> None:
        os.close(self._fd)

    def _enter(self) -> None:
        """Count what is in the open folder."""
        self._identities.append(_identity(self._fd))
        names: list[str] = []
        self._waiting.append(names)
        try:
            with os.scandir(self._fd) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        status = self._status(entry)
                        self.total += max(status.st_blocks * 512, _ENTRY_BYTES)
                        if stat.S_ISDIR(status.st_mode):
                            names.append(entry.name)
                    if self.total > self._enough_bytes:
                        return
        except OSError as error:
            self.missed = f"a folder cannot be read ({error.strerror})"

    def _status(self, entry: "os.DirEntry[str]") -> os.stat_result:
        try:
            return entry.stat(follow_symlinks=False)
        except PermissionError:
            os.chmod(self._fd, 0o700)
            return entry.stat(follow_symlinks=False)

    def _leave(self) -> bool:
        self._waiting.pop()
        self._identities.pop()
        if not self._waiting:
            return False
        above = os.open("..", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._fd)
        os.close(self._fd)
        self._fd = above
        if _identity(above) != self._identities[-1]:
            self.missed = "folders were moved while they were measured"
            return False
        return True


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def _open(name: str, parent: int | None) -> int:
    """Open a folder; one whose owner took away the right to list it gets the right back."""
    try:
        return os.open(name, _OPEN, dir_fd=parent)
    except PermissionError:
        handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            os.chmod(f"/proc/self/fd/{handle}", 0o700)
            return os.open(f"/proc/self/fd/{handle}", _OPEN & ~os.O_NOFOLLOW)
        finally:
            os.close(handle)
