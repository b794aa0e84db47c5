"""What of a folder is pushed: its files without what ``.modelyardignore`` and common sense leave out."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore import GitIgnorePatternError

from modelyard.cli.errors import CommandError, ExitCode

IGNORE_FILE = ".modelyardignore"
ALWAYS_IGNORED = (
    ".git/",
    ".hg/",
    ".svn/",
    ".venv/",
    "__pycache__/",
    "*.py[co]",
    ".mypy_cache/",
    ".pytest_cache/",
    ".ruff_cache/",
    ".ipynb_checkpoints/",
    ".DS_Store",
    "Thumbs.db",
)
"""Left out before ``.modelyardignore`` is read, which can take them in again with ``!``."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file to push: its path inside the folder, with slashes."""

    path: str
    source: Path
    size_bytes: int

    def digest(self) -> str:
        """SHA-256 of its content, in hex."""
        with self.source.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def files_of(folder: Path) -> list[LocalFile]:
    """The files of a folder that are pushed, by path. Links are followed inside the folder, refused outside."""
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise CommandError(f"{folder} {what}", hint="name a folder to push", code=ExitCode.USAGE)
    spec = _rules(folder)
    found = sorted(_walk(folder, spec), key=lambda file: file.path)
    if not found:
        raise CommandError(f"{folder} has no file to push", hint=f"{IGNORE_FILE} may leave out too much")
    return found


def _rules(folder: Path) -> GitIgnoreSpec:
    file = folder / IGNORE_FILE
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    try:
        return GitIgnoreSpec.from_lines([*ALWAYS_IGNORED, *lines])
    except GitIgnorePatternError as error:
        raise CommandError(f"{file}: {error}", hint="it is written like a .gitignore") from error


def _walk(folder: Path, spec: GitIgnoreSpec) -> Iterator[LocalFile]:
    root = folder.resolve()
    for place, folders, names in os.walk(folder):
        inside = Path(place).relative_to(folder)
        folders[:] = [name for name in folders if not spec.match_file(f"{(inside / name).as_posix()}/")]
        for name in names:
            path = (inside / name).as_posix()
            if spec.match_file(path):
                continue
            source = Path(place) / name
            if not source.resolve().is_relative_to(root):
                raise CommandError(
                    f"{source} is a link out of the folder", hint=f"copy the file, or add it to {IGNORE_FILE}"
                )
            if source.is_file():
                yield LocalFile(path, source, source.stat().st_size)
