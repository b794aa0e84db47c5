"""What is kept of an ended attempt: its output, and the files that it left in its output folder."""

import os
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelyard.compute.logs import LogFile
from modelyard.jobs.runs.logs import live_blocks
from modelyard.jobs.runs.programs import OUTPUT_FOLDER
from modelyard.kernel.clock import to_wire
from modelyard.kernel.file_paths import check_file_path
from modelyard.storage.blobs import CHUNK_BYTES, Blob, BlobStore
from modelyard.workspaces.service import NewFile

MAX_DEPTH = 32
MAX_SCANNED = 20_000


class KeptLog:
    """A log on its way into a blob: what the workload wrote, and lines of ours behind it."""

    def __init__(self, blobs: BlobStore, log: LogFile | None) -> None:
        self._writer = blobs.writer()
        self._first_offset = log.first_offset if log is not None else 0
        if log is not None:
            for block in live_blocks(log, self._first_offset):
                self._writer.write(block)

    def say(self, text: str) -> None:
        self.write(f"[modelyard] {text}")

    def write(self, line: str) -> None:
        self._writer.write(f"{to_wire(datetime.now(UTC))} {line}\n".encode())

    def finish(self) -> dict[str, Any]:
        """The columns of a ``RunLog``."""
        blob = self._writer.finish()
        return {"digest": blob.digest, "size_bytes": blob.size_bytes, "first_offset": self._first_offset}


def keep_log(blobs: BlobStore, log: LogFile | None, closing: str | None) -> KeptLog:
    """The output so far, with ``closing`` as its last line."""
    kept = KeptLog(blobs, log)
    if closing is not None:
        kept.say(closing)
    return kept


def keep_artifacts(blobs: BlobStore, work: Path, max_files: int, say: Callable[[str], None]) -> list[NewFile]:
    """The regular files in the output folder, stored. ``say`` is told about what cannot be kept.

    User code made that folder: links are not followed, neither files nor folders, and nothing else is opened.
    """
    kept: list[NewFile] = []
    try:
        root = os.open(work / OUTPUT_FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return kept
    skipped = 0
    try:
        for path, folder_fd, name in _walk(root, "", 0):
            if len(kept) >= max_files:
                skipped += 1
                continue
            try:
                checked = check_file_path(path)
                blob = _store(blobs, folder_fd, name)
            except (OSError, ValueError) as error:
                say(f"output file {path!r} is not kept: {error}")
                continue
            kept.append(NewFile(checked, blob.digest, blob.size_bytes, source="run"))
    finally:
        os.close(root)
    if skipped:
        say(f"of the output folder the first {max_files} files are kept, {skipped} more are not")
    return kept


def _walk(folder_fd: int, prefix: str, depth: int) -> Iterator[tuple[str, int, str]]:
    """Files below an open folder: their path, the open folder they are in, and their name. By name, depth first."""
    with os.scandir(folder_fd) as found:
        entries = sorted((entry.name for _, entry in zip(range(MAX_SCANNED), found, strict=False)))
    for name in entries:
        try:
            mode = os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_mode
            if stat.S_ISREG(mode):
                yield f"{prefix}{name}", folder_fd, name
            elif stat.S_ISDIR(mode) and depth < MAX_DEPTH:
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                below = os.open(name, flags, dir_fd=folder_fd)
                try:
                    yield from _walk(below, f"{prefix}{name}/", depth + 1)
                finally:
                    os.close(below)
        except OSError:
            continue


def _store(blobs: BlobStore, folder_fd: int, name: str) -> Blob:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, dir_fd=folder_fd), "rb") as file, blobs.writer() as writer:
        while chunk := file.read(CHUNK_BYTES):
            writer.write(chunk)
        return writer.finish()
