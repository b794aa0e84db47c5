"""Workloads as processes of this machine, each under a supervisor that outlives the server.

All state is in folders: `<root>/<id>/` holds `workload.json` (what was asked for), `lock` (held while the supervisor
lives), `supervisor.json` (who it is; there once it has begun), `status.json` (how it ended), `stop` (a request to
end), `log/` and `work/`. Whoever opens the same root sees, and may stop, the same workloads.
"""

import contextlib
import fcntl
import json
import os
import secrets
import signal
import struct
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from modelyard.compute.executor import Observation, State
from modelyard.compute.folders import give_away, remove_folder
from modelyard.compute.free_space import NoSpace, missing_space
from modelyard.compute.isolation import SUPERVISOR, Isolation
from modelyard.compute.logs import LogFile
from modelyard.compute.sandbox import ETC_FILES, plan_workload
from modelyard.compute.supervisor.identity import closed_folder
from modelyard.compute.supervisor.system import boot_id, start_ticks
from modelyard.compute.workload import Workload, check_id, from_json, to_json
from modelyard.kernel.errors import Conflict, Unavailable
from modelyard.kernel.private_folders import open_private_folder

_ETC = ".etc"
_LAST_MOMENT_S = 2.0
_FLOCK = "hhqqi"
"""struct flock of fcntl(2), on 64-bit Linux."""


class ProcessExecutor:
    """Implements `Executor` on this machine.

    Args:
        root: the folder that holds one folder per workload.
        runtime_dir: holds one short-named folder per workload for its sockets, whose paths have a limit of 108 bytes.
            Raises `UnsafeFolderError` where another user could have put something there.
        isolation: what to isolate with, from `isolation.probe()`.
        allowed_networks: private IPv4 networks (`address/bits`) that PUBLIC workloads may reach, such as the one of
            a package mirror.
        min_free_bytes: with less free space on the disk no workload starts, and those that write end.
        node_id: names this machine with its data directory, see `nodes`.
    """

    def __init__(
        self,
        root: Path,
        runtime_dir: Path,
        isolation: Isolation,
        allowed_networks: tuple[str, ...] = (),
        min_free_bytes: int = 0,
        node_id: str = "",
    ) -> None:
        self.root = root.absolute()
        self.runtime_dir = open_private_folder(runtime_dir, "MODELYARD_RUNTIME_DIR")
        self.isolation = isolation
        self._allowed_networks = allowed_networks
        self.min_free_bytes = min_free_bytes
        self.node_id = node_id
        self.root.mkdir(parents=True, exist_ok=True)
        self._write_etc()

    def start(self, workload: Workload) -> None:
        """Start it under a supervisor of its own and return; a workload that was started before is left as it is.

        Raises:
            NoSpace: too little space is free on the disk.
            Unavailable: there is no sandbox, and running without one was not asked for.
            Conflict: a folder that it needs is missing, or the sandbox's user may not read it.
        """
        self._check(workload)
        folder = self.root / workload.id
        if not (folder / "supervisor.json").exists() and (missing := self.missing_space()):
            raise NoSpace(missing)
        folder.mkdir(mode=0o700, exist_ok=True)
        lock = _take_lock(folder / "lock")
        if lock is None:
            return
        try:
            if not (folder / "supervisor.json").exists():
                self._launch(workload, folder, lock)
        finally:
            os.close(lock)

    def observe(self, workload_id: str) -> Observation:
        """What is known of it now: at most three small files are read."""
        folder = self.root / check_id(workload_id)
        # The lock is asked first: when it is free, what the files say is final.
        is_alive = _is_locked(folder / "lock")
        status = _read_json(folder / "status.json")
        if status is not None:
            return Observation(
                State.EXITED,
                exit_code=status["exit_code"],
                reason=status["reason"],
                started_at=datetime.fromisoformat(status["started_at"]),
                ended_at=datetime.fromisoformat(status["ended_at"]),
                peak_memory_bytes=status["peak_memory_bytes"],
            )
        supervisor = _read_json(folder / "supervisor.json")
        if supervisor is None:
            return Observation(State.STARTING if is_alive else State.ABSENT)
        started_at = datetime.fromisoformat(supervisor["started_at"])
        if is_alive:
            return Observation(State.RUNNING, started_at=started_at, supervisor_pid=supervisor["pid"])
        restarted = supervisor["boot_id"] != boot_id()
        reason = "the machine was restarted" if restarted else "its supervisor was killed"
        return Observation(State.LOST, reason=f"{reason} while it was running", started_at=started_at)

    def stop(self, workload_id: str, grace_s: float | None = None) -> None:
        """Ask it to end, by force after `grace_s` (its own grace when None). What is left of a lost one is killed."""
        folder = self.root / check_id(workload_id)
        observed = self.observe(workload_id)
        if observed.state is State.LOST:
            self._kill_remains(workload_id)
        if not observed.is_alive:
            return
        request = folder / f".stop.{os.getpid()}.{id(observed)}"
        request.write_text(json.dumps({"grace_s": grace_s}), encoding="ascii")
        request.replace(folder / "stop")
        supervisor = _read_json(folder / "supervisor.json")
        if supervisor is not None and start_ticks(supervisor["pid"]) == supervisor["start_ticks"]:
            _send(supervisor["pid"], signal.SIGTERM)

    def logs(self, workload_id: str) -> LogFile:
        """Its output so far; empty for a workload that is absent."""
        return LogFile(self.root / check_id(workload_id) / "log")

    def address(self, workload_id: str) -> Path | None:
        """The folder in which it puts its sockets."""
        folder = self.runtime_dir / check_id(workload_id)
        return folder if folder.is_dir() else None

    def work(self, workload_id: str) -> Path:
        """The folder that was its working directory. Everything in it was written by user code."""
        return self.root / check_id(workload_id) / "work"

    def describe(self, workload_id: str) -> Workload | None:
        """The workload as it was started, without the values of its secrets."""
        try:
            return from_json((self.root / check_id(workload_id) / "workload.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def missing_space(self) -> str | None:
        """What is waited for while too little space is free to start anything; None where there is enough."""
        return missing_space(self.root, self.min_free_bytes)

    def ids(self) -> list[str]:
        """Every workload that is or was here."""
        return sorted(path.name for path in self.root.iterdir() if path.is_dir() and not path.name.startswith("."))

    def remove(self, workload_id: str) -> None:
        """Delete everything that is left of it.

        Raises:
            Conflict: it is still alive.
        """
        folder = self.root / check_id(workload_id)
        lock = self._lock_ended(folder) if folder.is_dir() else None
        if folder.is_dir() and lock is None:
            raise Conflict(f"workload {workload_id} is still alive; stop it before it is removed")
        try:
            if self.observe(workload_id).state is not State.EXITED:
                self._kill_remains(workload_id)
            remove_folder(self.runtime_dir / workload_id)
            remove_folder(folder)
        finally:
            if lock is not None:
                os.close(lock)

    def _lock_ended(self, folder: Path) -> int | None:
        """Take the lock, after waiting for a supervisor that has written its status and is about to go."""
        deadline = time.monotonic() + _LAST_MOMENT_S
        while (lock := _take_lock(folder / "lock")) is None:
            if not (folder / "status.json").exists() or time.monotonic() > deadline:
                return None
            time.sleep(0.002)
        return lock

    def _check(self, workload: Workload) -> None:
        """Refuse what cannot run as asked, before anything is written."""
        isolation = self.isolation
        if not isolation.is_sandboxed and not isolation.is_off:
            raise Unavailable(f"There is no sandbox: {isolation.sandbox.why}. To get one, {isolation.sandbox.remedy}.")
        shown = [mount.source for mount in workload.mounts]
        for source in [*shown, *(path for path in (workload.image, workload.code) if path is not None)]:
            if not source.exists():
                raise Conflict(f"workload {workload.id} needs {source}, which does not exist")
        if isolation.host_uids is not None:
            read_only = [mount.source for mount in workload.mounts if not mount.writable]
            for source in [*read_only, *(path for path in (workload.image, workload.code) if path is not None)]:
                mode = source.stat().st_mode
                if mode & (0o005 if source.is_dir() else 0o004) != (0o005 if source.is_dir() else 0o004):
                    raise Conflict(
                        f"workload {workload.id}: the sandbox's user may not read {source} (mode {mode & 0o777:o}); "
                        "it must be readable for all"
                    )

    def _launch(self, workload: Workload, folder: Path, lock: int) -> None:
        work = folder / "work"
        run = self.runtime_dir / workload.id
        for path in (work, run):
            path.mkdir(mode=0o700, exist_ok=True)
        uid = self._choose_user()
        if uid is not None:
            for path in (work, run, *(mount.source for mount in workload.mounts if mount.writable)):
                give_away(path, uid)
            if not self.isolation.can_mount:
                self._open_ways(workload, uid)
        (folder / "stop").unlink(missing_ok=True)
        _write_private(folder / "workload.json", to_json(workload))
        plan = plan_workload(
            workload,
            self.isolation,
            work=work,
            run=run,
            etc=self.root / _ETC,
            lock_fd=lock,
            uid=uid,
            allowed_networks=self._allowed_networks,
            min_free_bytes=self.min_free_bytes,
        )
        # A file in memory: the plan holds the values of secrets, which belong neither on disk nor on a command line.
        with os.fdopen(os.memfd_create("plan"), "w+b") as plan_file:
            plan_file.write(json.dumps(plan).encode())
            plan_file.flush()
            plan_file.seek(0)
            # The shell ends at once and leaves the supervisor to the first process of the machine.
            supervisor = [sys.executable, "-I", "-S", str(SUPERVISOR), str(folder), str(plan_file.fileno())]
            subprocess.run(
                ["/bin/sh", "-c", '"$@" &', "sh", *supervisor],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={"PATH": os.defpath, "LANG": "C.UTF-8"},
                pass_fds=(lock, plan_file.fileno()),
                start_new_session=True,
                check=True,
            )

    def _choose_user(self) -> int | None:
        """Return a user of the host that no other workload has, or None where workloads run as the server's user.

        The kernel counts by user: inotify instances, descriptors in flight, timers and more that a workload could use
        up for all others of its user. And without a sandbox users are what keeps workloads apart.
        """
        uids = self.isolation.host_uids
        if uids is None:
            return None
        used: set[int] = set()
        for workload_id in self.ids():
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                used.add(self.work(workload_id).lstat().st_uid)
        if len(used) >= len(uids) // 2:
            raise Unavailable(f"{len(used)} workloads are kept on this machine; remove some with modelyard gc.")
        while (uid := secrets.choice(uids)) in used:
            pass
        return uid

    def _open_ways(self, workload: Workload, uid: int) -> None:
        """Let the workload's user pass our folders on the way to what it needs; what is in them stays closed.

        Raises:
            Conflict: a folder that is not ours is in the way.
        """
        mounts = [mount.source for mount in workload.mounts]
        own = [self.root.parent, self.runtime_dir]
        written = (self.root / workload.id / "work", self.runtime_dir / workload.id)
        for path in (workload.image, workload.code, *mounts, *written):
            while path is not None and (closed := closed_folder(str(path.resolve()), uid)) is not None:
                if not any(Path(closed).is_relative_to(folder.resolve()) for folder in own):
                    raise Conflict(
                        f"workload {workload.id}: user {uid}, who runs user code, may not pass {closed}. Keep data and "
                        "Python elsewhere, or start the server as an ordinary user"
                    )
                Path(closed).chmod(Path(closed).stat().st_mode & 0o777 | 0o011)

    def _kill_remains(self, workload_id: str) -> None:
        """Kill what a lost workload may have left: without a sandbox its processes outlive a killed supervisor."""
        supervisor = _read_json(self.root / workload_id / "supervisor.json") or {}
        groups = [Path(group) for group in supervisor.get("groups", [])]
        mark = f"MODELYARD_WORKLOAD_ID={workload_id}\0".encode()
        for _ in range(10):
            left = [pid for pid in _pids() if mark in _environment(pid)]
            for group in groups:
                if (group / "cgroup.procs").exists():
                    left += [int(pid) for pid in (group / "cgroup.procs").read_text(encoding="ascii").split()]
            if not left:
                break
            for pid in left:
                _send(pid, signal.SIGKILL)
        for group in groups:
            try:
                group.rmdir()
            except OSError:
                continue

    def _write_etc(self) -> None:
        etc = self.root / _ETC
        etc.mkdir(exist_ok=True)
        etc.chmod(0o755)
        for name, text in ETC_FILES.items():
            path = etc / name
            if not path.exists() or path.read_text(encoding="ascii") != text:
                temporary = etc / f".{name}.{os.getpid()}"
                temporary.write_text(text, encoding="ascii")
                temporary.chmod(0o644)
                temporary.replace(path)


def _take_lock(path: Path) -> int | None:
    """Take a lock that belongs to the open file (so that a child may go on holding it), or None when it is taken."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def _is_locked(path: Path) -> bool:
    """Whether somebody holds the lock; asks without taking it, so that nobody else is turned away."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        question = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, question)
        return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)
    finally:
        os.close(fd)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return document


def _write_private(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - only names are wanted


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def _send(pid: int, signal_number: int) -> None:
    try:
        os.kill(pid, signal_number)
    except (ProcessLookupError, PermissionError):
        return
