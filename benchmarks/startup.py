"""From the command to the ready line, the memory of a server that has nothing to do, and the help of the CLI."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from tests.servers import Server, a_server

from benchmarks.figures import Figure, Result, interleaved
from benchmarks.memory import MIB, proportional_bytes

FIRST_STARTS = 3
SECOND_STARTS = 3
HELPS = 9
SETTLE_S = 4.0


def measure() -> list[Result]:
    help_ms, python_ms = interleaved(HELPS, _help, _bare_python)
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder:
        fresh = (Path(folder) / f"data{number}" for number in range(FIRST_STARTS))
        (first_s,) = interleaved(FIRST_STARTS, lambda: _start(next(fresh))[0])
        taken = [_start(Path(folder) / "data0") for _ in range(SECOND_STARTS)]
    second_s = sorted(seconds for seconds, _ in taken)[SECOND_STARTS // 2]
    idle_bytes = sorted(memory for _, memory in taken)[SECOND_STARTS // 2]
    return [
        Figure("modelyard up, first start", first_s, "s", 3.0),
        Figure("modelyard up, later start", second_s, "s", 3.0),
        Figure("idle memory of all processes", idle_bytes / MIB, "MiB", 400),
        Figure("modelyard --help", help_ms, "ms", 200, python_ms, "python -c pass"),
    ]


def _start(data_dir: Path) -> tuple[float, int]:
    """The seconds until the ready line, and the bytes that all processes hold once they have settled."""
    start = time.perf_counter()
    with a_server(data_dir) as server:
        seconds = time.perf_counter() - start
        time.sleep(SETTLE_S)
        return seconds, proportional_bytes(_pids(server))


def _pids(server: Server) -> list[int]:
    assert server.process is not None
    top = psutil.Process(server.process.pid)
    return [top.pid, *(child.pid for child in top.children(recursive=True))]


def _help() -> float:
    return _milliseconds([str(Path(sys.executable).with_name("modelyard")), "--help"])


def _bare_python() -> float:
    return _milliseconds([sys.executable, "-c", "pass"])


def _milliseconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return (time.perf_counter() - start) * 1000
