"""What is noted of requests, and who may read it."""

import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from modelyard.compute.services.service import ServiceSpec, put_service
from modelyard.compute.services.tables import Replica, ReplicaState
from modelyard.kernel.ids import new_id
from modelyard.kernel.metrics import MAX_DEPLOYMENTS, PredictionMetrics, exposition, may_read
from tests.conftest import Installation

Samples = dict[tuple[str, str], float]


def samples(text: str) -> Samples:
    """Values by name and labels, as the format's own parser reads them."""
    return {
        (sample.name, ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def read(an_installation: Callable[..., Installation]) -> tuple[Installation, Callable[[], Samples]]:
    installation = an_installation(metrics="all")

    def ask() -> Samples:
        answer = installation.api.client.get("/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain")
        return samples(answer.text)

    return installation, ask


def test_requests_by_operation_and_status(read: tuple[Installation, Callable[[], Samples]]) -> None:
    installation, ask = read
    for number in range(3):
        installation.api.get(f"/customModels/{number:024}/")
    installation.api.get("/customModels/")
    installation.api.get("/nowhere/")
    found = ask()
    counted = {labels: value for (name, labels), value in found.items() if name == "modelyard_requests_total"}
    assert counted["operation=GET /customModels/{customModelId}/,status=404"] == 3
    assert counted["operation=GET /customModels/,status=200"] == 1
    assert counted["operation=none,status=404"] == 1
    assert found["modelyard_request_seconds_count", "operation=GET /customModels/"] == 1
    assert found["modelyard_sandbox", ""] == 1


def test_the_state_of_the_installation(read: tuple[Installation, Callable[[], Samples]]) -> None:
    installation, ask = read
    installation.api.post("/datasets/fromFile/", files={"file": ("rows.csv", b"a\n1\n")})
    with installation.application.database.write() as session:
        service_id = new_id()
        put_service(session, service_id, "deployment", ServiceSpec(command=("true",)), 1)
        session.flush()
        for state in (ReplicaState.READY, ReplicaState.READY, ReplicaState.ENDED):
            session.add(Replica(service_id=service_id, generation=1, state=state.value, created_at=datetime.now(UTC)))
    found = ask()
    assert found["modelyard_replicas", "state=ready"] == 2
    assert ("modelyard_replicas", "state=ended") not in found
    assert found["modelyard_operations", "kind=dataset.process"] >= 1
    assert found["modelyard_operation_delay_seconds", ""] < 60


def test_the_series_of_deployments_have_an_end() -> None:
    registry = CollectorRegistry()
    metrics = PredictionMetrics(registry)
    for number in range(MAX_DEPLOYMENTS + 50):
        metrics.note(f"{number:024}", "answered", 2, 0.01)
    found = samples(exposition(registry).decode())
    counted = {labels: value for (name, labels), value in found.items() if name == "modelyard_predictions_total"}
    assert len(counted) == MAX_DEPLOYMENTS + 1
    assert counted["deployment=other,outcome=answered"] == 50
    assert found["modelyard_prediction_rows_total", "deployment=other"] == 100


@pytest.mark.parametrize(
    ("access", "peer", "header", "allowed"),
    [
        ("loopback", "127.0.0.1", b"host", True),
        ("loopback", "::1", b"host", True),
        ("loopback", "127.0.0.1", b"X-Forwarded-For", False),
        ("loopback", "127.0.0.1", b"forwarded", False),
        ("loopback", "10.0.0.1", b"host", False),
        ("loopback", None, b"host", False),
        ("all", "10.0.0.1", b"via", True),
        ("off", "127.0.0.1", b"host", False),
    ],
)
def test_who_may_read(access: str, peer: str | None, header: bytes, allowed: bool) -> None:
    assert may_read(access, peer, [header]) is allowed  # type: ignore[arg-type]


def test_they_are_for_this_machine(installation: Installation) -> None:
    answer = installation.api.client.get("/metrics")
    assert (answer.status_code, "MODELYARD_METRICS" in answer.json()["message"]) == (403, True)


def test_each_answer_has_an_id_that_the_access_log_knows(
    an_installation: Callable[..., Installation], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "modelyard.access")
    silent = an_installation()
    silent.api.get("/ping")
    assert not [one for one in caplog.records if one.name == "modelyard.access"]
    logging_all = an_installation(access_log=True)
    ids = []
    for path in ("/customModels/?limit=1&secret=my-secret", "/nowhere/"):
        answer = logging_all.api.get(path)
        assert re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])
        ids.append(answer.headers["x-request-id"])
    lines = [vars(one) for one in caplog.records if one.name == "modelyard.access"]
    assert [line["request_id"] for line in lines] == ids
    assert [(line["method"], line["path"], line["status"]) for line in lines] == [
        ("GET", "/api/v2/customModels/", 200),
        ("GET", "/api/v2/nowhere/", 404),
    ]
    assert "my-secret" not in str(lines)
