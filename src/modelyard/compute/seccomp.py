"""The seccomp filter of every workload, as a classic BPF program.

An allowlist by system call, see `syscalls.py`. A few calls are allowed with some arguments only: no new namespaces, and
no sockets but Unix, IPv4, IPv6 and the routing part of netlink. Programs for another instruction set (32-bit x86, x32)
are killed or see no system calls, since a filter reads numbers of one set only. See docs/decisions/0002-sandbox.md
and seccomp(2).
"""

import errno
import platform
import struct
from dataclasses import dataclass
from itertools import pairwise

from modelyard.compute.syscalls import ABSENT, ALLOWED, CHECKED, DENIED

ALLOW = 0x7FFF0000
KILL_PROCESS = 0x80000000
_ERRNO = 0x00050000

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_JUMP_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K

_NUMBER_OFFSET = 0
_ARCHITECTURE_OFFSET = 4

_NAMESPACE_FLAGS = 0x00000080 | 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
"""CLONE_NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""
_FAMILIES = (1, 2, 10)
"""AF_UNIX, AF_INET and AF_INET6."""
_AF_NETLINK = 16
_NETLINK_ROUTE = 0
_TERMINAL_INJECTIONS = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX, which type into a terminal."""
_PERSONALITIES = (0x0, 0x0008, 0x20000, 0x20008, 0x40000, 0xFFFFFFFF)
"""PER_LINUX, PER_LINUX32 and their variants that show old kernel versions; no address randomization; asking."""


@dataclass(frozen=True)
class _Architecture:
    audit: int
    column: int
    """Which of the numbers in `syscalls.py` are its own."""


_ARCHITECTURES = {"x86_64": _Architecture(0xC000003E, 0), "aarch64": _Architecture(0xC00000B7, 1)}

Instruction = tuple[int, int, int, int]
"""Code, how many instructions to skip when true and when false, and the constant; see `struct sock_filter`."""


class UnsupportedMachineError(Exception):
    """There is no filter for this instruction set."""


def filter_program(machine: str | None = None, denied: int = errno.EPERM) -> bytes:
    """Return the filter for a machine (this one's by default), to be loaded by bubblewrap or prctl(2).

    Args:
        machine: the machine as `uname -m` names it.
        denied: the error number of calls that are denied.

    Raises:
        UnsupportedMachineError: no numbers of system calls are known for the machine.
    """
    machine = machine or platform.machine()
    architecture = _ARCHITECTURES.get(machine)
    if architecture is None:
        raise UnsupportedMachineError(f"there is no seccomp filter for {machine}; only for {', '.join(_ARCHITECTURES)}")
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE_OFFSET),
        (_JUMP_EQUAL, 1, 0, architecture.audit),
        (_RETURN, 0, 0, KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER_OFFSET),
    ]
    for name, check in _checks(_error(denied)).items():
        number = CHECKED[name][architecture.column]
        if number is not None:
            program += [(_JUMP_EQUAL, 0, len(check), number), *check]
    program += _search(_ranges(architecture.column, _error(denied)))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _error(number: int) -> int:
    return _ERRNO | number


def _checks(denial: int) -> dict[str, list[Instruction]]:
    """Return what decides about each call whose arguments matter; each ends with a return."""
    socket = [
        (_LOAD, 0, 0, _argument(0)),
        *[(_JUMP_EQUAL, len(_FAMILIES) + 3 - index, 0, family) for index, family in enumerate(_FAMILIES)],
        (_JUMP_EQUAL, 0, 2, _AF_NETLINK),
        (_LOAD, 0, 0, _argument(2)),
        (_JUMP_EQUAL, 1, 0, _NETLINK_ROUTE),
        (_RETURN, 0, 0, denial),
        (_RETURN, 0, 0, ALLOW),
    ]
    return {
        "clone": [(_LOAD, 0, 0, _argument(0)), *_unless((_JUMP_ANY_BIT, _NAMESPACE_FLAGS), denial)],
        "ioctl": [(_LOAD, 0, 0, _argument(1)), *_refuse(_TERMINAL_INJECTIONS, denial)],
        "personality": [(_LOAD, 0, 0, _argument(0)), *_permit(_PERSONALITIES, denial)],
        "socket": socket,
        "socketpair": socket,
    }


def _argument(index: int) -> int:
    """Return the offset of the lower half of an argument; all checked ones are 32 bits wide."""
    return 16 + 8 * index


def _unless(test: tuple[int, int], denial: int) -> list[Instruction]:
    code, value = test
    return [(code, 0, 1, value), (_RETURN, 0, 0, denial), (_RETURN, 0, 0, ALLOW)]


def _refuse(values: tuple[int, ...], denial: int) -> list[Instruction]:
    jumps = [(_JUMP_EQUAL, len(values) - index, 0, value) for index, value in enumerate(values)]
    return [*jumps, (_RETURN, 0, 0, ALLOW), (_RETURN, 0, 0, denial)]


def _permit(values: tuple[int, ...], denial: int) -> list[Instruction]:
    jumps = [(_JUMP_EQUAL, len(values) - index, 0, value) for index, value in enumerate(values)]
    return [*jumps, (_RETURN, 0, 0, denial), (_RETURN, 0, 0, ALLOW)]


def _ranges(column: int, denial: int) -> list[tuple[int, int]]:
    """Return where each run of numbers with the same answer begins; the first begins at 0."""
    answers = {
        number: answer
        for table, answer in ((ALLOWED, ALLOW), (DENIED, denial), (ABSENT, _error(errno.ENOSYS)))
        for numbers in table.values()
        if (number := numbers[column]) is not None
    }
    unknown = _error(errno.ENOSYS)
    listed = [answers.get(number, unknown) for number in range(max(answers) + 1)] + [unknown]
    changes = [index + 1 for index, (before, after) in enumerate(pairwise(listed)) if before != after]
    return [(start, listed[start]) for start in (0, *changes)]


def _search(ranges: list[tuple[int, int]]) -> list[Instruction]:
    """Return a binary search for the range that holds the number."""
    if len(ranges) == 1:
        return [(_RETURN, 0, 0, ranges[0][1])]
    middle = len(ranges) // 2
    below, above = _search(ranges[:middle]), _search(ranges[middle:])
    if len(below) > 255:
        raise AssertionError("a jump of the seccomp filter is too far")
    return [(_JUMP_AT_LEAST, len(below), 0, ranges[middle][0]), *below, *above]
