"""Locks between processes that the kernel frees when their holder dies."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_S = 0.02


class FileLock:
    """An advisory lock (``flock``) on a file that exists for it. The file may be removed by whoever holds it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def descriptor(self) -> int:
        """The open file: a child that inherits it keeps the lock."""
        if self._descriptor is None:
            raise RuntimeError(f"{self.path} is not locked")
        return self._descriptor

    def try_acquire(self, *, shared: bool = False) -> bool:
        """Take the lock if it is free. Exclusive unless ``shared``."""
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return False
            if _is_still(descriptor, self.path):
                self._descriptor = descriptor
                return True
            os.close(descriptor)  # a holder removed the file meanwhile: its lock guards nothing

    def acquire(self, give_up: Callable[[], bool], *, shared: bool = False) -> bool:
        """Wait for the lock; False as soon as ``give_up()`` says so."""
        while not self.try_acquire(shared=shared):
            if give_up():
                return False
            time.sleep(POLL_S)
        return True

    def release(self, *, remove: bool = False) -> None:
        """Free the lock; ``remove`` takes its file away first."""
        if self._descriptor is None:
            return
        if remove:
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = None


@contextmanager
def held(lock: FileLock, *, remove: bool = False) -> Iterator[None]:
    """Release a lock that was acquired when the block ends."""
    try:
        yield
    finally:
        lock.release(remove=remove)


def _is_still(descriptor: int, path: Path) -> bool:
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    opened = os.fstat(descriptor)
    return (opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino)
