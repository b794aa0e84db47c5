"""A deployment behind a real gateway: its model is replaced under load, and its traffic is counted."""

import contextlib
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import ADMIN_TOKEN
from tests.deployments.serving import ECHO, Workshop
from tests.gateway.conftest import a_free_port
from tests.waiting import wait_until

CLIENTS = 8


@pytest.fixture
def gateway_url(workshop: Workshop) -> Iterator[str]:
    """A gateway of its own process, on the database of the workshop."""
    url = f"http://127.0.0.1:{(port := a_free_port())}"
    program = """
        from modelyard.kernel.database import Database
        from modelyard.kernel.settings import Settings
        from modelyard.gateway.server import run
        settings = Settings()
        run(settings, Database(settings.database()))
    """
    data_dir = str(workshop.installation.application.settings.data_dir)
    environment = os.environ | {"MODELYARD_DATA_DIR": data_dir, "MODELYARD_GATEWAY_PORT": str(port)}
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], env=environment)

    def answers() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{url}/ping").status_code == 200
        return False

    try:
        wait_until(answers, 20, "a gateway that answers")
        yield url
    finally:
        process.kill()
        process.wait()


def test_no_request_fails_while_the_model_is_replaced(workshop: Workshop, gateway_url: str) -> None:
    model = workshop.a_model()
    first = workshop.a_package(workshop.a_version(model["id"]))
    second = workshop.a_package(workshop.a_version(model["id"], ECHO.replace("{data}", "{data}!")))
    answers: list[tuple[int, bytes]] = []
    done = threading.Event()
    with workshop.working():
        made = workshop.a_deployment(first)
        workshop.await_success(made["location"])
        path = f"{gateway_url}/predApi/v1.0/deployments/{made['id']}/predictionsUnstructured"

        def predict() -> None:
            headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "Content-Type": "text/plain"}
            with httpx.Client(headers=headers, timeout=30) as client:
                while not done.is_set():
                    answer = client.post(path, content=b"world")
                    answers.append((answer.status_code, answer.content))

        clients = [threading.Thread(target=predict) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            wait_until(lambda: len(answers) > CLIENTS, what="the first answers")
            body = {"modelPackageId": second["id"], "reason": "SCHEDULED_REFRESH"}
            asked = workshop.api.patch(f"/deployments/{made['id']}/model/", json=body)
            workshop.await_success(asked.headers["Location"])
            wait_until(lambda: answers[-1][1] == b"hello world!", what="the new model's answer")
        finally:
            done.set()
            for client in clients:
                client.join()
        assert {status for status, _ in answers} == {200}
        assert {content for _, content in answers} == {b"hello world", b"hello world!"}

        def counted() -> bool:
            usage = workshop.read(made["id"])["predictionUsage"]
            return bool(usage["dailyRates"][-1] == len(answers))

        wait_until(counted, what="the count of all requests")
        assert workshop.read(made["id"])["serviceHealth"]["status"] == "passing"
        stopped = workshop.api.patch(f"/deployments/{made['id']}/status/", json={"status": "inactive"})
        workshop.await_success(stopped.headers["Location"])
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}

        def refused() -> bool:
            return 400 <= httpx.post(path, content=b"world", headers=headers).status_code < 600

        wait_until(refused, what="the refusal of a stopped deployment")
