"""Blobs, the same tests for a local folder and for an object store."""

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from modelyard.kernel.clock import SystemClock
from modelyard.storage.blobs import BlobStore, MissingBlobError, store_bytes, store_stream
from modelyard.storage.local_blobs import LocalBlobStore
from modelyard.storage.locations import open_blob_store
from modelyard.storage.remote_blobs import RemoteBlobStore

MIB = 1 << 20
SIZES = [0, 1, 5000, MIB, MIB + 1, 3 * MIB + 17, 20 * MIB]


class TestClock:
    """A clock that stands where it is put."""

    __test__ = False

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture(params=["local", "remote"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    if request.param == "local":
        return LocalBlobStore(tmp_path / "blobs")
    return RemoteBlobStore(MemoryStore(), tmp_path, SystemClock())


def content(size: int) -> bytes:
    return hashlib.shake_128(str(size).encode()).digest(size)


@pytest.mark.parametrize("size", SIZES)
def test_a_blob_comes_back(store: BlobStore, size: int) -> None:
    data = content(size)
    blob = store_bytes(store, data)
    assert (blob.digest, blob.size_bytes) == (hashlib.sha256(data).hexdigest(), size)
    assert store.read(blob.digest) == data
    assert b"".join(store.iter_chunks(blob.digest, 100_000)) == data
    assert store.size(blob.digest) == size
    assert store.exists(blob.digest)
    with store.open(blob.digest) as file:
        file.seek(size // 2)
        assert file.read() == data[size // 2 :]
        file.seek(-min(size, 10), os.SEEK_END)
        assert file.read(5) == data[max(0, size - 10) :][:5]


def test_pieces_and_streams_make_the_same_blob(store: BlobStore, tmp_path: Path) -> None:
    data = content(3 * MIB)
    source = tmp_path / "source"
    source.write_bytes(data)
    with source.open("rb") as file:
        streamed = store_stream(store, file, 70_001)
    assert streamed == store_bytes(store, data)
    assert len(list(store.digests_older_than(datetime.now(UTC) + timedelta(days=1)))) == 1


@pytest.mark.parametrize("digest", ["", "abc", "../" + "a" * 61, "A" * 64, "g" * 64, "a" * 64 + "\n"])
def test_what_is_no_digest_reaches_no_file(store: BlobStore, digest: str) -> None:
    for ask in (store.open, store.read, store.path, store.exists, store.size, store.delete):
        with pytest.raises(ValueError, match="not a SHA-256"):
            ask(digest)


def test_a_missing_blob(store: BlobStore) -> None:
    digest = "0" * 64
    assert not store.exists(digest)
    assert not store.delete(digest)
    for ask in (store.open, store.read, store.size):
        with pytest.raises(MissingBlobError):
            ask(digest)


def test_delete(store: BlobStore) -> None:
    blob = store_bytes(store, b"x")
    assert store.delete(blob.digest)
    assert not store.exists(blob.digest)


def test_collection_sees_only_what_is_old_and_spares_what_was_written_again(store: BlobStore) -> None:
    old = datetime.now(UTC) + timedelta(hours=1)
    blob = store_bytes(store, b"x")
    assert list(store.digests_older_than(old)) == [blob.digest]
    assert list(store.digests_older_than(datetime.now(UTC) - timedelta(hours=1))) == []
    assert not store.delete(blob.digest, unused_since=datetime.now(UTC) - timedelta(hours=1))
    assert store.delete(blob.digest, unused_since=old)


@pytest.mark.parametrize("size", [10, 3 * MIB])
def test_an_aborted_write_leaves_nothing(store: BlobStore, size: int, tmp_path: Path) -> None:
    writer = store.writer()
    writer.write(content(size))
    writer.abort()
    writer.abort()
    with pytest.raises(RuntimeError, match="boom"), store.writer() as second:  # noqa: PT012 -- the block is the test
        second.write(content(size))
        raise RuntimeError("boom")
    assert list(store.digests_older_than(datetime.now(UTC) + timedelta(days=1))) == []
    assert all_files(tmp_path) == []


def test_a_writer_is_used_once(store: BlobStore) -> None:
    with store.writer() as writer:
        writer.write(b"x")
        blob = writer.finish()
        for again in (writer.finish, lambda: writer.write(b"y")):
            with pytest.raises(ValueError, match=r"finish|closed"):
                again()
    assert store.read(blob.digest) == b"x"


@pytest.mark.parametrize("size", [100, 2 * MIB])
def test_two_writers_of_the_same_blob(store: BlobStore, size: int) -> None:
    data, start = content(size), threading.Barrier(8)

    def write() -> str:
        start.wait()
        return store_bytes(store, data).digest

    with ThreadPoolExecutor(8) as pool:
        digests = {future.result() for future in [pool.submit(write) for _ in range(8)]}
    assert len(digests) == 1
    assert store.read(digests.pop()) == data


def test_a_blob_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    store = LocalBlobStore(tmp_path)
    for data in (b"small", content(2 * MIB)):
        path = store.path(store_bytes(store, data).digest)
        assert path
        os.utime(path, (1, 1))
        before = path.stat()
        store_bytes(store, data)
        assert path.stat().st_ino == before.st_ino
        assert path.stat().st_mtime > 1


def test_a_damaged_blob_is_replaced_by_the_next_write(tmp_path: Path) -> None:
    store = LocalBlobStore(tmp_path)
    blob = store_bytes(store, b"hello")
    path = store.path(blob.digest)
    assert path
    path.unlink()
    path.write_bytes(b"")
    store_bytes(store, b"hello")
    assert store.read(blob.digest) == b"hello"


def test_local_files_cannot_be_written_and_lie_by_their_digest(tmp_path: Path) -> None:
    store = LocalBlobStore(tmp_path)
    blob = store_bytes(store, b"hello")
    path = store.path(blob.digest)
    assert path == tmp_path / blob.digest[:2] / blob.digest
    assert path.stat().st_mode & 0o777 == 0o400
    with pytest.raises(MissingBlobError):
        store.path("0" * 64)


def test_a_killed_writer_is_swept_and_a_living_one_is_not(tmp_path: Path) -> None:
    store = LocalBlobStore(tmp_path)
    dead, living = store.writer(), store.writer()
    dead.write(content(2 * MIB))
    (left,) = (tmp_path / ".incoming").iterdir()
    os.utime(left, (1, 1))
    living.write(content(2 * MIB))
    assert store.delete_unfinished(datetime.now(UTC) - timedelta(hours=1)) == 1
    assert store.exists(living.finish().digest)
    dead.abort()


def test_writers_and_collection_never_lose_a_blob(tmp_path: Path) -> None:
    """A write that answered while collection deletes what is old: the blob is there afterwards."""
    store, data, stop = LocalBlobStore(tmp_path), b"wanted", threading.Event()
    digest = store_bytes(store, data).digest
    path = store.path(digest)
    assert path

    def collect() -> None:
        while not stop.is_set():
            store.delete(digest, unused_since=datetime.fromtimestamp(10, UTC))

    collector = threading.Thread(target=collect)
    collector.start()
    try:
        for _ in range(300):
            store_bytes(store, data)
            assert store.read(digest) == data
            os.utime(path, (1, 1))
    finally:
        stop.set()
        collector.join()


def test_a_remote_blob_is_sent_again_only_when_it_is_old(tmp_path: Path) -> None:
    clock, objects = TestClock(), MemoryStore()
    store = RemoteBlobStore(objects, tmp_path, clock)
    blob = store_bytes(store, b"x")
    key = f"{blob.digest[:2]}/{blob.digest}"
    first = objects.head(key)["last_modified"]
    store_bytes(store, b"x")
    assert objects.head(key)["last_modified"] == first
    clock.ahead = timedelta(hours=13)
    store_bytes(store, b"x")
    assert objects.head(key)["last_modified"] > first


def test_locations(tmp_path: Path) -> None:
    clock = SystemClock()
    for place in (tmp_path / "a", str(tmp_path / "b"), f"file://{tmp_path}/c"):
        assert isinstance(open_blob_store(place, tmp_path / "spool", clock), LocalBlobStore)
    remote = open_blob_store("memory:///", tmp_path / "spool", clock)
    assert isinstance(remote, RemoteBlobStore)
    assert remote.read(store_bytes(remote, b"x").digest) == b"x"


def all_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
