"""Keeping the files that a workload left in a folder of its working directory."""

import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from modelyard.kernel.file_paths import check_file_path, shown
from modelyard.storage.blobs import CHUNK_BYTES, Blob, BlobStore
from modelyard.workspaces.service import NewFile

MAX_DEPTH = 32
MAX_SCANNED = 20_000
"""Of one output folder with all below it: empty folders, and files that cannot be kept, cost time as well."""
MAX_SAID = 20


@dataclass(frozen=True)
class Limits:
    """How much of one output folder is kept. A sparse file has more bytes than it takes room."""

    files: int
    total_bytes: int


def collect_files(
    blobs: BlobStore, folder: Path, limits: Limits, say: Callable[[str], None], *, source: str
) -> list[NewFile]:
    """The regular files in the folder, stored. ``say`` is told about what cannot be kept.

    User code made that folder: links are not followed, neither files nor folders, and nothing else is opened.
    """
    try:
        root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return []
    collection, budget = _Collection(blobs, limits, source), _Budget(MAX_SCANNED)
    try:
        for path, folder_fd, name in _walk(root, "", 0, budget):
            collection.take(path, folder_fd, name)
    finally:
        os.close(root)
    for text in collection.told():
        say(text)
    if budget.is_too_deep:
        say(f"what lies more than {MAX_DEPTH} folders deep in the output folder is not kept")
    if budget.is_exceeded:
        say(f"the output folder was not looked through to its end: it holds more than {MAX_SCANNED} files and folders")
    return list(collection.kept.values())


@dataclass
class _Budget:
    """How many more names are looked at."""

    left: int
    is_exceeded: bool = False
    is_too_deep: bool = False

    def names(self, folder_fd: int) -> list[str]:
        """The names in an open folder, sorted, as far as they are looked at."""
        with os.scandir(folder_fd) as found:
            names = [entry.name for entry in islice(found, self.left + 1)]
        self.is_exceeded |= len(names) > self.left
        names = sorted(names[: self.left])
        self.left -= len(names)
        return names


@dataclass
class _Collection:
    """The files that were kept so far, and what is to be said about the others."""

    blobs: BlobStore
    limits: Limits
    source: str
    kept: dict[str, NewFile] = field(default_factory=dict)
    _folders: set[str] = field(default_factory=set)
    _size_bytes: int = 0
    _skipped: int = 0
    _faults: int = 0
    _first_faults: list[str] = field(default_factory=list)

    def take(self, path: str, folder_fd: int, name: str) -> None:
        if len(self.kept) >= self.limits.files:
            self._skipped += 1
            return
        try:
            checked = check_file_path(path)
            folders = {checked[: match.start()] for match in re.finditer("/", checked)}
            if checked in self.kept or checked in self._folders or folders & self.kept.keys():
                raise ValueError("another file has the same name, written differently")  # noqa: TRY301 # as the path's own
            blob = _store(self.blobs, folder_fd, name, self.limits.total_bytes - self._size_bytes)
        except (OSError, ValueError) as error:
            why = error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)
            self._faults += 1
            if self._faults <= MAX_SAID:
                self._first_faults.append(f"output file {shown(path)} is not kept: {why}")
            return
        self._folders |= folders
        self._size_bytes += blob.size_bytes
        self.kept[checked] = NewFile(checked, blob.digest, blob.size_bytes, source=self.source)

    def told(self) -> Iterator[str]:
        yield from self._first_faults
        if self._faults > MAX_SAID:
            yield f"{self._faults - MAX_SAID} more output files are not kept"
        if self._skipped:
            yield f"of the output folder the first {self.limits.files} files are kept, {self._skipped} more are not"


def _walk(folder_fd: int, prefix: str, depth: int, budget: _Budget) -> Iterator[tuple[str, int, str]]:
    """Files below an open folder: their path, the open folder they are in, and their name. By name, depth first."""
    for name in budget.names(folder_fd):
        try:
            mode = os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_mode
            if stat.S_ISREG(mode):
                yield f"{prefix}{name}", folder_fd, name
            elif stat.S_ISDIR(mode) and depth >= MAX_DEPTH:
                budget.is_too_deep = True
            elif stat.S_ISDIR(mode):
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                below = os.open(name, flags, dir_fd=folder_fd)
                try:
                    yield from _walk(below, f"{prefix}{name}/", depth + 1, budget)
                finally:
                    os.close(below)
        except OSError:
            continue


def _store(blobs: BlobStore, folder_fd: int, name: str, left_bytes: int) -> Blob:
    """The file as a blob. Raises ``ValueError`` when it is too large, or became something else after it was listed."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, dir_fd=folder_fd), "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise ValueError("it is no regular file any more")
        if about.st_size > left_bytes:
            raise ValueError(f"it has {about.st_size} bytes, and only {left_bytes} more are kept of one run")
        with blobs.writer() as writer:
            size = 0
            while chunk := file.read(CHUNK_BYTES):
                size += len(chunk)
                if size > left_bytes:
                    raise ValueError(f"it grows while it is read, and only {left_bytes} bytes more are kept of one run")
                writer.write(chunk)
            return writer.finish()
