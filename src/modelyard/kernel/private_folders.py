"""Folders that no other user of the machine can read, replace or put anything into."""

import os
import stat
from pathlib import Path


class UnsafeFolderError(Exception):
    """A folder may be another user's work; the text names it, the reason and the setting that chooses another."""


def open_private_folder(path: Path, setting: str) -> Path:
    """Make sure that a folder is there and this user's alone; returns its absolute path.

    It is made with mode 0700 where it is missing. One of ours that others may only read is closed to them.

    Raises:
        UnsafeFolderError: the folder or one above it is another user's, is a link that another user made, or others
            may write there.
    """
    path = path.absolute()
    _check_parents(path, setting)
    try:
        for folder in reversed(path.parents):
            folder.mkdir(mode=0o755, exist_ok=True)  # whatever the umask would let others do
        path.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise UnsafeFolderError(
            f"{path} cannot be made: {error.strerror}. Choose another folder with {setting}."
        ) from None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        why = "is a link" if path.is_symlink() else f"cannot be opened ({error.strerror})"
        raise _unsafe(path, why, setting) from None
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid():
            raise _unsafe(path, f"belongs to the user {status.st_uid}", setting)
        if status.st_mode & 0o022:
            raise _unsafe(path, f"can be written by others (mode {stat.S_IMODE(status.st_mode):o})", setting)
        if status.st_mode & 0o077:
            os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)
    _check_parents(path, setting)  # again: what was missing before may have been made by another user first
    return path


def _check_parents(path: Path, setting: str) -> None:
    for folder in _above(path):
        _check_parent(folder, path, setting)


def _above(path: Path) -> list[Path]:
    """The existing folders above a path, and those above what links among them lead to."""
    named = [folder for folder in path.parents if os.path.lexists(folder)]
    real = path.parent.resolve()
    return list(dict.fromkeys([*named, *(folder for folder in (real, *real.parents) if folder.exists())]))


def _check_parent(folder: Path, path: Path, setting: str) -> None:
    status = folder.lstat()
    if status.st_uid not in {0, os.geteuid(), Path("/").stat().st_uid}:  # in some containers root has another id
        raise _unsafe(path, f"is below {folder}, which belongs to the user {status.st_uid}", setting)
    if stat.S_ISLNK(status.st_mode) or status.st_mode & stat.S_ISVTX:
        return
    is_own_group = status.st_gid == os.getegid()  # many systems give each user a group of their own
    if status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and not is_own_group):
        raise _unsafe(
            path, f"is below {folder}, which others may write (mode {stat.S_IMODE(status.st_mode):o})", setting
        )


def _unsafe(path: Path, why: str, setting: str) -> UnsafeFolderError:
    return UnsafeFolderError(
        f"{path} {why}: another user of this machine could take part in what is kept there. Remove or correct it, or "
        f"choose another folder with {setting}."
    )
