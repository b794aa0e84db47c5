"""The prediction routes on the API's own port."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import ADMIN_TOKEN
from tests.gateway.conftest import GatewayUnderTest, a_free_port
from tests.waiting import wait_until


@pytest.fixture
def api_url(gateway: GatewayUnderTest) -> Iterator[str]:
    port = a_free_port()
    program = f"""
        from granian.constants import Interfaces
        from granian.server.embed import Server
        import asyncio
        from modelyard.app import build
        from modelyard.kernel.settings import Settings
        app = build(Settings()).api()
        asyncio.run(Server(app, address="127.0.0.1", port={port}, interface=Interfaces.ASGI).serve())
    """
    settings = gateway.application.settings
    environment = os.environ | {
        "MODELYARD_DATA_DIR": str(settings.data_dir),
        "MODELYARD_RUNTIME_DIR": str(settings.runtime_dir),
        "MODELYARD_GATEWAY_PORT": gateway.url.rpartition(":")[2],
    }
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], env=environment)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/api/v2/status/").status_code == 401
        except httpx.TransportError:
            return False

    wait_until(answers, 60, "an api that answers")
    yield url
    process.kill()
    process.wait()


def test_predictions_are_handed_on(gateway: GatewayUnderTest, api_url: str) -> None:
    deployment = gateway.a_deployment()
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    with httpx.Client(base_url=api_url, headers=headers, timeout=30) as client:
        for slash in ("", "/"):
            answer = client.post(f"/api/v2/deployments/{deployment}/predictions{slash}", json=[{"x": 1}])
            assert answer.status_code == 200, answer.text
            assert answer.json()["data"][0]["prediction"] == 2.0
            assert answer.headers["x-datarobot-model-id"] == "m" * 24
            assert answer.headers["content-type"].startswith("application/json")
        csv = "x\n" + "1\n" * 300_000
        both = {"Content-Type": "text/csv", "Accept": "text/csv"}
        answer = client.post(f"/api/v2/deployments/{deployment}/predictions", content=csv, headers=both)
        assert answer.text.count("\n") == 300_001
        answer = client.post(f"/api/v2/deployments/{deployment}/predictions?passthroughColumns=nope", json=[{"x": 1}])
        assert answer.status_code == 422
        assert "nope" in answer.json()["message"]
        assert client.post(f"/api/v2/deployments/{'0' * 24}/predictions", json=[{"x": 1}]).status_code == 404
    gateway.process.kill()
    gateway.process.wait()
    answer = httpx.post(f"{api_url}/api/v2/deployments/{deployment}/predictions", json=[{"x": 1}], headers=headers)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
