"""The folders of an installation on this machine, closed to every other user."""

import os
from pathlib import Path
from typing import Final

from modelyard.kernel.private_folders import open_private_folder
from modelyard.kernel.settings import Settings

SHOWN: Final = frozenset({"cache", "checkouts", "images", "tables", "trainings", "transforms"})
"""Folders that hold what workloads are shown. What is shown is readable for all, such as the sandbox's own user; the
way to it is not, since the data directory is closed."""


def open_data_dir(settings: Settings) -> Path:
    """The data directory, made where it is missing. Raises ``UnsafeFolderError``.

    What an older version left readable for others is closed: folders with all that is below them, and files.
    """
    folder = open_private_folder(settings.data_dir, "MODELYARD_DATA_DIR or --data-dir")
    for entry in os.scandir(folder):
        mode = entry.stat(follow_symlinks=False).st_mode
        if entry.name not in SHOWN and mode & 0o077 and not entry.is_symlink():
            Path(entry.path).chmod(mode & 0o700)
    return folder


def open_folders(settings: Settings) -> None:
    """The data directory, and the one of sockets, for a process that only connects to them."""
    open_data_dir(settings)
    open_private_folder(settings.sockets_dir(), "MODELYARD_RUNTIME_DIR")
