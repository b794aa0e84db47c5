# os.path is several times as fast as pathlib, and this walks thousands of files:
# ruff: noqa: PTH113, PTH118, PTH119, PTH123
"""Compiles the modules of one package. A program of its own, with the standard library only.

``python -I -S compile_program.py SITE_PACKAGES NAME OUTPUT_DIR WORKERS MEMORY_BYTES``

It runs in the sandbox, since a source can be made such that compiling it takes any amount of memory or time, and on
the base interpreter without ``site``, so that nothing of the installed packages (``.pth`` files) runs. Bytecode is
written to a file named by the SHA-256 of its source. It is hash-based and unchecked (PEP 552): an image never changes.
Each worker has a limit of memory, each source one of CPU time; a source that exceeds them is named and left out.
"""

import hashlib
import importlib.util
import marshal
import mmap
import os
import resource
import sys
import warnings

FLAG_HASH_UNCHECKED = 0b01
NOT_COMPILED = {"__pycache__", "tests"}
MAX_SOURCE_BYTES = 16 * 1024 * 1024
INCOMPLETE = 3
"""Exit code where a source was left out because of a limit."""
CPU_S = 60
OUT_OF_MEMORY = 70
SHOWN = 20


def main(site_packages: str, name: str, output: str, workers: int, memory_bytes: int) -> int:
    warnings.simplefilter("ignore")
    sys.setrecursionlimit(10_000)
    sources = find_sources(os.path.join(site_packages, name))
    tracks = [Track(sources[number::workers], output, memory_bytes) for number in range(workers)]
    running = {track.start(): track for track in tracks if track.sources}
    left_out = []
    while running:
        pid, status = os.wait()
        track = running.pop(pid)
        if status != 0:
            left_out.append(f"{os.path.relpath(track.current(), site_packages)} ({reason_of(status)})")
            if track.skip():
                running[track.start()] = track
    if left_out:
        more = f" and {len(left_out) - SHOWN} more" if len(left_out) > SHOWN else ""
        sys.stdout.write(f"Not compiled, which happens when they are imported: {', '.join(left_out[:SHOWN])}{more}.\n")
    return INCOMPLETE if left_out else 0


def reason_of(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code == OUT_OF_MEMORY:
        return "it takes too much memory"
    return f"it takes more than {CPU_S} s" if code == -24 else "the compiler crashed"


def find_sources(path: str) -> list[str]:
    """Every module of a package but its own test suites, which nothing imports; of a file, the file itself."""
    if path.endswith(".py") and os.path.isfile(path):
        return [path]
    found = []
    for parent, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if name not in NOT_COMPILED)
        found += [os.path.join(parent, name) for name in sorted(files) if name.endswith(".py")]
    return found


def read_source(path: str) -> bytes | None:
    """The source, or None for one that is too long to be compiled, and for a link that leads to no file."""
    if not os.path.isfile(path):
        return None
    with open(path, "rb") as file:
        content = file.read(MAX_SOURCE_BYTES + 1)
    return content if len(content) <= MAX_SOURCE_BYTES else None


class Track:
    """Sources that are compiled one after the other, in a process that is replaced when one ends it."""

    def __init__(self, sources: list[str], output: str, memory_bytes: int) -> None:
        self.sources = sources
        self._output = output
        self._memory_bytes = memory_bytes
        self._position = mmap.mmap(-1, 8)

    def start(self) -> int:
        """Go on in a new process; returns its id."""
        pid = os.fork()
        if pid == 0:
            resource.setrlimit(resource.RLIMIT_AS, (self._memory_bytes, self._memory_bytes))
            for number in range(self._at(), len(self.sources)):
                self._move_to(number)
                used = resource.getrusage(resource.RUSAGE_SELF)
                resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + CPU_S, -1))
                try:
                    write_bytecode(self.sources[number], self._output)
                except MemoryError:
                    os._exit(OUT_OF_MEMORY)
                except (OSError, SyntaxError, ValueError, RecursionError, OverflowError):
                    continue  # files for other Python versions are part of many packages
            os._exit(0)
        return pid

    def current(self) -> str:
        return self.sources[self._at()]

    def skip(self) -> bool:
        """Leave the current source out; False when it was the last."""
        self._move_to(self._at() + 1)
        return self._at() < len(self.sources)

    def _at(self) -> int:
        return int.from_bytes(self._position[:8], "little")

    def _move_to(self, number: int) -> None:
        self._position[:8] = number.to_bytes(8, "little")


def write_bytecode(source: str, output: str) -> None:
    content = read_source(source)
    if content is None:
        return
    # The import system puts the real path into the code, so the name given here never shows.
    code = compile(content, os.path.basename(source), "exec", dont_inherit=True)
    with open(os.path.join(output, hashlib.sha256(content).hexdigest()), "wb") as file:
        file.write(header_of(content) + marshal.dumps(code))


def header_of(content: bytes) -> bytes:
    """What bytecode of this source begins with."""
    return importlib.util.MAGIC_NUMBER + FLAG_HASH_UNCHECKED.to_bytes(4, "little") + importlib.util.source_hash(content)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))
