"""What isolation this machine gives, and how to get what is missing."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

WORKLOAD_UID = 1_900_001_000
"""The host's user that sandboxed workloads run as when the server is root; no system gives out ids of this range."""

SUPERVISOR = Path(__file__).parent / "supervisor"
_TUNNEL = "/dev/net/tun"
_TIMEOUT_S = 5


@dataclass(frozen=True)
class Ability:
    """One thing that a machine can or cannot do; `why` and `remedy` are empty when it can."""

    name: str
    is_available: bool
    why: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Isolation:
    """What was found. Paths are None where the program is missing or does not work here."""

    bubblewrap: Path | None
    slirp4netns: Path | None
    setpriv: Path | None
    prlimit: Path | None
    sandbox: Ability
    own_user: Ability
    internet: Ability
    api_only: Ability
    memory: Ability
    processes: Ability
    cpu: Ability
    can_forbid_namespaces: bool = False
    """Whether bubblewrap can forbid user namespaces inside (it does so where the workload is the server's own user)."""

    @property
    def is_sandboxed(self) -> bool:
        """Whether workloads run in a sandbox."""
        return self.sandbox.is_available

    def abilities(self) -> list[Ability]:
        """All of them, the most important first."""
        return [self.sandbox, self.own_user, self.api_only, self.internet, self.memory, self.processes, self.cpu]


def probe() -> Isolation:
    """Find out by trying: builds a sandbox, namespaces and control groups, and takes them down again.

    Costs about a tenth of a second; ask once per process.
    """
    bubblewrap, why_no_sandbox = _try_bubblewrap([])
    slirp4netns, setpriv, prlimit = (_program(name) for name in ("slirp4netns", "setpriv", "prlimit"))
    found = _ask_supervisor()
    own_user_why = str(found.get("own_user", "the supervisor could not be asked"))
    if not own_user_why and setpriv is None:
        own_user_why = "the program setpriv is missing"
    network_why = why_no_sandbox or str(found.get("network", "the supervisor could not be asked"))
    groups = found.get("groups")
    controllers = [str(name) for name in groups] if isinstance(groups, list) else []
    return Isolation(
        bubblewrap=bubblewrap,
        slirp4netns=slirp4netns,
        setpriv=setpriv,
        prlimit=prlimit,
        sandbox=_ability("sandbox", why_no_sandbox, _BUBBLEWRAP_REMEDY),
        own_user=_own_user(own_user_why),
        internet=_ability(
            "internet access for sandboxes",
            network_why or _why_no_way_out(slirp4netns),
            "install slirp4netns (Debian, Ubuntu, Fedora: the package of that name), and let the server's user open "
            f"{_TUNNEL}",
        ),
        api_only=_ability(
            "network access limited to the Modelyard API",
            network_why,
            "allow network namespaces: run as root, or set kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        memory=_controlled(
            "memory limit by the kernel", "memory", controllers, "memory is measured four times a second"
        ),
        processes=_controlled("process limit by the kernel", "pids", controllers, "processes are counted"),
        cpu=_controlled(
            "shares of the CPU", "cpu", controllers, "a workload with less than one CPU is only made nicer"
        ),
        can_forbid_namespaces=bubblewrap is not None and not _try_bubblewrap(["--disable-userns"])[1],
    )


_BUBBLEWRAP_REMEDY = (
    "install bubblewrap (Debian, Ubuntu, Fedora: the package of that name) and let it make user namespaces "
    "(sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces>0; in a container: a seccomp profile "
    "that allows unshare and mount)"
)


def without_sandbox(reason: str = "the sandbox is switched off") -> Isolation:
    """The isolation of a server that is told to use none."""
    found = probe()

    def switched_off(ability: Ability) -> Ability:
        return _ability(ability.name, reason, "set MODELYARD_SANDBOX to auto")

    return replace(
        found,
        bubblewrap=None,
        sandbox=switched_off(found.sandbox),
        own_user=switched_off(found.own_user),
        internet=switched_off(found.internet),
        api_only=switched_off(found.api_only),
    )


def _ability(name: str, why: str, remedy: str) -> Ability:
    return Ability(name, not why, why, remedy if why else "")


def _own_user(why: str) -> Ability:
    if os.getuid() != 0:
        return Ability("workloads run as a user of their own", is_available=True)
    remedy = "install util-linux, and let the server make user namespaces (CAP_SYS_ADMIN, CAP_SETUID)"
    return _ability("workloads run as a user of their own", why, remedy)


def _controlled(name: str, controller: str, controllers: list[str], otherwise: str) -> Ability:
    why = "" if controller in controllers else f"no control group with {controller!r} can be made here; {otherwise}"
    remedy = "run the server as root, or as a systemd service or user session with Delegate=yes"
    return _ability(name, why, remedy)


def _program(name: str) -> Path | None:
    found = shutil.which(name)
    return None if found is None else Path(found)


def _why_no_way_out(slirp4netns: Path | None) -> str:
    if slirp4netns is None:
        return "the program slirp4netns is missing"
    if not os.access(_TUNNEL, os.R_OK | os.W_OK):
        return f"{_TUNNEL} is missing, or the server's user may not open it"
    return ""


def _try_bubblewrap(options: list[str]) -> tuple[Path | None, str]:
    """The program, if a sandbox with all of its namespaces can be built with it; else the reason."""
    program = _program("bwrap")
    if program is None:
        return None, "the program bwrap (bubblewrap) is missing"
    true = shutil.which("true") or "/bin/true"
    command = [str(program), "--unshare-all", "--unshare-user", "--uid", "1000", "--gid", "1000", "--die-with-parent"]
    command += options
    command += ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--size", "4096", "--tmpfs", "/tmp"]  # noqa: S108 - the sandbox's own
    try:
        done = subprocess.run([*command, "--", true], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, f"bubblewrap does not work here: {error}"
    if done.returncode != 0:
        return None, f"bubblewrap does not work here: {done.stderr.strip() or done.returncode}"
    return program, ""


def _ask_supervisor() -> dict[str, object]:
    command = [sys.executable, "-I", "-S", str(SUPERVISOR), "--probe", str(WORKLOAD_UID)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=True, env={"PATH": os.defpath})
    except (OSError, subprocess.SubprocessError):
        return {}
    answer: dict[str, object] = json.loads(done.stdout)
    return answer
