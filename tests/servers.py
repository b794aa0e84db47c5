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
from alembic import command

from modelyard.app import Application
from modelyard.kernel.migrations import configuration
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
        words = [*self.prefix, sys.executable, "-m", "modelyard.cli.main", "up", "--json"]
        words += ["--data-dir", str(self.data_dir)]
        words += ["--port", str(self.port), "--gateway-port", str(self.gateway_port)]
        with (self.data_dir.parent / f"{self.data_dir.name}.log").open("ab") as log:
            self.process = subprocess.Popen(words, env=self.environment, stdout=subprocess.PIPE, stderr=log)
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


class ApiServer(Server):
    """``modelyard api`` alone: nothing is worked on."""

    def start(self) -> "ApiServer":
        words = [sys.executable, "-m", "modelyard.cli.main", "api", "--data-dir", str(self.data_dir)]
        words += ["--port", str(self.port), "--gateway-port", str(self.gateway_port)]
        with (self.data_dir.parent / f"{self.data_dir.name}.log").open("ab") as log:
            self.process = subprocess.Popen(words, env=self.environment, stdout=log, stderr=log)
        wait_until(self._answers_or_ended, 60, "the api to answer")
        assert self.process.poll() is None, f"it did not start: {self.log()[-3000:]}"
        return self

    def _answers_or_ended(self) -> bool:
        assert self.process is not None
        with contextlib.suppress(httpx.TransportError):
            return self.process.poll() is not None or httpx.get(f"{self.url}/api/v2/ping").is_success
        return False

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid


@contextlib.contextmanager
def an_api_beside(application: Application) -> Iterator[ApiServer]:
    """An api in a process of its own on the database and the folders of an application in this one."""
    settings, config = application.settings, configuration()
    with application.database.alone() as connection:
        config.attributes["connection"] = connection
        command.stamp(config, "head")  # its tables were made without migrations
    with an_api_server(settings.data_dir, runtime_dir=settings.runtime_dir, database_url=settings.database()) as server:
        yield server


@contextlib.contextmanager
def an_api_server(data_dir: Path, **settings: Any) -> Iterator[ApiServer]:
    """An api in a process of its own, ended afterwards."""
    server = ApiServer(data_dir, _environment(data_dir, settings))
    try:
        yield server.start()
    finally:
        server.close()


@contextlib.contextmanager
def a_server(data_dir: Path, *, prefix: tuple[str, ...] = (), **settings: Any) -> Iterator[Server]:
    """A started server with these settings (names as in ``Settings``), ended with everything that it started."""
    server = Server(data_dir, _environment(data_dir, settings), prefix)
    try:
        yield server.start()
    finally:
        server.close()


def _environment(data_dir: Path, settings: dict[str, Any]) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MODELYARD_")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment |= {f"MODELYARD_{name.upper()}": str(value) for name, value in settings.items()}
    return environment | {"MODELYARD_BOOTSTRAP_TOKEN": ADMIN_TOKEN, "XDG_CONFIG_HOME": str(data_dir.parent / "config")}
