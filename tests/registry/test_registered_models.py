"""Registered models: finding, changing, sharing and deleting them."""

from collections.abc import Callable
from typing import Any

from tests.conftest import Installation

Package = Callable[..., dict[str, Any]]


def test_registered_models_are_listed_with_every_key(installation: Installation, package: Package) -> None:
    api = installation.api
    first = package(registeredModelName="Apples", registeredModelDescription="round")
    package(registeredModelName="Pears")
    listed = api.get("/registeredModels/?search=apple").json()
    assert [one["id"] for one in listed["data"]] == [first["registeredModelId"]]
    one = listed["data"][0]
    assert (one["name"], one["description"], one["isGlobal"], one["lastVersionNum"]) == ("Apples", "round", False, 1)
    assert one["target"] == {"name": "churned", "type": "Binary"}
    assert api.get(f"/registeredModels/{one['id']}/").json() == one

    def names(order: str) -> list[str]:
        return [found["name"] for found in api.get(f"/registeredModels/?orderBy={order}").json()["data"]]

    assert names("name") == ["Apples", "Pears"]
    assert names("-name") == names("-createdAt") == names("-modifiedAt") == ["Pears", "Apples"]
    package(registeredModelId=first["registeredModelId"])
    assert names("-modifiedAt") == ["Apples", "Pears"]


def test_a_registered_model_is_changed(installation: Installation, package: Package) -> None:
    api = installation.api
    model_id = package(registeredModelName="Apples")["registeredModelId"]
    package(registeredModelName="Pears")
    path = f"/registeredModels/{model_id}/"
    taken = api.patch(path, json={"name": "Pears"})
    assert taken.status_code == 409
    assert "already in use" in taken.json()["message"]
    changed = api.patch(path, json={"name": "Cherries", "description": "red"})
    assert changed.status_code == 200
    assert (changed.json()["name"], changed.json()["description"]) == ("Cherries", "red")
    assert api.patch(path, json={"description": None}).json()["description"] is None
    assert api.get("/registeredModels/?search=cherr").json()["totalCount"] == 1


def test_a_global_model_is_seen_by_the_whole_organization(installation: Installation, package: Package) -> None:
    api, bob = installation.api, installation.a_user("bob")
    stranger = installation.a_user("eve", organization="other")
    path = f"/registeredModels/{package(registeredModelName='Apples')['registeredModelId']}/"
    assert bob.get(path).status_code == 404
    assert api.patch(path, json={"isGlobal": True}).json()["isGlobal"] is True
    assert bob.get("/registeredModels/?isGlobal=true").json()["totalCount"] == 1
    assert bob.get("/registeredModels/?isGlobal=False").json()["totalCount"] == 0
    assert bob.patch(path, json={"name": "mine"}).status_code == 403
    assert stranger.get(path).status_code == 404
    assert api.patch(path, json={"isGlobal": False}).json()["isGlobal"] is False
    assert bob.get(path).status_code == 404


def test_a_registered_model_is_shared(installation: Installation, package: Package) -> None:
    api, bob = installation.api, installation.a_user("bob")
    path = f"/registeredModels/{package()['registeredModelId']}/"
    shared = api.patch(f"{path}accessControl/", json={"data": [{"username": "bob", "role": "EDITOR"}]})
    assert shared.status_code == 204, shared.text
    assert bob.patch(path, json={"name": "ours"}).status_code == 200
    assert bob.delete(path).status_code == 403
    lines = bob.get(f"{path}accessControl/").json()["data"]
    assert [(line["username"], line["role"]) for line in lines] == [("admin", "OWNER"), ("bob", "EDITOR")]
    leaving = api.patch(f"{path}accessControl/", json={"data": [{"username": "admin", "role": None}]})
    assert leaving.status_code == 409


def test_a_registered_model_is_deleted_unless_it_is_deployed(installation: Installation, package: Package) -> None:
    api = installation.api
    made = package()
    path = f"/registeredModels/{made['registeredModelId']}/"
    deployed = api.post("/deployments/fromModelPackage/", json={"modelPackageId": made["id"], "label": "x"})
    assert deployed.status_code == 202, deployed.text
    refused = api.delete(path)
    assert refused.status_code == 409
    assert f"/deployments/{deployed.json()['id']}/" in refused.json()["message"]
    assert api.delete(f"/deployments/{deployed.json()['id']}/").status_code == 204
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404
    assert api.get("/modelPackages/").json()["totalCount"] == 0
