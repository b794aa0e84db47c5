"""What this machine lets a supervisor do: tried out, not guessed."""

import json
import os
import sys

from . import system
from .cgroups import make_groups
from .launch import LaunchError, make_user_namespace


def probe(host_uid: int) -> dict[str, object]:
    """Try user namespaces, network namespaces and control groups; leaves nothing behind.

    Returns:
        `own_user` and `network`: why not, or an empty text; `groups`: the controllers that can be used.
    """
    groups = make_groups(f"modelyard-probe-{os.getpid()}")
    groups.remove()
    return {
        "own_user": _try_own_user(host_uid) if os.getuid() == 0 else "the server does not run as root",
        "network": _try_network(),
        "groups": sorted(groups.folders),
    }


def _try_own_user(host_uid: int) -> str:
    try:
        os.close(make_user_namespace(host_uid))
    except LaunchError as error:
        return str(error)
    return ""


def _try_network() -> str:
    pid = os.fork()
    if pid == 0:
        flags = system.CLONE_NEWNET if os.getuid() == 0 else system.CLONE_NEWNET | system.CLONE_NEWUSER
        try:
            system.unshare(flags)
        except OSError as error:
            os._exit(error.errno or 1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return os.strerror(code) if code else ""


def main(host_uid: str) -> None:
    """Print the answer as JSON."""
    sys.stdout.write(json.dumps(probe(int(host_uid))))
