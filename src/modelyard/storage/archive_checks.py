"""What every archive that a client sent is checked against, whatever its kind."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Final, cast

from modelyard.kernel.errors import Invalid
from modelyard.kernel.file_paths import check_file_path, check_tree, shown, without_leading_dot

READ_BYTES: Final = 1 << 20
BUFFER_BYTES: Final = 64 << 10
RATIO_GRACE_BYTES: Final = 64 << 20

BROKEN: Final = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    gzip.BadGzipFile,
    EOFError,
    struct.error,
    NotImplementedError,
    RecursionError,
    OverflowError,
    ValueError,
    KeyError,
    IndexError,
)


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What an archive may hold. The ratio (unpacked to packed bytes) counts above 64 MiB unpacked."""

    members: int = 1_000
    total_bytes: int = 10 << 30
    ratio: int = 250


def refuse(text: str) -> Invalid:
    return Invalid(f"The archive cannot be used: {text}.")


def checked_member_path(name: str) -> str:
    """The path of a member, checked as that of any file; ``./`` in front, as tar writes it, is dropped."""
    try:
        return check_file_path(without_leading_dot(name))
    except ValueError as error:
        raise refuse(f"its member {error}") from None


class Tally:
    """Counts members and bytes against the limits, and refuses a path that comes twice or through a file."""

    def __init__(self, limits: ArchiveLimits) -> None:
        self._limits = limits
        self._paths: dict[str, None] = {}
        self._members = 0
        self._total_bytes = 0

    def add(self, path: str, size_bytes: int) -> None:
        """Count a file of this unpacked size."""
        self.add_folder()
        if path in self._paths:
            raise refuse(f"its member {shown(path)} is there twice")
        self._paths[path] = None
        if len(self._paths) > self._limits.members:
            raise refuse(f"it has more than {self._limits.members} files")
        self._total_bytes += size_bytes
        if self._total_bytes > self._limits.total_bytes:
            raise refuse(f"at its member {shown(path)} it unpacks to more than {self._limits.total_bytes} bytes")

    def add_folder(self) -> None:
        """Count a member that is no file: folders are left out, yet not free to read."""
        self._members += 1
        if self._members > self._limits.members * 2:
            raise refuse(f"it has more than {self._limits.members * 2} members")

    def check_ratio(self, what: str, unpacked_bytes: int, packed_bytes: int) -> None:
        if unpacked_bytes > RATIO_GRACE_BYTES and unpacked_bytes > packed_bytes * self._limits.ratio:
            raise refuse(f"{what} unpacks to {self._limits.ratio} times its size or more")

    def finish(self) -> None:
        """Every path is known: they must be one tree, with something in it."""
        if not self._paths:
            raise refuse("there is no file in it")
        try:
            check_tree(self._paths)
        except ValueError as error:
            raise refuse(str(error)) from None


@contextmanager
def broken_is_invalid(what: str) -> Iterator[None]:
    """What the readers of the standard library raise for broken input becomes an Invalid that says where."""
    try:
        yield
    except BROKEN as error:
        reason = str(error) or type(error).__name__
        raise refuse(f"{what} is broken ({reason})") from error


class _MemberFile(io.RawIOBase):
    """A member's content: read in bounded pieces, its errors answered as Invalid with the member's name."""

    def __init__(self, source: BinaryIO, path: str, size_bytes: int) -> None:
        self._source = source
        self._path = path
        self._rest_bytes = size_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # BufferedReader's buffers
        with broken_is_invalid(f"its member {shown(self._path)}"):
            data = self._source.read(min(len(buffer), READ_BYTES))
        self._rest_bytes -= len(data)
        if self._rest_bytes < 0 or (not data and buffer and self._rest_bytes):
            raise refuse(f"its member {shown(self._path)} has another size than the archive says")
        buffer[: len(data)] = data
        return len(data)


def member_file(source: BinaryIO, path: str, size_bytes: int) -> BinaryIO:
    """The content of a member for a caller: a buffered file that raises Invalid where the archive is broken."""
    return cast("BinaryIO", io.BufferedReader(_MemberFile(source, path, size_bytes), BUFFER_BYTES))
