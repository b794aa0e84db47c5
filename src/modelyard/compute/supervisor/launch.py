"""Starting the command of a workload, inside its sandbox or without one.

The child that becomes the command prepares itself: control groups, limits, its user, namespaces. Where the server is
root, it gives that up before bubblewrap is started or anything of the workload is looked at. What it cannot do from
inside (egress of its network) its parent does meanwhile; they talk over a pair of sockets that closes by itself when
the child turns into the command.
"""

import contextlib
import math
import os
import resource
import signal
import socket
import time

from . import identity, network, system
from .cgroups import Groups

TYPE_CHECKING = False  # typing itself takes longer to import than all of this
if TYPE_CHECKING:
    from .plan import NetworkPlan, Plan, Sandbox, UserPlan

_NETWORK_TIMEOUT_S = 10
_ENDING_S = 0.2
_NICE_OF_SMALL = 5
_READY = "network"
_SOCKETS = ("api", "names", "questions")
_GO = b"go"


class LaunchError(Exception):
    """The workload's command could not be started."""


class Launched:
    """The running command: its first process here, and what has to be kept for it."""

    def __init__(self, pid: int, status_fd: int | None) -> None:
        self.pid = pid
        self.status_fd = status_fd
        self.way_out: network.WayOut | None = None
        self.sockets: dict[str, socket.socket] = {}


def launch(plan: "Plan", groups: Groups, output_fd: int) -> Launched:
    """Start the command with its output going to `output_fd`.

    Raises:
        LaunchError: it could not be started, with the reason.
    """
    status_read, status_write = os.pipe()
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _become(plan, groups, theirs, (output_fd, status_write))
    theirs.close()
    os.close(status_write)
    launched = Launched(pid, status_read if plan["sandbox"] else None)
    if launched.status_fd is None:
        os.close(status_read)
    try:
        with ours:
            _accompany(launched, plan["network"], plan["user"], ours)
    except LaunchError:
        system.send(pid, signal.SIGKILL)
        raise
    return launched


def _failure(reason: str, *pids: int) -> LaunchError:
    """`reason`, unless one of the children that were to do it was killed; it may just be ending."""
    deadline = time.monotonic() + _ENDING_S
    while True:
        for pid in pids:
            ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            if ended is not None and ended.si_code == os.CLD_KILLED:
                return LaunchError(f"it was killed by signal {ended.si_status} while its sandbox was built")
        if time.monotonic() > deadline:
            return LaunchError(reason)
        time.sleep(0.01)


def _accompany(launched: Launched, plan: "NetworkPlan", user: "UserPlan | None", link: socket.socket) -> None:
    """Do the parent's part until the child has become the command."""
    while True:
        message, fds, _, _ = socket.recv_fds(link, 4096, len(_SOCKETS))
        if not message:
            return
        ready, *names = message.decode("utf-8", "replace").split(" ")
        if ready != _READY:
            raise LaunchError(message.decode("utf-8", "replace"))
        launched.sockets = {name: socket.socket(fileno=fd) for name, fd in zip(names, fds, strict=True)}
        if plan["policy"] == "public":
            program = plan["slirp4netns"]
            if program is None:
                raise LaunchError("slirp4netns is missing: without it a sandbox has no way to the internet")
            way_out = network.WayOut(program, launched.pid, None if user is None else user["uid"])
            launched.way_out = way_out
            if not way_out.wait(_NETWORK_TIMEOUT_S):
                raise _failure("slirp4netns did not connect the sandbox to the internet", launched.pid, way_out.pid)
        link.sendall(_GO)


def _become(plan: "Plan", groups: Groups, link: socket.socket, fds: tuple[int, int]) -> None:
    """The child: prepare and turn into the command; never returns."""
    output_fd, status_fd = fds
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        os.umask(0o022)
        os.dup2(output_fd, 1)
        os.dup2(output_fd, 2)
        groups.join()
        _limit(plan, groups)
        system.leave_session_keyring()
        if plan["user"] is not None:
            _drop_rights(plan["user"])
        if plan["sandbox"] is None:
            _execute(plan)
        else:
            _execute_sandboxed(plan, plan["sandbox"], link, status_fd)
    except Exception as error:  # noqa: BLE001 - a forked child has nobody to raise to
        with contextlib.suppress(OSError):
            link.sendall(f"{type(error).__name__}: {error}".encode())
    os._exit(126)


def _drop_rights(user: "UserPlan") -> None:
    """Become the workload's user, for which nothing has been read yet that user code could have written."""
    with contextlib.suppress(OSError, ValueError):
        # Set again inside, for the user namespace of the workload, where it binds.
        resource.setrlimit(resource.RLIMIT_NPROC, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    if user["exposed"] is not None:
        identity.expose(user["exposed"], user["uid"])
    identity.become(user["uid"])


def _limit(plan: "Plan", groups: Groups) -> None:
    """Limits that the kernel keeps for each process."""
    limits = plan["limits"]
    for which, value in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, limits["file_bytes"])):
        hard = resource.getrlimit(which)[1]
        lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (lowest, lowest))
    cpu_count = limits["cpu_count"]
    if cpu_count is None:
        return
    if cpu_count < 1 and "cpu" not in groups.folders:
        os.nice(_NICE_OF_SMALL)
    if not groups.has_quota:
        _bind(math.ceil(cpu_count))


def _bind(count: int) -> None:
    """Bind this process to so many processors, another part of them for each workload."""
    allowed = sorted(os.sched_getaffinity(0))
    if count < len(allowed):
        first = os.getpid() % len(allowed)
        os.sched_setaffinity(0, (allowed + allowed)[first : first + count])


def _execute(plan: "Plan") -> None:
    system.die_with_parent()
    os.setsid()
    os.chdir(plan["work"])
    environment = plan["environment"]
    os.environ["PATH"] = environment.get("PATH", os.defpath)
    system.forbid_new_privileges()
    if plan["filter"] is not None:
        system.load_filter(bytes.fromhex(plan["filter"]))
    try:
        os.execvpe(plan["command"][0], plan["command"], environment)
    except OSError as error:
        os.write(2, f"{plan['command'][0]}: {error.strerror}\n".encode())
        os._exit(127)


def _execute_sandboxed(plan: "Plan", sandbox: "Sandbox", link: socket.socket, status_fd: int) -> None:
    arguments = [*sandbox["arguments"], "--json-status-fd", str(status_fd)]
    if plan["network"]["policy"] == "none":
        arguments.append("--unshare-net")
    else:
        _enter_network(plan["network"], link)
    if plan["filter"] is not None:
        arguments += ["--seccomp", str(system.memory_file("filter", bytes.fromhex(plan["filter"])))]
    for name, value in plan["environment"].items():
        arguments += ["--setenv", name, value]
    arguments_fd = system.memory_file("arguments", b"".join(os.fsencode(argument) + b"\0" for argument in arguments))
    os.set_inheritable(status_fd, True)
    program = sandbox["bubblewrap"]
    command = [program, "--args", str(arguments_fd), "--", *sandbox["launcher"], *plan["command"]]
    os.execve(program, command, {"PATH": os.defpath})


def _enter_network(plan: "NetworkPlan", link: socket.socket) -> None:
    """A network namespace of its own, with a door to the API, a way out, or both.

    Whoever holds a socket that was made here speaks from here: they go to the parent, which stays outside.
    """
    uid, gid = os.getuid(), os.getgid()
    system.unshare(system.CLONE_NEWUSER | system.CLONE_NEWNET)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)
    network.raise_loopback()
    network.reject(plan["rejected"])
    made: dict[str, socket.socket] = {}
    if plan["api"] is not None:
        made["api"] = network.listen(plan["api_port"])
    if plan["policy"] == "public":
        made["names"], made["questions"] = network.listen_for_names()
    socket.send_fds(link, [" ".join([_READY, *made]).encode()], [made[name].fileno() for name in made])
    for inside in made.values():
        inside.close()
    if link.recv(len(_GO)) != _GO:
        os._exit(126)
    if plan["policy"] == "public":
        network.allow(plan["allowed"])
        network.reject_aliases()
