"""The seccomp filter: every denied call is tried on the kernel, and what programs need is let through."""

import ctypes
import errno
import json
import os
import platform
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from modelyard.compute.seccomp import UnsupportedMachineError, filter_program
from modelyard.compute.supervisor import system
from modelyard.compute.syscalls import ABSENT, ALLOWED, CHECKED, DENIED
from tests.compute.workshop import Workshop

MARK = errno.EXFULL
"""An error number that no system call gives by itself: only the filter does, when it is told to."""
COLUMN = 0 if platform.machine() == "x86_64" else 1
CALLS = {name: numbers[COLUMN] for name, numbers in DENIED.items() if numbers[COLUMN] is not None}
CLONE_FLAGS = {
    "CLONE_NEWTIME": 0x80,
    "CLONE_NEWNS": 0x20000,
    "CLONE_NEWCGROUP": 0x2000000,
    "CLONE_NEWUTS": 0x4000000,
    "CLONE_NEWIPC": 0x8000000,
    "CLONE_NEWUSER": 0x10000000,
    "CLONE_NEWPID": 0x20000000,
    "CLONE_NEWNET": 0x40000000,
}
FAMILIES = {"AF_AX25": 3, "AF_KEY": 15, "AF_PACKET": 17, "AF_TIPC": 30, "AF_ALG": 38, "AF_VSOCK": 40, "AF_XDP": 44}


Call = tuple[int | None, ...]


def filtered(*calls: Call) -> list[int]:
    """The error numbers of system calls in a process of its own, under a filter that denies with `MARK`."""
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        system.forbid_new_privileges()
        system.load_filter(filter_program(denied=MARK))
        libc = ctypes.CDLL(None, use_errno=True)
        for call in calls:
            failed = libc.syscall(*(ctypes.c_long(argument or 0) for argument in call)) < 0
            os.write(write_fd, f"{ctypes.get_errno() if failed else 0} ".encode())
        os._exit(0)
    os.close(write_fd)
    with os.fdopen(read_fd, encoding="ascii") as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    return [int(word) for word in answer.split()]


@pytest.fixture(scope="module")
def denied() -> dict[str, int]:
    """How every denied call ends, by what is denied."""
    calls: dict[str, Call] = {name: (number, -1, -1, -1, -1, -1, -1) for name, number in CALLS.items()}
    calls |= {name: (CHECKED["clone"][COLUMN], flag | signal.SIGCHLD) for name, flag in CLONE_FLAGS.items()}
    for call in ("socket", "socketpair"):
        number = CHECKED[call][COLUMN]
        calls |= {f"{call} {name}": (number, family, socket.SOCK_DGRAM, 0, 0) for name, family in FAMILIES.items()}
    return dict(zip(calls, filtered(*calls.values()), strict=True))


@pytest.mark.parametrize(
    "what", [*CALLS, *CLONE_FLAGS, *(f"{call} {name}" for call in ("socket", "socketpair") for name in FAMILIES)]
)
def test_denied_call_is_denied_by_the_filter(denied: dict[str, int], what: str) -> None:
    assert denied[what] == MARK


def test_clone3_is_absent_so_that_clone_is_used() -> None:
    assert filtered((ABSENT["clone3"][COLUMN], 0, 0)) == [errno.ENOSYS]


def test_netlink_is_for_routes_only() -> None:
    number = CHECKED["socket"][COLUMN]
    protocols = (0, 2, 4, 9, 12, 15, 16)  # routes; then firewall, sock_diag, audit, netfilter, uevents, generic
    assert filtered(*((number, 16, socket.SOCK_RAW, protocol) for protocol in protocols)) == [0, *[MARK] * 6]


def test_nothing_is_typed_into_a_terminal() -> None:
    number = CHECKED["ioctl"][COLUMN]
    assert filtered((number, 0, 0x5412, 0), (number, 0, 0x541C, 0)) == [MARK, MARK]


def test_personality_cannot_be_chosen_freely() -> None:
    number = CHECKED["personality"][COLUMN]
    read_implies_exec = 0x0400000
    assert filtered((number, 0xFFFFFFFF), (number, read_implies_exec)) == [0, MARK]


def test_unknown_numbers_are_absent() -> None:
    getpid_of_x32 = 0x40000000 + 39
    assert filtered((4000,), (getpid_of_x32,)) == [errno.ENOSYS, errno.ENOSYS]


def test_no_call_is_in_two_tables() -> None:
    tables = [set(table) for table in (ALLOWED, CHECKED, DENIED, ABSENT)]
    assert len(set.union(*tables)) == sum(map(len, tables))
    for column in (0, 1):
        numbers = [
            number
            for table in (ALLOWED, CHECKED, DENIED, ABSENT)
            for each in table.values()
            if (number := each[column]) is not None
        ]
        assert len(numbers) == len(set(numbers))


def test_machines_without_numbers_are_named() -> None:
    assert filter_program("aarch64") != filter_program("x86_64")
    with pytest.raises(UnsupportedMachineError, match="riscv64"):
        filter_program("riscv64")


def test_filter_holds_for_threads_processes_and_the_first_process_of_a_sandbox(workshop: Workshop) -> None:
    ended, text = workshop.run(
        "import json, multiprocessing, socket, subprocess, threading\n"
        "def denied():\n"
        "    try: socket.socket(40, socket.SOCK_STREAM)\n"
        "    except PermissionError: return True\n"
        "seen = [denied()]\n"
        "thread = threading.Thread(target=lambda: seen.append(denied())); thread.start(); thread.join()\n"
        "with multiprocessing.get_context('fork').Pool(1) as pool: seen.append(pool.apply(denied))\n"
        "modes = [[l for l in open(f'/proc/{pid}/status') if l.startswith('Seccomp:')][0].split()[1]\n"
        "         for pid in ('self', '1')]\n"
        "program = 'import socket; socket.socket(40, 1)'\n"
        "import sys; seen.append(b'PermissionError' in subprocess.run([sys.executable, '-c', program],\n"
        "    capture_output=True).stderr)\n"
        "print(json.dumps([seen, modes]))\n"
    )
    assert ended.exit_code == 0, text
    assert json.loads(text) == [[True] * 4, ["2", "2"]]


def test_keys_of_the_operators_session_are_out_of_reach(workshop: Workshop) -> None:
    add_key, keyctl = DENIED["add_key"][COLUMN], DENIED["keyctl"][COLUMN]
    libc = ctypes.CDLL(None, use_errno=True)
    session_keyring = ctypes.c_long(-3)
    key = libc.syscall(ctypes.c_long(add_key or 0), b"user", b"modelyard-test", b"operator", 8, session_keyring)
    if key < 0:
        pytest.skip("this kernel keeps no keys")
    ended, text = workshop.run(
        "import ctypes\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "buffer = ctypes.create_string_buffer(64)\n"
        f"print(libc.syscall(ctypes.c_long({keyctl}), 11, ctypes.c_long({key}), buffer, 64), ctypes.get_errno())\n"
        "try: print(open('/proc/keys').read())\n"
        "except PermissionError: print('hidden')\n"
    )
    assert ended.exit_code == 0, text
    assert text == f"-1 {errno.EPERM}\nhidden\n"


def test_session_keyring_is_a_new_one() -> None:
    """Read in the supervisor's child, before the filter makes asking impossible."""
    keyctl = DENIED["keyctl"][COLUMN]
    program = (
        "import ctypes, sys\n"
        f"sys.path.insert(0, {str(Path(system.__file__).parents[1])!r})\n"
        "from supervisor import system\n"
        "libc = ctypes.CDLL(None)\n"
        f"before = libc.syscall({keyctl}, 0, ctypes.c_long(-3), 1)\n"
        "system.leave_session_keyring()\n"
        f"print(before != libc.syscall({keyctl}, 0, ctypes.c_long(-3), 1))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
