"""HTTP over a Unix socket, synchronous: for health probes and tests of models, not for the data plane."""

import http.client
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelyard.compute.shared_files import connectable, refuse_descriptors


@dataclass(frozen=True)
class HttpAnswer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class UnixConnection(http.client.HTTPConnection):
    """A kept-alive connection to the server behind a socket file."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("modelyard", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self.timeout)
        refuse_descriptors(connection)
        try:
            with connectable(self._path) as address:
                connection.connect(address)
        except OSError:
            connection.close()
            raise
        self.sock = connection

    def ask(
        self, method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        """One request and its whole answer. Raises ``OSError`` or ``http.client.HTTPException``."""
        self.request(method, target, body=body, headers=dict(headers or {}))
        response = self.getresponse()
        return HttpAnswer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())


def ask_once(
    path: Path,
    method: str,
    target: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 5.0,
) -> HttpAnswer:
    """One request on a connection of its own."""
    connection = UnixConnection(path, timeout_s)
    try:
        return connection.ask(method, target, body, headers)
    finally:
        connection.close()
