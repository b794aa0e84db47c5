"""From a package to an active deployment that answers, with real images, sandboxes and replicas."""

import json
from dataclasses import replace
from typing import Any

import pytest

from modelyard.compute.services.service import service_status
from modelyard.compute.services.tables import Service
from modelyard.deployments.settings import PredictionsSettings
from modelyard.models.tables import CustomModelVersion
from tests.deployments.serving import ECHO, METADATA, Workshop
from tests.environments.contexts import an_environment, push, zipped
from tests.waiting import wait_until

BROKEN = "print('here we go')\nraise ValueError('no luck')"
SERVER = """#!/bin/sh
exec python3 - <<'END'
from http.server import BaseHTTPRequestHandler, HTTPServer
import os

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(b"{}")

    def do_POST(self):
        self.answer(b"own server got " + self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
END
"""
SLOW = "import time\nprint('loading')\ntime.sleep(3600)"
SHOUTING = ECHO.replace("{data}", "{data}!")


def test_a_deployed_model_answers(workshop: Workshop) -> None:
    package = workshop.a_package_of(files={"model-metadata.yaml": METADATA})
    with workshop.working():
        assert workshop.await_success(package["location"]).json()["buildStatus"] == "complete"
        made = workshop.a_deployment(package)
        deployment = workshop.await_success(made["location"]).json()
        assert (deployment["id"], deployment["status"], deployment["hasError"]) == (made["id"], "active", False)
        assert workshop.ask(made["id"], "world").body == b"hello world"


def test_a_model_that_cannot_start_leaves_the_deployment_errored_with_the_reason_and_the_log(
    workshop: Workshop,
) -> None:
    with workshop.working():
        made = workshop.a_deployment(workshop.a_package_of(BROKEN))
        ended = workshop.await_end(made["location"]).json()
        assert ended["status"] == "ERROR"
        assert "no luck" in ended["message"]
        deployment = workshop.read(made["id"])
        assert (deployment["status"], deployment["hasError"]) == ("errored", True)
        assert "no luck" in deployment["statusMessage"]
        log = workshop.api.get(f"/customModelDeployments/{made['id']}/logs/")
        assert log.status_code == 200
        assert "here we go" in log.text
        assert "no luck" in log.text


def test_a_runtime_parameter_reaches_the_model(workshop: Workshop) -> None:
    package = workshop.a_package_of(files={"model-metadata.yaml": METADATA})
    values = json.dumps([{"fieldName": "GREETING", "type": "string", "value": "{code} good day"}])
    with workshop.working():
        made = workshop.a_deployment(package, runtimeParameterValues=values)
        workshop.await_success(made["location"])
        assert workshop.ask(made["id"], "world").body == b"{code} good day world"
        path = f"/deployments/{made['id']}/runtimeParameters/"
        [shown] = workshop.api.get(path).json()["data"]
        assert (shown["fieldName"], shown["currentValue"]) == ("GREETING", "{code} good day")
        deployed_at = workshop.read(made["id"])["model"]["deployedAt"]
        values = json.dumps([{"fieldName": "GREETING", "type": "string", "value": None}])
        changed = workshop.api.put(path, json={"runtimeParameterValues": values})
        assert changed.status_code == 202, changed.text
        workshop.await_success(changed.headers["Location"])
        assert workshop.ask(made["id"], "world").body == b"hello world"
        assert workshop.read(made["id"])["model"]["deployedAt"] == deployed_at
        wrong = json.dumps([{"fieldName": "GREETING", "type": "numeric", "value": 1}])
        assert workshop.api.put(path, json={"runtimeParameterValues": wrong}).status_code == 422


def test_target_labels_and_threshold_reach_the_runner(workshop: Workshop) -> None:
    source = """
        import pandas as pd

        def load_model(code_dir):
            return "model"

        def score(data, model, **kwargs):
            return pd.DataFrame({"-no": 1 - data["x"], "{yes}": data["x"]})
    """
    binary: dict[str, Any] = {
        "targetType": "Binary",
        "targetName": "won",
        "positiveClassLabel": "{yes}",
        "negativeClassLabel": "-no",
    }
    multiclass: dict[str, Any] = {"targetType": "Multiclass", "targetName": "kind", "classLabels": ["-no", "{yes}"]}
    first = workshop.a_package_of(source, **binary, predictionThreshold=0.3)
    with workshop.installation.application.database.write() as session:
        session.get_one(CustomModelVersion, first["modelId"]).side_effects_passed = True
    with workshop.working():
        made = [workshop.a_deployment(first), workshop.a_deployment(workshop.a_package_of(source, **multiclass))]
        for one in made:
            workshop.await_success(one["location"])
        rows = json.loads(workshop.ask(made[0]["id"], "x\n0.2\n0.4\n", "/v1/predictions").body)["data"]
        assert [row["prediction"] for row in rows] == ["-no", "{yes}"]
        assert rows[0]["predictionThreshold"] == 0.3
        told = json.loads(workshop.ask(made[1]["id"], "x\n0.2\n", "/v1/predictions").body)["data"][0]
        assert told["prediction"] == "-no"
        with workshop.installation.application.database.read() as session:
            commands = [session.get_one(Service, one["id"]).spec["command"] for one in made]
        assert ["--batch" in command for command in commands] == [True, False]


def test_a_server_of_its_own_answers_through_the_runner(workshop: Workshop) -> None:
    with workshop.working():
        made = workshop.a_deployment(workshop.a_package_of(files={"start_server.sh": SERVER}))
        workshop.await_success(made["location"])
        assert workshop.ask(made["id"], "this").body == b"own server got this"


def test_the_server_of_the_environment_finds_the_models_files_beside_it(workshop: Workshop) -> None:
    server = SERVER.replace('b"own server got "', 'open("words.txt", "rb").read()')
    context = zipped({"requirements.txt": b"", "start_server.sh": server.encode(), "words.txt": b"environment"})
    api = workshop.api
    environment = an_environment(api)
    with workshop.working():
        pushed = push(api, environment["id"], context)
        workshop.await_success(pushed.headers["Location"])
        other = replace(workshop, environment_id=environment["id"])
        made = other.a_deployment(other.a_package_of(files={"words.txt": "the model's words: "}))
        workshop.await_success(made["location"])
        assert workshop.ask(made["id"], "this").body == b"the model's words: this"


def test_replacing_switches_only_to_a_model_that_is_ready(workshop: Workshop) -> None:
    model = workshop.a_model()
    first = workshop.a_package(workshop.a_version(model["id"]))
    broken = workshop.a_package(workshop.a_version(model["id"], BROKEN))
    second = workshop.a_package(workshop.a_version(model["id"], SHOUTING))
    with workshop.working():
        made = workshop.a_deployment(first)
        workshop.await_success(made["location"])
        failed = workshop.await_end(_replace(workshop, made["id"], broken)).json()
        assert failed["status"] == "ERROR"
        assert "no luck" in failed["message"]
        deployment = workshop.read(made["id"])
        assert (deployment["status"], deployment["hasError"]) == ("active", False)
        assert deployment["modelPackage"]["id"] == first["id"]
        assert workshop.ask(made["id"], "world").body == b"hello world"
        assert "no luck" in workshop.api.get(f"/customModelDeployments/{made['id']}/logs/").text

        replaced = workshop.await_success(_replace(workshop, made["id"], second)).json()
        assert (replaced["status"], replaced["modelPackage"]["id"]) == ("active", second["id"])
        assert replaced["model"]["customModelImage"]["customModelVersionLabel"] == "3.0"

        def answered() -> bool:
            return workshop.ask(made["id"], "world").body == b"hello world!"

        wait_until(answered, what="the new model's answer")
    counts = [
        workshop.api.get(f"/modelPackages/{one['id']}/").json()["activeDeploymentCount"]
        for one in (first, broken, second)
    ]
    assert counts == [0, 0, 0]


def _replace(workshop: Workshop, deployment_id: str, package: dict[str, str]) -> str:
    body = {"modelPackageId": package["id"]}
    checked = workshop.api.post(f"/deployments/{deployment_id}/model/validation/", json=body).json()
    assert checked["status"] == "passing", checked
    asked = workshop.api.patch(f"/deployments/{deployment_id}/model/", json=body | {"reason": "OTHER"})
    assert asked.status_code == 202, asked.text
    return str(asked.headers["Location"])


def test_a_deployment_stops_and_starts_again(workshop: Workshop) -> None:
    with workshop.working():
        made = workshop.a_deployment()
        workshop.await_success(made["location"])
        stopped = workshop.api.patch(f"/deployments/{made['id']}/status/", json={"status": "inactive"})
        assert workshop.await_success(stopped.headers["Location"]).json()["status"] == "inactive"
        with pytest.raises(AssertionError):
            workshop.ask(made["id"], "anybody?")
        refused = workshop.api.patch(
            f"/deployments/{made['id']}/model/", json={"modelPackageId": "0" * 24, "reason": "OTHER"}
        )
        assert refused.status_code == 409
        started = workshop.api.patch(f"/deployments/{made['id']}/status/", json={"status": "active"})
        assert workshop.await_success(started.headers["Location"]).json()["status"] == "active"
        assert workshop.ask(made["id"], "world").body == b"hello world"


def test_a_deployment_is_stopped_while_it_is_launched(workshop: Workshop) -> None:
    with workshop.working():
        made = workshop.a_deployment(workshop.a_package_of(SLOW))
        _await_service(workshop, made["id"])
        stopped = workshop.api.patch(f"/deployments/{made['id']}/status/", json={"status": "inactive"})
        assert stopped.status_code == 202
        assert workshop.await_success(stopped.headers["Location"]).json()["status"] == "inactive"
        assert workshop.await_end(made["location"]).json()["status"] in {"ABORTED", "ERROR"}
        assert workshop.read(made["id"])["status"] == "inactive"
        again = workshop.api.patch(f"/deployments/{made['id']}/status/", json={"status": "inactive"})
        assert workshop.await_success(again.headers["Location"]).json()["status"] == "inactive"


def test_starting_what_is_active_changes_nothing(workshop: Workshop) -> None:
    with workshop.working():
        made = workshop.a_deployment()
        workshop.await_success(made["location"])
        started = workshop.api.patch(f"/deployments/{made['id']}/status/", json={"status": "active"})
        assert workshop.await_success(started.headers["Location"]).json()["status"] == "active"
        with workshop.installation.application.database.read() as session:
            status = service_status(session, made["id"])
        assert status is not None
        assert status.generation == 1


def test_settings_that_concern_the_service_start_it_anew(workshop: Workshop) -> None:
    with workshop.working():
        made = workshop.a_deployment()
        workshop.await_success(made["location"])
        path = f"/deployments/{made['id']}/settings/"
        plain = workshop.api.patch(path, json={"challengerModels": {"enabled": True}})
        assert plain.status_code == 202, plain.text
        workshop.await_success(plain.headers["Location"])
        wanted = workshop.api.patch(path, json={"predictionsSettings": {"minComputes": 2}})
        workshop.await_success(wanted.headers["Location"])
        with workshop.installation.application.database.read() as session:
            status = service_status(session, made["id"])
        assert status is not None
        assert (status.generation, status.ready_replicas) == (2, 2)
        settings = workshop.api.get(path).json()
        assert settings["challengerModels"] == {"enabled": True}
        assert settings["predictionsSettings"]["minComputes"] == 2


def test_no_more_replicas_run_than_there_may_be() -> None:
    cases = [((None, None, 3), 3), ((2, None, 3), 2), ((None, 2, 3), 2), ((None, 5, 3), 3), ((2, 4, 1), 2)]
    for (least, most, wanted), expected in cases:
        assert PredictionsSettings(min_computes=least, max_computes=most).replicas(wanted) == expected


def test_the_association_id_reaches_the_replicas(workshop: Workshop) -> None:
    source = """
        import pandas as pd

        def load_model(code_dir):
            return "model"

        def score(data, model, **kwargs):
            return pd.DataFrame({"Predictions": data["x"] * 2.0})
    """
    package = workshop.a_package_of(source, targetType="Regression", targetName="y")
    with workshop.working():
        made = workshop.a_deployment(package)
        workshop.await_success(made["location"])
        path = f"/deployments/{made['id']}/settings/"
        assert workshop.ask(made["id"], "x\n1\n", "/v1/predictions").status == 200
        wanted = {"associationId": {"columnNames": ["{order} id"], "requiredInPredictionRequests": True}}
        workshop.await_success(workshop.api.patch(path, json=wanted).headers["Location"])
        refused = workshop.ask(made["id"], "x\n1\n", "/v1/predictions")
        assert (refused.status, "'{order} id'" in json.loads(refused.body)["message"]) == (422, True)
        answered = json.loads(workshop.ask(made["id"], "x,{order} id\n1,a7\n", "/v1/predictions").body)["data"]
        assert answered[0]["passthroughValues"] == {"{order} id": "a7"}
        made_up = {"associationId": {"requiredInPredictionRequests": False, "autoGenerateId": True}}
        workshop.await_success(workshop.api.patch(path, json=made_up).headers["Location"])
        given = json.loads(workshop.ask(made["id"], "x\n1\n", "/v1/predictions").body)["data"]
        assert len(given[0]["passthroughValues"]["{order} id"]) == 36
        workshop.await_success(workshop.api.patch(path, json={"associationId": None}).headers["Location"])
        plain = json.loads(workshop.ask(made["id"], "x\n1\n", "/v1/predictions").body)["data"]
        assert "passthroughValues" not in plain[0]


def test_the_logs_of_healthy_replicas_have_no_alarming_words(workshop: Workshop) -> None:
    with workshop.working():
        made = workshop.a_deployment()
        workshop.await_success(made["location"])
        workshop.ask(made["id"], "world")
        asked = workshop.api.post(f"/customModelDeployments/{made['id']}/logs/")
        assert asked.status_code == 202
        log = workshop.await_success(asked.headers["Location"])
        assert "the model was loaded" in log.text
        launch = workshop.api.get(f"/customModelDeployments/{made['id']}/logs/")
        for text in (log.text, launch.text):
            assert "WARNING" not in text
            assert "ERROR" not in text


def test_deleting_while_it_is_launched_leaves_nothing_running(workshop: Workshop) -> None:
    with workshop.working():
        made = workshop.a_deployment(workshop.a_package_of(SLOW))
        _await_service(workshop, made["id"])
        assert workshop.api.delete(f"/deployments/{made['id']}/").status_code == 204
        assert workshop.api.get(f"/deployments/{made['id']}/").status_code == 404
        ended = workshop.await_end(made["location"]).json()
        assert ended["status"] in {"ABORTED", "ERROR"}


def _await_service(workshop: Workshop, deployment_id: str) -> None:
    def launching() -> bool:
        with workshop.installation.application.database.read() as session:
            return service_status(session, deployment_id) is not None

    wait_until(launching, what="the service")
