"""``modelyard up``: everything on one machine, kept up."""

import contextlib
import fcntl
import logging
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from modelyard.kernel.private_folders import UnsafeFolderError, open_private_folder
from modelyard.kernel.settings import Settings
from modelyard.processes.logs import configure
from modelyard.processes.running import die_with, why_not_bindable

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
STEADY_S = 5.0
LONGEST_PAUSE_S = 10.0
LOOK_S = 0.1


class UpError(Exception):
    """The installation cannot be started; the text says why and what to do."""


@dataclass
class Child:
    """One role, the process that plays it, and when it may be started again."""

    role: str
    run: Callable[[Settings], None]
    pid: int | None = None
    started_at: float = 0.0
    failures: int = 0
    next_start_at: float = 0.0


@dataclass
class Keeper:
    """Starts the roles as forks of this process, which has imported everything they need, and restarts what ends.

    A fork costs milliseconds and shares its memory, where a new interpreter costs a second and a hundred megabytes.
    It is safe because this process never has a second thread or an open connection.
    """

    settings: Settings
    roles: Mapping[str, Callable[[Settings], None]]
    say: Callable[[str], None]
    is_ending: bool = False

    def __post_init__(self) -> None:
        self._children = [Child(role, run) for role, run in self.roles.items()]

    def run(self, on_ready: Callable[[], None]) -> None:
        """Until SIGTERM, SIGINT or SIGHUP. Raises ``UpError`` when the installation does not come up."""
        for number in SIGNALS:
            signal.signal(number, self._end)
        try:
            for child in self._children:
                self._start(child)
            self._wait_until_ready()
            if not self.is_ending:
                on_ready()
            while not self.is_ending:
                time.sleep(LOOK_S)
                for child in self._children:
                    self._look_after(child)
        finally:
            self._stop()

    def _end(self, *_: object) -> None:
        self.is_ending = True

    def _stop(self) -> None:
        """Ends all processes: first nicely, at last by force."""
        for child in self._children:
            self._send(child, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S + self.settings.drain_timeout_s
        while any(self._is_alive(child) for child in self._children):
            if time.monotonic() > deadline:
                for child in self._children:
                    self._send(child, signal.SIGKILL)
            time.sleep(0.02)

    def _start(self, child: Child) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        child.pid = os.fork()
        child.started_at = time.monotonic()
        if child.pid == 0:
            self._become(child, parent)

    def _become(self, child: Child, parent: int) -> NoReturn:
        """In the new process: plays the role, and never returns."""
        code = 1
        try:
            for number in SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            die_with(parent)
            configure(self.settings.log_level, child.role)
            child.run(self.settings)
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        except BaseException:  # nothing of the parent's may run on in the child
            log.exception("the %s failed", child.role)
        finally:
            os._exit(code)

    def _look_after(self, child: Child) -> None:
        if self.is_ending:
            return
        now = time.monotonic()
        if child.pid is not None:
            code = self._exit_code(child)
            if code is None:
                if child.failures and now - child.started_at > STEADY_S:
                    child.failures = 0
                return
            child.failures += 1
            pause_s = 0.0 if child.failures == 1 else min(LONGEST_PAUSE_S, 0.5 * 2**child.failures)
            child.next_start_at = now + pause_s
            when = f" in {pause_s:g} s" if pause_s else ""
            self.say(f"The {child.role} ended ({_how(code)}); it starts again{when}.")
        if now >= child.next_start_at:
            self._start(child)

    def _wait_until_ready(self) -> None:
        api_url = self.settings.api_url()
        gateway_url = f"{api_url.rpartition(':')[0]}:{self.settings.gateway_port}"
        wanted = {"api": f"{api_url}/api/v2/ping", "gateway": f"{gateway_url}/ping"}
        deadline = time.monotonic() + READY_TIMEOUT_S
        while wanted and not self.is_ending:
            for child in self._children:
                if (code := self._exit_code(child)) is not None:
                    raise UpError(f"The {child.role} ended while it was starting ({_how(code)}); see its log above.")
            wanted = {role: url for role, url in wanted.items() if not _answers(url)}
            if time.monotonic() > deadline:
                raise UpError(f"After {READY_TIMEOUT_S:g} s these do not answer: {', '.join(wanted)}.")
            time.sleep(0.02)

    def _exit_code(self, child: Child) -> int | None:
        """How a child ended, once; None while it lives."""
        if child.pid is None:
            return None
        pid, status = os.waitpid(child.pid, os.WNOHANG)
        if pid == 0:
            return None
        child.pid = None
        return os.waitstatus_to_exitcode(status)

    def _is_alive(self, child: Child) -> bool:
        self._exit_code(child)
        return child.pid is not None

    def _send(self, child: Child, number: int) -> None:
        if child.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, number)


@contextlib.contextmanager
def only_one(data_dir: Path) -> Iterator[None]:
    """Holds the data directory's lock; raises ``UpError`` where another ``up`` holds it."""
    try:
        open_private_folder(data_dir, "MODELYARD_DATA_DIR or --data-dir")
    except UnsafeFolderError as error:
        raise UpError(str(error)) from None
    with (data_dir / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise UpError(
                f"Modelyard is already running on {data_dir} (process {lock.read().strip() or 'unknown'}). "
                "Stop it first, or give another --data-dir."
            ) from None
        lock.seek(0)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def check_ports(settings: Settings) -> None:
    """Raises ``UpError`` for a port that is taken, naming the option that chooses another."""
    if settings.port == settings.gateway_port:
        raise UpError(f"--port and --gateway-port are both {settings.port}; the gateway needs a port of its own.")
    for option, port in (("--port", settings.port), ("--gateway-port", settings.gateway_port)):
        why = why_not_bindable(settings.host, port)
        if why is not None:
            raise UpError(f"Port {port} on {settings.host} cannot be used: {why}. Choose another one with {option}.")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 # our own address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
