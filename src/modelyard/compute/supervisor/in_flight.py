"""Counting the descriptors that wait in UNIX sockets: files that are open and in no process's table.

A file that was sent with SCM_RIGHTS and closed by its sender exists only in the receiving socket's queue. The kernel
counts such descriptors per socket (`scm_fds` in /proc/PID/fdinfo/FD, Linux 5.6; of a listener with what came by
connections that were not accepted yet, Linux 6.3). A duplicate of the socket is peeked at: MSG_PEEK duplicates the
descriptors and takes nothing, SO_PEEK_OFF walks along the queue. See unix(7), socket(7), proc_pid_fdinfo(5).
"""

import array
import contextlib
import os
import socket
import stat

from .system import read_text

TYPE_CHECKING = False  # typing itself takes longer to import than all of this
if TYPE_CHECKING:
    from collections.abc import Callable

_SO_PEEK_OFF = 42
_FDS_PER_MESSAGE = 253
_BUFFER_BYTES = 1024 * 1024
_MAX_MESSAGES = 8192
_MAX_DESCRIPTORS = 32_768
_MAX_DEPTH = 4
_PEEK = socket.MSG_PEEK | socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
_RIGHTS = (socket.SOL_SOCKET, socket.SCM_RIGHTS)


def count_in_flight(fdinfo: str) -> int | None:
    """The descriptors in flight to a socket by the text of its fdinfo; None for what is no UNIX socket."""
    for line in fdinfo.splitlines():
        if line.startswith("scm_fds:"):
            return int(line.split()[1])
    return None


class QueuePeek:
    """One look into the queues of sockets, and of sockets that wait in them.

    `note` is given the status of every file found. `missed` says why something could not be looked at.
    """

    def __init__(self, note: "Callable[[os.stat_result], None]") -> None:
        self.missed: str | None = None
        self._note = note
        self._left = _MAX_DESCRIPTORS
        self._seen: set[int] = set()
        self._buffer = bytearray(_BUFFER_BYTES)

    def look(self, fd: int, depth: int = 0) -> None:
        """Look into the queue of the socket that `fd` is open on. `fd` stays open."""
        inode = os.fstat(fd).st_ino
        if inode in self._seen:
            return
        self._seen.add(inode)
        before = count_in_flight(read_text(f"/proc/self/fdinfo/{fd}"))
        if not before:
            return
        if depth > _MAX_DEPTH:
            self.missed = f"sockets are sent through sockets more than {_MAX_DEPTH} deep"
            return
        found = 0
        with contextlib.suppress(OSError):
            found = self._walk(fd, before, depth)
        if found < min(before, count_in_flight(read_text(f"/proc/self/fdinfo/{fd}")) or 0):
            self.missed = "files wait in a socket where they cannot be counted"

    def _walk(self, fd: int, wanted: int, depth: int) -> int:
        """Peek at one message after the other until `wanted` descriptors were seen; returns how many were."""
        link = socket.socket(fileno=os.dup(fd))
        found = 0
        with link:
            offset = link.getsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF)
            link.setsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF, 0)
            try:
                for _ in range(_MAX_MESSAGES):
                    if found >= wanted or self._left <= 0:
                        break
                    size, ancillary, flags, _ = link.recvmsg_into(
                        [self._buffer], socket.CMSG_SPACE(4 * _FDS_PER_MESSAGE), _PEEK
                    )
                    received = _descriptors(ancillary)
                    found += len(received)
                    self._take(received, depth)
                    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                        break
                    if size == 0 and not received and link.type == socket.SOCK_STREAM:
                        break
            finally:
                link.setsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF, offset)
        return found

    def _take(self, received: list[int], depth: int) -> None:
        """Note the files behind our duplicates, look into the sockets among them, and close all."""
        self._left -= len(received)
        try:
            for fd in received:
                status = os.fstat(fd)
                self._note(status)
                if stat.S_ISSOCK(status.st_mode):
                    self.look(fd, depth + 1)
        finally:
            for fd in received:
                os.close(fd)


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == _RIGHTS:
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return found.tolist()
