"""What every process of an installation does beside its work: says that it is there, and goes when it should."""

import contextlib
import ctypes
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

from modelyard.kernel.settings import Settings

PR_SET_PDEATHSIG = 1


def processes_dir(settings: Settings) -> Path:
    """One file for each process of this machine, for ``modelyard ps``."""
    return settings.data_dir / "processes"


@contextlib.contextmanager
def noted(settings: Settings, role: str) -> Iterator[None]:
    """Writes down that this process plays ``role``, while it does."""
    folder = processes_dir(settings)
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / f"{role}-{os.getpid()}"
    note.write_text(role)
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def die_with(parent: int) -> None:
    """Ends this process when its parent is gone, even killed, so that ``modelyard up`` can be started again."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        raise SystemExit(1)


def why_not_bindable(host: str, port: int) -> str | None:
    """Why nobody can listen on the address now; None when it is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return None
