"""A zip written as it is sent: no temporary file, flat memory, the same bytes for the same files."""

import io
import re
import stat
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO, Final

READ_BYTES: Final = 1 << 20
SEND_BYTES: Final = 256 << 10
FIXED_TIME: Final = (1980, 1, 1, 0, 0, 0)
QUICK_LEVEL: Final = 1
THOROUGH_LEVEL: Final = 6
THOROUGH_LIMIT_BYTES: Final = 1 << 20
UNIX: Final = 3

_COMPRESSED: Final = re.compile(
    r"\.(7z|br|bz2|docx|feather|gif|gz|jar|jpe?g|lz4|mp[34]|npz|orc|parquet|png|pptx|pth?|rar"
    r"|t[bgx]z2?|webp|whl|xlsx|xz|zip|zst)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """A file to send: its checked path, its exact size, and how to open it (called once, when its turn comes)."""

    path: str
    size_bytes: int
    open: Callable[[], BinaryIO]


def stream_zip(entries: Iterable[ZipEntry]) -> Iterator[bytes]:
    """The zip of the entries, in their order, in pieces of at least 256 KiB.

    Times are fixed at 1980-01-01, scripts (``.sh``) are executable, ZIP64 is used where sizes ask for it. What is
    compressed already gets deflate's level 0, that is, it is stored in deflate's frame: readers that cannot seek
    (Java's, for one) refuse the method "stored" in a zip that was streamed.

    Raises ValueError when an entry has another size than it said: a shortened file must not pass for a whole one.
    """
    buffer = _Pipe()
    with zipfile.ZipFile(buffer, "w") as archive:
        for entry in entries:
            info = _info(entry)
            with entry.open() as source, archive.open(info, "w") as member:
                size_bytes = 0
                while chunk := source.read(READ_BYTES):
                    size_bytes += len(chunk)
                    member.write(chunk)
                    if buffer.waiting_bytes >= SEND_BYTES:
                        yield buffer.take()
            if size_bytes != entry.size_bytes:
                raise ValueError(f"'{entry.path}' has {size_bytes} bytes where {entry.size_bytes} were expected")
    yield buffer.take()


def _info(entry: ZipEntry) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(entry.path, FIXED_TIME)
    suffix = PurePosixPath(entry.path).suffix
    info.create_system = UNIX
    info.external_attr = (stat.S_IFREG | (0o755 if suffix.lower() == ".sh" else 0o644)) << 16
    info.file_size = entry.size_bytes
    info.compress_type = zipfile.ZIP_DEFLATED
    info._compresslevel = _level(suffix, entry.size_bytes)  # type: ignore[attr-defined] # noqa: SLF001 -- public in 3.13
    return info


def _level(suffix: str, size_bytes: int) -> int:
    if _COMPRESSED.fullmatch(suffix):
        return 0
    return THOROUGH_LEVEL if size_bytes <= THOROUGH_LIMIT_BYTES else QUICK_LEVEL


class _Pipe(io.RawIOBase):
    """What zipfile writes to: it cannot seek, and gives away what it got."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.waiting_bytes = 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # zipfile writes bytes only
        self._pieces.append(bytes(data))
        self.waiting_bytes += len(data)
        return len(data)

    def take(self) -> bytes:
        pieces, self._pieces, self.waiting_bytes = self._pieces, [], 0
        return b"".join(pieces)
