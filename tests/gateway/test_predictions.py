"""Predictions through the gateway: answers, refusals, dying replicas, counting."""

import gzip
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from modelyard.compute.services.service import stop_service
from modelyard.compute.services.tables import Replica, ReplicaState, Service
from modelyard.monitoring.tables import PredictionUsage
from modelyard.monitoring.usage import Health, service_healths
from tests.gateway.conftest import GatewayUnderTest
from tests.waiting import wait_until

PATHS = ["/predApi/v1.0/deployments/{}/predictions", "/api/v2/deployments/{}/predictions/"]


@pytest.mark.parametrize("path", PATHS)
def test_rows_come_back_scored_in_their_order(gateway: GatewayUnderTest, path: str) -> None:
    deployment = gateway.a_deployment()
    with gateway.client() as client:
        answer = client.post(path.format(deployment), json=[{"x": 1}, {"x": 2.5}])
        assert answer.status_code == 200, answer.text
        assert [row["prediction"] for row in answer.json()["data"]] == [2.0, 5.0]
        assert answer.headers["x-datarobot-model-id"] == "m" * 24
        assert answer.headers["x-datarobot-request-id"]
        csv = client.post(path.format(deployment), content="x\n4\n", headers={"Content-Type": "text/csv"})
        assert csv.json()["data"][0]["prediction"] == 8.0


def test_a_compressed_body_is_read(gateway: GatewayUnderTest) -> None:
    deployment = gateway.a_deployment()
    with gateway.client() as client:
        answer = client.post(
            PATHS[0].format(deployment),
            content=gzip.compress(b'[{"x": 3}]'),
            headers={"Content-Type": "application/json", "Content-Encoding": "gzip"},
        )
    assert answer.json()["data"][0]["prediction"] == 6.0


def test_large_bodies_stream_both_ways(gateway: GatewayUnderTest) -> None:
    deployment = gateway.a_deployment()
    rows = 200_000
    body = "x\n" + "\n".join(str(i) for i in range(rows)) + "\n"
    assert len(body) > 1_200_000
    headers = {"Content-Type": "text/csv", "Accept": "text/csv"}
    with gateway.client() as client:
        for content in (body.encode(), iter([body[:700_000].encode(), body[700_000:].encode()])):
            answer = client.post(PATHS[0].format(deployment), content=content, headers=headers)
            assert answer.status_code == 200, answer.text
            lines = answer.text.splitlines()
            assert len(lines) == rows + 1
            assert float(lines[-1].split(",")[-1]) == 2.0 * (rows - 1)


def test_who_may_not_ask_learns_nothing(gateway: GatewayUnderTest) -> None:
    deployment = gateway.a_deployment()
    path = PATHS[0].format(deployment)
    stranger = gateway.installation.a_user("stranger").token
    with gateway.client(None) as client:
        assert client.post(path, json=[{"x": 1}]).status_code == 401
    with gateway.client("my_wrong") as client:
        assert client.post(path, json=[{"x": 1}]).status_code == 401
    with gateway.client(stranger) as client:
        answer = client.post(path, json=[{"x": 1}])
        assert answer.status_code == 404
        assert deployment in answer.json()["message"]
        assert client.post(PATHS[0].format("0" * 24), json=[{"x": 1}]).status_code == 404


def test_over_the_limit_is_413_before_and_while_reading(gateway: GatewayUnderTest) -> None:
    deployment = gateway.a_deployment()
    big = b"x\n" + b"1\n" * (3 * 1024 * 1024)
    with gateway.client() as client:
        for content in (big, iter([big[: len(big) // 2], big[len(big) // 2 :]])):
            answer = client.post(PATHS[0].format(deployment), content=content, headers={"Content-Type": "text/csv"})
            assert answer.status_code == 413
            assert str(5 * 1024 * 1024) in answer.json()["message"]
        assert client.post(PATHS[0].format(deployment), json=[{"x": 1}]).status_code == 200


def test_a_slow_model_is_504_and_an_inactive_deployment_422(gateway: GatewayUnderTest) -> None:
    deployment = gateway.a_deployment()
    with gateway.client() as client:
        assert client.post(PATHS[0].format(deployment), json=[{"x": 1, "sleep": 30}]).status_code == 504
        with gateway.application.database.write() as session:
            stop_service(session, deployment)
        answer = wait_until(
            lambda: (a := client.post(PATHS[0].format(deployment), json=[{"x": 1}])).status_code == 422 and a,
            what="the gateway to notice",
        )
    assert "inactive" in answer.json()["message"]


def test_a_replica_that_dies_costs_no_request_while_another_lives(gateway: GatewayUnderTest) -> None:
    deployment = gateway.a_deployment(replicas=2)
    first, second = list(gateway.runners.values())
    answers: list[int] = []
    with gateway.client() as client, ThreadPoolExecutor(8) as pool:

        def ask(number: int) -> None:
            answers.append(client.post(PATHS[0].format(deployment), json=[{"x": number}]).status_code)
            if number == 100:
                first.kill()

        list(pool.map(ask, range(400)))
    assert answers.count(200) == 400, {status: answers.count(status) for status in set(answers)}
    assert second.poll() is None


def test_without_a_ready_replica_it_is_503_with_a_hint(gateway: GatewayUnderTest) -> None:
    deployment = gateway.a_deployment(replicas=1)
    with gateway.application.database.write() as session:
        session.query(Replica).update({"state": ReplicaState.ENDED.value})
    with gateway.client() as client:
        answer = wait_until(
            lambda: (a := client.post(PATHS[0].format(deployment), json=[{"x": 1}])).status_code == 503 and a,
            what="the gateway to notice",
        )
    assert answer.headers["retry-after"] == "1"


def test_traffic_is_counted(gateway: GatewayUnderTest) -> None:
    deployment = gateway.a_deployment()
    with gateway.client() as client:
        client.post(PATHS[0].format(deployment), json=[{"x": 1}, {"x": 2}])
        client.post(PATHS[0].format(deployment), json=[{"x": 3}])
        client.post(PATHS[0].format(deployment), content="{", headers={"Content-Type": "application/json"})

    def counted() -> PredictionUsage | None:
        with gateway.application.database.read() as session:
            found = session.query(PredictionUsage).filter_by(deployment_id=deployment).one_or_none()
            return found if found and found.requests == 3 else None

    usage = wait_until(counted, what="the counts to be stored")
    assert (usage.rows, usage.user_errors, usage.server_errors) == (3, 1, 0)
    assert usage.execution_ms > 0


def test_a_model_that_raises_turns_health_to_failing(gateway: GatewayUnderTest) -> None:
    deployment = gateway.a_deployment()
    with gateway.client() as client:
        for path in (PATHS[0].format(deployment), PATHS[1].format(deployment)):
            answer = client.post(path, json=[{"y": 1}])
            assert (answer.status_code, "KeyError: 'x'" in answer.text) == (422, True)
            assert "x-modelyard-fault" not in answer.headers
        client.post(PATHS[0].format(deployment), content="{", headers={"Content-Type": "application/json"})

    def counted() -> PredictionUsage | None:
        with gateway.application.database.read() as session:
            found = session.query(PredictionUsage).filter_by(deployment_id=deployment).one_or_none()
            return found if found and found.requests == 3 else None

    usage = wait_until(counted, what="the counts to be stored")
    assert (usage.rows, usage.user_errors, usage.model_errors, usage.server_errors) == (0, 1, 2, 0)
    with gateway.application.database.read() as session:
        health = service_healths(session, [deployment], datetime.now(UTC))[deployment]
    assert health.status is Health.FAILING


def test_the_metrics_of_the_gateway(gateway: GatewayUnderTest) -> None:
    deployment = gateway.a_deployment()
    with gateway.client() as client:
        client.post(PATHS[0].format(deployment), json=[{"x": 1}, {"x": 2}])
        client.post(PATHS[0].format(deployment), json=[{"y": 1}])
        found = client.get("/metrics")
        assert found.headers["content-type"].startswith("text/plain")
        forwarded = client.get("/metrics", headers={"X-Forwarded-For": "10.0.0.1"})
    assert f'modelyard_predictions_total{{deployment="{deployment}",outcome="answered"}} 1.0' in found.text
    assert f'modelyard_predictions_total{{deployment="{deployment}",outcome="model error"}} 1.0' in found.text
    assert f'modelyard_prediction_rows_total{{deployment="{deployment}"}} 2.0' in found.text
    assert (forwarded.status_code, "MODELYARD_METRICS" in forwarded.json()["message"]) == (403, True)


def test_pipelined_and_malformed_requests_do_not_confuse_it(gateway: GatewayUnderTest) -> None:
    deployment = gateway.a_deployment()
    host, port = gateway.url.removeprefix("http://").split(":")
    token = str(gateway.installation.api.token)
    body = json.dumps([{"x": 7}])
    request = (
        f"POST {PATHS[0].format(deployment)} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall(request[:-5])
        threading.Event().wait(0.05)
        raw.sendall(request[-5:])
        assert b"200 OK" in raw.recv(65536)
        raw.sendall(request)
        assert b"14.0" in raw.recv(65536)
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall(b"NONSENSE\r\n\r\n")
        assert b"400" in raw.recv(65536)
    with gateway.client() as client:
        assert client.get(PATHS[0].format(deployment)).status_code == 405
        assert client.post("/elsewhere", content=b"x").status_code == 404
        assert client.post(PATHS[0].format(deployment), json=[{"x": 1}]).status_code == 200


def test_termination_answers_what_is_in_hand(gateway: GatewayUnderTest) -> None:
    deployment = gateway.a_deployment()
    statuses: list[int] = []

    def ask() -> None:
        with gateway.client() as client:
            statuses.append(client.post(PATHS[0].format(deployment), json=[{"x": 1, "sleep": 1}]).status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    wait_until(lambda: gateway.process.poll() is None and not statuses, what="a request in hand")
    threading.Event().wait(0.3)
    gateway.process.terminate()
    asking.join(10)
    assert statuses == [200]
    assert gateway.process.wait(10) == 0


def test_a_deployment_of_which_nothing_was_started_is_not_unknown(gateway: GatewayUnderTest) -> None:
    deployment = gateway.a_deployment(replicas=0)
    with gateway.application.database.write() as session:
        session.query(Service).delete()
    with gateway.client() as client:
        answer = client.post(PATHS[0].format(deployment), json=[{"x": 1}])
    assert answer.status_code == 503
    assert "not running" in answer.json()["message"]
