"""Opening what a workload put into its shared folder. The folder is the workload's: links and pipes may lie there."""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_SO_PASSRIGHTS: Final = 83
"""Of socket(7) since Linux 6.16, in asm-generic/socket.h."""


@contextmanager
def connectable(path: Path | str) -> Iterator[str]:
    """An address for ``connect`` that means the socket file at ``path`` itself, however long its path is.

    Raises ``OSError`` when there is no socket, for example because a link stands in its place.
    """
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            raise FileNotFoundError(f"{path} is not a socket")
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def refuse_descriptors(connection: socket.socket) -> bool:
    """Let nobody send file descriptors over a connection to a workload; False where the kernel is older than 6.16.

    What waits in our socket is in no process of the workload: it would not count against its disk limit.
    """
    try:
        connection.setsockopt(socket.SOL_SOCKET, _SO_PASSRIGHTS, 0)
    except OSError:
        return False
    return True


def read_regular(path: Path, limit_bytes: int) -> bytes:
    """The first bytes of a regular file; raises ``OSError`` for anything else, and never waits."""
    return _read(path, limit_bytes, None)


def read_below(root: Path, path: str, limit_bytes: int) -> bytes:
    """As ``read_regular``, of a file below the folder ``root``; raises ``OSError`` where a link is on the way to it."""
    *folders, name = path.split("/")
    with _opened_below(root, folders) as folder:
        return _read(name, limit_bytes, folder)


def is_folder_below(root: Path, path: str) -> bool:
    """Whether ``path`` is a folder below the folder ``root``, with no link on the way to it."""
    try:
        with _opened_below(root, path.split("/")):
            return True
    except OSError:
        return False


@contextmanager
def _opened_below(root: Path, folders: list[str]) -> Iterator[int]:
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in folders:
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            os.close(folder)
            folder = below
        yield folder
    finally:
        os.close(folder)


def _read(path: Path | str, limit_bytes: int, folder: int | None) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FileNotFoundError(f"{path} is not a regular file")
    except OSError:
        os.close(descriptor)  # a folder would stay open: no file object takes it over
        raise
    with os.fdopen(descriptor, "rb") as file:
        return file.read(limit_bytes)
