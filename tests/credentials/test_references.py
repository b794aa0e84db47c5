"""Runtime parameters that name something: only what the caller may use, inherited values and defaults included."""

import json
from typing import Any

import httpx
import pytest

from tests.api_client import Api
from tests.conftest import Installation
from tests.credentials.builders import a_credential, share
from tests.deployments.shelf import Shelf
from tests.models.builders import (
    NOBODY,
    a_model,
    a_next_version,
    a_version,
    an_environment_id,
    patch_version,
    post_version,
)

METADATA = b"""
runtimeParameterDefinitions:
  - {fieldName: DB, type: credential, credentialType: basic}
  - {fieldName: TEAM, type: deployment}
  - {fieldName: PACKAGE, type: modelPackage}
  - {fieldName: METRIC, type: customMetric}
"""
FILES = {"model-metadata.yaml": METADATA, "custom.py": b""}


@pytest.fixture
def shelf(installation: Installation) -> Shelf:
    return Shelf(installation)


@pytest.fixture
def bob(installation: Installation) -> Api:
    return installation.a_user("bob")


@pytest.fixture
def model_id(api: Api, bob: Api) -> str:
    """A model of the administrator's that Bob may edit."""
    made = a_model(api)
    lines = [{"username": "bob", "role": "EDITOR"}]
    assert api.patch(f"/customModels/{made['id']}/accessControl/", json={"data": lines}).status_code == 204
    return str(made["id"])


def v1(**values: tuple[str, Any]) -> str:
    return json.dumps([{"fieldName": name, "type": kind, "value": value} for name, (kind, value) in values.items()])


def v2(**values: tuple[str, Any]) -> str:
    sent = [{"fieldName": name, "type": kind, "currentValue": value} for name, (kind, value) in values.items()]
    return json.dumps(sent)


def told(refused: httpx.Response, field: str = "runtimeParameterValues") -> str:
    assert refused.status_code == 422, refused.text
    return str(refused.json()["errors"][field])


def test_ids_of_all_kinds_are_set_and_shown(api: Api, shelf: Shelf, model_id: str) -> None:
    package = shelf.a_package()
    deployment_id = shelf.put("other", package)
    ids = {"DB": a_credential(api)["credentialId"], "TEAM": deployment_id, "PACKAGE": package["id"]}
    values = v1(
        DB=("credential", ids["DB"]), TEAM=("deployment", ids["TEAM"]), PACKAGE=("modelPackage", ids["PACKAGE"])
    )
    version = a_version(api, model_id, FILES, runtimeParameterValues=values)
    shown = {one["fieldName"]: one.get("currentValue") for one in version["runtimeParameters"]}
    assert shown == ids | {"METRIC": None}


def test_what_is_unknown_or_anothers_is_named_all_at_once(api: Api, bob: Api, shelf: Shelf, model_id: str) -> None:
    mine = a_credential(api)["credentialId"]
    deployment_id = shelf.put("mine")
    a_version(api, model_id, FILES)
    wanted = {
        "DB": ("credential", mine),
        "TEAM": ("deployment", deployment_id),
        "PACKAGE": ("modelPackage", "abc"),
        "METRIC": ("customMetric", NOBODY),
    }
    for field, text in (("runtimeParameterValues", v1(**wanted)), ("runtimeParameters", v2(**wanted))):
        fault = told(patch_version(bob, model_id, **{field: text}), field)
        assert f"DB: there is no credential {mine!r} that you may use" in fault
        assert f"TEAM: there is no deployment {deployment_id!r} that you may use" in fault
        assert "PACKAGE: there is no model package 'abc' that you may use" in fault
        assert f"METRIC: there is no custom metric {NOBODY!r} that you may use" in fault


def test_a_credential_of_another_type_is_refused(api: Api, model_id: str) -> None:
    other = a_credential(api, "token", credentialType="bearer", token="secret")["credentialId"]
    fault = told(post_version(api, model_id, FILES, runtimeParameterValues=v1(DB=("credential", other))))
    assert "DB: credential 'token' is of the type bearer; the parameter takes basic" in fault
    a_version(api, model_id, FILES, runtimeParameterValues=v1(OWN=("credential", other)))


def test_who_may_edit_a_model_cannot_inherit_a_credential(api: Api, bob: Api, model_id: str) -> None:
    mine = a_credential(api)["credentialId"]
    a_version(api, model_id, FILES, runtimeParameterValues=v1(DB=("credential", mine)))
    stolen = {"custom.py": b"import os; print(os.environ)"}
    fault = told(patch_version(bob, model_id, stolen))
    assert f"DB: there is no credential {mine!r}" in fault
    assert "null to clear it" in fault
    cleared = a_next_version(bob, model_id, stolen, runtimeParameterValues=v1(DB=("credential", None)))
    assert not any("currentValue" in one for one in cleared["runtimeParameters"])
    a_version(api, model_id, FILES, runtimeParameterValues=v1(DB=("credential", mine)))
    assert patch_version(bob, model_id, stolen, runtimeParameters="[]").status_code == 201
    a_version(api, model_id, FILES, runtimeParameterValues=v1(DB=("credential", mine)))
    share(api, mine, "bob")
    a_next_version(bob, model_id, stolen)


def test_a_default_is_checked_like_a_value(api: Api, bob: Api, model_id: str) -> None:
    mine, theirs = a_credential(api)["credentialId"], a_credential(bob)["credentialId"]
    line = f"  - {{fieldName: DB, type: credential, defaultValue: '{mine}'}}"
    files = {"model-metadata.yaml": f"runtimeParameterDefinitions:\n{line}\n".encode()}
    version = a_version(api, model_id, files)
    assert version["runtimeParameters"][0]["currentValue"] == mine
    for refused in (post_version(bob, model_id, files), patch_version(bob, model_id, {"a": b"1"})):
        assert "DB: there is no credential" in told(refused)
        assert "the default in the metadata file" in told(refused)
    a_next_version(bob, model_id, runtimeParameterValues=v1(DB=("credential", theirs)))


def test_who_tests_a_version_must_be_allowed_what_it_names(api: Api, bob: Api, model_id: str) -> None:
    mine = a_credential(api)["credentialId"]
    version = a_version(api, model_id, FILES, runtimeParameterValues=v1(DB=("credential", mine)))
    skipped = ("errorCheck", "nullValueImputation", "sideEffects", "predictionVerificationCheck", "performanceCheck")
    body = {
        "customModelId": model_id,
        "customModelVersionId": version["id"],
        "environmentId": an_environment_id(api),
        "configuration": dict.fromkeys((*skipped, "stabilityCheck"), "skip") | {"longRunningService": "fail"},
    }
    fault = told(bob.post("/customModelTests/", json=body), "customModelVersionId")
    assert f"DB: there is no credential {mine!r} that you may use" in fault


def test_who_deploys_must_be_allowed_what_the_model_is_given(api: Api, bob: Api, shelf: Shelf, model_id: str) -> None:
    mine, theirs = a_credential(api)["credentialId"], a_credential(bob)["credentialId"]
    version = a_version(api, model_id, FILES, runtimeParameterValues=v1(DB=("credential", mine)))
    package = bob.post("/modelPackages/fromCustomModelVersion/", json={"customModelVersionId": version["id"]}).json()
    assert f"DB: there is no credential {mine!r}" in told(shelf.deploy(package, bob))
    values = v1(DB=("credential", theirs))
    deployment_id = shelf.put("theirs", package, api=bob, runtimeParameterValues=values)
    path = f"/deployments/{deployment_id}/runtimeParameters/"
    assert bob.get(path).json()["data"][0]["currentValue"] == theirs
    refused = bob.put(path, json={"runtimeParameterValues": v1(DB=("credential", None))})
    assert f"DB: there is no credential {mine!r}" in told(refused)


def test_who_replaces_a_model_cannot_inherit_what_the_deployment_has(api: Api, bob: Api, shelf: Shelf) -> None:
    mine = a_credential(api)["credentialId"]

    def a_package(owner: Api) -> dict[str, Any]:
        made = a_version(owner, a_model(owner)["id"], FILES)
        answer = owner.post("/modelPackages/fromCustomModelVersion/", json={"customModelVersionId": made["id"]})
        return dict(answer.json())

    deployment_id = shelf.put("ours", a_package(api), runtimeParameterValues=v1(DB=("credential", mine)))
    lines = [{"username": "bob", "role": "EDITOR"}]
    api.patch(f"/deployments/{deployment_id}/accessControl/", json={"data": lines})
    body = {"modelPackageId": a_package(bob)["id"], "reason": "OTHER"}
    assert f"DB: there is no credential {mine!r}" in told(bob.patch(f"/deployments/{deployment_id}/model/", json=body))
    cleared = body | {"runtimeParameterValues": v1(DB=("credential", None))}
    assert bob.patch(f"/deployments/{deployment_id}/model/", json=cleared).status_code == 202


def test_a_prediction_environment_takes_only_a_credential_that_the_caller_may_use(api: Api, bob: Api) -> None:
    body = {"name": "theirs", "platform": "other", "credentialId": a_credential(api)["credentialId"]}
    assert bob.post("/predictionEnvironments/", json=body).status_code == 422
    made = api.post("/predictionEnvironments/", json=body)
    assert made.status_code == 201
    refused = api.patch(f"/predictionEnvironments/{made.json()['id']}/", json={"credentialId": NOBODY})
    assert set(refused.json()["errors"]) == {"credentialId"}
