"""Prediction environments and the prediction server."""

from tests.deployments.shelf import Shelf

PATH = "/predictionEnvironments/"
OWN = {"name": "Prod", "platform": "datarobotServerless", "supportedModelFormats": ["customModel"]}


def test_everybody_sees_the_environment_of_the_installation(shelf: Shelf) -> None:
    stranger = shelf.installation.a_user("eve", organization="other")
    for one in (shelf.api, stranger):
        listed = one.get(f"{PATH}?supportedModelFormats=customModel").json()
        assert [found["name"] for found in listed["data"]] == ["Modelyard"]
    path = f"{PATH}{listed['data'][0]['id']}/"
    assert stranger.get(path).json() == listed["data"][0]
    assert shelf.api.patch(path, json={"name": "x"}).status_code == 403
    assert shelf.api.delete(path).status_code == 403


def test_an_environment_of_ones_own(shelf: Shelf) -> None:
    made = shelf.api.post(PATH, json=OWN | {"description": "live", "isManagedByManagementAgent": False})
    assert made.status_code == 201, made.text
    path = f"{PATH}{made.json()['id']}/"
    assert (made.json()["managedBy"], made.json()["isManagedByManagementAgent"]) == ("selfManaged", False)
    changed = shelf.api.patch(path, json={"name": "Live", "isManagedByManagementAgent": True})
    assert (changed.json()["name"], changed.json()["managedBy"]) == ("Live", "managementAgent")
    assert [one["name"] for one in shelf.api.get(f"{PATH}?search=LIVE").json()["data"]] == ["Live"]
    assert shelf.api.get(f"{PATH}?platform=aws").json()["data"] == []
    bob = shelf.installation.a_user("bob")
    assert bob.get(path).status_code == 404
    assert bob.delete(path).status_code == 404
    refused = shelf.deploy(shelf.a_package(bob), bob, predictionEnvironmentId=made.json()["id"])
    assert list(refused.json()["errors"]) == ["predictionEnvironmentId"]
    assert shelf.api.delete(path).status_code == 204
    assert shelf.api.get(path).status_code == 404


def test_an_environment_in_use_stays(shelf: Shelf) -> None:
    environment = shelf.api.post(PATH, json=OWN).json()
    path = f"{PATH}{environment['id']}/"
    deployment_id = shelf.put("Mine", predictionEnvironmentId=environment["id"])
    assert shelf.api.get(f"/deployments/{deployment_id}/").json()["predictionEnvironment"]["name"] == "Prod"
    refused = shelf.api.delete(path)
    assert refused.status_code == 409
    assert deployment_id in refused.json()["message"]
    assert shelf.api.patch(path, json={"platform": "aws"}).status_code == 409
    shelf.api.delete(f"/deployments/{deployment_id}/")
    assert shelf.api.delete(path).status_code == 204
    assert [one["id"] for one in shelf.api.get("/deletedDeployments/").json()["data"]] == [deployment_id]


def test_models_are_deployed_only_where_they_can_run(shelf: Shelf) -> None:
    package = shelf.a_package()
    for fields, words in (
        ({"platform": "aws"}, "on aws"),
        ({"supportedModelFormats": ["externalModel"]}, "takes no custom models"),
    ):
        environment = shelf.api.post(PATH, json=OWN | fields).json()
        refused = shelf.deploy(package, predictionEnvironmentId=environment["id"])
        assert words in refused.json()["errors"]["predictionEnvironmentId"]


def test_the_prediction_server_is_the_gateway(shelf: Shelf) -> None:
    [server] = shelf.api.get("/predictionServers/").json()["data"]
    assert server["url"] == shelf.installation.application.settings.gateway_url()
    assert server["datarobot-key"]
    assert server["batchPredictions"] == {"processing": 0, "queued": 0}
    deployment = shelf.api.get(f"/deployments/{shelf.put('Mine')}/").json()
    assert deployment["defaultPredictionServer"]["id"] == server["id"]


def test_an_environment_is_shared_but_the_default_one_needs_no_share(shelf: Shelf) -> None:
    api, bob = shelf.api, shelf.installation.a_user("bob")
    made = api.post("/predictionEnvironments/", json={"name": "mine", "platform": "datarobotServerless"}).json()
    path = f"/predictionEnvironments/{made['id']}/"
    share = {"data": [{"username": "bob", "role": "READ_ONLY"}]}
    assert bob.get(path).status_code == 404
    assert bob.get(f"{path}accessControl/").status_code == 404
    assert bob.patch(f"{path}accessControl/", json=share).status_code == 404
    assert api.patch(f"{path}accessControl/", json=share).status_code == 204
    assert bob.get(path).json()["id"] == made["id"]
    lines = bob.get(f"{path}accessControl/").json()["data"]
    assert [(line["username"], line["role"]) for line in lines] == [("admin", "OWNER"), ("bob", "READ_ONLY")]
    assert bob.patch(f"{path}accessControl/", json=share).status_code == 403
    assert shelf.deploy(shelf.a_package(bob), bob, predictionEnvironmentId=made["id"]).status_code == 202
    last = {"data": [{"username": "admin", "role": None}]}
    assert api.patch(f"{path}accessControl/", json=last).status_code == 409
    default = next(one for one in api.get("/predictionEnvironments/").json()["data"] if one["name"] == "Modelyard")
    path = f"/predictionEnvironments/{default['id']}/accessControl/"
    assert bob.get(path).json()["data"] == []
    assert api.patch(path, json=share).status_code == 403
