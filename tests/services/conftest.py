"""Services made of a few lines of Python, on the image of the plain built-in environment."""

import os
import signal
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modelyard.compute.executor import Executor
from modelyard.compute.services.reconciler import Reconciler
from modelyard.compute.services.service import ServiceSpec, ServiceStatus, put_service, service_status
from modelyard.compute.services.tables import Replica, ReplicaState
from modelyard.compute.services.workloads import Materials
from modelyard.compute.unix_http import ask_once
from modelyard.environments.builtin import load_builtin
from modelyard.environments.images.store import ImageStore
from modelyard.kernel.ids import new_id
from modelyard.operations.owners import lease_owner
from modelyard.storage.blobs import BlobStore, store_bytes
from modelyard.workspaces import service as workspaces
from modelyard.workspaces.service import NewFile
from tests.conftest import Installation
from tests.waiting import wait_until

SERVER = """
    import http.server, os, socketserver, sys

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            stuck = os.path.exists(sys.argv[1] + "/stuck")
            body = b'{"message": "held up"}' if stuck else os.environ["WORD"].encode()
            self.send_response(503 if stuck else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def address_string(self):
            return "socket"

    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True

    if os.environ["WORD"] == "broken":
        open(sys.argv[1] + "/failure.json", "w").write('{"message": "I am broken"}')
        sys.exit(1)
    Server(sys.argv[1] + "/server.sock", Handler).serve_forever()
"""


@dataclass
class ServicesBench:
    """A reconciler on a fresh installation, stepped by hand."""

    installation: Installation
    image_digest: str
    workspace_id: str

    def __post_init__(self) -> None:
        parts = self.installation.application.parts
        self.database = self.installation.application.database
        self.executor: Executor = parts.get(Executor)  # type: ignore[type-abstract]
        self.materials = parts.get(Materials)
        self.reconciler = self.a_reconciler(lease_owner())

    def a_reconciler(self, owner: str) -> Reconciler:
        return Reconciler(self.database, self.executor, self.materials, owner)

    def spec(self, word: str = "hello", **fields: Any) -> ServiceSpec:
        return ServiceSpec(
            command=("{image}/bin/python", "{code}/server.py", "{run}"),
            image_digest=self.image_digest,
            workspace_id=self.workspace_id,
            environment={"WORD": word},
            **fields,
        )

    def put(self, service_id: str, word: str = "hello", replicas: int = 1, **fields: Any) -> int:
        with self.database.write() as session:
            return put_service(session, service_id, "test", self.spec(word, **fields), replicas)

    def status(self, service_id: str) -> ServiceStatus | None:
        with self.database.read() as session:
            return service_status(session, service_id)

    def until(self, service_id: str, check: Callable[[ServiceStatus | None], bool], timeout_s: float = 30) -> Any:
        """Steps the reconciler until ``check`` holds."""

        def step() -> bool:
            self.reconciler.run()
            return check(self.status(service_id))

        wait_until(step, timeout_s, f"the service; it is {self.status(service_id)}")
        return self.status(service_id)

    def ready(self, service_id: str) -> list[Replica]:
        with self.database.read() as session:
            rows = session.query(Replica).filter_by(service_id=service_id, state=ReplicaState.READY.value)
            return rows.order_by(Replica.id).all()

    def words(self, service_id: str) -> list[str]:
        return [
            ask_once(Path(str(replica.socket_path)), "GET", "/").body.decode() for replica in self.ready(service_id)
        ]

    def alive(self) -> list[str]:
        return [one for one in self.executor.ids() if self.executor.observe(one).is_alive]

    def kill(self, replica_id: str) -> None:
        pid = self.executor.observe(replica_id).supervisor_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def bench(an_installation: Callable[..., Installation], shared_images: dict[str, Any], tmp_path: Path) -> ServicesBench:
    installation = an_installation(**shared_images)
    parts = installation.application.parts
    images = parts.get(ImageStore)
    plain = next(one for one in load_builtin() if one.key == "python")
    image = images.build(plain.spec(), tmp_path / "build.log", lambda: False)
    blob = store_bytes(parts.get(BlobStore), textwrap.dedent(SERVER).encode())  # type: ignore[type-abstract]
    with installation.application.database.write() as session:
        made = workspaces.create(session, [NewFile("server.py", blob.digest, blob.size_bytes)], max_files=10)
    return ServicesBench(installation, image.name, made.id)


@pytest.fixture
def service_id() -> str:
    return new_id()
