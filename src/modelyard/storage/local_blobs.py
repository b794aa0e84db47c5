"""Blobs in a local folder: ``<root>/<aa>/<digest>``, read-only files that are written once."""

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from modelyard.storage.blobs import CHUNK_BYTES, MEMORY_LIMIT_BYTES, Blob, MissingBlobError, blob_key, is_digest

INCOMING: Final = ".incoming"
LOCK: Final = ".lock"
BLOB_MODE: Final = 0o400


class LocalBlobStore:
    """A ``BlobStore`` in a folder of one file system.

    A blob appears under its name complete and on disk, or not at all: its temporary file is flushed before the
    rename, and the folder after it. A write of bytes that are there costs no disk write: it only renews the
    blob's time, so that collection leaves it alone. The lock orders that renewal against a deletion.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._incoming = root / INCOMING
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._lock = root / LOCK
        self._lock.touch()

    def writer(self) -> "LocalBlobWriter":
        return LocalBlobWriter(self)

    def open(self, digest: str) -> BinaryIO:
        try:
            return self._file(digest).open("rb")
        except FileNotFoundError:
            raise MissingBlobError(digest) from None

    def read(self, digest: str) -> bytes:
        with self.open(digest) as file:
            return file.read()

    def iter_chunks(self, digest: str, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
        with self.open(digest) as file:
            while chunk := file.read(chunk_bytes):
                yield chunk

    def path(self, digest: str) -> Path | None:
        file = self._file(digest)
        if not file.exists():
            raise MissingBlobError(digest)
        return file

    def exists(self, digest: str) -> bool:
        return self._file(digest).exists()

    def size(self, digest: str) -> int:
        try:
            return self._file(digest).stat().st_size
        except FileNotFoundError:
            raise MissingBlobError(digest) from None

    def delete(self, digest: str, unused_since: datetime | None = None) -> bool:
        file = self._file(digest)
        with self._locked(fcntl.LOCK_EX):
            try:
                if unused_since and file.stat().st_mtime >= unused_since.timestamp():
                    return False
                file.unlink()
            except FileNotFoundError:
                return False
        return True

    def digests_older_than(self, moment: datetime) -> Iterator[str]:
        limit = moment.timestamp()
        for folder in self.root.iterdir():
            if len(folder.name) == 2 and folder.is_dir():
                yield from _digests_in(folder, limit)

    def delete_unfinished(self, moment: datetime) -> int:
        count = 0
        for file in self._incoming.iterdir():
            with suppress(FileNotFoundError):
                if file.stat().st_mtime < moment.timestamp():
                    file.unlink()
                    count += 1
        return count

    def _file(self, digest: str) -> Path:
        return self.root / blob_key(digest)

    def new_incoming(self) -> tuple[Path, int]:
        """A fresh temporary file on the blobs' file system: its path and its descriptor, open for writing."""
        path = self._incoming / secrets.token_hex(16)
        return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, BLOB_MODE)

    def renew(self, blob: Blob) -> bool:
        """Whether the store has the blob, whole; if so its time is now. A file of another size is not the blob."""
        file = self._file(blob.digest)
        with self._locked(fcntl.LOCK_SH):
            try:
                if file.stat().st_size != blob.size_bytes:
                    return False
                os.utime(file)
            except FileNotFoundError:
                return False
        return True

    def take_over(self, incoming: Path, blob: Blob) -> None:
        """Give the flushed temporary file its name, durably. A rename over the same blob changes nothing."""
        file = self._file(blob.digest)
        if not file.parent.exists():
            file.parent.mkdir(exist_ok=True)
            _flush_folder(self.root)
        with self._locked(fcntl.LOCK_SH):
            incoming.rename(file)
        _flush_folder(file.parent)

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, how)
            yield
        finally:
            os.close(descriptor)


class LocalBlobWriter:
    """Writes one blob. Up to 1 MiB stays in memory, so that a small blob that is there already touches no disk."""

    def __init__(self, store: LocalBlobStore) -> None:
        self._store = store
        self._hash = hashlib.sha256()
        self._size_bytes = 0
        self._memory: list[bytes] = []
        self._incoming: tuple[Path, int] | None = None
        self._closed = False

    def write(self, data: bytes) -> None:
        if self._closed:
            raise ValueError("write to a blob that is finished or aborted")
        self._hash.update(data)
        self._size_bytes += len(data)
        self._memory.append(data)
        if self._incoming or self._size_bytes > MEMORY_LIMIT_BYTES:
            self._spill()

    def finish(self) -> Blob:
        if self._closed:
            raise ValueError("finish of a blob that is finished or aborted")
        blob = Blob(self._hash.hexdigest(), self._size_bytes)
        try:
            if not self._store.renew(blob):
                self._store.take_over(self._flushed(), blob)
        finally:
            self.abort()
        return blob

    def abort(self) -> None:
        self._closed = True
        self._memory.clear()
        if self._incoming:
            path, descriptor = self._incoming
            self._incoming = None
            os.close(descriptor)
            path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def _spill(self) -> int:
        self._incoming = self._incoming or self._store.new_incoming()
        descriptor = self._incoming[1]
        for data in self._memory:
            _write_all(descriptor, data)
        self._memory.clear()
        return descriptor

    def _flushed(self) -> Path:
        descriptor = self._spill()
        os.fsync(descriptor)
        assert self._incoming is not None  # noqa: S101 -- _spill made it
        return self._incoming[0]


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _digests_in(folder: Path, limit: float) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                if is_digest(entry.name) and entry.stat().st_mtime < limit:
                    yield entry.name


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
