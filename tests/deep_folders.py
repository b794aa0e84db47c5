"""Folders that are deeper than recursion goes, and whose paths are longer than the kernel takes."""

import os
from pathlib import Path

LEVELS = 1_200
NAME = "d" * 100


def make_deep(folder: Path) -> None:
    """Make a folder with 1,200 levels below it, of 100 characters each, and a file in the last."""
    folder.mkdir(parents=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(LEVELS):
        os.mkdir(NAME, dir_fd=descriptor)
        below = os.open(NAME, os.O_RDONLY | os.O_DIRECTORY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(os.open("file", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=descriptor))
    os.close(descriptor)
