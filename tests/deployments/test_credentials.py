"""A model in the sandbox that is given credentials: it gets them, and neither log, reason, row nor file shows them."""

import hashlib
import json
from pathlib import Path
from typing import Any

from modelyard.compute.services.tables import Service
from tests.credentials.builders import ACCOUNT_KEY, PASSWORD, a_credential
from tests.deployments.serving import Workshop
from tests.waiting import wait_until

METADATA = """
runtimeParameterDefinitions:
  - {fieldName: DB, type: credential, credentialType: basic, allowEmpty: false}
  - {fieldName: CLOUD, type: credential, credentialType: gcp}
"""
TALKATIVE = """
    import hashlib, json, os
    from datarobot_drum import RuntimeParameters

    def load_model(code_dir):
        database = RuntimeParameters.get("DB")
        print("raw", os.environ["DB_PASSWORD"], "of", os.environ["DB_USER"])
        print("whole", os.environ["DB"])
        print("prefixed", os.environ["MLOPS_RUNTIME_PARAM_DB"])
        print("parsed", database)
        print("json", json.dumps({"p": database["password"]}))
        print("key", RuntimeParameters.get("CLOUD")["gcpKey"]["private_key"])
        print("keys", RuntimeParameters.get("CLOUD"))
        return database

    def score_unstructured(model, data, query, **kwargs):
        same = model["password"] == os.environ["DB_PASSWORD"]
        digest = hashlib.sha256(model["password"].encode()).hexdigest()
        if data:
            raise ValueError("no connection as " + str(model))
        return json.dumps({"same": same, "digest": digest, "type": model["credentialType"], "user": model["user"]})
"""
RAISING = """
    import os

    def load_model(code_dir):
        raise ValueError("cannot connect with " + os.environ["DB_PASSWORD"])

    def score_unstructured(model, data, query, **kwargs):
        return ""
"""
SECRET_PASSWORD = f"{PASSWORD} 'quoted' \\ \"twice\" ü"
KEY_LINE = ACCOUNT_KEY["private_key"].splitlines()[1]


def values(**ids: str | None) -> str:
    return json.dumps([{"fieldName": name, "type": "credential", "value": value} for name, value in ids.items()])


def credentials(workshop: Workshop) -> dict[str, str]:
    return {
        "DB": a_credential(workshop.api, "db", password=SECRET_PASSWORD)["credentialId"],
        "CLOUD": a_credential(workshop.api, "cloud", credentialType="gcp", gcpKey=ACCOUNT_KEY)["credentialId"],
    }


def assert_no_secret_in(text: str) -> None:
    assert PASSWORD not in text
    assert KEY_LINE not in text


def assert_no_secret_at_rest(workshop: Workshop) -> None:
    application = workshop.installation.application
    with application.database.read() as session:
        assert_no_secret_in(str([vars(row) for row in session.query(Service).all()]))
    folders = (application.settings.data_dir, application.settings.sockets_dir())
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert files
    for path in files:
        assert_no_secret_in(read(path))
    assert_no_secret_in("".join(read(path) for path in Path("/proc").glob("[0-9]*/cmdline")))


def read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError:  # it has gone meanwhile
        return ""


def test_a_model_gets_its_credentials_and_its_log_does_not_tell_them(workshop: Workshop) -> None:
    ids = credentials(workshop)
    package = workshop.a_package_of(TALKATIVE, {"model-metadata.yaml": METADATA})
    missing = workshop.deploy(package)
    assert "DB" in missing.json()["errors"]["runtimeParameterValues"]
    with workshop.working():
        made = workshop.a_deployment(package, runtimeParameterValues=values(**ids))
        workshop.await_success(made["location"])
        answer = json.loads(workshop.ask(made["id"], "").body)
        digest = hashlib.sha256(SECRET_PASSWORD.encode()).hexdigest()
        assert answer == {"same": True, "digest": digest, "type": "basic", "user": "anna"}
        failed = workshop.ask(made["id"], "who")
        assert failed.status == 422
        assert b"no connection as {'credentialType': 'basic'" in failed.body
        assert_no_secret_in(failed.body.decode())
        log = workshop.api.get(f"/customModelDeployments/{made['id']}/logs/").text
        assert_no_secret_in(log)
        assert "raw *** of anna" in log
        assert log.count("***") >= 7
        assert "churn-project" in log
        shown = workshop.api.get(f"/deployments/{made['id']}/runtimeParameters/").text
        assert ids["DB"] in shown
        assert_no_secret_in(shown)
        assert_no_secret_at_rest(workshop)


def test_a_reason_that_tells_a_secret_is_masked(workshop: Workshop) -> None:
    ids = credentials(workshop)
    package = workshop.a_package_of(RAISING, {"model-metadata.yaml": METADATA})
    with workshop.working():
        made = workshop.a_deployment(package, runtimeParameterValues=values(DB=ids["DB"]))
        ended = workshop.await_end(made["location"])
        assert "cannot connect with ***" in ended.json()["message"]
        assert "cannot connect with ***" in workshop.read(made["id"])["statusMessage"]
        assert_no_secret_in(ended.text)
        assert_no_secret_at_rest(workshop)


def test_a_deleted_credential_fails_the_next_start_with_its_name(workshop: Workshop) -> None:
    ids = credentials(workshop)
    package = workshop.a_package_of(TALKATIVE, {"model-metadata.yaml": METADATA})
    with workshop.working():
        made = workshop.a_deployment(package, runtimeParameterValues=values(**ids))
        workshop.await_success(made["location"])
        path = f"/deployments/{made['id']}/status/"
        stopped = workshop.api.patch(path, json={"status": "inactive"})
        workshop.await_success(stopped.headers["Location"])
        assert workshop.api.delete(f"/credentials/{ids['DB']}/").status_code == 204
        started = workshop.api.patch(path, json={"status": "active"})
        message = workshop.await_end(started.headers["Location"]).json()["message"]
        assert f"Runtime parameter DB names the credential {ids['DB']}, which was deleted" in message
        assert workshop.read(made["id"])["status"] == "errored"
        another = a_credential(workshop.api, "db again", password=SECRET_PASSWORD)["credentialId"]
        answer = workshop.api.put(
            f"/deployments/{made['id']}/runtimeParameters/", json={"runtimeParameterValues": values(DB=another)}
        )
        workshop.await_success(answer.headers["Location"])
        started = workshop.api.patch(path, json={"status": "active"})
        workshop.await_success(started.headers["Location"])


def test_a_test_of_a_model_gets_credentials_too(workshop: Workshop) -> None:
    ids = credentials(workshop)
    api, model_id = workshop.api, workshop.a_model()["id"]
    workshop.a_version(model_id, TALKATIVE, {"model-metadata.yaml": METADATA})
    sent = {"isMajorUpdate": "false", "runtimeParameterValues": values(**ids)}
    version = api.patch(f"/customModels/{model_id}/versions/", json=sent).json()
    body: dict[str, Any] = {"customModelId": model_id, "customModelVersionId": version["id"]}
    with workshop.working():
        assert api.post("/customModelTests/", json=body).status_code == 202

        def look() -> dict[str, Any] | None:
            [test] = api.get(f"/customModelTests/?customModelId={model_id}").json()["data"]
            return test if test["overallStatus"] not in {"not_tested", "queued", "in_progress"} else None

        test = wait_until(look, 60, "the end of the test")
        log = api.get(f"/customModelTests/{test['id']}/log/").text
    assert test["overallStatus"] == "succeeded", test
    assert "raw *** of anna" in log
    assert_no_secret_in(log + json.dumps(test))
    assert_no_secret_at_rest(workshop)
