"""Starting the command of a workload, inside its sandbox or without one.

The child that becomes the command prepares itself: control groups, limits, namespaces. What it cannot do from inside
(the way out of its network) its parent does meanwhile; they talk over a pair of sockets that closes by itself when
the child turns into the command.
"""

import contextlib
import os
import resource
import signal
import socket
import time

from . import network, system
from .cgroups import Groups

TYPE_CHECKING = False  # typing itself takes longer to import than all of this
if TYPE_CHECKING:
    from .plan import NetworkPlan, Plan, Sandbox

INSIDE_ID = 1000
"""User and group of the workload as it sees itself in the sandbox."""

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
    sandbox = plan["sandbox"]
    host_uid = sandbox["host_uid"] if sandbox else None
    user_namespace = None if host_uid is None else make_user_namespace(host_uid)
    status_read, status_write = os.pipe()
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _become(plan, groups, theirs, (output_fd, status_write, user_namespace))
    theirs.close()
    os.close(status_write)
    if user_namespace is not None:
        os.close(user_namespace)
    launched = Launched(pid, status_read if sandbox else None)
    if not sandbox:
        os.close(status_read)
    try:
        with ours:
            _accompany(launched, plan["network"], ours)
    except LaunchError:
        system.send(pid, signal.SIGKILL)
        raise
    return launched


def make_user_namespace(host_uid: int) -> int:
    """A file open on a new user namespace in which 0 is root and 1000 is `host_uid`, and that allows no others below.

    Root is mapped for building the sandbox only: the workload is 1000, and no way leads from there to 0, since it has
    no capabilities and cannot gain any.

    Raises:
        LaunchError: this machine does not let us.
    """
    made_read, made_write = os.pipe()
    mapped_read, mapped_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(OSError):
            system.unshare(system.CLONE_NEWUSER)
            os.write(made_write, b"1")
            os.close(mapped_write)
            os.read(mapped_read, 1)
            with open("/proc/sys/user/max_user_namespaces", "w", encoding="ascii") as file:
                file.write("0")
        os._exit(0)
    os.close(made_write)
    try:
        if not os.read(made_read, 1):
            raise _failure("this machine allows no user namespaces", pid)
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{pid}/{name}", "w", encoding="ascii") as file:
                file.write(f"0 0 1\n{INSIDE_ID} {host_uid} 1\n")
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _failure(f"the user namespace could not be made: {error}", pid) from error
    finally:
        for fd in (made_read, mapped_read, mapped_write):
            os.close(fd)
        os.waitpid(pid, 0)


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


def _accompany(launched: Launched, plan: "NetworkPlan", link: socket.socket) -> None:
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
            way_out = network.WayOut(program, launched.pid, is_in_own_user_namespace=os.getuid() != 0)
            launched.way_out = way_out
            if not way_out.wait(_NETWORK_TIMEOUT_S):
                raise _failure("slirp4netns did not connect the sandbox to the internet", launched.pid, way_out.pid)
        link.sendall(_GO)


def _become(plan: "Plan", groups: Groups, link: socket.socket, fds: tuple[int, int, int | None]) -> None:
    """The child: prepare and turn into the command; never returns."""
    output_fd, status_fd, user_namespace = fds
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        os.umask(0o022)
        os.dup2(output_fd, 1)
        os.dup2(output_fd, 2)
        groups.join()
        sandbox = plan["sandbox"]
        _limit(plan, groups, is_own_user=sandbox is not None and sandbox["host_uid"] is not None)
        if sandbox is None:
            _execute(plan)
        else:
            _execute_sandboxed(plan, sandbox, link, status_fd, user_namespace)
    except Exception as error:  # noqa: BLE001 - a forked child has nobody to raise to
        with contextlib.suppress(OSError):
            link.sendall(f"{type(error).__name__}: {error}".encode())
    os._exit(126)


def _limit(plan: "Plan", groups: Groups, *, is_own_user: bool) -> None:
    """Limits that the kernel keeps for each process."""
    limits = plan["limits"]
    wanted = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: limits["file_bytes"]}
    if is_own_user:  # counted for this sandbox alone; elsewhere for all that the server's user runs
        wanted[resource.RLIMIT_NPROC] = limits["processes"]
    for which, value in wanted.items():
        hard = resource.getrlimit(which)[1]
        lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (lowest, lowest))
    cpu_count = limits["cpu_count"]
    if cpu_count is not None and cpu_count < 1 and "cpu" not in groups.folders:
        os.nice(_NICE_OF_SMALL)


def _execute(plan: "Plan") -> None:
    system.die_with_parent()
    os.setsid()
    os.chdir(plan["work"])
    environment = plan["environment"]
    os.environ["PATH"] = environment.get("PATH", os.defpath)
    try:
        os.execvpe(plan["command"][0], plan["command"], environment)
    except OSError as error:
        os.write(2, f"{plan['command'][0]}: {error.strerror}\n".encode())
        os._exit(127)


def _execute_sandboxed(
    plan: "Plan", sandbox: "Sandbox", link: socket.socket, status_fd: int, user_namespace: int | None
) -> None:
    arguments = [*sandbox["arguments"], "--json-status-fd", str(status_fd)]
    if plan["network"]["policy"] == "none":
        arguments.append("--unshare-net")
    else:
        _enter_network(plan["network"], link)
    for name, value in plan["environment"].items():
        arguments += ["--setenv", name, value]
    if user_namespace is not None:
        system.enter_namespace(user_namespace)
        os.setgroups([])
        os.setgid(0)
        os.setuid(0)
    arguments_fd = os.memfd_create("arguments", 0)
    with open(arguments_fd, "wb", closefd=False) as file:
        file.write(b"".join(os.fsencode(argument) + b"\0" for argument in arguments))
    os.lseek(arguments_fd, 0, os.SEEK_SET)
    os.set_inheritable(status_fd, True)
    program = sandbox["bubblewrap"]
    command = [program, "--args", str(arguments_fd), "--", *sandbox["launcher"], *plan["command"]]
    os.execve(program, command, {"PATH": os.defpath})


def _enter_network(plan: "NetworkPlan", link: socket.socket) -> None:
    """A network namespace of its own, with a door to the API, a way out, or both.

    Whoever holds a socket that was made here speaks from here: they go to the parent, which stays outside.
    """
    uid, gid = os.getuid(), os.getgid()
    if uid == 0:
        system.unshare(system.CLONE_NEWNET)
    else:
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
