"""A workspace as a zip."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from io import BytesIO
from typing import BinaryIO

from modelyard.kernel.routing import Download
from modelyard.storage.blobs import BlobStore
from modelyard.storage.zip_stream import ZipEntry, stream_zip
from modelyard.workspaces.service import StoredFile


def zip_download(
    blobs: BlobStore, files: Iterable[StoredFile], file_name: str, extra: Mapping[str, bytes] | None = None
) -> Download:
    """The files, and ``extra`` ones by path where no file has that path, streamed as a zip."""
    entries = [ZipEntry(file.path, file.size_bytes, partial(blobs.open, file.digest)) for file in files]
    taken = {entry.path for entry in entries}
    for path, content in (extra or {}).items():
        if path not in taken:
            entries.append(ZipEntry(path, len(content), partial(_opened, content)))
    return Download(_chunks(entries), file_name, "application/zip")


def _chunks(entries: list[ZipEntry]) -> Iterator[bytes]:
    yield from stream_zip(entries)


def _opened(content: bytes) -> BinaryIO:
    return BytesIO(content)
