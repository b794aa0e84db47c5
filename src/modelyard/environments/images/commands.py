"""Running the commands of a build: the port, and the implementation without isolation."""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from modelyard.environments.images.errors import BuildCancelledError, BuildError

POLL_S = 0.05
MEASURE_EVERY_S = 0.25
MIB = 1024 * 1024
MAX_LINE_BYTES = 64 * 1024

Log = Callable[[str], None]
"""Takes one line without its end."""
Cancelled = Callable[[], bool]


@dataclass(frozen=True)
class Folder:
    """A folder (or file) that a command sees at the same path as outside."""

    path: Path
    writable: bool = False


@dataclass(frozen=True)
class Allowance:
    """What a plain process may take of the machine, with all below it. ``written_bytes`` counts what it ever wrote."""

    memory_bytes: int
    written_bytes: int


class CommandRunner(Protocol):
    """Runs a build's command. Where ``isolates`` is true, the command sees only ``mounts`` and no private host."""

    isolates: bool

    def run(
        self,
        argv: Sequence[str],
        *,
        mounts: Sequence[Folder],
        environment: Mapping[str, str],
        network: bool,
        log: Log,
        cancelled: Cancelled,
    ) -> int:
        """The exit code. Each line of output goes to ``log`` as it comes.

        Raises ``BuildCancelledError`` once ``cancelled()`` is true; by then every process of the command is gone.
        """

    def stop_all(self, folder: Path) -> None:
        """End whatever a builder that died left running; its first writable mounts were in ``folder``."""


class DirectRunner:
    """Runs commands as plain processes of this machine, with nothing of this process's environment.

    ``inherited`` are file descriptors that the commands keep open: a lock stays held while any of them lives.
    ``allowance`` is for each command: unpacking a wheel can fill a disk, and reading its metadata the memory.
    """

    isolates = False

    def __init__(self, inherited: Sequence[int] = (), allowance: Allowance | None = None) -> None:
        self._inherited = tuple(inherited)
        self._allowance = allowance

    def run(
        self,
        argv: Sequence[str],
        *,
        mounts: Sequence[Folder],
        environment: Mapping[str, str],
        network: bool,  # a plain process has the machine's network
        log: Log,
        cancelled: Cancelled,
    ) -> int:
        if cancelled():
            raise BuildCancelledError
        working = next((folder.path for folder in mounts if folder.writable), None)
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=working,
            env=dict(environment),
            pass_fds=self._inherited,
            start_new_session=True,
            umask=0o022,  # the sandbox's user must be able to read an image
        )
        try:
            _follow(process, log, cancelled, self._allowance)
        finally:
            _kill_tree(process)
        return process.returncode

    def stop_all(self, folder: Path) -> None:
        """Nothing to do: what still runs has inherited the lock of its folder, which is not collected before."""


def _follow(process: subprocess.Popen[bytes], log: Log, cancelled: Cancelled, allowance: Allowance | None) -> None:
    """Pass the output on until the process ends, whoever else still holds its end of the pipe."""
    next_measure = time.monotonic() + MEASURE_EVERY_S
    assert process.stdout is not None  # noqa: S101 # opened above
    descriptor = process.stdout.fileno()
    os.set_blocking(descriptor, False)
    lines = LineSplitter(log)
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while process.poll() is None:
            if cancelled():
                raise BuildCancelledError
            if allowance is not None and time.monotonic() > next_measure:
                _check(process.pid, allowance)
                next_measure = time.monotonic() + MEASURE_EVERY_S
            if selector.select(POLL_S) and not _drain(descriptor, lines):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(POLL_S)
    _drain(descriptor, lines)
    lines.finish()


def _check(pid: int, allowance: Allowance) -> None:
    """Raise ``BuildError`` when a command and all below it have taken more than they may."""
    memory_bytes = written_bytes = 0
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                counters = process.io_counters()
                written_bytes += max(counters.write_chars, counters.write_bytes)
                memory_bytes += process.memory_info().rss
    if written_bytes > allowance.written_bytes:
        raise BuildError(
            f"Unpacking the packages was stopped: they take more than {allowance.written_bytes // MIB} MiB of disk. "
            "Ask for fewer or smaller packages."
        )
    if memory_bytes > allowance.memory_bytes:
        raise BuildError(f"Installing the packages was stopped: it took more than {allowance.memory_bytes // MIB} MiB.")


def _drain(descriptor: int, lines: "LineSplitter") -> bool:
    """Read what is there; False at the end of the stream."""
    while True:
        try:
            data = os.read(descriptor, MAX_LINE_BYTES)
        except BlockingIOError:
            return True
        if not data:
            return False
        lines.feed(data)


class LineSplitter:
    """Turns pieces of output into lines of bounded length."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *complete, self._rest = (self._rest + data).split(b"\n")
        for line in complete:
            self._emit(line)
        while len(self._rest) > MAX_LINE_BYTES:
            self._emit(self._rest[:MAX_LINE_BYTES])
            self._rest = self._rest[MAX_LINE_BYTES:]

    def finish(self) -> None:
        if self._rest:
            self._emit(self._rest)
        self._rest = b""

    def _emit(self, line: bytes) -> None:
        self._log(line.rstrip(b"\r").decode(errors="replace"))


def _kill_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill the command's session and every descendant, and reap the command."""
    descendants: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        descendants = psutil.Process(process.pid).children(recursive=True)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for descendant in descendants:
        with contextlib.suppress(psutil.NoSuchProcess):
            descendant.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and any(_is_alive(descendant) for descendant in descendants):
        time.sleep(0.01)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
