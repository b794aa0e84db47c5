"""What this machine lets a supervisor do: tried out, not guessed."""

import contextlib
import json
import os
import select
import signal
import sys
import time

from . import identity, system
from .cgroups import make_groups

TYPE_CHECKING = False  # typing itself takes longer to import than all of this
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypedDict

    class Question(TypedDict):
        """What to try. `bubblewrap` holds candidates, best first, each with the folders that it needs."""

        bubblewrap: list[list[str]]
        uid: int | None
        filter: str | None


_TIMEOUT_S = 5.0
_OUTPUT_BYTES = 65536
_SANDBOX = ["--unshare-all", "--unshare-user", "--uid", "1000", "--gid", "1000", "--die-with-parent"]
_FILES = ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--size", "4096", "--tmpfs", "/tmp"]  # noqa: S108 - the sandbox's own


def probe(question: "Question") -> dict[str, object]:
    """Try mounts, sandboxes, the filter, network namespaces and control groups; leaves nothing behind.

    Returns:
        `mounts`, `sandbox`, `filter`, `namespaces` and `network`: why not, or an empty text (`namespaces`: why
        bubblewrap cannot forbid user namespaces inside); `bubblewrap`: the program that works, or an empty text;
        `groups`: the controllers that can be used.
    """
    groups = make_groups(f"modelyard-probe-{os.getpid()}")
    groups.remove()
    uid = question["uid"]
    answer: dict[str, object] = {
        "mounts": "" if uid is None else _try_mounts(),
        "network": _try_network(uid),
        "groups": sorted(groups.folders),
    }
    return answer | _try_candidates(question)


def _try_candidates(question: "Question") -> dict[str, object]:
    reasons: list[str] = []
    for exposed in question["bubblewrap"]:
        program = exposed[0]
        code, output = _run_bubblewrap(question, exposed, [], ["true"])
        if code != 0:
            reasons.append(f"{program} does not work here: {output.strip() or f'exit code {code}'}")
            continue
        answer: dict[str, object] = {"bubblewrap": program, "sandbox": ""}
        answer["namespaces"] = _run_bubblewrap(question, exposed, ["--disable-userns"], ["true"])[1].strip()
        answer["filter"] = _try_filter(question, exposed)
        return answer
    why = "; ".join(reasons) or "the program bwrap (bubblewrap) is missing"
    return {"bubblewrap": "", "sandbox": why, "namespaces": why, "filter": "there is no sandbox"}


def _try_filter(question: "Question", exposed: list[str]) -> str:
    """Why a sandbox cannot have the seccomp filter, or nothing where it was seen to hold."""
    if question["filter"] is None:
        return f"there is no filter for {os.uname().machine}"
    code, output = _run_bubblewrap(question, exposed, [], ["cat", "/proc/self/status"], is_filtered=True)
    if code != 0:
        return output.strip() or f"exit code {code}"
    return "" if "Seccomp:\t2\n" in output else "the kernel did not take it"


def _run_bubblewrap(
    question: "Question", exposed: list[str], options: list[str], command: list[str], *, is_filtered: bool = False
) -> tuple[int, str]:
    """Run a command in a sandbox, as the user that workloads run as; returns the exit code and the output."""
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(write_fd, 1)
            os.dup2(write_fd, 2)
            if question["uid"] is not None:
                with contextlib.suppress(OSError):
                    identity.expose(exposed, question["uid"])
                identity.become(question["uid"])
            arguments = [*_SANDBOX, *options, *_FILES]
            if is_filtered and question["filter"] is not None:
                arguments += ["--seccomp", str(system.memory_file("filter", bytes.fromhex(question["filter"])))]
            os.execve(exposed[0], [exposed[0], *arguments, "--", *command], {"PATH": os.defpath, "LC_ALL": "C"})
        except OSError as error:
            os.write(2, f"{error}".encode())
        os._exit(126)
    os.close(write_fd)
    return _wait(pid, read_fd)


def _wait(pid: int, read_fd: int) -> tuple[int, str]:
    deadline = time.monotonic() + _TIMEOUT_S
    output = b""
    with open(read_fd, "rb", buffering=0) as pipe:
        while len(output) < _OUTPUT_BYTES:
            if not select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
                system.send(pid, signal.SIGKILL)
                output += b" it does not end"
                break
            block = pipe.read(_OUTPUT_BYTES)
            if not block:
                break
            output += block
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code, output.decode("utf-8", "replace")


def _try_mounts() -> str:
    """Why root may not mount here, or nothing."""

    def attempt() -> None:
        system.unshare(system.CLONE_NEWNS)
        system.keep_mounts_private()
        system.mount_empty("/tmp")  # noqa: S108 - only this process sees it

    return _attempt(attempt)


def _try_network(uid: int | None) -> str:
    def attempt() -> None:
        if uid is not None:
            identity.become(uid)
        system.unshare(system.CLONE_NEWNET | system.CLONE_NEWUSER)

    return _attempt(attempt)


def _attempt(action: "Callable[[], None]") -> str:
    """Why a child that does it fails, or nothing."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
        except OSError as error:
            os._exit(error.errno or 1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return os.strerror(code) if code else ""


def main(question: str) -> None:
    """Print the answer as JSON."""
    sys.stdout.write(json.dumps(probe(json.loads(question))))
