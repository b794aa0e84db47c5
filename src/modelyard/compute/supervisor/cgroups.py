"""Control groups, both generations: one group per workload, made where this machine lets us.

Version 1 has a tree per controller, version 2 one tree; a group is made below the group that the server itself is in
(so that limits of a container or a service go on holding), for version 2 beside it, since a group that holds
processes cannot hand controllers down. See https://docs.kernel.org/admin-guide/cgroup-v2.html.
"""

import os
import time

from .system import read_text

CONTROLLERS = ("memory", "pids", "cpu")
_SHARES_PER_CPU = 1024
_PERIOD_US = 100_000


class Groups:
    """The groups of one workload: a folder per controller that could be had."""

    def __init__(self, folders: dict[str, str], version: dict[str, int]) -> None:
        self.folders = folders
        self._version = version
        self.has_quota = False
        """Whether the kernel keeps the workload from using more processors than it may."""

    def limit(self, memory_bytes: int | None, processes: int, cpu_count: float | None) -> list[str]:
        """Set the limits; returns the controllers whose limit is in force."""
        done: list[str] = []
        if memory_bytes is not None and self._limit_memory(memory_bytes):
            done.append("memory")
        if self._write("pids", "pids.max", str(processes)):
            done.append("pids")
        if cpu_count is not None:
            shares = max(2, round(cpu_count * _SHARES_PER_CPU))
            weight = 1 + (shares - 2) * 9999 // 262142
            first = self._version.get("cpu") == 1
            if self._write("cpu", "cpu.shares" if first else "cpu.weight", str(shares if first else weight)):
                done.append("cpu")
            self.has_quota = self._limit_cpu(cpu_count)
        return done

    def join(self) -> None:
        """Move the calling process into the groups; its children are born in them."""
        for folder in set(self.folders.values()):
            with open(f"{folder}/cgroup.procs", "w", encoding="ascii") as file:
                file.write("0")

    def memory_bytes(self) -> int | None:
        """What the processes hold now, without the page cache; None without a memory controller."""
        if "memory" not in self.folders:
            return None
        wanted = ("total_rss", "total_shmem") if self._version["memory"] == 1 else ("anon", "shmem")
        total = 0
        for line in read_text(f"{self.folders['memory']}/memory.stat").splitlines():
            name, _, value = line.partition(" ")
            if name in wanted:
                total += int(value)
        return total

    def has_run_out_of_memory(self) -> bool:
        """Whether the kernel killed a process of the group because of the group's limit."""
        folder = self.folders.get("memory")
        if folder is None:
            return False
        name = "memory.oom_control" if self._version["memory"] == 1 else "memory.events"
        for line in read_text(f"{folder}/{name}").splitlines():
            if line.startswith("oom_kill ") and int(line.split()[1]) > 0:
                return True
        return False

    def remove(self, timeout_s: float = 2.0) -> None:
        """Remove the groups, which hold no processes any more (the kernel may need a moment to see that)."""
        deadline = time.monotonic() + timeout_s
        for folder in set(self.folders.values()):
            while os.path.isdir(folder):
                try:
                    os.rmdir(folder)
                except OSError:
                    if time.monotonic() > deadline:
                        break
                    time.sleep(0.005)

    def _limit_memory(self, memory_bytes: int) -> bool:
        if self._version.get("memory") == 1:
            done = self._write("memory", "memory.limit_in_bytes", str(memory_bytes))
            self._write("memory", "memory.memsw.limit_in_bytes", str(memory_bytes))
            return done
        self._write("memory", "memory.swap.max", "0")
        self._write("memory", "memory.oom.group", "1")
        return self._write("memory", "memory.max", str(memory_bytes))

    def _limit_cpu(self, cpu_count: float) -> bool:
        quota_us = max(1000, round(cpu_count * _PERIOD_US))
        if self._version.get("cpu") == 1:
            self._write("cpu", "cpu.cfs_period_us", str(_PERIOD_US))
            return self._write("cpu", "cpu.cfs_quota_us", str(quota_us))
        return self._write("cpu", "cpu.max", f"{quota_us} {_PERIOD_US}")

    def _write(self, controller: str, name: str, value: str) -> bool:
        folder = self.folders.get(controller)
        if folder is None or not os.path.exists(f"{folder}/{name}"):
            return False
        try:
            with open(f"{folder}/{name}", "w", encoding="ascii") as file:
                file.write(value)
        except OSError:
            return False
        return True


def make_groups(name: str) -> Groups:
    """Make the groups `name` for every controller that this machine lets us use."""
    folders: dict[str, str] = {}
    versions: dict[str, int] = {}
    for controller in CONTROLLERS:
        for version, parent in _parents(controller):
            folder = f"{parent}/{name}"
            try:
                os.mkdir(folder)
            except FileExistsError:
                pass
            except OSError:
                continue
            if os.access(f"{folder}/cgroup.procs", os.W_OK) and _has_controller(folder, controller, version):
                folders[controller] = folder
                versions[controller] = version
                break
            if folder not in folders.values():
                os.rmdir(folder)
    return Groups(folders, versions)


def _has_controller(folder: str, controller: str, version: int) -> bool:
    return version == 1 or controller in read_text(f"{folder}/cgroup.controllers").split()


def _parents(controller: str) -> list[tuple[int, str]]:
    """The folders in which a group of this controller may be made, the best first, with the tree's version."""
    own = _own_groups()
    found: list[tuple[int, str]] = []
    for kind, options, mount_point in _mounts():
        if kind == "cgroup" and controller in options:
            path = own.get(controller, "/")
            found += [(1, mount_point + path.rstrip("/")), (1, mount_point)]
        elif kind == "cgroup2":
            path = own.get("", "/")
            beside = path.rpartition("/")[0]
            for candidate in (mount_point + beside, mount_point + path.rstrip("/")):
                if _hand_down(candidate, controller):
                    found.append((2, candidate))
    return [(version, folder) for version, folder in found if os.access(folder, os.W_OK)]


def _hand_down(folder: str, controller: str) -> bool:
    """Let the groups below `folder` use the controller."""
    file_name = f"{folder}/cgroup.subtree_control"
    if controller not in read_text(f"{folder}/cgroup.controllers").split():
        return False
    if controller in read_text(file_name).split():
        return True
    try:
        with open(file_name, "w", encoding="ascii") as file:
            file.write(f"+{controller}")
    except OSError:
        return False
    return True


def _own_groups() -> dict[str, str]:
    """The group this process is in, by controller; the one of version 2 under the empty name."""
    own: dict[str, str] = {}
    for line in read_text("/proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for controller in controllers.split(","):
            own[controller] = path
    return own


def _mounts() -> list[tuple[str, list[str], str]]:
    """Mounted trees: kind, controllers, folder."""
    found: list[tuple[str, list[str], str]] = []
    for line in read_text("/proc/self/mounts").splitlines():
        _, folder, kind, options, *_ = line.split()
        if kind in {"cgroup", "cgroup2"}:
            found.append((kind, options.split(","), folder))
    return found
