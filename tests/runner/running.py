"""Builders of the runner's tests: a code folder, and a real runner process that serves it."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.waiting import wait_until

BINARY = ("--target-type", "Binary", "--target-name", "churn")
YES_NO = (*BINARY, "--positive-class-label", "yes", "--negative-class-label", "no")


def a_code_folder(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """A folder with these files; texts may be indented."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(textwrap.dedent(content), encoding="utf-8")
    return folder


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def message(self) -> str:
        return str(self.json()["message"])

    def rows(self) -> list[dict[str, Any]]:
        assert self.status == 200, self.body
        rows: list[dict[str, Any]] = self.json()["data"]
        return rows

    def lines(self) -> list[str]:
        assert self.status == 200, self.body
        return self.body.decode().splitlines()


class SocketConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout_s: float = 30.0) -> None:
        super().__init__("runner", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class RunningRunner:
    """A runner process. Its socket and its log lie in a short-named folder of their own."""

    def __init__(self, code_dir: Path, options: Sequence[str], environment: Mapping[str, str]) -> None:
        self.prefix = "/" + options[options.index("--url-prefix") + 1] if "--url-prefix" in options else ""
        self.code_dir = code_dir
        self.folder = Path(tempfile.mkdtemp(prefix="runner-"))
        self.socket = self.folder / "s"
        self.failure_file = self.folder / "failure.json"
        self._log = self.folder / "log"
        command = [sys.executable, "-m", "modelyard_runner", "serve", "--socket", str(self.socket)]
        command += ["--code", str(code_dir), "--failure-file", str(self.failure_file), *options]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, env={**os.environ, **environment}
            )

    def wait_ready(self) -> "RunningRunner":
        def check() -> bool:
            assert self.process.poll() is None, self.log()
            try:
                return self.get(f"{self.prefix}/").status == 200
            except OSError:
                return False

        wait_until(check, what="a ready runner")
        return self

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def connection(self) -> SocketConnection:
        return SocketConnection(self.socket)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = self.connection()
        try:
            return exchange(connection, method, path, body, headers)
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def predict(
        self,
        body: object,
        content_type: str | None = None,
        *,
        accept: str | None = None,
        query: Sequence[tuple[str, object]] = (),
        headers: Mapping[str, str] | None = None,
        path: str = "/v1/predictions",
    ) -> Answer:
        """Ask for predictions: bytes and text are sent as they are (CSV unless told), anything else as JSON."""
        sent: dict[str, str] = dict(headers or {})
        if isinstance(body, str):
            body = body.encode()
        if isinstance(body, bytes):
            content_type = "text/csv" if content_type is None else content_type
        else:
            body = json.dumps(body).encode()
            content_type = content_type or "application/json"
        if content_type:
            sent["Content-Type"] = content_type
        if accept:
            sent["Accept"] = accept
        return self.request("POST", path + ("?" + urlencode(query) if query else ""), body, sent)

    def stop(self) -> int:
        """End the process politely, or by force when it does not; its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            code = self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        return code


def exchange(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request on a connection that stays open."""
    connection.request(method, path, body=body, headers=dict(headers or {}))
    response = connection.getresponse()
    content = response.read()
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, content)


StartRunner = Callable[..., RunningRunner]
