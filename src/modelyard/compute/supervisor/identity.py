"""Becoming the unprivileged user that user code runs as, where the server is root.

The order is what makes it safe: first what only root can do (making the needed folders reachable), then giving up every
right for good, and only then anything that user code could influence.
"""

import contextlib
import os
import stat

from . import system


def become(uid: int) -> None:
    """Become the host's user `uid`, in no groups and without capabilities, for good.

    Raises:
        OSError: this process lacks the right to do so.
        PermissionError: some right is left.
    """
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    system.forbid_new_privileges()
    system.allow_inspection()
    status = system.read_text("/proc/self/status").splitlines()
    rights = [line for line in status if line.startswith(("CapPrm:", "CapEff:", "CapAmb:")) and int(line[7:], 16)]
    if rights or os.getresuid() != (uid, uid, uid) or os.getresgid() != (uid, uid, uid) or os.getgroups():
        raise PermissionError(f"rights are left after becoming user {uid}: {rights}")


def expose(paths: list[str], uid: int) -> None:
    """Let the user `uid` reach `paths` through folders that it may not pass, in a mount namespace of its own.

    A folder that is closed to the user is covered by an empty one that holds nothing but those of `paths` below it;
    nobody else sees that. What the paths themselves permit stays as it is.

    Raises:
        OSError: this process may not mount.
    """
    covered: list[str] = []
    for path in sorted((*paths, *map(os.path.realpath, paths)), key=len):
        folder = closed_folder(path, uid)
        if folder is not None and not _lies_in(folder, covered):
            covered.append(folder)
    if not covered:
        return
    system.unshare(system.CLONE_NEWNS)
    system.keep_mounts_private()
    # Opened before anything is covered, and shallow ones first: a deeper one may lie in one that is already there.
    targets = sorted({target for path in paths if _lies_in(target := os.path.realpath(path), covered)}, key=len)
    sources = [(target, os.open(target, os.O_PATH | os.O_CLOEXEC)) for target in targets]
    links = [link for path in paths for link in _links(path) if _lies_in(link[0], covered)]
    for folder in covered:
        system.mount_empty(folder)
    for target, fd in sources:
        if not os.path.exists(target):
            _make_mount_point(target, is_folder=stat.S_ISDIR(os.fstat(fd).st_mode))
        system.bind(f"/proc/self/fd/{fd}", target)
        os.close(fd)
    for link, content in links:
        if not os.path.lexists(link):
            os.makedirs(os.path.dirname(link), 0o755, exist_ok=True)
            os.symlink(content, link)


def closed_folder(path: str, uid: int) -> str | None:
    """Return the topmost folder on the way to `path` that the user may not pass, or None."""
    folder = ""
    for name in path.split("/")[1:-1]:
        folder += f"/{name}"
        status = os.stat(folder)
        if not status.st_mode & (stat.S_IXUSR if status.st_uid == uid else stat.S_IXOTH):
            return folder
    return None


def _lies_in(path: str, folders: list[str]) -> bool:
    return any(f"{path}/".startswith(f"{folder}/") for folder in folders)


def _links(path: str) -> list[tuple[str, str]]:
    """Return the symbolic links on the way to `path`, each with what it says."""
    found: list[tuple[str, str]] = []
    rest = path.split("/")[1:]
    here = ""
    while rest and len(found) <= 40:
        here += f"/{rest.pop(0)}"
        with contextlib.suppress(OSError):
            target = os.readlink(here)
            found.append((here, target))
            followed = os.path.normpath(os.path.join(os.path.dirname(here), target))
            rest = [*followed.split("/")[1:], *rest]
            here = ""
    return found


def _make_mount_point(path: str, *, is_folder: bool) -> None:
    os.makedirs(path if is_folder else os.path.dirname(path), 0o755, exist_ok=True)
    if not is_folder:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
