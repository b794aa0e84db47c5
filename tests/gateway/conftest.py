"""A gateway in a process of its own, and replicas that are runners without a sandbox."""

import contextlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from modelyard.app import Application
from modelyard.compute.services.service import ServiceSpec, put_service
from modelyard.compute.services.tables import Replica, ReplicaState, Service, ServiceState
from modelyard.compute.unix_http import ask_once
from modelyard.identity import sharing
from modelyard.identity.tables import ResourceKind, User
from modelyard.kernel.ids import new_id
from tests.conftest import ADMIN_TOKEN, Installation
from tests.servers import a_free_port
from tests.waiting import wait_until

MODEL = """
    import os
    import time

    import pandas as pd

    def load_model(code_dir):
        return "model"

    def score(data, model, **kwargs):
        if "die" in data.columns:
            os.kill(os.getpid(), 9)
        if "sleep" in data.columns:
            time.sleep(float(data["sleep"].iloc[0]))
        return pd.DataFrame({"Predictions": data["x"].astype(float) * 2})
"""


@dataclass
class GatewayUnderTest:
    """A running gateway and the means to put replicas behind it."""

    application: Application
    installation: Installation
    url: str
    process: "subprocess.Popen[bytes]"
    folder: Path
    runners: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def client(self, token: str | None = ADMIN_TOKEN) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)

    def a_deployment(self, replicas: int = 1, *, source: str = MODEL, arguments: tuple[str, ...] = ()) -> str:
        """A deployment whose replicas are ready; the first administrator owns it."""
        deployment_id = new_id()
        with self.application.database.write() as session:
            spec = ServiceSpec(command=("true",), labels={"model_id": "m" * 24})
            put_service(session, deployment_id, "deployment", spec, replicas)
            service = session.get_one(Service, deployment_id)
            service.state = ServiceState.READY.value
            service.serving_generation = service.generation
            service.serving_spec = service.spec
            admin = session.query(User).filter_by(username="admin").one()
            sharing.grant(session, ResourceKind.DEPLOYMENT, deployment_id, admin.id, "OWNER", can_share=True)
        for _ in range(replicas):
            self.add_replica(deployment_id, source=source, arguments=arguments)
        return deployment_id

    def add_replica(self, deployment_id: str, *, source: str = MODEL, arguments: tuple[str, ...] = ()) -> str:
        replica_id = new_id()
        code = self.folder / replica_id
        code.mkdir()
        (code / "custom.py").write_text(textwrap.dedent(source))
        path = code / "s.sock"
        command = [sys.executable, "-m", "modelyard_runner", "serve", "--socket", str(path), "--code", str(code)]
        arguments = arguments or ("--target-type", "Regression", "--target-name", "y")
        with (code / "log").open("wb") as log:
            self.runners[replica_id] = subprocess.Popen([*command, *arguments], stdout=log, stderr=log)

        def is_ready() -> bool:
            with contextlib.suppress(OSError):
                return ask_once(path, "GET", "/").status == 200
            return False

        wait_until(is_ready, 30, "a runner that answers")
        with self.application.database.write() as session:
            service = session.get_one(Service, deployment_id)
            session.add(
                Replica(
                    id=replica_id,
                    service_id=deployment_id,
                    generation=service.generation,
                    state=ReplicaState.READY.value,
                    socket_path=str(path),
                    created_at=datetime.now(UTC),
                    ready_at=datetime.now(UTC),
                )
            )
        return replica_id


@pytest.fixture
def gateway(
    an_installation: Callable[..., Installation], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayUnderTest]:
    port = a_free_port()
    installation = an_installation()
    settings = installation.application.settings
    program = """
        from modelyard.kernel.database import Database
        from modelyard.kernel.settings import Settings
        from modelyard.gateway.server import run
        settings = Settings()
        run(settings, Database(settings.database()))
    """
    environment = os.environ | {
        "MODELYARD_DATA_DIR": str(settings.data_dir),
        "MODELYARD_GATEWAY_PORT": str(port),
        "MODELYARD_PREDICTION_TIMEOUT_S": "8",
        "MODELYARD_MAX_PREDICTION_BYTES": str(5 * 1024 * 1024),
    }
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], env=environment)
    folder = tmp_path_factory.mktemp("g")
    found = GatewayUnderTest(installation.application, installation, f"http://127.0.0.1:{port}", process, folder)

    def answers() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{found.url}/ping").json() == {"response": "pong"}
        return False

    wait_until(answers, 20, "a gateway that answers")
    yield found
    for one in (*found.runners.values(), process):
        one.kill()
        one.wait()
