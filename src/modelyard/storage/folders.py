"""Folders that are derived from something, made once and shared by everybody who needs the same."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from modelyard.kernel.ids import new_id


def made_once(root: Path, name: str, make: Callable[[Path], None]) -> Path:
    """The folder ``name`` in ``root``. Where it is not there yet, ``make`` fills it: whole, or not at all.

    Every user may read it, such as the one of a sandbox, who is shown only this folder and not those above it.

    Its time of change says when it was asked for last.
    """
    folder = root / name
    if folder.is_dir():
        os.utime(folder)
        return folder
    staging = root / f".staging-{new_id()}"
    staging.mkdir(parents=True)
    try:
        make(staging)
        _open_to_all(staging)
        try:
            staging.rename(folder)
        except OSError:
            if not folder.is_dir():  # not merely that somebody else was faster
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return folder


def _open_to_all(folder: Path) -> None:
    """What chmod calls ``a+rX``."""
    for parent, _, names in os.walk(folder):
        Path(parent).chmod(0o755)
        for name in names:
            path = Path(parent, name)
            path.chmod(path.stat().st_mode | 0o444)


def drop_unused(root: Path, in_use: set[Path], older_than: float) -> int:
    """Removes folders that are not ``in_use`` and that nobody asked for since (seconds since the epoch)."""
    folders = list(root.iterdir()) if root.is_dir() else []
    return sum(discard(folder, older_than) for folder in folders if folder not in in_use and folder.exists())


def discard(folder: Path, older_than: float) -> bool:
    """Remove a folder unless it was asked for since ``older_than``; one that is not there counts as removed."""
    if folder.is_dir() and folder.stat().st_mtime >= older_than:
        return False
    shutil.rmtree(folder, ignore_errors=True)
    return True
