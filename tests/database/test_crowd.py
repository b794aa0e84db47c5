"""Fifty clients write and read at once, against all processes: nothing is locked, nothing fails, nothing is lost."""

import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api_client import check_response
from tests.conftest import ADMIN_TOKEN
from tests.servers import Server, a_server

pytestmark = pytest.mark.xdist_group("crowd")

CLIENTS = 50
DURATION_S = 5.0
CSV = b"age,city\n31,Bern\n45,Graz\n"


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path: Path, a_postgres_url: Callable[[], str]) -> Iterator[Server]:
    settings: dict[str, Any] = {} if request.param == "sqlite" else {"database_url": a_postgres_url()}
    with a_server(tmp_path / "data", **settings) as server:
        yield server


class Client:
    """One of the crowd: makes a model, versions of it and datasets, and looks at them, without a pause."""

    def __init__(self, server: Server, number: int, environment_id: str) -> None:
        self.number = number
        self.environment_id = environment_id
        self.seen: Counter[int] = Counter()
        self.slow: list[float] = []
        self.problems: list[str] = []
        self.models: dict[str, int] = {}
        self.datasets: list[str] = []
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        self.api = httpx.Client(base_url=f"{server.url}/api/v2", headers=headers, timeout=60)
        self.gateway = httpx.Client(base_url=server.gateway_url, headers=headers, timeout=60)

    def run(self, until: float) -> None:
        try:
            while time.monotonic() < until:
                self._round()
        except httpx.HTTPError as error:
            self.problems.append(repr(error))
        finally:
            self.api.close()
            self.gateway.close()

    def _round(self) -> None:
        body = {"name": f"model {self.number}", "customModelType": "inference", "targetType": "Unstructured"}
        made = self._ask("POST", "/customModels/", json=body)
        if made.status_code != 201:
            return
        model_id = made.json()["id"]
        self.models[model_id] = 0
        for number in range(3):
            form = [
                ("isMajorUpdate", (None, "false")),
                ("baseEnvironmentId", (None, self.environment_id)),
                ("file", ("custom.py", f"x = {number}".encode())),
                ("filePath", (None, "custom.py")),
            ]
            method = "PATCH" if number else "POST"
            if self._ask(method, f"/customModels/{model_id}/versions/", files=form).status_code == 201:
                self.models[model_id] += 1
            self._ask("GET", "/customModels/?limit=20")
            self._ask("GET", f"/customModels/{model_id}/versions/")
        sent = self._ask("POST", "/datasets/fromFile/", files={"file": ("people.csv", CSV, "text/csv")})
        if sent.status_code == 202:
            self.datasets.append(sent.json()["catalogId"])
            self._ask("GET", f"/status/{sent.json()['statusId']}/")
        self._ask("GET", "/datasets/?limit=20")
        unknown = self.gateway.post(f"/predApi/v1.0/deployments/{model_id}/predictions", content=CSV)
        if unknown.status_code != 404:
            self.problems.append(f"the gateway answered {unknown.status_code}: {unknown.text}")

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        began = time.monotonic()
        answer = self.api.request(method, path, **options)
        self.slow.append(time.monotonic() - began)
        self.seen[answer.status_code] += 1
        if answer.status_code >= 400:
            self.problems.append(f"{method} {path}: {answer.status_code} {answer.text}")
        elif len(self.slow) % 10 == 0:  # each would cost more than the answer itself
            check_response(method, f"/api/v2{path.partition('?')[0]}", answer.status_code, answer.content)
        return answer


def test_a_crowd_writes_and_reads_at_once(server: Server) -> None:
    environments = server.api.get("/executionEnvironments/").json()["data"]
    crowd = [Client(server, number, environments[0]["id"]) for number in range(CLIENTS)]
    until = time.monotonic() + DURATION_S
    threads = [threading.Thread(target=client.run, args=(until,)) for client in crowd]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert not [problem for client in crowd for problem in client.problems]
    assert "locked" not in server.log()
    assert "Traceback" not in server.log(), server.log()[-5000:]

    models = {model_id: count for client in crowd for model_id, count in client.models.items()}
    datasets = [dataset_id for client in crowd for dataset_id in client.datasets]
    assert len(models) >= CLIENTS
    assert server.api.get("/customModels/?limit=1").json()["totalCount"] == len(models)
    assert server.api.get("/datasets/?limit=1").json()["totalCount"] == len(datasets)
    for model_id, count in list(models.items())[:: max(1, len(models) // 30)]:
        versions = server.api.get(f"/customModels/{model_id}/versions/").json()["data"]
        assert sorted(version["versionMinor"] for version in versions) == list(range(count))

    asked = sorted(duration for client in crowd for duration in client.slow)
    p50, p99 = statistics.median(asked), asked[int(len(asked) * 0.99)]
    print(
        f"{len(asked) / DURATION_S:.0f} requests/s of {CLIENTS} clients: median {p50 * 1000:.0f} ms, "
        f"99 % within {p99 * 1000:.0f} ms, longest {asked[-1] * 1000:.0f} ms"
    )
