"""Blobs: bytes, stored once, named by their SHA-256."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Protocol, Self

CHUNK_BYTES: Final = 1 << 20
MEMORY_LIMIT_BYTES: Final = 1 << 20

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class MissingBlobError(LookupError):
    """The store holds no blob of this digest."""


@dataclass(frozen=True, slots=True)
class Blob:
    """What a finished write stored: its SHA-256 in lower-case hex, and its size."""

    digest: str
    size_bytes: int


class BlobWriter(Protocol):
    """One blob being written. As a context manager it aborts on an exception, and without a ``finish``."""

    def write(self, data: bytes) -> None: ...

    def finish(self) -> Blob:
        """Store what was written, durably, unless the store has it already."""

    def abort(self) -> None:
        """Forget what was written. Does nothing after ``finish`` or a first ``abort``."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class BlobStore(Protocol):
    """Where blobs are. Every method is safe to call from several threads and processes at once.

    Reading methods raise MissingBlobError for a digest that is not there and ValueError for what is no digest.
    """

    def writer(self) -> BlobWriter: ...

    def open(self, digest: str) -> BinaryIO:
        """The blob as a seekable binary file, to be closed by the caller."""

    def read(self, digest: str) -> bytes: ...

    def iter_chunks(self, digest: str, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]: ...

    def path(self, digest: str) -> Path | None:
        """The blob's read-only file on this machine, or None when the store is elsewhere."""

    def exists(self, digest: str) -> bool: ...

    def size(self, digest: str) -> int: ...

    def delete(self, digest: str, unused_since: datetime | None = None) -> bool:
        """Delete the blob and tell whether it did: a blob written (again) after ``unused_since`` stays."""

    def digests_older_than(self, moment: datetime) -> Iterator[str]:
        """The blobs last written (a repeated write counts) before ``moment``: what collection looks at."""

    def delete_unfinished(self, moment: datetime) -> int:
        """Delete what writers that died before ``moment`` left behind; how many files that were."""


def store_bytes(store: BlobStore, data: bytes) -> Blob:
    with store.writer() as writer:
        writer.write(data)
        return writer.finish()


def store_stream(store: BlobStore, source: BinaryIO, chunk_bytes: int = CHUNK_BYTES) -> Blob:
    """Store what ``source`` still holds, chunk by chunk."""
    with store.writer() as writer:
        while chunk := source.read(chunk_bytes):
            writer.write(chunk)
        return writer.finish()


def blob_key(digest: str) -> str:
    """Where a blob is under its store's root: ``<aa>/<digest>``. ValueError for what is no SHA-256 in hex."""
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"{digest!r} is not a SHA-256 digest of 64 lower-case hex digits")
    return f"{digest[:2]}/{digest}"


def is_digest(name: str) -> bool:
    return _DIGEST.fullmatch(name) is not None
