"""Reading, changing, sharing, replacing and deleting deployments, without running any."""

from typing import Any

import pytest

from modelyard.deployments.tables import Deployment, DeploymentLog
from modelyard.models.tables import ModelUse
from modelyard.monitoring.tables import PredictionUsage
from modelyard.operations.tables import Operation
from tests.api_client import Api
from tests.deployments.shelf import Shelf
from tests.models.builders import NOBODY, a_model, a_version

REPLACE = {"reason": "ACCURACY"}


def test_a_new_deployment_tells_everything_about_itself(shelf: Shelf) -> None:
    package = shelf.a_package(name="Churn", positiveClassLabel="yes", negativeClassLabel="no")
    made = shelf.deploy(package, label="Mine", importance="HIGH", userProvidedId="team/mine")
    assert made.status_code == 202
    assert made.headers["Location"].startswith("http://modelyard.test/api/v2/status/")
    found = shelf.api.get(f"/deployments/{made.json()['id']}/").json()
    assert (found["label"], found["status"], found["importance"]) == ("Mine", "launching", "HIGH")
    assert (found["description"], found["userProvidedId"], found["hasError"]) == (None, "team/mine", False)
    model, image = found["model"], found["model"]["customModelImage"]
    assert (model["id"], model["targetName"], model["targetType"]) == (package["modelId"], "churned", "Binary")
    assert model["buildEnvironmentType"] == "Python"
    assert (image["customModelName"], image["customModelVersionId"]) == ("Churn", package["modelId"])
    assert image["customModelVersionLabel"] == "1.0"
    assert image["executionEnvironmentName"].startswith("[Modelyard] Python")
    assert found["modelPackage"] == {
        "id": package["id"],
        "name": package["name"],
        "registeredModelId": package["registeredModelId"],
    }
    assert found["predictionEnvironment"]["platform"] == "datarobotServerless"
    assert found["defaultPredictionServer"]["url"] == shelf.installation.application.settings.gateway_url()
    assert found["owners"]["count"] == 1
    assert (found["serviceHealth"]["status"], found["modelHealth"]["status"]) == ("notStarted", "unknown")
    assert found["predictionUsage"] == {"dailyRates": [0] * 7, "lastTimestamp": None}
    listed = shelf.api.get("/deployments/").json()["data"]
    assert listed == [found]
    assert shelf.api.get(f"/customModels/{image['customModelId']}/").json()["deploymentsCount"] == 1


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"modelPackageId": NOBODY}, "modelPackageId"),
        ({"predictionEnvironmentId": NOBODY}, "predictionEnvironmentId"),
        ({"label": ""}, "label"),
        ({"label": "x" * 513}, "label"),
        ({"importance": "HUGE"}, "importance"),
        ({"runtimeParameterValues": "[{"}, "runtimeParameterValues"),
        ({"defaultPredictionServerId": NOBODY}, "defaultPredictionServerId"),
    ],
)
def test_wrong_fields_are_named_and_nothing_is_left(shelf: Shelf, fields: dict[str, Any], wrong: str) -> None:
    refused = shelf.deploy(**fields)
    assert refused.status_code == 422, refused.text
    assert list(refused.json()["errors"]) == [wrong]
    assert shelf.found() == []


def test_a_user_provided_id_is_taken_once(shelf: Shelf) -> None:
    package = shelf.a_package()
    first = shelf.put("first", package, userProvidedId="a/b")
    refused = shelf.deploy(package, userProvidedId="a/b")
    assert "already in use" in refused.json()["errors"]["userProvidedId"]
    shelf.api.delete(f"/deployments/{first}/")
    assert shelf.deploy(package, userProvidedId="a/b").status_code == 202


def test_label_description_and_importance_are_changed(shelf: Shelf) -> None:
    path = f"/deployments/{shelf.put('Old', description='words')}/"
    changed = shelf.api.patch(path, json={"label": "New", "description": None, "importance": "MODERATE"})
    assert (changed.status_code, changed.content) == (204, b"")
    found = shelf.api.get(path).json()
    assert (found["label"], found["description"], found["importance"]) == ("New", None, "MODERATE")
    unlabelled = shelf.api.patch(path, json={"label": None})
    assert (unlabelled.status_code, list(unlabelled.json()["errors"])) == (422, ["label"])
    assert shelf.api.patch(path, json={"label": ""}).status_code == 422
    assert shelf.found("search=new") == ["New"]
    assert shelf.api.patch(path, json={"importance": None}).status_code == 422


def test_roles_decide_what_may_be_done(shelf: Shelf) -> None:
    api, bob = shelf.api, shelf.installation.a_user("bob")
    path = f"/deployments/{shelf.put('Mine')}/"
    assert bob.get(path).status_code == 404
    allowed: dict[str, tuple[int, int, int]] = {
        "CONSUMER": (200, 403, 403),
        "OBSERVER": (200, 403, 403),
        "USER": (200, 204, 403),
    }
    for role, (reading, changing, deleting) in allowed.items():
        shared = api.patch(f"{path}accessControl/", json={"data": [{"username": "bob", "role": role}]})
        assert shared.status_code == 204, shared.text
        statuses = (
            bob.get(path).status_code,
            bob.patch(path, json={"label": "x"}).status_code,
            bob.delete(path).status_code,
        )
        assert statuses == (reading, changing, deleting), role
        listed = bob.get("/deployments/").json()
        assert (listed["totalCount"], [one["id"] for one in listed["data"]]) == (1, [path.split("/")[2]]), role
        assert shelf.found("orderBy=label", bob) == shelf.found("", bob), role
        assert bob.get("/customModelDeployments/").json()["totalCount"] == 1, role
        assert "CAN_MAKE_PREDICTIONS" in listed["data"][0]["permissions"] or role == "OBSERVER"
    assert shelf.found("", bob) == ["x"]
    permissions = {who: set(one.get(path).json()["permissions"]) for who, one in (("admin", api), ("bob", bob))}
    working = {"CAN_MAKE_PREDICTIONS", "CAN_VIEW", "CAN_REPLACE_MODEL", "CAN_ADD_CHALLENGERS"}
    assert working <= permissions["bob"] < permissions["admin"]
    assert "CAN_DELETE_DEPLOYMENT" in permissions["admin"] - permissions["bob"]
    lines = bob.get(f"{path}accessControl/").json()["data"]
    assert [(line["username"], line["role"]) for line in lines] == [("admin", "OWNER"), ("bob", "USER")]
    stranger = shelf.installation.a_user("eve", organization="other")
    for method, below in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "settings/"), ("PATCH", "settings/")):
        assert stranger.request(method, path + below, json={}).status_code == 404


@pytest.mark.parametrize(
    ("role", "permissions"),
    [
        ("OBSERVER", ["CAN_VIEW"]),
        ("DEMO_OBSERVER", ["CAN_VIEW"]),
        ("CONSUMER", ["CAN_MAKE_PREDICTIONS"]),
        ("READ_ONLY", ["CAN_VIEW", "CAN_MAKE_PREDICTIONS"]),
    ],
)
def test_an_observer_looks_and_a_consumer_predicts(shelf: Shelf, role: str, permissions: list[str]) -> None:
    bob = shelf.installation.a_user("bob")
    path = f"/deployments/{shelf.put('Mine')}/"
    share(shelf.api, path, "bob", role)
    shown = bob.get(path).json()
    assert shown["permissions"] == bob.get("/deployments/").json()["data"][0]["permissions"] == permissions


def test_an_observer_who_is_a_consumer_too_does_both(shelf: Shelf) -> None:
    bob = shelf.installation.a_user("bob")
    path = f"/deployments/{shelf.put('Mine')}/"
    share(shelf.api, path, "bob", "OBSERVER")
    organization = shelf.api.get("/account/info/").json()["orgId"]
    line = {"id": organization, "shareRecipientType": "organization", "role": "CONSUMER"}
    body = {"operation": "updateRoles", "roles": [line]}
    assert shelf.api.patch(f"{path}sharedRoles/", json=body).status_code == 204
    assert bob.get(path).json()["permissions"] == ["CAN_VIEW", "CAN_MAKE_PREDICTIONS"]
    assert bob.get("/deployments/").json()["totalCount"] == 1


def test_an_observer_grants_no_right_to_predict(shelf: Shelf) -> None:
    bob = shelf.installation.a_user("bob")
    shelf.installation.a_user("cleo")
    path = f"/deployments/{shelf.put('Mine')}/accessControl/"
    line = {"username": "bob", "role": "OBSERVER", "canShare": True}
    assert shelf.api.patch(path, json={"data": [line]}).status_code == 204
    refused = bob.patch(path, json={"data": [{"username": "cleo", "role": "CONSUMER"}]})
    assert (refused.status_code, list(refused.json()["errors"])) == (422, ["data[0].role"])
    assert bob.patch(path, json={"data": [{"username": "cleo", "role": "OBSERVER"}]}).status_code == 204


def share(api: Api, path: str, username: str, role: str) -> None:
    shared = api.patch(f"{path}accessControl/", json={"data": [{"username": username, "role": role}]})
    assert shared.status_code == 204, shared.text


def test_a_deleted_deployment_is_gone_for_all_but_its_administrator(shelf: Shelf) -> None:
    package = shelf.a_package()
    deployment_id = shelf.put("Mine", package)
    shelf.traffic(deployment_id, rows=1)
    api, bob = shelf.api, shelf.installation.a_user("bob")
    gone = api.delete(f"/deployments/{deployment_id}/?ignoreManagementAgent=true")
    assert (gone.status_code, gone.content) == (204, b"")
    assert api.get(f"/deployments/{deployment_id}/").status_code == 404
    assert shelf.found() == []
    model_id = package["sourceMeta"]["customModelDetails"]["id"]
    assert api.get(f"/customModels/{model_id}/").json()["deploymentsCount"] == 0
    listed = api.get("/deletedDeployments/").json()
    assert [(one["id"], one["label"]) for one in listed["data"]] == [(deployment_id, "Mine")]
    assert bob.get("/deletedDeployments/").status_code == 403
    erase = {"action": "PermanentlyErase", "deploymentIds": [deployment_id]}
    assert bob.patch("/deletedDeployments/", json=erase).status_code == 403
    living = shelf.put("Alive", package)
    refused = api.patch("/deletedDeployments/", json=erase | {"deploymentIds": [living]})
    assert living in refused.json()["errors"]["deploymentIds"]
    asked = api.patch("/deletedDeployments/", json=erase)
    assert asked.status_code == 202
    shelf.installation.run_operations()
    assert api.get(asked.headers["Location"]).json()["status"] == "COMPLETED"
    assert api.get("/deletedDeployments/").json()["data"] == []
    with shelf.installation.application.database.read() as session:
        assert session.get(Deployment, deployment_id) is None
        assert session.query(PredictionUsage).filter_by(deployment_id=deployment_id).count() == 0
        assert session.query(DeploymentLog).filter_by(deployment_id=deployment_id).count() == 0
        assert session.query(Operation).filter_by(resource_id=deployment_id).count() == 0
        assert session.query(ModelUse).filter_by(user_id=deployment_id).count() == 0
    assert "Mine" not in api.get("/status/").text


def test_a_deployed_custom_model_cannot_be_deleted(shelf: Shelf) -> None:
    package = shelf.a_package()
    shelf.put("Mine", package)
    model_id = package["sourceMeta"]["customModelDetails"]["id"]
    refused = shelf.api.delete(f"/customModels/{model_id}/")
    assert refused.status_code == 409
    assert "existing deployments" in refused.json()["message"]
    link = refused.json()["link"]
    assert [one["label"] for one in shelf.api.get(link).json()["data"]] == ["Mine"]


def test_a_package_that_does_not_fit_fails_its_validation(shelf: Shelf) -> None:
    package = shelf.a_package(positiveClassLabel="yes", negativeClassLabel="no")
    path = f"/deployments/{shelf.put('Mine', package)}/model/"
    for other, words in (
        (package, "runs already"),
        (shelf.a_package(targetName="other"), "predicts 'other'"),
        (shelf.a_package(targetType="Regression"), "(Regression)"),
        (shelf.a_package(), "classes are"),
        ({"id": NOBODY}, "no model package"),
    ):
        body = {"modelPackageId": other["id"]}
        checked = shelf.api.post(f"{path}validation/", json=body)
        assert (checked.status_code, checked.json()["status"]) == (200, "failing")
        assert words in checked.json()["message"]
        assert shelf.api.patch(path, json=body | REPLACE).status_code == 422
    fitting = shelf.a_package(positiveClassLabel="yes", negativeClassLabel="no")
    passed = shelf.api.post(f"{path}validation/", json={"modelPackageId": fitting["id"]})
    assert passed.json()["status"] == "passing"
    assert shelf.api.patch(path, json={"modelPackageId": fitting["id"], "reason": "BOREDOM"}).status_code == 422
    asked = shelf.api.patch(path, json={"modelPackageId": fitting["id"]} | REPLACE)
    assert asked.status_code == 202
    again = shelf.api.patch(path, json={"modelPackageId": fitting["id"]} | REPLACE)
    assert again.status_code == 409
    assert "replacingModel" in again.json()["message"]


def test_settings_are_complete_and_merged(shelf: Shelf) -> None:
    path = f"/deployments/{shelf.put('Mine', status='inactive')}/settings/"
    before = shelf.api.get(path).json()
    assert before["associationId"] == {
        "columnNames": None,
        "requiredInPredictionRequests": False,
        "autoGenerateId": False,
    }
    assert before["predictionBatching"] == {"enabled": True}
    shelf.api.patch(path, json={"associationId": {"columnNames": ["id"]}, "targetDrift": {"enabled": True}})
    shelf.api.patch(path, json={"associationId": {"requiredInPredictionRequests": True}})
    after = shelf.api.get(path).json()
    assert after["associationId"] == {
        "columnNames": ["id"],
        "requiredInPredictionRequests": True,
        "autoGenerateId": False,
    }
    shelf.api.patch(path, json={"associationId": None})
    assert shelf.api.get(path).json() == before | {"targetDrift": {"enabled": True}}
    empty = shelf.api.patch(path, json={})
    assert empty.status_code == 202


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"humility": {"enabled": "very"}, "targetDrift": {"colour": 1}}, ["humility", "targetDrift"]),
        ({"associationId": {"requiredInPredictionRequests": True}}, ["associationId"]),
        ({"associationId": {"autoGenerateId": True}}, ["associationId"]),
        ({"associationId": {"columnNames": [""]}}, ["associationId"]),
        ({"associationId": {"columnNames": ["a", "b"]}}, ["associationId"]),
        ({"predictionsSettings": {"minComputes": 3, "maxComputes": 2}}, ["predictionsSettings"]),
        ({"predictionsSettings": {"minComputes": 9}}, ["predictionsSettings"]),
        ({"predictionsSettings": {"resourceBundleId": "cpu.huge"}}, ["predictionsSettings"]),
        ({"humility": {"enabled": True}}, ["humility"]),
        ({"predictionWarning": {"enabled": True}}, ["predictionWarning"]),
        ({"predictionIntervals": {"enabled": True, "percentiles": [80]}}, ["predictionIntervals"]),
        ({"batchMonitoring": {"enabled": True}, "humility": {"enabled": True}}, ["batchMonitoring", "humility"]),
    ],
)
def test_wrong_settings_are_refused(shelf: Shelf, body: dict[str, Any], wrong: list[str]) -> None:
    path = f"/deployments/{shelf.put('Mine')}/settings/"
    before = shelf.api.get(path).json()
    refused = shelf.api.patch(path, json=body)
    assert refused.status_code == 422, refused.text
    assert sorted(refused.json()["errors"]) == wrong
    assert shelf.api.get(path).json() == before


def test_an_association_id_is_not_asked_of_a_model_that_takes_bytes(shelf: Shelf) -> None:
    package = shelf.a_package(targetType="Unstructured", targetName=None)
    path = f"/deployments/{shelf.put('Mine', package)}/settings/"
    for wish in ("requiredInPredictionRequests", "autoGenerateId"):
        refused = shelf.api.patch(path, json={"associationId": {"columnNames": ["id"], wish: True}})
        assert (refused.status_code, list(refused.json()["errors"])) == (422, ["associationId"])
    assert shelf.api.patch(path, json={"associationId": {"columnNames": ["id"]}}).status_code == 202


def test_only_what_replicas_are_started_with_is_a_change_of_the_model(shelf: Shelf) -> None:
    deployment_id = shelf.put("Mine")
    path = f"/deployments/{deployment_id}/"
    defaults = {"associationId": {"columnNames": None, "requiredInPredictionRequests": False}}
    for body, status in (
        ({}, "active"),
        (defaults, "active"),
        ({"targetDrift": {"enabled": True}}, "active"),
        ({"associationId": {"columnNames": ["id"]}}, "replacingModel"),
    ):
        assert shelf.api.patch(f"{path}settings/", json=body).status_code == 202
        assert shelf.api.get(path).json()["status"] == status


def test_custom_model_deployments_are_listed_newest_first(shelf: Shelf) -> None:
    first, second = shelf.a_package(), shelf.a_package()
    old, new = shelf.put("old", first), shelf.put("new", second, status="errored")
    listed = shelf.api.get("/customModelDeployments/").json()
    assert [one["id"] for one in listed["data"]] == [new, old]
    one = listed["data"][0]
    details = second["sourceMeta"]["customModelDetails"]
    assert one["customModel"] == {"id": details["id"], "name": details["name"]}
    assert one["customModelVersion"] == {"id": second["modelId"], "label": "1.0"}
    assert (one["status"], one["testingStatus"], one["deployedBy"]) == ("errored", "not_tested", "admin")
    by_body = shelf.api.request("GET", "/customModelDeployments/", json={"customModelIds": [details["id"]]})
    assert [one["id"] for one in by_body.json()["data"]] == [new]
    both = f"customModelIds={details['id']}&customModelIds={first['sourceMeta']['customModelDetails']['id']}"
    assert shelf.api.get(f"/customModelDeployments/?{both}").json()["totalCount"] == 2
    environment = one["executionEnvironment"]["id"]
    assert shelf.api.get(f"/customModelDeployments/?environmentIds={environment}").json()["totalCount"] == 2
    assert shelf.api.get(f"/customModelDeployments/?environmentIds={NOBODY}").json()["totalCount"] == 0


def test_logs_that_are_not_there_are_not_found(shelf: Shelf) -> None:
    deployment_id = shelf.put("Mine")
    assert shelf.api.get(f"/customModelDeployments/{deployment_id}/logs/").status_code == 404
    assert shelf.api.get(f"/customModelDeployments/{deployment_id}/logs/{NOBODY}/").status_code == 404
    assert shelf.api.post(f"/customModelDeployments/{NOBODY}/logs/").status_code == 404
    stranger = shelf.installation.a_user("eve", organization="other")
    assert stranger.post(f"/customModelDeployments/{deployment_id}/logs/").status_code == 404


def test_a_parameter_that_must_be_set_holds_a_deployment_back(shelf: Shelf) -> None:
    metadata = b"""
name: m
type: inference
targetType: binary
runtimeParameterDefinitions:
  - fieldName: KEY
    type: string
    allowEmpty: false
"""
    api = shelf.api
    version = a_version(api, a_model(api)["id"], {"custom.py": b"", "model-metadata.yaml": metadata})
    package = api.post("/modelPackages/fromCustomModelVersion/", json={"customModelVersionId": version["id"]}).json()
    refused = shelf.deploy(package)
    assert refused.status_code == 422
    assert "KEY" in refused.json()["errors"]["runtimeParameterValues"]
    given = shelf.deploy(package, runtimeParameterValues='[{"fieldName": "KEY", "type": "string", "value": "x"}]')
    assert given.status_code == 202
