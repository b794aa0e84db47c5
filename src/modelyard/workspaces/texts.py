"""The text of a file, for operations that answer it in JSON."""

from modelyard.kernel.errors import invalid
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces.service import StoredFile

MAX_TEXT_BYTES = 8 << 20


def read_text(blobs: BlobStore, file: StoredFile, field: str) -> str:
    """The file as text; raises ``Invalid`` on ``field`` for one that is no UTF-8 text, or too long for an answer."""
    if file.size_bytes > MAX_TEXT_BYTES:
        text = f"{file.path} has {file.size_bytes} bytes; at most {MAX_TEXT_BYTES} are answered as text"
        raise invalid(**{field: text})
    try:
        content = blobs.read(file.digest).decode()
    except UnicodeDecodeError as error:
        raise invalid(**{field: f"{file.path} is not UTF-8 text (byte {error.start})"}) from None
    if "\0" in content:
        raise invalid(**{field: f"{file.path} is binary: it holds NUL characters"})
    return content
