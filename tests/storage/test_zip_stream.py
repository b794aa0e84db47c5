"""Zips as they are sent."""

import io
import os
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from modelyard.storage.archive_checks import ArchiveLimits
from modelyard.storage.archives import read_archive
from modelyard.storage.zip_stream import ZipEntry, stream_zip

MIB = 1 << 20


def entry(path: str, data: bytes) -> ZipEntry:
    return ZipEntry(path, len(data), lambda: io.BytesIO(data))


FILES = {
    "custom.py": b"print(1)\n" * 100,
    "start_server.sh": b"#!/bin/sh\n",
    "empty": b"",
    "daten/größe.csv": b"a,b\n" * 10_000,
    "model.zip": os.urandom(2 * MIB),
}


def zipped(files: dict[str, bytes]) -> bytes:
    return b"".join(stream_zip(entry(path, data) for path, data in files.items()))


def test_the_files_come_back() -> None:
    with zipfile.ZipFile(io.BytesIO(zipped(FILES))) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == FILES


def test_our_own_reader_takes_it() -> None:
    read = {path: file.read() for path, file in read_archive(io.BytesIO(zipped(FILES)), ArchiveLimits())}
    assert read == FILES


def test_the_same_files_make_the_same_bytes() -> None:
    assert zipped(FILES) == zipped(FILES)


def test_scripts_are_executable_and_nothing_else_is() -> None:
    with zipfile.ZipFile(io.BytesIO(zipped(FILES))) as archive:
        modes = {info.filename: info.external_attr >> 16 & 0o777 for info in archive.infolist()}
    assert {name for name, mode in modes.items() if mode & 0o111} == {"start_server.sh"}
    assert modes["custom.py"] == 0o644


def test_text_is_compressed_and_the_compressed_is_not() -> None:
    with zipfile.ZipFile(io.BytesIO(zipped(FILES))) as archive:
        assert archive.getinfo("daten/größe.csv").compress_size < 1000
        packed = archive.getinfo("model.zip")
    assert packed.file_size <= packed.compress_size < packed.file_size + 2000


def test_no_files_make_an_empty_zip() -> None:
    with zipfile.ZipFile(io.BytesIO(zipped({}))) as archive:
        assert archive.namelist() == []


@pytest.mark.parametrize("size", [0, 5, 7])
def test_a_file_of_another_size_stops_the_zip(size: int) -> None:
    with pytest.raises(ValueError, match=f"'a' has 6 bytes where {size} were expected"):
        list(stream_zip([ZipEntry("a", size, lambda: io.BytesIO(b"sixsix"))]))


class Zeros(io.RawIOBase):
    """A file of zeros that is nowhere; ``opened`` counts the open ones."""

    opened = 0

    def __init__(self, size: int) -> None:
        self.rest = size
        type(self).opened += 1

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        length = min(len(buffer), self.rest)
        buffer[:length] = bytes(length)
        self.rest -= length
        return length

    def close(self) -> None:
        if not self.closed:
            type(self).opened -= 1
        super().close()


def zeros(path: str, size: int) -> ZipEntry:
    return ZipEntry(path, size, lambda: cast("BinaryIO", Zeros(size)))


def test_memory_stays_flat() -> None:
    tracemalloc.start()
    try:
        sizes = [len(piece) for piece in stream_zip(zeros(f"{n}.gz", 64 * MIB) for n in range(3))]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(sizes) > 192 * MIB
    assert max(sizes) < 4 * MIB
    assert peak < 12 * MIB


def test_a_reader_that_stops_closes_the_file() -> None:
    pieces = cast("Iterator[bytes]", stream_zip([zeros("a.gz", 8 * MIB)]))
    next(pieces)
    assert Zeros.opened == 1
    pieces.close()  # type: ignore[attr-defined]
    assert Zeros.opened == 0


def test_more_than_four_gigabytes(tmp_path: Path) -> None:
    """Sizes that only ZIP64 can tell; zeros pack to 20 MiB."""
    size = (4 << 30) + 5
    target = tmp_path / "big.zip"
    with target.open("wb") as file:
        for piece in stream_zip([zeros("big", size), entry("after", b"x")]):
            file.write(piece)
    with zipfile.ZipFile(target) as archive:
        assert archive.getinfo("big").file_size == size
        assert archive.read("after") == b"x"
