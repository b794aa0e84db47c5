"""Folders that user code has written in: handing them over, and getting rid of them."""

import os
import shutil
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
        shutil.rmtree(path)
    except (OSError, RecursionError):
        # Folders without rights for their owner, or thousands deep: these programs go down step by step.
        subprocess.run(["chmod", "-R", "u+rwX", "--", str(path)], check=False, capture_output=True)
        subprocess.run(["rm", "-rf", "--", str(path)], check=True, capture_output=True)
