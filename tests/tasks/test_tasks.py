"""Tasks: made, listed, changed, copied, shared and deleted, beside the models that they are rows of."""

import io
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from modelyard.kernel.ids import new_id
from modelyard.models import usage
from modelyard.models.usage import UserKind
from tests.api_client import Api
from tests.conftest import Installation
from tests.models.builders import NOBODY, a_model, a_version, paths_of, refused_model
from tests.tasks.builders import CODE, a_task, a_task_version, task_fields

TARGET_TYPES = ("Binary", "Regression", "Multiclass", "Anomaly", "Transform")


def listed(api: Api, **query: Any) -> list[str]:
    answer = api.get("/customTasks/", params=query)
    assert answer.status_code == 200, answer.text
    return [task["name"] for task in answer.json()["data"]]


def share(api: Api, path: str, username: str, role: str) -> None:
    answer = api.patch(f"{path}accessControl/", json={"data": [{"username": username, "role": role}]})
    assert answer.status_code == 204, answer.text


@pytest.mark.parametrize("target_type", TARGET_TYPES)
def test_a_task_of_every_target_type(api: Api, target_type: str) -> None:
    made = a_task(api, targetType=target_type, description="What it is.", language="Python", maximumMemory=268435456)
    assert (made["targetType"], made["customModelType"], made["latestVersion"]) == (target_type, "training", None)
    assert (made["description"], made["language"], made["maximumMemory"]) == ("What it is.", "Python", 268435456)
    assert made.get("calibratePredictions") is (True if target_type == "Anomaly" else None)
    assert api.get(f"/customTasks/{made['id']}/").json() == made
    model = api.get(f"/customModels/{made['id']}/").json()
    assert (model["customModelType"], model["targetType"]) == ("training", target_type)
    renamed = api.patch(f"/customTasks/{made['id']}/", json={"name": "Another"})
    assert (renamed.status_code, renamed.json()["name"]) == (201, "Another")


def test_scores_of_anomalies_may_be_calibrated(api: Api) -> None:
    assert a_task(api, targetType="Anomaly", calibratePredictions=True)["calibratePredictions"] is True
    assert a_task(api, targetType="Anomaly", calibratePredictions=False)["calibratePredictions"] is False
    assert a_task(api, targetType="Anomaly")["calibratePredictions"] is True, "unless it says otherwise"
    assert "calibratePredictions" not in a_task(api, targetType="Regression")


REFUSED: list[tuple[dict[str, Any], set[str]]] = [
    ({"name": ...}, {"name"}),
    ({"name": " "}, {"name"}),
    ({"name": "x" * 256}, {"name"}),
    ({"targetType": ...}, {"targetType"}),
    ({"targetType": "Unstructured"}, {"targetType"}),
    ({"targetType": "TextGeneration", "name": 5}, {"targetType", "name"}),
    ({"maximumMemory": 134217727}, {"maximumMemory"}),
    ({"maximumMemory": 15032385537}, {"maximumMemory"}),
    (
        {"maximumMemory": 10**30, "calibratePredictions": "x", "name": ""},
        {"maximumMemory", "calibratePredictions", "name"},
    ),
    ({"language": "x" * 501, "description": "x" * 10001}, {"language", "description"}),
]


@pytest.mark.parametrize(("fields", "wrong"), REFUSED)
def test_all_that_is_wrong_with_a_task_is_told(api: Api, fields: dict[str, Any], wrong: set[str]) -> None:
    answer = api.post("/customTasks/", json=task_fields(**fields))
    assert (answer.status_code, set(answer.json()["errors"])) == (422, wrong), answer.text
    assert listed(api) == []


def test_memory_stays_within_the_installation(an_installation: Callable[..., Installation]) -> None:
    api = an_installation(max_model_memory_bytes=2**30).api
    task = a_task(api, maximumMemory=2**30)
    answer = api.patch(f"/customTasks/{task['id']}/", json={"maximumMemory": 2**31, "name": " "})
    assert (answer.status_code, set(answer.json()["errors"])) == (422, {"maximumMemory", "name"})
    assert api.patch(f"/customTasks/{task['id']}/", json={"maximumMemory": None}).json()["maximumMemory"] is None


def test_both_doors_have_the_same_rules(api: Api) -> None:
    """A model of the type training is a task, so what a task cannot be is refused there, too."""
    training = {"customModelType": "training", "targetName": ...}
    assert set(refused_model(api, **training, targetType="Unstructured")) == {"targetType"}
    assert set(refused_model(api, **training, targetType="TextGeneration")) == {"targetType"}
    assert set(refused_model(api, **training, isUnstructuredModelKind=True)) == {"isUnstructuredModelKind"}
    made = a_model(api, **training, targetType="Multiclass")
    assert api.get(f"/customTasks/{made['id']}/").json()["targetType"] == "Multiclass"
    assert api.patch(f"/customModels/{made['id']}/", json={"name": "Renamed"}).status_code == 201
    assert listed(api) == ["Renamed"]


def test_the_list_has_tasks_only_and_the_list_of_models_both(api: Api) -> None:
    model = a_model(api, name="A model")
    first, second = a_task(api, name="First", language="R"), a_task(api, name="Second", description="Trees")
    assert listed(api) == ["Second", "First"]
    assert listed(api, orderBy="created") == ["First", "Second"]
    api.patch(f"/customTasks/{first['id']}/", json={"description": "changed"})
    assert listed(api, orderBy="-updated") == ["First", "Second"]
    assert listed(api, orderBy="updated") == ["Second", "First"]
    assert listed(api, searchFor="TREES") == ["Second"]
    assert listed(api, searchFor="A model") == []
    page = api.get("/customTasks/?limit=1&orderBy=created").json()
    assert (page["count"], page["totalCount"], page["data"][0]["name"]) == (1, 2, "First")
    assert [task["name"] for task in api.get(page["next"]).json()["data"]] == ["Second"]
    ids = {one["id"] for one in api.get("/customModels/").json()["data"]}
    assert ids == {model["id"], first["id"], second["id"]}
    for type_, expected in (("training", {first["id"], second["id"]}), ("inference", {model["id"]})):
        found = api.get(f"/customModels/?customModelType={type_}").json()
        assert {one["id"] for one in found["data"]} == expected
    assert api.get("/customTasks/?orderBy=name").status_code == 422


def test_a_list_of_many_walks_the_index_of_tasks(
    api: Api, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelyard.models.listing.MANY", 2)
    for number in range(4):
        a_task(api, name=f"Task {number}")
        a_model(api)
    a_task(installation.a_user("ann"), name="Hers")
    assert listed(api) == ["Task 3", "Task 2", "Task 1", "Task 0"]
    assert listed(api, orderBy="updated", limit=2) == ["Task 0", "Task 1"]


def test_an_inference_model_is_no_task(api: Api, installation: Installation) -> None:
    model = a_model(api)
    version = a_version(api, model["id"], {"custom.py": CODE, "requirements.txt": b"apple==1.0\n"})
    path = f"/customTasks/{model['id']}/"
    below = f"{path}versions/{version['id']}/"
    for each in (path, f"{path}accessControl/", f"{path}download/", f"{path}versions/", below, f"{below}download/"):
        assert api.get(each).status_code == 404, each
    for each in (f"{below}dependencyBuild/", f"{below}dependencyBuildLog/"):
        assert api.get(each).status_code == 404, each
    assert api.post(f"{below}dependencyBuild/").status_code == 404
    assert api.patch(path, json={"name": "x"}).status_code == 404
    assert api.patch(below, json={"description": "x"}).status_code == 404
    assert api.delete(path).status_code == 404
    answer = api.post("/customTasks/fromCustomTask/", json={"customTaskId": model["id"]})
    assert (answer.status_code, set(answer.json()["errors"])) == (404, {"customTaskId"})
    reader = installation.a_user("reader")
    api.patch(
        f"/customModels/{model['id']}/accessControl/", json={"data": [{"username": "reader", "role": "READ_ONLY"}]}
    )
    assert reader.patch(path, json={"name": "x"}).status_code == 404, "not 403: there is no such task"
    assert reader.patch(f"/customModels/{model['id']}/", json={"name": "x"}).status_code == 403


def test_a_copy_has_versions_and_files_of_its_own(api: Api, installation: Installation) -> None:
    task = a_task(api, targetType="Anomaly", calibratePredictions=True)
    metadata = b"hyperparameters:\n  - {name: depth, type: int, default: 3}\n"
    first = a_task_version(api, task["id"], {"custom.py": CODE, "model-metadata.yaml": metadata})
    a_task_version(api, task["id"], {"custom.py": b"second"})
    reader = installation.a_user("reader")
    share(api, f"/customTasks/{task['id']}/", "reader", "READ_ONLY")
    answer = reader.post("/customTasks/fromCustomTask/", json={"customTaskId": task["id"]})
    assert answer.status_code == 201
    copied = answer.json()
    assert (copied["name"], copied["calibratePredictions"], copied["createdBy"]) == ("Ridge", True, "reader")
    assert copied["id"] != task["id"]
    versions = reader.get(f"/customTasks/{copied['id']}/versions/").json()["data"]
    assert [version["label"] for version in versions] == ["1.1", "1.0"]
    assert paths_of(versions[1]) == paths_of(first)
    assert (
        versions[1]["hyperparameters"] == first["hyperparameters"] == [{"name": "depth", "type": "int", "default": 3}]
    )
    assert api.get(f"/customTasks/{copied['id']}/").status_code == 404
    assert api.delete(f"/customTasks/{task['id']}/").status_code == 204
    assert reader.get(f"/customTasks/{copied['id']}/download/").status_code == 200


def test_sharing(api: Api, installation: Installation) -> None:
    task = a_task(api)
    path = f"/customTasks/{task['id']}/"
    ann = installation.a_user("ann")
    assert ann.get(path).status_code == 404
    share(api, path, "ann", "EDITOR")
    assert ann.patch(path, json={"name": "By Ann"}).status_code == 201
    assert ann.delete(path).status_code == 403
    roles = {one["username"]: one["role"] for one in ann.get(f"{path}accessControl/").json()["data"]}
    assert roles["ann"] == "EDITOR"
    assert listed(ann) == ["By Ann"]
    admin = next(name for name in roles if name != "ann")
    last = api.patch(f"{path}accessControl/", json={"data": [{"username": admin, "role": None}]})
    assert last.status_code == 409
    wrong = api.patch(f"{path}accessControl/", json={"data": [{"username": "nobody", "role": "OWNER"}]})
    assert wrong.status_code == 422


def test_a_trained_task_is_not_deleted_and_says_where_it_is_used(api: Api, installation: Installation) -> None:
    task = a_task(api)
    version = a_task_version(api, task["id"], {"custom.py": CODE})
    project_id, trained = new_id(), [new_id(), new_id()]
    with installation.application.database.write() as session:
        for model_id in trained:
            usage.add(session, version["id"], UserKind.LEARNING_MODEL, model_id, parent_id=project_id)
    for path in (f"/customTasks/{task['id']}/", f"/customModels/{task['id']}/"):
        answer = api.delete(path)
        assert answer.status_code == 409
        told = answer.json()
        assert told["link"] == told["links"][0]
        assert [link.partition("/api/v2")[2] for link in told["links"]] == [
            f"/projects/{project_id}/models/{model_id}/" for model_id in trained
        ]
        assert told["learningModelIds"] == trained
        assert told["link"] in told["message"]
    assert api.get(f"/customTasks/{task['id']}/").json()["latestVersion"]["isFrozen"] is True
    assert a_task_version(api, task["id"])["label"] == "2.0", "what was trained is not the minor of another"
    with installation.application.database.write() as session:
        usage.remove(session, UserKind.LEARNING_MODEL, trained[0])
    assert api.delete(f"/customTasks/{task['id']}/").json()["learningModelIds"] == trained[1:]
    with installation.application.database.write() as session:
        usage.remove(session, UserKind.LEARNING_MODEL, trained[1])
    assert api.delete(f"/customTasks/{task['id']}/").status_code == 204
    assert api.get(f"/customTasks/{task['id']}/").status_code == 404
    assert api.get(f"/customModels/{task['id']}/").status_code == 404


def test_a_deployed_task_is_not_deleted(api: Api, installation: Installation) -> None:
    task = a_task(api)
    version = a_task_version(api, task["id"], {"custom.py": CODE})
    with installation.application.database.write() as session:
        usage.add(session, version["id"], UserKind.DEPLOYMENT, NOBODY)
    answer = api.delete(f"/customTasks/{task['id']}/")
    assert (answer.status_code, answer.json()["deploymentIds"]) == (409, [NOBODY])
    assert answer.json()["message"].startswith(f"Task {task['id']} has existing deployments")
    assert answer.json()["link"].endswith(f"/customModelDeployments/?customModelIds={task['id']}")


def test_downloads(api: Api) -> None:
    task = a_task(api)
    path = f"/customTasks/{task['id']}/"
    assert api.get(f"{path}download/").status_code == 404
    first = a_task_version(api, task["id"], {"custom.py": CODE, "lib/trees.py": b"x = 1"})
    second = a_task_version(api, task["id"], {"custom.py": b"second"})
    for where, version, files in (
        ("download/", second, {"custom.py": b"second"}),
        (f"versions/{first['id']}/download/", first, {"custom.py": CODE, "lib/trees.py": b"x = 1"}),
    ):
        answer = api.get(path + where)
        name = f"model-{task['id']}-version-{version['id']}.zip"
        assert name in answer.headers["Content-Disposition"]
        archive = zipfile.ZipFile(io.BytesIO(answer.content))
        assert {one: archive.read(one) for one in archive.namelist()} == files


def test_an_older_client_may_want_200_for_a_change(an_installation: Callable[..., Installation]) -> None:
    api = an_installation(compat_patch_status=True).api
    path = f"/api/v2/customTasks/{a_task(api)['id']}/"
    headers = {"Authorization": f"Bearer {api.token}"}
    assert api.client.patch(path, json={"name": "x"}, headers=headers).status_code == 200


def test_a_task_cannot_be_packaged_by_itself(api: Api) -> None:
    task = a_task(api)
    version = a_task_version(api, task["id"], {"custom.py": CODE})
    body = {"customModelVersionId": version["id"], "registeredModelName": "Registered"}
    answer = api.post("/modelPackages/fromCustomModelVersion/", json=body)
    assert (answer.status_code, set(answer.json()["errors"])) == (422, {"customModelVersionId"})
