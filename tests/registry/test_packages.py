"""Packaging versions of custom models."""

from collections.abc import Callable
from typing import Any

from modelyard.environments.images.errors import BuildError
from modelyard.environments.images.store import ImageStore
from tests.conftest import Installation
from tests.models.builders import NOBODY, a_model, a_next_version, a_version

Package = Callable[..., dict[str, Any]]
PATH = "/modelPackages/fromCustomModelVersion/"


def test_a_package_tells_what_it_is_made_of(installation: Installation, package: Package) -> None:
    api = installation.api
    model = a_model(api, name="Churn", positiveClassLabel="yes", negativeClassLabel="no", predictionThreshold=0.4)
    version = a_version(api, model["id"], {"custom.py": b""})
    made = package(version=version, tags=[{"name": "team", "value": "sales"}], prompt="p")
    location = made.pop("location")
    assert "/api/v2/status/" in location
    assert (made["modelId"], made["name"]) == (version["id"], "Churn (v1)")
    assert made["target"] == {
        "name": "churned",
        "type": "Binary",
        "predictionThreshold": 0.4,
        "classNames": ["yes", "no"],
        "classCount": 2,
    }
    assert (made["registeredModelVersion"], made["buildStatus"], made["stage"]) == (1, "inProgress", "Registered")
    assert made["textGeneration"] == {"prompt": "p"}
    assert [(tag["name"], tag["value"]) for tag in made["tags"]] == [("team", "sales")]
    assert api.get(f"/modelPackages/{made['id']}/").json() == made
    assert api.get(f"/customModels/{model['id']}/versions/{version['id']}/").json()["isFrozen"]


def test_packages_without_a_registered_model_collect_in_one_of_the_custom_models(
    installation: Installation, package: Package
) -> None:
    api = installation.api
    model = a_model(api, name="Churn")
    first = package(version=a_version(api, model["id"], {"custom.py": b"1"}))
    second = package(version=a_version(api, model["id"], {"custom.py": b"2"}))
    assert first["registeredModelId"] == second["registeredModelId"]
    assert (second["registeredModelVersion"], second["name"]) == (2, "Churn (v2)")
    other = package(version=a_version(api, a_model(api, name="Churn")["id"], {"custom.py": b""}))
    assert other["registeredModelId"] != first["registeredModelId"]
    named = package(version=a_version(api, model["id"], {"custom.py": b"3"}), registeredModelName="Churn")
    assert named["registeredModelId"] == first["registeredModelId"]
    taken = api.post(PATH, json={"customModelVersionId": named["modelId"], "registeredModelName": "Churn"})
    assert taken.status_code == 409
    assert "already in use" in taken.text


def test_a_version_is_added_to_the_registered_model_that_is_named(installation: Installation, package: Package) -> None:
    api = installation.api
    first = package(registeredModelName="Sales")
    second = package(registeredModelId=first["registeredModelId"], name="second")
    assert (second["registeredModelVersion"], second["name"]) == (2, "second")
    versions = api.get(f"/registeredModels/{first['registeredModelId']}/versions/").json()
    assert [one["id"] for one in versions["data"]] == [second["id"], first["id"]]
    elsewhere = a_version(api, a_model(api, targetName="other")["id"], {"custom.py": b""})
    body = {"customModelVersionId": elsewhere["id"], "registeredModelId": first["registeredModelId"]}
    refused = api.post(PATH, json=body)
    assert refused.status_code == 422
    assert "predicts 'churned'" in refused.json()["errors"]["registeredModelId"]
    both = api.post(PATH, json=body | {"registeredModelName": "x"})
    assert sorted(both.json()["errors"]) == ["registeredModelId", "registeredModelName"]


def test_only_what_can_run_is_packaged(installation: Installation) -> None:
    api = installation.api
    assert api.post(PATH, json={"customModelVersionId": NOBODY}).status_code == 422
    without = a_next_version(api, a_model(api)["id"], {"custom.py": b""})
    refused = api.post(PATH, json={"customModelVersionId": without["id"]})
    assert "has no environment" in refused.json()["errors"]["customModelVersionId"]
    stranger = installation.a_user("eve", organization="other")
    there = stranger.post(PATH, json={"customModelVersionId": without["id"]})
    assert there.status_code == 422
    assert api.get("/modelPackages/").json()["totalCount"] == 0


def test_a_package_is_complete_when_its_image_is_there(
    installation: Installation, package: Package, monkeypatch: Any
) -> None:
    """The image is built by the colleague's store; here only its answer matters."""
    images = installation.application.parts.get(ImageStore)
    good = package()
    monkeypatch.setattr(images, "build", lambda *_arguments: None)
    installation.run_operations()
    assert installation.api.get(good["location"]).status_code == 303
    assert installation.api.get(f"/modelPackages/{good['id']}/").json()["buildStatus"] == "complete"

    def fail(*_arguments: Any) -> None:
        raise BuildError("no such package: rhubarb")

    bad = package()
    monkeypatch.setattr(images, "build", fail)
    installation.run_operations()
    failed = installation.api.get(f"/modelPackages/{bad['id']}/").json()
    assert failed["buildStatus"] == "failed"
    assert "rhubarb" in failed["buildError"]
    refused = installation.api.post("/deployments/fromModelPackage/", json={"modelPackageId": bad["id"], "label": "x"})
    assert "rhubarb" in refused.json()["errors"]["modelPackageId"]


def test_the_list_finds_packages(installation: Installation, package: Package) -> None:
    api = installation.api
    first, second = package(name="Apples"), package(name="Pears")

    def found(query: str) -> list[str]:
        return [one["id"] for one in api.get(f"/modelPackages/?{query}").json()["data"]]

    assert found("") == [second["id"], first["id"]]
    assert found("search=APPLE") == [first["id"]]
    assert found(f"modelId={second['modelId']}") == [second["id"]]
    assert found(f"registeredModelId={first['registeredModelId']}") == [first["id"]]
    assert found("imported=true") == []
    assert found("limit=1&offset=1") == [first["id"]]
    filtered = api.request("GET", "/modelPackages/", json={"modelId": first["modelId"], "forChallenger": True})
    assert [one["id"] for one in filtered.json()["data"]] == [first["id"]]
    assert installation.a_user("bob").get("/modelPackages/").json()["totalCount"] == 0
    assert installation.a_user("eve").get(f"/modelPackages/{first['id']}/").status_code == 404


def test_a_version_is_renamed_and_its_threshold_changed(installation: Installation, package: Package) -> None:
    api = installation.api
    made = package()
    path = f"/registeredModels/{made['registeredModelId']}/versions/{made['id']}/"
    changed = api.patch(path, json={"name": "best", "predictionThreshold": 0.7})
    assert changed.status_code == 200
    assert api.get(path).json() == changed.json()
    assert (changed.json()["name"], changed.json()["target"]["predictionThreshold"]) == ("best", 0.7)
    assert api.patch(path, json={"predictionThreshold": 2}).status_code == 422
    regression = package(version=a_version(api, a_model(api, targetType="Regression")["id"], {"custom.py": b""}))
    other = f"/registeredModels/{regression['registeredModelId']}/versions/{regression['id']}/"
    assert "Binary" in api.patch(other, json={"predictionThreshold": 0.5}).json()["errors"]["predictionThreshold"]
    assert api.get(path.replace(made["id"], regression["id"])).status_code == 404


def test_a_deleted_custom_model_keeps_what_is_packaged(installation: Installation, package: Package) -> None:
    api = installation.api
    model = a_model(api)
    made = package(version=a_version(api, model["id"], {"custom.py": b""}))
    assert api.delete(f"/customModels/{model['id']}/").status_code == 204
    assert api.get(f"/modelPackages/{made['id']}/").status_code == 200
    assert api.delete(f"/registeredModels/{made['registeredModelId']}/").status_code == 204
    assert api.get(f"/modelPackages/{made['id']}/").status_code == 404
