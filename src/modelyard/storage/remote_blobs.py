"""Blobs in an object store (S3, GCS, Azure) through obstore: ``<prefix>/<aa>/<digest>``."""

import hashlib
import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self, cast

import obstore
import obstore.exceptions
from obstore.store import ObjectStore

from modelyard.kernel.clock import Clock
from modelyard.kernel.outages import StoreOutage
from modelyard.storage.blobs import CHUNK_BYTES, MEMORY_LIMIT_BYTES, Blob, MissingBlobError, blob_key, is_digest

RENEW_AFTER: Final = timedelta(hours=12)
RANGE_BYTES: Final = 8 << 20
UPLOAD_PART_BYTES: Final = 8 << 20
UPLOAD_PARTS: Final = 9_000


class RemoteBlobStore:
    """A ``BlobStore`` in an object store.

    A blob's name is its digest, so the bytes are spooled (in memory to 1 MiB, then in a file without a name that
    vanishes with the process) until the digest is known, and then put in one atomic request. Bytes that the store
    has are not sent again, unless they are older than 12 hours: a put renews the blob's time, so that collection
    of blobs unused for a day or more never takes one that somebody has just begun to refer to.
    """

    def __init__(self, store: ObjectStore, spool_folder: Path, clock: Clock) -> None:
        self._store = store
        self._spool_folder = spool_folder
        self._clock = clock

    def writer(self) -> "RemoteBlobWriter":
        return RemoteBlobWriter(self, self._spool_folder)

    def open(self, digest: str) -> BinaryIO:
        return self._open(digest, CHUNK_BYTES)

    def read(self, digest: str) -> bytes:
        return b"".join(self.iter_chunks(digest))

    def iter_chunks(self, digest: str, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
        with self._open(digest, RANGE_BYTES) as file:
            while chunk := file.read(chunk_bytes):
                yield chunk

    def path(self, digest: str) -> Path | None:
        blob_key(digest)
        return None

    def exists(self, digest: str) -> bool:
        return self._written_at(digest) is not None

    def size(self, digest: str) -> int:
        try:
            with _noticing_outages():
                return obstore.head(self._store, blob_key(digest))["size"]
        except FileNotFoundError:
            raise MissingBlobError(digest) from None

    def delete(self, digest: str, unused_since: datetime | None = None) -> bool:
        written_at = self._written_at(digest)
        if written_at is None or (unused_since and written_at >= unused_since):
            return False
        with _noticing_outages():
            obstore.delete(self._store, blob_key(digest))
        return True

    def digests_older_than(self, moment: datetime) -> Iterator[str]:
        pages = iter(obstore.list(self._store, chunk_size=1000))
        while True:
            with _noticing_outages():
                page = next(pages, None)
            if page is None:
                return
            for item in page:
                name = item["path"].rpartition("/")[2]
                if is_digest(name) and item["last_modified"] < moment:
                    yield name

    def delete_unfinished(self, moment: datetime) -> int:
        return 0  # a spool vanishes with its process

    def put(self, blob: Blob, file: BinaryIO) -> None:
        """Send the blob unless the store has it, fresh enough."""
        written_at = self._written_at(blob.digest)
        if written_at and written_at > self._clock.now() - RENEW_AFTER:
            return
        part_bytes = max(UPLOAD_PART_BYTES, blob.size_bytes // UPLOAD_PARTS + 1)
        with _noticing_outages():
            obstore.put(self._store, blob_key(blob.digest), file, chunk_size=part_bytes, max_concurrency=4)

    def _open(self, digest: str, buffer_bytes: int) -> BinaryIO:
        """Ranged requests, not one long answer: each has the client's time-out for itself, however slow the reader."""
        file = _RemoteFile(self._store, blob_key(digest), self.size(digest))
        return cast("BinaryIO", io.BufferedReader(file, buffer_bytes))

    def _written_at(self, digest: str) -> datetime | None:
        try:
            with _noticing_outages():
                return obstore.head(self._store, blob_key(digest))["last_modified"]
        except FileNotFoundError:
            return None


@contextmanager
def _noticing_outages() -> Iterator[None]:
    """Raise StoreOutage for a store that fails, apart from one that says that there is no such object."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (obstore.exceptions.BaseError, OSError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise StoreOutage(lines[0][:200]) from error


class RemoteBlobWriter:
    """Spools and hashes one blob, then puts it."""

    def __init__(self, store: RemoteBlobStore, spool_folder: Path) -> None:
        self._store = store
        self._hash = hashlib.sha256()
        self._size_bytes = 0
        self._spool = tempfile.SpooledTemporaryFile(MEMORY_LIMIT_BYTES, dir=str(spool_folder))  # noqa: SIM115 -- abort closes

    def write(self, data: bytes) -> None:
        self._spool.write(data)
        self._hash.update(data)
        self._size_bytes += len(data)

    def finish(self) -> Blob:
        blob = Blob(self._hash.hexdigest(), self._size_bytes)
        with self:
            self._spool.seek(0)
            self._store.put(blob, cast("BinaryIO", self._spool))
        return blob

    def abort(self) -> None:
        self._spool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()


class _RemoteFile(io.RawIOBase):
    """An object as a seekable raw file: each read is one ranged request."""

    def __init__(self, store: ObjectStore, key: str, size_bytes: int) -> None:
        self._store = store
        self._key = key
        self._size_bytes = size_bytes
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size_bytes}[whence]
        if start + offset < 0:
            raise ValueError(f"seek to {start + offset}, before the start of the file")
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # BufferedReader's buffers
        length = min(len(buffer), self._size_bytes - self._position)
        if length <= 0:
            return 0
        with _noticing_outages():
            data = obstore.get_range(self._store, self._key, start=self._position, length=length)
        buffer[: len(data)] = memoryview(data)
        self._position += len(data)
        return len(data)
