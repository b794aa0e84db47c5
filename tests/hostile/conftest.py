"""A server with narrow limits, and a well-behaved neighbour that has to stay unharmed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.story import Story
from tests.servers import a_server
from tests.waiting import wait_until

MIB = 1024 * 1024
NEIGHBOUR = """
    def load_model(code_dir):
        return "neighbour"

    def score_unstructured(model, data, **kwargs):
        return f"{model} of {data}"
"""
ANYTHING = """
    def load_model(code_dir):
        return {}

    def score_unstructured(model, data, **kwargs):
        scope = {"model": model}
        exec(data if isinstance(data, str) else data.decode(), scope)
        return str(scope.get("result"))
"""
"""Does whatever it is told: the most hostile model there is."""


@dataclass
class Ward(Story):
    """A server on which nothing is too bad to be tried."""

    neighbour_id: str = ""

    def an_obedient_model(self, network: str = "NONE", **version: str) -> str:
        """A deployment that runs the Python text that it is sent, and answers with its ``result``."""
        package = self.a_package_of(
            ANYTHING, version={"networkEgressPolicy": network, "maximumMemory": str(256 * MIB)} | version
        )
        return self.deploy(package, label="obedient")

    def run(self, deployment_id: str, source: str) -> str:
        answer = self.ask(deployment_id, source)
        assert answer.status_code == 200, answer.text
        return answer.text

    def await_answer(self, deployment_id: str, timeout_s: float = 40) -> None:
        """Until a deployment answers again."""
        wait_until(lambda: self.ask(deployment_id, "result = 1").status_code == 200 or None, timeout_s, "an answer")

    def reason(self, deployment_id: str) -> str:
        return str(self.read(deployment_id)["statusMessage"])

    def await_reason(self, deployment_id: str, words: str) -> None:
        """Until the deployment says why it does not answer."""
        wait_until(lambda: words in self.reason(deployment_id) or None, 20, f"{words!r} in the deployment's reason")

    def await_one_replica_but(self, deployment_id: str, gone_id: str) -> None:
        """Until a deployment runs one replica, and not the one that it ran."""

        def look() -> bool:
            ids = [one.id for one in self.workloads_of(deployment_id)]
            return len(ids) == 1 and gone_id not in ids

        wait_until(look, 20, f"the end of {gone_id}")

    def check_health(self) -> None:
        """The server's processes are the same as ever, and the neighbour answers."""
        assert self.ask(self.neighbour_id, "mine").text == "neighbour of mine"
        assert self.api.get("/deployments/").status_code == 200
        log = self.server.log()
        assert "Traceback" not in log, log[-3000:]
        assert "ended (" not in log, log[-3000:]


@pytest.fixture(scope="package")
def ward(tmp_path_factory: pytest.TempPathFactory, shared_images: dict[str, Path]) -> Iterator[Ward]:
    limits: dict[str, Any] = {
        "prediction_timeout_s": 2,
        "model_start_timeout_s": 6,
        "model_stuck_timeout_s": 1,
        "max_work_bytes": 32 * MIB,
        "max_processes": 64,
        "max_log_bytes": 4 * MIB,
    }
    with a_server(tmp_path_factory.mktemp("ward") / "data", **shared_images, **limits) as server:
        ward = Ward(server)
        ward.neighbour_id = ward.deploy(ward.a_package_of(NEIGHBOUR), label="neighbour")
        yield ward
        ward.close()


@pytest.fixture(autouse=True)
def unharmed(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test on the ward: the server is well and so is the neighbour."""
    yield
    if "ward" in request.fixturenames:
        request.getfixturevalue("ward").check_health()
