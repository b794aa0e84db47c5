"""Installs peers into environments of their own, once, and runs them one at a time."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil
from tests.servers import a_free_port

from benchmarks.installation import CACHE_DIR

HERE = Path(__file__).parent
START_TIMEOUT_S = 90.0
SAME = ("scikit-learn", "pandas")
Rows = list[dict[str, Any]]


class PeerError(Exception):
    """A peer cannot be installed or started here; the text says why."""


@dataclass(frozen=True)
class Peer:
    """One server: what to install, what to run in which folder, and how it takes rows."""

    name: str
    packages: tuple[str, ...]
    command: tuple[str, ...]
    path: str
    body_of: Callable[[Rows], Any]
    prepare: tuple[str, ...] = ()


def _columns(rows: Rows) -> Any:
    """The V2 inference protocol: a column is an input, and the whole is to be a DataFrame."""
    inputs = [
        {"name": name, "shape": [len(rows), 1], "datatype": "FP64", "data": [row[name] for row in rows]}
        for name in rows[0]
    ]
    return {"parameters": {"content_type": "pd"}, "inputs": inputs, "outputs": [{"name": "predict_proba"}]}


PEERS = (
    Peer(
        "MLServer",
        ("mlserver", "mlserver-sklearn", "uvloop<0.22"),  # newer ones refuse what it asks of them
        ("mlserver", "start", "{work}"),
        "/v2/models/model/infer",
        _columns,
        ("python", "{here}/mlserver_prepare.py", "{work}", "{port}"),
    ),
    Peer("LitServe", ("litserve",), ("python", "{here}/litserve_server.py", "{port}"), "/predict", lambda rows: rows),
    Peer(
        "BentoML",
        ("bentoml",),
        ("bentoml", "serve", "bentoml_service:Classifier", "--host", "127.0.0.1", "--port", "{port}"),
        "/predict",
        lambda rows: {"rows": rows},
    ),
    Peer("Ray Serve", ("ray[serve]",), ("python", "{here}/ray_server.py", "{port}"), "/", lambda rows: rows),
)


@dataclass(frozen=True)
class RunningPeer:
    """A peer that answers on a port."""

    peer: Peer
    port: int


class Installable(Protocol):
    """What has a name, and packages to install."""

    @property
    def name(self) -> str: ...

    @property
    def packages(self) -> tuple[str, ...]: ...


def environment_of(peer: Installable, beside: Sequence[str] = SAME) -> Path:
    """The peer's own virtual environment, made by uv when it is used for the first time. Raises ``PeerError``."""
    folder = CACHE_DIR / "peers" / peer.name.lower().replace(" ", "")
    done = folder / ".complete"
    if done.exists():
        return folder
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    shutil.rmtree(folder, ignore_errors=True)
    steps: list[list[str]] = [
        [uv, "venv", "--quiet", "--python", sys.executable, str(folder)],
        [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(folder / "bin" / "python")],
    ]
    steps[1] += [*peer.packages, *beside]
    for step in steps:
        ended = subprocess.run(step, capture_output=True, text=True, check=False)
        if ended.returncode != 0:
            raise PeerError(f"not installed: {ended.stderr.strip().splitlines()[-1:]}")
    done.touch()
    return folder


@contextlib.contextmanager
def running(peer: Peer, rows: Rows) -> Iterator[RunningPeer]:
    """The peer, started with its defaults and answering these rows; ended with everything that it started."""
    folder = environment_of(peer)
    port = a_free_port()
    with tempfile.TemporaryDirectory() as work:
        environment = os.environ | {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(HERE),
            "VIRTUAL_ENV": str(folder),
            "BENTOML_DO_NOT_TRACK": "true",
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        values = {"here": str(HERE), "work": work, "port": str(port)}

        def words(command: Sequence[str]) -> list[str]:
            found = [word.format(**values) for word in command]
            return [str(folder / "bin" / found[0]), *found[1:]]

        log = Path(work) / "log"
        with log.open("wb") as output:
            if peer.prepare:
                subprocess.run(words(peer.prepare), env=environment, cwd=work, stdout=output, stderr=output, check=True)
            process = subprocess.Popen(
                words(peer.command), env=environment, cwd=work, stdout=output, stderr=output, start_new_session=True
            )
        try:
            body = json.dumps(peer.body_of(rows)).encode()
            _await_answer(process, f"http://127.0.0.1:{port}{peer.path}", body, log)
            yield RunningPeer(peer, port)
        finally:
            end(process)


def _await_answer(process: "subprocess.Popen[bytes]", url: str, body: bytes, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 # our own address
    why = ""
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 # our own address
                answer.read()
                return
        except urllib.error.HTTPError as error:
            why = f"{error.code} {error.read()[:300]!r}"
        except OSError as error:
            why = str(error)
        time.sleep(0.1)
    raise PeerError(f"does not answer: {why}; {log.read_text(errors='replace')[-500:]}")


def end(process: "subprocess.Popen[bytes]") -> None:
    """Ends the peer, nicely at first, and everything that descends from it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [*psutil.Process(process.pid).children(recursive=True)]
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(family, 5)
    process.kill()
    process.wait()
