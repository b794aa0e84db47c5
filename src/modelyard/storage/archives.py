"""Reading an archive that a client sent, zip, tar or tar.gz, without trusting anything in it."""

import gzip
from collections.abc import Iterator
from typing import BinaryIO, Final, cast

from modelyard.storage.archive_checks import ArchiveLimits, refuse
from modelyard.storage.tar_reading import read_tar
from modelyard.storage.zip_reading import read_zip

_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_GZIP: Final = b"\x1f\x8b"
_OTHERS: Final = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"7z\xbc\xaf": "7z", b"Rar!": "rar"}


def read_archive(file: BinaryIO, limits: ArchiveLimits) -> Iterator[tuple[str, BinaryIO]]:
    """The files of an archive, told by its first bytes: (checked relative path, content), in the archive's order.

    ``file`` must be seekable. A content can be read until the next one is asked for; what is not read is skipped.
    Folders are left out, archives in the archive are plain files.

    Raises Invalid, naming the member, for names that are absolute, escape or come twice, for links, devices and
    encrypted members, for what unpacks beyond the limits, and for an archive that is broken or contradicts itself.
    A zip's directory is checked before the first member is given; a tar, which has none, as it is read: whoever
    stores members must drop them all when a later one is refused. The last check is made after the last member.
    """
    start = file.read(8)
    file.seek(0)
    if not start:
        raise refuse("it is empty")
    if start.startswith(_ZIP):
        return read_zip(file, limits)
    other = next((name for magic, name in _OTHERS.items() if start.startswith(magic)), None)
    if other:
        raise refuse(f"it is compressed with {other}; send a zip, a tar or a tar.gz")
    if start.startswith(_GZIP):
        return read_tar(cast("BinaryIO", gzip.GzipFile(fileobj=file, mode="rb")), file, limits)
    return read_tar(file, file, limits)
