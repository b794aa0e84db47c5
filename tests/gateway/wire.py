"""A gateway in a process of its own, and a model behind it that sends exactly the bytes that a request asks for."""

import base64
import contextlib
import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h11
import httpx
import psutil

from modelyard.compute.services.service import ServiceSpec, put_service
from modelyard.compute.services.tables import Replica, ReplicaState, Service, ServiceState
from modelyard.identity import sharing
from modelyard.identity.tables import ResourceKind, User
from modelyard.kernel.database import Database
from modelyard.kernel.ids import new_id
from tests.conftest import ADMIN_TOKEN
from tests.servers import a_free_port
from tests.waiting import wait_until

PROGRAM = """
    from modelyard.kernel.database import Database
    from modelyard.kernel.settings import Settings
    from modelyard.gateway.server import run
    settings = Settings()
    run(settings, Database(settings.database()))
"""
Answer = tuple[int, dict[str, str], bytes]


def script(*pieces: bytes, **options: Any) -> bytes:
    """A request's body that makes the model send these bytes.

    Options: ``close`` the connection afterwards, ``early`` answers before the body has come, ``endless`` repeats the
    last piece until the connection is closed, ``late`` is sent after the answer, when the model is told to.
    """
    encoded = {"pieces": [base64.b64encode(piece).decode() for piece in pieces]} | options
    return json.dumps(encoded).encode() + b"\n"


def answer_of(body: bytes, *fields: bytes) -> bytes:
    """A correct answer of a model."""
    lines = [b"HTTP/1.1 200 OK", b"content-length: %d" % len(body), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


class ScriptedModel:
    """Listens on a Unix socket; ``%SERIAL%`` in what it sends is the number of the connection."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.late_allowed = threading.Event()
        self.late_sent = threading.Event()
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        serial = 0
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                serial += 1
                threading.Thread(target=self._serve, args=(client, serial), daemon=True).start()

    def _serve(self, client: socket.socket, serial: int) -> None:
        with client, contextlib.suppress(OSError), client.makefile("rb") as stream:
            while self._answer_one(client, stream, b"%08d" % serial):
                pass

    def _answer_one(self, client: socket.socket, stream: Any, serial: bytes) -> bool:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = stream.readline()
            if not line:
                return False
            head += line
        is_chunked = b"transfer-encoding: chunked" in head
        if is_chunked:
            stream.readline()
        order = json.loads(stream.readline())
        if not is_chunked:
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            stream.read(length - len(json.dumps(order)) - 1)
        elif not order.get("early"):
            while stream.readline() != b"0\r\n":
                pass
            stream.readline()
        pieces = [base64.b64decode(piece) for piece in order["pieces"]]
        for piece in pieces:
            client.sendall(piece.replace(b"%SERIAL%", serial))
        while order.get("endless"):
            client.sendall(pieces[-1])
        if "late" in order:
            self.late_allowed.wait(10)
            client.sendall(base64.b64decode(order["late"]))
            self.late_sent.set()
        return not order.get("close")


class Connection:
    """A client's connection that is read by h11, a parser that the gateway does not use."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._h11 = h11.Connection(h11.CLIENT)
        self._received = b""

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read_answer(self) -> Answer | None:
        """One whole answer, or None when the connection was closed instead. Raises for anything else."""
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method="POST", target="/", headers=[("host", "x"), ("content-length", "0")]))
        client.send(h11.EndOfMessage())
        if self._received:
            client.receive_data(self._received)
            self._received = b""
        head, body = None, b""
        while True:
            event = client.next_event()
            if event is h11.NEED_DATA:
                try:
                    data = self.socket.recv(65536)
                except ConnectionResetError:
                    return None
                if not data:
                    return None  # cut before its end, which its framing shows
                client.receive_data(data)
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                self._received = bytes(client.trailing_data[0])
                return head.status_code, {k.decode(): v.decode() for k, v in head.headers}, body
            else:
                assert isinstance(event, h11.InformationalResponse), event

    def is_closed(self) -> bool:
        """Whether the server has closed the connection; waits for it."""
        try:
            return not self._received and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True


@dataclass
class Wire:
    """The gateway and one deployment that the first administrator may use."""

    database: Database
    port: int
    process: "subprocess.Popen[bytes]"
    model: ScriptedModel
    deployment_id: str = field(default_factory=new_id)

    def connect(self) -> Connection:
        return Connection(self.port)

    def path(self, name: str = "predictionsUnstructured") -> str:
        return f"/predApi/v1.0/deployments/{self.deployment_id}/{name}"

    def head(self, *lines: str, token: str | None = ADMIN_TOKEN, method: str = "POST") -> bytes:
        """The head of a prediction request, with these header lines."""
        authorization = [f"Authorization: Bearer {token}"] if token else []
        return "\r\n".join([f"{method} {self.path()} HTTP/1.1", "Host: x", *authorization, *lines, "", ""]).encode()

    def request(self, body: bytes, *lines: str, token: str | None = ADMIN_TOKEN) -> bytes:
        return self.head(f"Content-Length: {len(body)}", *lines, token=token) + body

    def ask(self, body: bytes) -> Answer | None:
        """One request on a connection of its own."""
        with self.connect() as client:
            client.send(self.request(body))
            return client.read_answer()

    def memory_bytes(self) -> int:
        return int(psutil.Process(self.process.pid).memory_info().rss)


@contextlib.contextmanager
def a_wire(installed: Path, folder: Path, **settings: Any) -> Iterator[Wire]:
    """A gateway with these settings on a copy of an installation's database."""
    folder.mkdir(exist_ok=True)
    (folder / "modelyard.db").write_bytes((installed / "modelyard.db").read_bytes())
    port = a_free_port()
    variables = {"data_dir": folder, "gateway_port": port, "prediction_timeout_s": 20} | settings
    environment = os.environ | {f"MODELYARD_{name.upper()}": str(value) for name, value in variables.items()}
    model = ScriptedModel(folder / "model.sock")
    database = Database(f"sqlite:///{folder / 'modelyard.db'}")
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(PROGRAM)], env=environment)
    wire = Wire(database, port, process, model)
    with database.write() as session:
        put_service(session, wire.deployment_id, "deployment", ServiceSpec(command=("true",)), 1)
        service = session.get_one(Service, wire.deployment_id)
        service.state, service.serving_generation = ServiceState.READY.value, service.generation
        service.serving_spec = service.spec
        admin = session.query(User).filter_by(username="admin").one()
        sharing.grant(session, ResourceKind.DEPLOYMENT, wire.deployment_id, admin.id, "OWNER", can_share=True)
        now = datetime.now(UTC)
        replica = Replica(
            id=new_id(),
            service_id=wire.deployment_id,
            generation=service.generation,
            state=ReplicaState.READY.value,
            socket_path=str(model.path),
            created_at=now,
            ready_at=now,
        )
        session.add(replica)

    def answers() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{port}/ping").status_code == 200
        return False

    try:
        wait_until(answers, 60, "a gateway that answers")
        yield wire
    finally:
        process.kill()
        process.wait()
        model.close()
        database.dispose()
