"""Folders that user code has written in: handing them over, and getting rid of them.

They may be thousands of levels deep, with paths longer than the kernel takes: what goes through them with recursion or
with whole paths fails in the middle.
"""

import errno
import os
import shutil
import stat
import subprocess
from pathlib import Path


def give_away(path: Path, uid: int) -> None:
    """Make a file, or a folder and all in it, belong to a user, if it does not yet; links are not followed."""
    if path.lstat().st_uid == uid:
        return
    try:
        for _, folders, files, descriptor in os.fwalk(path):
            for name in (*folders, *files):
                os.chown(name, uid, uid, dir_fd=descriptor, follow_symlinks=False)
        os.chown(path, uid, uid, follow_symlinks=False)
    except (OSError, RecursionError):
        subprocess.run(["chown", "-hR", f"{uid}:{uid}", "--", str(path)], check=True, capture_output=True)


def take_over(path: Path) -> None:
    """Make a folder that a workload left, and all in it, this process's own and readable for all.

    Links are not followed. The workload has to be over. Raises ``OSError`` for a folder that is too deep.
    """
    try:
        _take_over(path)
    except RecursionError:
        raise OSError(errno.ELOOP, f"{path} has too many levels of folders") from None


def _take_over(path: Path) -> None:
    path.chmod(0o755)
    for _, folders, files, descriptor in os.fwalk(path):
        for name in (*folders, *files):
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            os.chown(name, os.geteuid(), os.getegid(), dir_fd=descriptor, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode):
                os.chmod(name, 0o755 if stat.S_ISDIR(status.st_mode) else 0o644, dir_fd=descriptor)
    os.chown(path, os.geteuid(), os.getegid(), follow_symlinks=False)


def remove_folder(path: Path) -> None:
    """Delete a folder with all in it, whatever permissions and depth it has; links are not followed."""
    if not path.is_dir():
        return
    try:
        shutil.rmtree(path)
    except (OSError, RecursionError):
        # Folders without rights for their owner, or thousands deep: these programs go down step by step.
        subprocess.run(["chmod", "-R", "u+rwX", "--", str(path)], check=False, capture_output=True)
        subprocess.run(["rm", "-rf", "--", str(path)], check=True, capture_output=True)
