"""Folders that user code has written in: handing them over, and getting rid of them."""

import os
import shutil
import stat
import subprocess
from pathlib import Path


def give_away(path: Path, uid: int) -> None:
    """Make a folder and all in it belong to a user, if the folder does not yet."""
    if path.lstat().st_uid == uid:
        return
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            os.chown(Path(folder, name), uid, uid, follow_symlinks=False)
    os.chown(path, uid, uid, follow_symlinks=False)


def remove_folder(path: Path) -> None:
    """Delete a folder with all in it, whatever permissions and depth it has; links are not followed."""
    if not path.is_dir():
        return
    try:
        shutil.rmtree(path, onerror=_open_and_retry)
    except (OSError, RecursionError):
        # Folders thousands deep are more than Python's recursion, or a path, can hold; rm goes down step by step.
        subprocess.run(["chmod", "-R", "u+rwX", "--", str(path)], check=False, capture_output=True)
        subprocess.run(["rm", "-rf", "--", str(path)], check=True, capture_output=True)


def _open_and_retry(function: object, name: str, _error: object) -> None:
    """Give the owner back the rights to a folder, and to the one around it, and delete it again."""
    path = Path(name)
    path.parent.chmod(stat.S_IRWXU)
    if path.is_dir() and not path.is_symlink():
        path.chmod(stat.S_IRWXU)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
