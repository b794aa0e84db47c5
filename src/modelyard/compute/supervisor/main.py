"""The supervisor's life: take the plan, start the command, watch it, write down how it ended."""

import contextlib
import errno
import fcntl
import json
import os
import select
import signal
import time
import traceback

from . import probe, system
from .cgroups import Groups, make_groups
from .launch import Launched, LaunchError, launch
from .network import Door, NameDoor
from .output import Log, Masker, OutputPump
from .usage import DiskWatch, MemoryWatch

TYPE_CHECKING = False  # typing itself takes longer to import than all of this
if TYPE_CHECKING:
    from .plan import Plan

_TICK_S = 0.25
_CALM_TICK_S = 0.5  # where the kernel keeps the limits
_DRAIN_S = 5.0
_PIPE_BYTES = 1024 * 1024
_PUMPS_PER_TURN = 64


def main(arguments: list[str]) -> None:
    """Supervise the workload in the folder given first by the plan given second, or tell what is possible here."""
    if arguments[0] == "--probe":
        probe.main(arguments[1])
        return
    folder, plan_fd = arguments
    plan: Plan = json.loads(_read_plan(int(plan_fd)))
    _detach(folder, plan["lock_fd"])
    Supervisor(folder, plan).run()


class Supervisor:
    """Watches one workload from its start to its end."""

    def __init__(self, folder: str, plan: "Plan") -> None:
        self._folder = folder
        self._plan = plan
        self._log = Log(f"{folder}/log", plan["limits"]["log_bytes"])
        self._groups = Groups({}, {})
        self._started_at = _now()
        self._begun = time.monotonic()
        self._reason: str | None = None
        self._kill_at: float | None = None
        self._is_killed = False
        self._exit_code: int | None = None
        self._peak_bytes = 0
        self._events: dict[str, int] = {}
        self._event_text = b""

    def run(self) -> None:
        """Everything, until the workload has ended and its end is on disk."""
        wake_read = _watch_signals()
        system.adopt_orphans()
        self._groups = make_groups(f"modelyard-{self._plan['id']}-{os.getpid()}")
        write_json(f"{self._folder}/supervisor.json", self._identity())
        read_fd, write_fd = os.pipe()
        _widen(read_fd)
        pump = OutputPump(read_fd, self._log, Masker(self._plan["masked"]))
        if self._plan["notice"] is not None:
            self._log.note(self._plan["notice"])
        if os.path.exists(f"{self._folder}/stop"):
            os.close(write_fd)
            self._reason = "stopped before it started"
        else:
            try:
                self._supervise(pump, write_fd, wake_read)
            except Exception as error:  # noqa: BLE001 - the end has to be told whatever happens
                # What happened is in the supervisor's own log.
                traceback.print_exc()
                self._reason = f"its supervisor failed: {type(error).__name__}: {error}"
        system.kill_descendants(os.getpid())
        pump.drain(_DRAIN_S)
        if self._reason is not None:
            self._log.note(self._reason)
        self._groups.remove()
        with contextlib.suppress(FileNotFoundError):  # the whole folder is gone
            write_json(f"{self._folder}/status.json", self._status())

    def _supervise(self, pump: OutputPump, write_fd: int, wake_fd: int) -> None:
        limits = self._plan["limits"]
        enforced = self._groups.limit(limits["memory_bytes"], limits["processes"] + 4, limits["cpu_count"])
        try:
            launched = launch(self._plan, self._groups, write_fd)
        except (LaunchError, OSError) as error:
            self._reason = f"could not be started: {error}"
            return
        finally:
            os.close(write_fd)
        self._open_doors(launched)
        memory = MemoryWatch(self._groups, limits["memory_bytes"], is_enforced="memory" in enforced)
        disk = DiskWatch(
            [self._plan["work"], *self._plan["counted"]],
            self._plan["places"],
            limits["disk_bytes"],
            self._plan["min_free_bytes"],
            launched.pid if self._plan["sandbox"] else os.getpid(),
            watches_memory=self._groups.memory_bytes() is None,
        )
        self._watch(launched, pump, wake_fd, memory, disk, counts_processes="pids" not in enforced)
        self._reason = memory.verdict() or self._reason
        self._peak_bytes = max(self._peak_bytes, memory.peak_bytes)
        if launched.way_out is not None:
            launched.way_out.close()

    def _open_doors(self, launched: Launched) -> None:
        network, sockets = self._plan["network"], launched.sockets
        if "api" in sockets and network["api"] is not None:
            Door(sockets["api"], network["api"])
        if "names" in sockets:
            NameDoor(sockets["names"], sockets["questions"], network["name_servers"])

    def _watch(
        self,
        launched: Launched,
        pump: OutputPump,
        wake_fd: int,
        memory: MemoryWatch,
        disk: DiskWatch,
        *,
        counts_processes: bool,
    ) -> None:
        """Carry output and look after limits until the command has ended."""
        poll = select.poll()
        for fd in (pump.fd, wake_fd, launched.status_fd):
            if fd is not None:
                poll.register(fd, select.POLLIN)
        is_calm = "memory" in self._groups.folders and not counts_processes
        tick_s = _CALM_TICK_S if is_calm else _TICK_S
        next_look = 0.0
        has_pipe = True
        while not self._has_ended(launched):
            ready = dict(poll.poll(max(0.0, self._next_wake(next_look) - time.monotonic()) * 1000))
            if pump.fd in ready and has_pipe:
                for _ in range(_PUMPS_PER_TURN):
                    if not pump.pump():
                        break
                if not pump.is_open:
                    has_pipe = False
                    poll.unregister(pump.fd)
            if launched.status_fd is not None and launched.status_fd in ready and not self._read_events(launched):
                poll.unregister(launched.status_fd)
            if wake_fd in ready and signal.SIGTERM in os.read(wake_fd, 4096):
                self._end_on_request(launched, is_signal=True)
            if time.monotonic() >= self._next_wake(next_look):
                next_look = time.monotonic() + tick_s
                self._look(launched, memory, disk, counts_processes=counts_processes)
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                self._kill(launched)

    def _look(self, launched: Launched, memory: MemoryWatch, disk: DiskWatch, *, counts_processes: bool) -> None:
        """What is done a few times a second: measure, and notice what is over."""
        limits = self._plan["limits"]
        is_measured_by_kernel = "memory" in self._groups.folders
        processes = [] if is_measured_by_kernel and not counts_processes else self._processes(launched)
        disk.held.own_pid = self._events.get("child-pid")
        reason = memory.look(processes, disk.shared) or disk.verdict
        if counts_processes and len(processes) > limits["processes"]:
            reason = reason or f"limit of {limits['processes']} processes exceeded"
        if reason is not None and not self._is_killed:
            self._reason = reason
            self._kill(launched)
        time_limit_s = limits["time_limit_s"]
        if time_limit_s is not None and self._reason is None and time.monotonic() - self._begun > time_limit_s:
            self._end(launched, f"time limit of {time_limit_s:g} s exceeded", limits["grace_s"])
        if os.path.exists(f"{self._folder}/stop"):
            self._end_on_request(launched, is_signal=False)
        elif not os.path.exists(f"{self._folder}/lock"):  # nobody could find, stop or use it any more
            self._end(launched, "its folder was deleted", 0)

    def _end_on_request(self, launched: Launched, *, is_signal: bool) -> None:
        grace_s = self._plan["limits"]["grace_s"]
        text = system.read_text(f"{self._folder}/stop")
        if not text and not is_signal:
            return
        with contextlib.suppress(ValueError, TypeError, AttributeError):
            wanted = json.loads(text).get("grace_s")
            grace_s = grace_s if wanted is None else float(wanted)
        self._end(launched, "stopped on request", grace_s)

    def _end(self, launched: Launched, reason: str, grace_s: float) -> None:
        """Ask every process of the workload to end; what is left after the grace is killed."""
        kill_at = time.monotonic() + grace_s
        if self._kill_at is not None:
            self._kill_at = min(self._kill_at, kill_at)
            return
        self._reason = self._reason or reason
        self._kill_at = kill_at
        for pid in self._processes(launched):
            system.send(pid, signal.SIGTERM)

    def _kill(self, launched: Launched) -> None:
        """End it now. A sandbox goes as a whole with its first process."""
        self._is_killed = True
        self._kill_at = time.monotonic() + 1
        below = system.descendants(launched.pid)
        system.send(launched.pid, signal.SIGKILL)
        for pid in below:
            system.send(pid, signal.SIGKILL)

    def _processes(self, launched: Launched) -> list[int]:
        """The workload's own processes, without those that make up the sandbox."""
        if self._plan["sandbox"] is None:
            return system.descendants(os.getpid())
        first = self._events.get("child-pid")
        return [pid for pid in system.descendants(launched.pid) if pid != first] if first else []

    def _has_ended(self, launched: Launched) -> bool:
        """Whether the command has ended; orphans that came to us are buried on the way."""
        while True:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            if pid == launched.pid:
                self._read_events(launched)
                self._settle(os.waitstatus_to_exitcode(status), used.ru_maxrss * 1024)
                return True

    def _settle(self, code: int, peak_bytes: int) -> None:
        """Decide the exit code and, where the command was ended, the reason."""
        self._peak_bytes = peak_bytes
        self._exit_code = self._events.get("exit-code", code if code >= 0 else 128 - code)
        if self._reason is not None:
            if self._is_killed and self._reason == "stopped on request":
                self._reason = "stopped on request, by force: it did not end in time"
        elif self._plan["sandbox"] is not None and "exit-code" not in self._events:
            self._reason = "the sandbox could not be built, or was killed; see the log"
        elif self._exit_code > 128:
            with contextlib.suppress(ValueError):
                self._reason = f"ended by signal {signal.Signals(self._exit_code - 128).name}"

    def _read_events(self, launched: Launched) -> bool:
        """Take what bubblewrap says about its child; returns whether more may come."""
        if launched.status_fd is None:
            return False
        os.set_blocking(launched.status_fd, False)
        with contextlib.suppress(BlockingIOError):
            block = os.read(launched.status_fd, 4096)
            self._event_text += block
            *lines, self._event_text = self._event_text.split(b"\n")
            for line in lines:
                with contextlib.suppress(ValueError):
                    self._events.update(json.loads(line))
            return bool(block)
        return True

    def _next_wake(self, next_look: float) -> float:
        time_limit_s = self._plan["limits"]["time_limit_s"]
        times = [next_look]
        if self._kill_at is not None:
            times.append(self._kill_at)
        elif time_limit_s is not None:
            times.append(self._begun + time_limit_s)
        return min(times)

    def _identity(self) -> dict[str, object]:
        return {
            "pid": os.getpid(),
            "start_ticks": system.start_ticks(os.getpid()),
            "boot_id": system.boot_id(),
            "started_at": self._started_at,
            "groups": sorted(set(self._groups.folders.values())),
        }

    def _status(self) -> dict[str, object]:
        return {
            "exit_code": self._exit_code,
            "reason": self._reason,
            "started_at": self._started_at,
            "ended_at": _now(),
            "peak_memory_bytes": self._peak_bytes or None,
        }


def write_json(path: str, document: dict[str, object]) -> None:
    """Write a file that is there as a whole or not at all, also when the machine stops at once."""
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read_plan(fd: int) -> bytes:
    with open(fd, "rb") as file:
        return file.read()


def _detach(folder: str, lock_fd: int) -> None:
    """Keep nothing of the server's but the lock."""
    os.umask(0o077)
    os.chdir("/")
    null = os.open("/dev/null", os.O_RDONLY)
    diary = os.open(f"{folder}/supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for fd, number in ((null, 0), (diary, 1), (diary, 2)):
        os.dup2(fd, number)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) != lock_fd:
            try:
                os.close(int(name))
            except OSError as error:
                if error.errno != errno.EBADF:
                    raise
    os.set_inheritable(lock_fd, False)


def _watch_signals() -> int:
    """Turn signals into bytes that can be waited for; returns where they come out."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, lambda _number, _frame: None)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    return wake_read


def _widen(read_fd: int) -> None:
    """A wider pipe, so that a workload that prints a lot seldom waits."""
    os.set_blocking(read_fd, False)
    with contextlib.suppress(OSError):
        fcntl.fcntl(read_fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _now() -> str:
    now = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1_000_000):06d}Z"
