"""Workspaces as folders, for workloads to mount: written once for each content, shared by everything that runs it."""

from collections.abc import Iterable
from pathlib import Path

from modelyard.storage.blobs import BlobStore
from modelyard.storage.folders import discard, drop_unused, made_once
from modelyard.workspaces.service import StoredFile, tree_digest

EXECUTABLE_SUFFIXES = (".sh",)


class Checkouts:
    """Folders named by the digest of their content. They are copies: user code can never reach a blob through them."""

    def __init__(self, root: Path, blobs: BlobStore) -> None:
        self._root = root
        self._blobs = blobs

    def path(self, files: Iterable[StoredFile]) -> Path:
        """The folder that holds ``files``; made, whole or not at all, when it is not there yet."""
        wanted = list(files)

        def write(folder: Path) -> None:
            for file in wanted:
                self._write(folder, file)

        return made_once(self._root, tree_digest(wanted), write)

    def collect(self, live: set[str], older_than: float) -> int:
        """Removes folders that are not ``live`` and untouched since ``older_than`` (seconds since the epoch)."""
        return drop_unused(self._root, {self._root / name for name in live}, older_than)

    def discard(self, name: str, older_than: float) -> bool:
        """Remove one folder by its digest; False where it was asked for since ``older_than``, so that it stays."""
        return discard(self._root / name, older_than)

    def _write(self, staging: Path, file: StoredFile) -> None:
        target = staging / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = 0o755 if file.path.endswith(EXECUTABLE_SUFFIXES) or is_program(self._blobs, file) else 0o644
        with target.open("wb") as out:
            for chunk in self._blobs.iter_chunks(file.digest):
                out.write(chunk)
        target.chmod(mode)


def is_program(blobs: BlobStore, file: StoredFile) -> bool:
    """Whether a file says itself how it is executed: it names its interpreter, or is a binary."""
    with blobs.open(file.digest) as content:
        return content.read(4).startswith((b"#!", b"\x7fELF"))
