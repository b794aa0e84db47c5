"""The files of an image: checked before anything of the host touches them, counted, removed."""

import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from modelyard.environments.images.errors import BuildError


@dataclass(frozen=True)
class TreeSize:
    files: int
    size_bytes: int


def check_tree(root: Path) -> TreeSize:
    """Refuse what a build script may have left: links that lead out of the image, devices, sockets, pipes.

    Links directly in ``bin`` are not judged, since ``link_python`` replaces those that matter and removes the others.
    Everything becomes this process's own, readable for all, writable for nobody else. Raises ``BuildError``.
    """
    real_root = root.resolve()
    _take_over(root, root.lstat())
    _set_rights(root, root.lstat())
    files = size_bytes = 0
    for parent, folders, names in os.walk(root):
        for name in [*folders, *names]:
            path = Path(parent, name)
            status = path.lstat()
            _take_over(path, status)
            if stat.S_ISLNK(status.st_mode):
                if path.parent != root / "bin" and not path.resolve().is_relative_to(real_root):
                    raise BuildError(f"A package left {path.relative_to(root)}, a link that leads out of the image.")
                continue
            if not stat.S_ISDIR(status.st_mode) and not stat.S_ISREG(status.st_mode):
                raise BuildError(f"A package left {path.relative_to(root)}, which is neither a file nor a folder.")
            _set_rights(path, status)
            if stat.S_ISREG(status.st_mode):
                files += 1
                size_bytes += status.st_size
    return TreeSize(files, size_bytes)


def _take_over(path: Path, status: os.stat_result) -> None:
    """Make a file, folder or link this process's own; the user of the sandbox had it."""
    if status.st_uid != os.geteuid():
        os.chown(path, os.geteuid(), os.getegid(), follow_symlinks=False)


def _set_rights(path: Path, status: os.stat_result) -> None:
    """755 for folders and programs, 644 for other files."""
    is_open = stat.S_ISDIR(status.st_mode) or status.st_mode & stat.S_IXUSR
    rights = 0o755 if is_open else 0o644
    if stat.S_IMODE(status.st_mode) != rights:
        path.chmod(rights)


def link_python(venv: Path, executable: Path, minor_version: str) -> None:
    """Make ``bin/python`` lead to the base interpreter, whatever a package put there; drop other links from ``bin``."""
    folder = venv / "bin"
    names = ("python", "python3", f"python{minor_version}")
    for entry in list(folder.iterdir()):
        if entry.is_symlink() or entry.name in names:
            remove_tree(entry)
    (folder / names[0]).symlink_to(executable)
    for name in names[1:]:
        (folder / name).symlink_to(names[0])
    (venv / "pyvenv.cfg").unlink(missing_ok=True)
    lines = [f"home = {executable.parent}", "include-system-site-packages = false", "relocatable = true"]
    (venv / "pyvenv.cfg").write_text("\n".join(lines) + "\n")


def remove_tree(path: Path) -> None:
    """Remove a file, a link or a folder, also one whose rights forbid it. What is absent is removed already."""
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
        return
    if not path.exists():
        return
    path.chmod(0o700)
    for parent, folders, _ in os.walk(path):
        for name in folders:
            folder = Path(parent, name)
            if not folder.is_symlink() and (folder.lstat().st_mode & 0o700) != 0o700:
                folder.chmod(0o700)
    shutil.rmtree(path)
