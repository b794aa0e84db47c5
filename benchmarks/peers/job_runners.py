"""Runners of jobs: each starts a run of ``print`` when it is asked, and says how long its first line took."""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.servers import a_free_port

from benchmarks.peers.running import HERE, PeerError, end, environment_of


@dataclass(frozen=True)
class JobRunner:
    """One peer: ``script`` prints ``ready``, and for each line that it reads the milliseconds of one run."""

    name: str
    packages: tuple[str, ...]
    script: str


PEERS = (
    JobRunner("Ray Jobs", ("ray[default]",), "ray_jobs.py"),
    JobRunner("Prefect runner", ("prefect>=3",), "prefect_runs.py"),
)


@contextlib.contextmanager
def running(peer: JobRunner) -> Iterator[Callable[[], float]]:
    """The peer with its defaults; the answer starts one run. Raises ``PeerError``."""
    folder = environment_of(peer, beside=())
    with tempfile.TemporaryDirectory() as work:
        environment = os.environ | {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "VIRTUAL_ENV": str(folder),
            "RAY_USAGE_STATS_ENABLED": "0",
            "PREFECT_HOME": f"{work}/prefect",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [str(folder / "bin" / "python"), "-u", str(HERE / peer.script), str(a_free_port())]
        log = Path(work) / "log"
        with log.open("wb") as errors:
            process = subprocess.Popen(
                command, env=environment, cwd=work, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )

        def told() -> str:
            assert process.stdout is not None
            line = process.stdout.readline().decode().strip()
            if not line:
                raise PeerError(f"ended: {log.read_text(errors='replace')[-500:]}")
            return line

        def run() -> float:
            assert process.stdin is not None
            process.stdin.write(b"run\n")
            process.stdin.flush()
            return float(told())

        try:
            while told() != "ready":
                pass
            yield run
        finally:
            end(process)
