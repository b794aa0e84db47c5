"""Archives that were uploaded as a version's only file: they stay one file, so the code in them is not found."""

from collections.abc import Sequence

from modelyard.kernel.errors import Invalid
from modelyard.storage.archive_checks import ArchiveLimits
from modelyard.storage.archives import read_archive
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces.service import StoredFile

CODE_FILES = frozenset({"custom.py", "start_server.sh"})
SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
MAX_BYTES = 256 << 20
LIMITS = ArchiveLimits(members=10_000, total_bytes=1 << 30)


def packed_code(blobs: BlobStore, files: Sequence[StoredFile]) -> str | None:
    """What to tell of a version that is one archive with the code inside; None of any other."""
    if len(files) != 1 or not files[0].path.lower().endswith(SUFFIXES) or files[0].size_bytes > MAX_BYTES:
        return None
    file = files[0]
    try:
        with blobs.open(file.digest) as content:
            found = next((path for path, _ in read_archive(content, LIMITS) if _name(path) in CODE_FILES), None)
    except Invalid:  # it is no archive, or a hostile one
        return None
    if found is None:
        return None
    return (
        f"{file.path} is an archive and stays one file: the {found} in it is not used. "
        "Upload the files themselves, each with its filePath."
    )


def _name(path: str) -> str:
    return path.rpartition("/")[2]
