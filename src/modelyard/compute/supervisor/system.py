"""Calls to the kernel that the standard library does not have, and looking at processes through /proc."""

import contextlib
import ctypes
import errno
import os
import signal
import struct
import time

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_PRIVATE = 0x40000
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2
_KEYCTL_CALLS = {"x86_64": 250, "aarch64": 219}
_KEYCTL_JOIN_SESSION_KEYRING = 1
_SYS_PIDFD_GETFD = 438  # the same on every architecture
_SYS_KCMP = {"x86_64": 312, "aarch64": 272, "riscv64": 272}.get(os.uname().machine)
_KCMP_FILES = 2
_PIDFD_THREAD = os.O_EXCL

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Leave the given namespaces for new ones."""
    _check(_libc.unshare(flags), "unshare")


def keep_mounts_private() -> None:
    """Let nothing that is mounted in this mount namespace appear in others."""
    _check(_libc.mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None), "mount")


def bind(source: str, target: str) -> None:
    """Mount a folder, or a file, at another place as well."""
    flags = ctypes.c_ulong(_MS_BIND | _MS_REC)
    _check(_libc.mount(os.fsencode(source), os.fsencode(target), None, flags, None), f"bind {target}")


def mount_empty(folder: str) -> None:
    """Cover a folder with an empty one in memory that everybody may pass."""
    _check(
        _libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", ctypes.c_ulong(0), b"mode=755,size=1m"), f"cover {folder}"
    )


def forbid_new_privileges() -> None:
    """Gain nothing from now on by executing a set-user-id program; see PR_SET_NO_NEW_PRIVS in prctl(2)."""
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")


def allow_inspection() -> None:
    """Let processes of the same user look at this one; the kernel forbids it when a process changes its user."""
    _check(_libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl")


def load_filter(program: bytes) -> None:
    """Bind this process and all it starts to a seccomp filter; `forbid_new_privileges` comes first."""
    instructions = ctypes.create_string_buffer(program, len(program))
    filter_struct = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(instructions))
    buffer = ctypes.create_string_buffer(filter_struct, len(filter_struct))
    _check(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, buffer, 0, 0), "seccomp")


def memory_file(name: str, content: bytes) -> int:
    """Return a file that is inherited and in no folder, open at the beginning of its content."""
    fd = os.memfd_create(name, 0)
    with open(fd, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def leave_session_keyring() -> None:
    """Begin a new, empty session keyring, so that the keys of the old one cannot be read; see keyctl(2)."""
    call = _KEYCTL_CALLS.get(os.uname().machine)
    if call is None:
        return
    if _libc.syscall(ctypes.c_long(call), ctypes.c_long(_KEYCTL_JOIN_SESSION_KEYRING), None) < 0:
        number = ctypes.get_errno()
        # A kernel without keyrings, or a filter that denies keyctl, such as that of a container: here as for all below.
        if number not in {errno.ENOSYS, errno.EPERM}:
            raise OSError(number, f"session keyring: {os.strerror(number)}")


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def die_with_parent() -> None:
    """Be killed when the parent ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0), "prctl")


def open_process(pid: int, tid: int) -> int:
    """Open a pidfd of a thread of a process, for `duplicate`. A thread that does not lead needs Linux 6.9."""
    return os.pidfd_open(tid, 0 if tid == pid else _PIDFD_THREAD)


def duplicate(pidfd: int, fd: int) -> int:
    """Duplicate a file descriptor of another process (pidfd_getfd(2), Linux 5.6); it is closed on exec."""
    copy = int(_libc.syscall(_SYS_PIDFD_GETFD, pidfd, fd, 0))
    if copy < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"pidfd_getfd: {os.strerror(number)}")
    return copy


def share_files(tid: int, other: int) -> bool:
    """Whether two threads have the same table of file descriptors (kcmp(2)); False where the kernel does not say."""
    return _SYS_KCMP is not None and _libc.syscall(_SYS_KCMP, tid, other, _KCMP_FILES, 0, 0) == 0


def read_text(path: str) -> str:
    """The content of a small file, or nothing where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def boot_id() -> str:
    """Names this start of the machine."""
    return read_text("/proc/sys/kernel/random/boot_id").strip()


def start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since the boot; with its pid it names a process for good."""
    fields = read_text(f"/proc/{pid}/stat").rpartition(") ")[2].split()
    return int(fields[19]) if len(fields) > 19 else None


def descendants(root: int) -> list[int]:
    """Every living process below `root`, parents before children."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = read_text(f"/proc/{name}/stat").rpartition(") ")[2].split(maxsplit=18)
            # A process whose first thread has ended looks like a zombie, but others of its threads may live.
            if len(fields) > 17 and (fields[0] not in "ZX" or int(fields[17]) > 1):
                children.setdefault(int(fields[1]), []).append(int(name))
    found: list[int] = []
    stack = [root]
    while stack:
        below = children.get(stack.pop(), [])
        found += below
        stack += below
    return found


def descendants_now(root: int) -> list[int]:
    """The same from what the kernel lists per process: quick, but it may miss what is being born or orphaned."""
    found: list[int] = []
    stack = [root]
    while stack:
        pid = stack.pop()
        try:
            tasks = os.listdir(f"/proc/{pid}/task")
        except OSError:
            continue
        for task in tasks:
            below = [int(child) for child in read_text(f"/proc/{pid}/task/{task}/children").split()]
            found += below
            stack += below
    return found


def send(pid: int, signal_number: int) -> None:
    """Send a signal to a process that may be gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal_number)


def kill_descendants(root: int, timeout_s: float = 5.0) -> bool:
    """Kill everything below `root` until nothing is left, and say whether that worked."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        reap()
        left = descendants(root)
        if not left:
            return True
        for pid in left:
            send(pid, signal.SIGKILL)
        time.sleep(0.002)
    return False


def reap() -> None:
    """Forget the children that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def memory_holder(pid: int) -> int:
    """Return the id in /proc that shows the memory of a process: of another thread where the first one has ended."""
    with contextlib.suppress(OSError):
        if read_text(f"/proc/{pid}/stat").rpartition(") ")[2][:1] == "Z":
            for tid in os.listdir(f"/proc/{pid}/task"):
                if read_text(f"/proc/{pid}/task/{tid}/stat").rpartition(") ")[2][:1] not in {"Z", "X", ""}:
                    return int(tid)
    return pid


def resident_bytes(pid: int) -> int:
    """The memory of one process that no file backs, shared memory in full."""
    total = 0
    for line in read_text(f"/proc/{memory_holder(pid)}/status").splitlines():
        if line.startswith(("RssAnon:", "RssShmem:")):
            total += int(line.split()[1]) * 1024
    return total


def proportional_bytes(pid: int, memory_device: int, counted: "frozenset[int]") -> int:
    """The same with pages shared between processes counted once, where the kernel tells; slower.

    Mapped files of `memory_device` are left out where their inode is in `counted`, as are those of other file systems
    in memory: both are counted elsewhere.
    """
    total = 0
    is_shared = False
    pid = memory_holder(pid)
    for line in read_text(f"/proc/{pid}/smaps").splitlines():
        name, _, rest = line.partition(" ")
        if name == "Pss:" and is_shared:
            total += int(rest.split()[0]) * 1024
        elif not name.endswith(":"):
            _, _, device, inode, *_ = rest.split(maxsplit=4)
            major, _, minor = device.partition(":")
            is_shared = os.makedev(int(major, 16), int(minor, 16)) == memory_device and int(inode) not in counted
    for line in read_text(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith("Pss_Anon:"):
            return total + int(line.split()[1]) * 1024
    return resident_bytes(pid)
