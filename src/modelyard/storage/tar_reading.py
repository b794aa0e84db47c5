"""Reading a tar that a client sent, in one pass: it has no directory, so each member is checked when it comes."""

import re
import tarfile
from collections.abc import Iterator
from typing import BinaryIO, Final, cast

from modelyard.kernel.file_paths import shown
from modelyard.storage.archive_checks import (
    READ_BYTES,
    ArchiveLimits,
    Tally,
    broken_is_invalid,
    checked_member_path,
    member_file,
    refuse,
)

BLOCK_BYTES: Final = 512
HEADER_BYTES: Final = 64 << 10
"""What the headers of one member may hold: long names and extended attributes included."""

_LONG_NUMBER: Final = re.compile(rb"\d{256}")


def read_tar(unpacked: BinaryIO, packed: BinaryIO, limits: ArchiveLimits) -> Iterator[tuple[str, BinaryIO]]:
    """The files of a tar, as ``read_archive`` says. ``packed`` is the file as sent, ``unpacked`` its tar."""
    tally = Tally(limits)
    reader = _ForwardReader(unpacked, packed, tally, limits)
    last = "its start"
    archive: tarfile.TarFile | None = None
    while True:
        with broken_is_invalid("it is not a zip, a tar or a tar.gz, or it" if archive is None else f"after {last} it"):
            reader.begin_header()
            archive = archive or tarfile.open(fileobj=cast("BinaryIO", reader), mode="r:")  # noqa: SIM115 -- no file of its own
            member = archive.next()
            reader.end_header()
        if member is None:
            break
        path = _checked_path(member)
        last = f"its member {shown(member.name)}"
        if path is None:
            tally.add_folder()
            continue
        tally.add(path, member.size)
        source = archive.extractfile(member)
        if source is not None:
            yield path, member_file(cast("BinaryIO", source), path, member.size)
    if not reader.ended_by_zeros:
        raise refuse(f"after {last} it is broken or cut off")
    tally.finish()


def _checked_path(member: tarfile.TarInfo) -> str | None:
    """The path of a file, None for a folder; everything else is refused."""
    if member.isdir():
        if member.name not in {".", "./"}:
            checked_member_path(member.name)
        return None
    path = checked_member_path(member.name)
    if member.issym() or member.islnk():
        raise refuse(
            f"its member {shown(path)} is a link to {shown(member.linkname)}; only files and folders are taken"
        )
    if member.issparse():
        raise refuse(f"its member {shown(path)} is stored as a sparse file; pack it as a plain one")
    if not member.isreg():
        raise refuse(f"its member {shown(path)} is a device, a pipe or unknown; only files and folders are taken")
    return path


class _ForwardReader:
    """The tar for tarfile: only forward, counted against the limits, and with little to spend on headers.

    tarfile reads an extended header into memory at the size that it claims, and looks through it with patterns
    that take quadratic time on long numbers: both are refused here, before it sees them.
    """

    def __init__(self, unpacked: BinaryIO, packed: BinaryIO, tally: Tally, limits: ArchiveLimits) -> None:
        self._unpacked = unpacked
        self._packed = packed
        self._tally = tally
        self._limit_bytes = limits.total_bytes + limits.members * 2 * HEADER_BYTES
        self._position = 0
        self._header_rest_bytes: int | None = None
        self.ended_by_zeros = False

    def begin_header(self) -> None:
        self._header_rest_bytes = HEADER_BYTES

    def end_header(self) -> None:
        self._header_rest_bytes = None

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> int:
        """Skip what is between; tarfile goes back only where a member's size is a lie."""
        if position < self._position:
            raise tarfile.ReadError("a member's size is wrong")
        while self._position < position and self._take(min(position - self._position, READ_BYTES)):
            pass
        return self._position

    def read(self, size: int) -> bytes:
        if self._header_rest_bytes is None:
            return self._take(min(size, READ_BYTES))
        if size < 0 or size > self._header_rest_bytes:
            raise refuse(f"a header of one of its members has more than {HEADER_BYTES} bytes")
        self._header_rest_bytes -= size
        data = self._take(size)
        self.ended_by_zeros = len(data) == BLOCK_BYTES and not any(data)
        if _LONG_NUMBER.search(data):
            raise refuse("a header of one of its members is broken")
        return data

    def _take(self, size: int) -> bytes:
        data = self._unpacked.read(size)
        self._position += len(data)
        if self._position > self._limit_bytes:
            raise refuse(f"it unpacks to more than {self._limit_bytes} bytes")
        if self._unpacked is not self._packed:
            self._tally.check_ratio("it", self._position, self._packed.tell())
        return data
