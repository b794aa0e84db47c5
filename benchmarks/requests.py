"""Requests over one kept-alive connection, with as little work in the client as there can be."""

import http.client
import json
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

BOUNDARY = "modelyard-benchmark-boundary"


class Answer:
    """An answer, and how long it took from the first byte sent to the last one read."""

    def __init__(self, status: int, body: bytes, seconds: float, location: str | None) -> None:
        self.status = status
        self.body = body
        self.seconds = seconds
        self.location = location

    def json(self, status: int) -> Any:
        """The content, once the status is the one expected."""
        assert self.status == status, f"{self.status}: {self.body[:1000]!r}"
        return json.loads(self.body)


class Client:
    """One connection to an API."""

    def __init__(self, port: int, token: str, accept: str = "application/json") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._headers = {"Authorization": f"Bearer {token}", "Accept": accept}

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, body: bytes | None = None, content_type: str = "application/json") -> Answer:
        """One request, timed."""
        headers = self._headers | ({"Content-Type": content_type} if body is not None else {})
        start = time.perf_counter()
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        content = response.read()
        return Answer(response.status, content, time.perf_counter() - start, response.getheader("Location"))

    def send_form(
        self, method: str, path: str, fields: dict[str, str], files: Iterable[tuple[str, bytes]] = ()
    ) -> Answer:
        """A multipart form with files under their paths."""
        return self.ask(method, path, form(fields, files), f"multipart/form-data; boundary={BOUNDARY}")

    def send_file(self, method: str, path: str, fields: dict[str, str], file: Path) -> Answer:
        """A multipart form with one large file, which the kernel copies into the socket by itself."""
        head, tail = form(fields, [(file.name, b"\0")]).split(b"\0")
        size = file.stat().st_size
        self._connection.putrequest(method, path)
        for name, value in self._headers.items():
            self._connection.putheader(name, value)
        self._connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
        self._connection.putheader("Content-Length", str(len(head) + size + len(tail)))
        start = time.perf_counter()
        self._connection.endheaders(head)
        assert isinstance(self._connection.sock, socket.socket)
        with file.open("rb") as content:
            self._connection.sock.sendfile(content)
        self._connection.send(tail)
        response = self._connection.getresponse()
        body = response.read()
        return Answer(response.status, body, time.perf_counter() - start, response.getheader("Location"))


def form(fields: dict[str, str], files: Iterable[tuple[str, bytes]]) -> bytes:
    """The bytes of a multipart form (RFC 7578)."""
    pieces = []
    for name, value in fields.items():
        pieces.append(f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
    for path, content in files:
        name = Path(path).name
        pieces.append(
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n".encode()
            + content
            + b"\r\n"
        )
        pieces.append(f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="filePath"\r\n\r\n{path}\r\n'.encode())
    return b"".join([*pieces, f"--{BOUNDARY}--\r\n".encode()])
