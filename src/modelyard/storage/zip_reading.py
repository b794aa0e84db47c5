"""Reading a zip that a client sent: its directory is checked against its members before any of them is read."""

import stat
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, cast

from modelyard.kernel.file_paths import shown
from modelyard.storage.archive_checks import (
    ArchiveLimits,
    Tally,
    broken_is_invalid,
    checked_member_path,
    member_file,
    refuse,
)

UNIX: Final = 3
ENCRYPTED: Final = 0x1 | 0x40 | 0x2000
HAS_DESCRIPTOR: Final = 0x8
UTF8_NAME: Final = 0x800
DIRECTORY_RECORD_BYTES: Final = 2048
TAIL_BYTES: Final = 128 << 10
DESCRIPTOR_BYTES: Final = 12
IN_EXTRA_FIELD: Final = 0xFFFFFFFF
ZIP64_FIELD: Final = 1

_LOCAL_HEADER: Final = struct.Struct("<4s5H3I2H")
_LOCAL_SIGNATURE: Final = b"PK\x03\x04"


def read_zip(file: BinaryIO, limits: ArchiveLimits) -> Iterator[tuple[str, BinaryIO]]:
    """The files of a zip, as ``read_archive`` says. Everything but the content is checked when it is called."""
    with broken_is_invalid("the zip"):
        archive = zipfile.ZipFile(cast("BinaryIO", _DirectoryReads(file, limits)))
        members = _checked_members(archive, file, limits)
    return _contents(archive, members)


def _contents(archive: zipfile.ZipFile, members: list[tuple[str, zipfile.ZipInfo]]) -> Iterator[tuple[str, BinaryIO]]:
    for path, info in members:
        with broken_is_invalid(f"its member {shown(path)}"):
            source = cast("BinaryIO", archive.open(info))
        with source:
            yield path, member_file(source, path, info.file_size)


def _checked_members(
    archive: zipfile.ZipFile, file: BinaryIO, limits: ArchiveLimits
) -> list[tuple[str, zipfile.ZipInfo]]:
    tally = Tally(limits)
    members: list[tuple[str, zipfile.ZipInfo]] = []
    for info in archive.infolist():
        path = checked_member_path(info.orig_filename.removesuffix("/"))
        _check_kind(info, path)
        if info.is_dir():
            tally.add_folder()
            continue
        tally.check_ratio(f"its member {shown(path)}", info.file_size, info.compress_size)
        tally.add(path, info.file_size)
        members.append((path, info))
    tally.finish()
    _check_layout(archive, file)
    return members


def _check_kind(info: zipfile.ZipInfo, path: str) -> None:
    if info.flag_bits & ENCRYPTED:
        raise refuse(f"its member {shown(path)} is encrypted")
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        method = zipfile.compressor_names.get(info.compress_type, str(info.compress_type))  # type: ignore[attr-defined]
        raise refuse(f"its member {shown(path)} is compressed by {method}; only deflate and store are read")
    kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == UNIX else 0
    if kind == stat.S_IFLNK:
        raise refuse(f"its member {shown(path)} is a symbolic link; only files and folders are taken")
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise refuse(f"its member {shown(path)} is a device, a pipe or a socket; only files and folders are taken")
    if info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
        raise refuse(f"its member {shown(path)} says two different sizes")


def _check_layout(archive: zipfile.ZipFile, file: BinaryIO) -> None:
    """Each member's own header says what the directory says, and no two members share bytes (quoted overlaps)."""
    end = 0
    for info in sorted(archive.infolist(), key=lambda item: item.header_offset):
        name = shown(info.orig_filename)
        if info.header_offset < end:
            raise refuse(f"its member {name} overlaps another one")
        header = _LocalHeader.read(file, info.header_offset)
        if not header.agrees_with(info):
            raise refuse(f"its member {name} contradicts the directory of the zip")
        end = info.header_offset + header.length_bytes + info.compress_size
        end += DESCRIPTOR_BYTES if header.flags & HAS_DESCRIPTOR else 0
        if end > archive.start_dir:
            raise refuse(f"its member {name} overlaps the directory of the zip")


@dataclass(frozen=True, slots=True)
class _LocalHeader:
    """The header in front of a member (APPNOTE 4.3.7), with its ZIP64 sizes put in."""

    flags: int
    method: int
    checksum: int
    packed_bytes: int
    unpacked_bytes: int
    name: bytes
    length_bytes: int

    @classmethod
    def read(cls, file: BinaryIO, offset: int) -> "_LocalHeader":
        file.seek(offset)
        fields = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        signature, _, flags, method, _, _, checksum, packed_bytes, unpacked_bytes, name_length, extra_length = fields
        if signature != _LOCAL_SIGNATURE:
            raise zipfile.BadZipFile("a member's header is not where the directory says")
        name, extra = file.read(name_length), file.read(extra_length)
        if IN_EXTRA_FIELD in {packed_bytes, unpacked_bytes}:
            unpacked_bytes, packed_bytes = _zip64_sizes(extra)
        length_bytes = _LOCAL_HEADER.size + name_length + extra_length
        return cls(flags, method, checksum, packed_bytes, unpacked_bytes, name, length_bytes)

    def agrees_with(self, info: zipfile.ZipInfo) -> bool:
        encoding = "utf-8" if info.flag_bits & UTF8_NAME else "cp437"
        if (self.method, self.name) != (info.compress_type, info.orig_filename.encode(encoding)):
            return False
        if self.flags & ENCRYPTED or (self.flags ^ info.flag_bits) & HAS_DESCRIPTOR:
            return False
        sizes = (self.checksum, self.packed_bytes, self.unpacked_bytes)
        return bool(self.flags & HAS_DESCRIPTOR) or sizes == (info.CRC, info.compress_size, info.file_size)


def _zip64_sizes(extra: bytes) -> tuple[int, int]:
    """Unpacked and packed size from the ZIP64 extra field, which in a local header holds both."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == ZIP64_FIELD:
            unpacked_bytes, packed_bytes = struct.unpack_from("<2Q", extra, 4)
            return unpacked_bytes, packed_bytes
        extra = extra[4 + length :]
    raise zipfile.BadZipFile("a member's header lacks its ZIP64 sizes")


class _DirectoryReads:
    """The file for zipfile, which reads a zip's whole directory at once: a read too long for the limits is refused."""

    def __init__(self, file: BinaryIO, limits: ArchiveLimits) -> None:
        self._file = file
        self._limit_bytes = max(TAIL_BYTES, limits.members * DIRECTORY_RECORD_BYTES)
        self.seek = file.seek
        self.tell = file.tell
        self.seekable = file.seekable

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._limit_bytes + 1 if size < 0 else min(size, self._limit_bytes + 1))
        if len(data) > self._limit_bytes:
            raise refuse(f"its directory has more than {self._limit_bytes} bytes")
        return data

    def close(self) -> None:
        """Left to the caller, whose file it is."""
