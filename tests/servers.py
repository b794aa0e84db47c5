"""A whole installation in processes of its own, started as a user starts it."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.api_client import Api
from tests.conftest import ADMIN_TOKEN
from tests.waiting import wait_until


def a_free_port() -> int:
    """A port that nobody listens on, outside the range that connections are given their own ends from."""
    while True:
        port = secrets.randbelow(20_000) + 12_000
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port


@dataclass
class Server:
    """``modelyard up`` on a data directory, and how to reach and to hurt it."""

    data_dir: Path
    environment: dict[str, str]
    prefix: tuple[str, ...] = ()
    """What the command line begins with, such as a program that becomes another user."""
    port: int = field(default_factory=a_free_port)
    gateway_port: int = field(default_factory=a_free_port)
    process: "subprocess.Popen[bytes] | None" = None
    _clients: list[httpx.Client] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def gateway_url(self) -> str:
        return f"http://127.0.0.1:{self.gateway_port}"

    @property
    def api(self) -> Api:
        client = httpx.Client(base_url=self.url, timeout=60)
        self._clients.append(client)
        return Api(client, ADMIN_TOKEN)

    def start(self) -> "Server":
        """Starts it and waits for its ready line."""
        self._hang_up()
        command = [
            *self.prefix,
            sys.executable,
            "-m",
            "modelyard.cli.main",
            "up",
            "--json",
            "--data-dir",
            str(self.data_dir),
        ]
        command += ["--port", str(self.port), "--gateway-port", str(self.gateway_port)]
        with (self.data_dir.parent / f"{self.data_dir.name}.log").open("ab") as log:
            self.process = subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, stderr=log)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"it did not start: {self.log()[-3000:]}"
        ready: dict[str, Any] = json.loads(line)
        assert ready["api"] == self.url
        return self

    def log(self) -> str:
        return (self.data_dir.parent / f"{self.data_dir.name}.log").read_text()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60)

    def pids(self, role: str) -> list[int]:
        """The living processes that play a role now."""
        notes = (self.data_dir / "processes").glob(f"{role}-*")
        return [pid for note in notes if psutil.pid_exists(pid := int(note.name.rpartition("-")[2]))]

    def kill(self, role: str) -> None:
        """SIGKILLs a role and waits until another process plays it and answers."""
        (before,) = self.pids(role)
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: [pid for pid in self.pids(role) if pid != before], 20, f"a new {role}")
        (self.data_dir / "processes" / f"{role}-{before}").unlink(missing_ok=True)
        wait_until(self._answers, 20, "both ports to answer")

    def _answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return all(httpx.get(f"{url}/ping").is_success for url in (f"{self.url}/api/v2", self.gateway_url))
        return False

    def _hang_up(self) -> None:
        """Stops listening to a process that has ended."""
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()

    def close(self) -> None:
        """Ends everything, workloads included."""
        for client in self._clients:
            client.close()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._hang_up()
        for process in psutil.process_iter(["cmdline"]):
            with contextlib.suppress(psutil.Error):
                words = " ".join(process.info["cmdline"] or ())
                if str(self.data_dir) in words and process.pid != os.getpid():
                    process.kill()


@contextlib.contextmanager
def a_server(data_dir: Path, *, prefix: tuple[str, ...] = (), **settings: Any) -> Iterator[Server]:
    """A started server with these settings (names as in ``Settings``), ended with everything that it started."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MODELYARD_")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment |= {f"MODELYARD_{name.upper()}": str(value) for name, value in settings.items()}
    environment |= {"MODELYARD_BOOTSTRAP_TOKEN": ADMIN_TOKEN, "XDG_CONFIG_HOME": str(data_dir.parent / "config")}
    server = Server(data_dir, environment, prefix)
    try:
        yield server.start()
    finally:
        server.close()
