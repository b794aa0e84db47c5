"""Deployments that need what the machine cannot give are refused with what they need."""

from collections.abc import Callable
from typing import Any

import pytest

from modelyard.kernel.settings import GIB
from tests.api_client import Api
from tests.conftest import Installation
from tests.deployments.shelf import Shelf
from tests.models.builders import a_model, a_version

GPU = {"id": "gpu.one", "cpu_count": 1, "memory_bytes": GIB, "gpu_count": 1, "gpu_memory_bytes": 8 * GIB}
BUNDLES: list[dict[str, Any]] = [{"id": "small", "cpu_count": 1, "memory_bytes": GIB}, GPU]


@pytest.fixture
def shelf(an_installation: Callable[..., Installation]) -> Shelf:
    return Shelf(an_installation(resource_bundles=BUNDLES))


def a_package(api: Api, model: dict[str, Any] | None = None, **version: Any) -> dict[str, Any]:
    made = a_version(api, a_model(api, **(model or {}))["id"], {"custom.py": b""}, **version)
    packaged = api.post("/modelPackages/fromCustomModelVersion/", json={"customModelVersionId": made["id"]})
    assert packaged.status_code == 201, packaged.text
    return dict(packaged.json())


@pytest.mark.parametrize(
    ("model", "version", "words"),
    [
        ({}, {"resourceBundleId": "gpu.one"}, "needs 1 GPU"),
        ({}, {"requiresHa": "true"}, "several machines"),
        ({"requiresHa": True}, {}, "several machines"),
    ],
)
def test_what_cannot_be_given_is_not_deployed(
    shelf: Shelf, model: dict[str, Any], version: dict[str, Any], words: str
) -> None:
    package = a_package(shelf.api, model, **version)
    refused = shelf.deploy(package)
    assert (refused.status_code, list(refused.json()["errors"])) == (422, ["modelPackageId"])
    assert words in refused.json()["message"]
    assert shelf.found() == []
    path = f"/deployments/{shelf.put('Mine')}/model/"
    checked = shelf.api.post(f"{path}validation/", json={"modelPackageId": package["id"]})
    assert (checked.json()["status"], words in checked.json()["message"]) == ("failing", True)
    replaced = shelf.api.patch(path, json={"modelPackageId": package["id"], "reason": "ACCURACY"})
    assert (replaced.status_code, list(replaced.json()["errors"])) == (422, ["modelPackageId"])


def test_a_version_that_says_no_is_deployed_whatever_its_model_says(shelf: Shelf) -> None:
    package = a_package(shelf.api, {"requiresHa": True}, requiresHa="false", resourceBundleId="small")
    assert shelf.deploy(package).status_code == 202


def test_gpus_are_refused_as_a_setting_too(shelf: Shelf) -> None:
    path = f"/deployments/{shelf.put('Mine', status='inactive')}/settings/"
    refused = shelf.api.patch(path, json={"predictionsSettings": {"resourceBundleId": "gpu.one"}})
    assert (refused.status_code, list(refused.json()["errors"])) == (422, ["predictionsSettings"])
    assert "needs 1 GPU" in refused.json()["message"]


def test_what_is_needed_is_stored_and_shown(shelf: Shelf) -> None:
    model = a_model(shelf.api, requiresHa=True)
    version = a_version(shelf.api, model["id"], {"custom.py": b""}, resourceBundleId="gpu.one")
    assert (model["requiresHa"], version["resourceBundleId"]) == (True, "gpu.one")
    [bundle] = [one for one in shelf.api.get("/mlops/compute/bundles/").json()["data"] if one["hasGpu"]]
    assert (bundle["id"], bundle["gpuCount"], bundle["gpuMemoryBytes"]) == ("gpu.one", 1, 8 * GIB)


def test_what_a_deployed_version_has_from_its_model_is_fixed(shelf: Shelf) -> None:
    api = shelf.api
    model = a_model(api, maximumMemory=2**28, replicas=1)
    path = f"/customModels/{model['id']}/"
    version = a_version(api, model["id"], {"custom.py": b""}, networkEgressPolicy="NONE")
    packaged = api.post("/modelPackages/fromCustomModelVersion/", json={"customModelVersionId": version["id"]}).json()
    assert api.patch(path, json={"maximumMemory": 2**29}).status_code == 201, "it is not deployed yet"
    assert shelf.deploy(packaged).status_code == 202
    for change in ({"maximumMemory": 2**30}, {"replicas": 2}, {"desiredMemory": 2**28}, {"requiresHa": True}):
        refused = api.patch(path, json=change)
        assert (refused.status_code, list(refused.json()["errors"])) == (409, list(change))
    for harmless in ({"maximumMemory": 2**29}, {"networkEgressPolicy": "PUBLIC"}, {"description": "Ours"}):
        assert api.patch(path, json=harmless).status_code == 201, harmless


def test_memory_of_a_bundle_is_not_the_models(shelf: Shelf) -> None:
    api = shelf.api
    model = a_model(api, maximumMemory=2**28)
    version = a_version(api, model["id"], {"custom.py": b""}, resourceBundleId="small")
    packaged = api.post("/modelPackages/fromCustomModelVersion/", json={"customModelVersionId": version["id"]}).json()
    assert shelf.deploy(packaged).status_code == 202
    assert api.patch(f"/customModels/{model['id']}/", json={"maximumMemory": 2**29}).status_code == 201
