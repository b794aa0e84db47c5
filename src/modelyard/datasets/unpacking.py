"""From the uploaded file to the plain one: what it is, told by its first bytes, and what is packed inside."""

import gzip
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from modelyard.kernel.errors import Invalid
from modelyard.storage.archive_checks import ArchiveLimits
from modelyard.storage.archives import read_archive
from modelyard.storage.blobs import BlobStore

CHUNK_BYTES = 1 << 20
MAX_RATIO = 1000
RATIO_GRACE_BYTES = 64 << 20

_GZIP = b"\x1f\x8b"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_OTHERS = {
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"GIF8": "an image",
    b"%PDF": "a PDF document",
    b"\xd0\xcf\x11\xe0": "an old Excel or Office file",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x7fELF": "a program",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
}


class NotATableError(Exception):
    """The file cannot be read as a table; ``message`` tells its owner why, and what would be right."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@contextmanager
def local_file(blobs: BlobStore, digest: str, folder: Path) -> Iterator[Path]:
    """The blob as a file of this machine; one from a remote store is copied into ``folder`` meanwhile."""
    path = blobs.path(digest)
    if path is not None:
        yield path
        return
    copy = folder / digest
    with copy.open("wb") as target:
        for chunk in blobs.iter_chunks(digest):
            target.write(chunk)
    try:
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def plain_file(path: Path, file_name: str, folder: Path, max_bytes: int) -> tuple[Path, str]:
    """The table inside ``path`` and its name: the file itself, or what was unpacked (gzip, zip) into ``folder``."""
    with path.open("rb") as file:
        start = file.read(8)
        file.seek(0)
        if start.startswith(_GZIP):
            inner = file_name.removesuffix(".gz")
            target = folder / "unpacked"
            with target.open("wb") as unpacked:
                _unpack_gzip(file, path.stat().st_size, unpacked, max_bytes)
            return target, inner
        if start.startswith(_ZIP):
            return _unpack_zip(file, folder, max_bytes)
    for magic, what in _OTHERS.items():
        if start.startswith(magic):
            raise NotATableError(f"'{file_name}' is {what}, not a table; upload CSV, JSON lines or Parquet.")
    return path, file_name


def _unpack_gzip(file: BinaryIO, packed_bytes: int, target: BinaryIO, max_bytes: int) -> None:
    total = 0
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as source:
            while chunk := source.read(CHUNK_BYTES):
                total += len(chunk)
                if total > max_bytes:
                    raise NotATableError(
                        f"The file unpacks to more than the {max_bytes} bytes that a dataset may have."
                    )
                if total > RATIO_GRACE_BYTES and total > packed_bytes * MAX_RATIO:
                    raise NotATableError(f"The file unpacks to over {MAX_RATIO} times its size, as no table does.")
                target.write(chunk)
    except (OSError, EOFError, zlib.error) as error:
        raise NotATableError(f"The gzip file is broken: {error}.") from error


def _unpack_zip(file: BinaryIO, folder: Path, max_bytes: int) -> tuple[Path, str]:
    """The only file of a zip."""
    target = folder / "unpacked"
    found: list[str] = []
    try:
        for path, member in read_archive(file, ArchiveLimits(total_bytes=max_bytes, ratio=MAX_RATIO)):
            if path.startswith("__MACOSX/"):
                continue
            if path == "[Content_Types].xml":
                raise NotATableError("The file is an Excel or Office file, not a table; save it as CSV.")
            found.append(path)
            if len(found) == 1:
                with target.open("wb") as unpacked:
                    shutil.copyfileobj(member, unpacked, CHUNK_BYTES)
    except Invalid as error:
        raise NotATableError(error.message) from error
    if len(found) != 1:
        raise NotATableError(f"The zip holds {len(found)} files; a dataset is one table, so it must hold one.")
    return target, found[0]
