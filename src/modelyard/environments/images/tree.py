"""The files of an image: checked before anything of the host touches them, counted, removed."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from modelyard.compute.folders import remove_folder
from modelyard.environments.images.errors import BuildError
from modelyard.kernel.file_paths import PATH_LIMIT_BYTES, shown


@dataclass(frozen=True)
class TreeSize:
    files: int
    size_bytes: int


def check_tree(root: Path) -> TreeSize:
    """Refuse what a package may have left: links that lead out of the image, devices, sockets, pipes.

    Nor may a path have more than 1,024 bytes, which also bounds the depth of all that is gone through later, or a name
    that is not UTF-8. Links directly in ``bin`` are not judged, since ``link_python`` replaces those that matter and
    removes the others. Everything becomes this process's own, readable for all, writable for nobody else. Raises
    ``BuildError``.
    """
    real_root = os.path.realpath(root)
    _take_over(root, root.lstat())
    _set_rights(root, root.lstat())
    files = size_bytes = 0
    for parent, folders, names in os.walk(root):
        for name in [*folders, *names]:
            path = Path(parent, name)
            _check_path(path.relative_to(root).as_posix())
            status = path.lstat()
            _take_over(path, status)
            if stat.S_ISLNK(status.st_mode):
                if path.parent != root / "bin" and not _is_in(os.path.realpath(path), real_root):
                    raise BuildError(
                        f"A package left {shown(str(path.relative_to(root)))}, a link that leads out of the image."
                    )
                continue
            if not stat.S_ISDIR(status.st_mode) and not stat.S_ISREG(status.st_mode):
                raise BuildError(
                    f"A package left {shown(str(path.relative_to(root)))}, which is neither a file nor a folder."
                )
            _set_rights(path, status)
            if stat.S_ISREG(status.st_mode):
                files += 1
                size_bytes += status.st_size
    return TreeSize(files, size_bytes)


def _check_path(path: str) -> None:
    try:
        size_bytes = len(path.encode())
    except UnicodeEncodeError:
        raise BuildError(f"A package left {shown(path)}, whose name is not UTF-8.") from None
    if size_bytes > PATH_LIMIT_BYTES:
        raise BuildError(f"A package left {shown(path)}, a path of more than {PATH_LIMIT_BYTES} bytes.")


def _is_in(path: str, folder: str) -> bool:
    return Path(path).is_relative_to(folder)


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


def require_folder(venv: Path, path: Path) -> None:
    """Raise ``BuildError`` unless a path below the environment is a folder, with no link on the way to it."""
    if Path(os.path.realpath(path)) != Path(os.path.realpath(venv), path.relative_to(venv)) or not path.is_dir():
        raise BuildError(f"A package removed {path.relative_to(venv)}, or put something else in its place.")


def make_folder(path: Path) -> None:
    """Make a folder in the place of anything else that has its name; one that is there stays."""
    if path.is_symlink() or not path.is_dir():
        remove_tree(path)
        path.mkdir(mode=0o755)


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
    lines = [f"home = {executable.parent}", "include-system-site-packages = false", "relocatable = true"]
    write_new(venv / "pyvenv.cfg", "\n".join(lines) + "\n")


def write_new(path: Path, content: str | bytes) -> None:
    """Write a file of this process's own, in the place of anything that has its name.

    What had it before is not written to: it may be a link, or a file that other images share.
    """
    remove_tree(path)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(0o644)


def remove_tree(path: Path) -> None:
    """Remove a file, a link or a folder, also one whose rights forbid it. What is absent is removed already."""
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    else:
        remove_folder(path)
