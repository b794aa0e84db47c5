"""Versions of tasks: numbers, files, environments, settings; by upload and from a repository."""

import json
from typing import Any

import pytest

from modelyard.identity.roles import Permission
from modelyard.models import service
from tests.api_client import Api
from tests.conftest import Installation
from tests.environments.contexts import an_environment, ask_for
from tests.models.builders import NOBODY, an_environment_id, item_ids, paths_of
from tests.tasks.builders import CODE, a_next_task_version, a_task, a_task_version, patch_version, post_version

FILES = {"custom.py": CODE, "requirements.txt": b"apple>=1.0\npear==2.0\n"}


@pytest.fixture
def task_id(api: Api) -> str:
    return str(a_task(api)["id"])


def test_a_version_has_what_is_documented(api: Api, task_id: str) -> None:
    version = a_task_version(api, task_id, FILES, maximumMemory=268435456)
    assert (version["customTaskId"], version["customModelId"], version["label"]) == (task_id, task_id, "1.0")
    assert (version["versionMajor"], version["versionMinor"], version["isFrozen"]) == (1, 0, False)
    assert (version["maximumMemory"], version["description"], version["warning"]) == (268435456, None, [])
    assert version["baseEnvironmentId"] == an_environment_id(api)
    assert version["baseEnvironmentVersionId"]
    assert [one["packageName"] for one in version["dependencies"]] == ["apple", "pear"]
    assert paths_of(version) == sorted(FILES)
    assert api.get(f"/customTasks/{task_id}/versions/{version['id']}/").json() == version
    assert api.get(f"/customTasks/{task_id}/").json()["latestVersion"] == version
    assert "storagePath" in version["items"][0], "so that only what changed is pushed"


def test_a_version_is_one_of_the_model_that_the_task_is(api: Api, task_id: str) -> None:
    version = a_task_version(api, task_id, FILES)
    model = api.get(f"/customModels/{task_id}/versions/{version['id']}/").json()
    assert model["items"] == version["items"]
    values = [{"fieldName": "A", "type": "string", "value": "x"}]
    patched = api.patch(
        f"/customModels/{task_id}/versions/", json={"isMajorUpdate": "false", "runtimeParameterValues": values}
    )
    assert patched.status_code == 201
    task = api.get(f"/customTasks/{task_id}/").json()
    assert task["latestVersion"]["runtimeParameters"][0]["currentValue"] == "x"


def test_a_next_version_adds_replaces_and_deletes(api: Api, task_id: str) -> None:
    first = a_task_version(api, task_id, {"a.py": b"1", "b.py": b"2", "c.py": b"3"}, maximumMemory=268435456)
    second = a_next_task_version(api, task_id, {"b.py": b"two"}, filesToDelete=item_ids(first)["a.py"])
    assert (second["label"], paths_of(second), second["maximumMemory"]) == ("1.1", ["b.py", "c.py"], 268435456)
    assert "custom.py" in second["warning"][0]
    third = a_next_task_version(api, task_id, isMajorUpdate="True", maximumMemory="null")
    assert (third["label"], third["maximumMemory"]) == ("2.0", None)
    listed = api.get(f"/customTasks/{task_id}/versions/").json()
    assert [version["label"] for version in listed["data"]] == ["2.0", "1.1", "1.0"]
    assert [version["isFrozen"] for version in listed["data"]] == [False, True, True]
    assert api.get(listed["next"] or f"/customTasks/{task_id}/versions/?offset=2").json()["data"][0]["label"] == "1.0"


def test_a_first_version_may_be_a_patch(api: Api, task_id: str) -> None:
    assert a_next_task_version(api, task_id, {"custom.py": CODE})["label"] == "1.0"


def test_a_version_may_come_as_json(api: Api, task_id: str) -> None:
    body = {"isMajorUpdate": "false", "baseEnvironmentId": an_environment_id(api), "maximumMemory": 134217728}
    answer = api.post(f"/customTasks/{task_id}/versions/", json=body)
    assert (answer.status_code, answer.json()["maximumMemory"]) == (201, 134217728)


WRONG: list[tuple[dict[str, Any], set[str]]] = [
    ({"baseEnvironmentId": ...}, {"baseEnvironmentId"}),
    ({"baseEnvironmentId": ""}, {"baseEnvironmentId"}),
    ({"baseEnvironmentId": NOBODY}, {"baseEnvironmentId"}),
    ({"isMajorUpdate": ...}, {"isMajorUpdate"}),
    ({"isMajorUpdate": "maybe", "baseEnvironmentId": NOBODY}, {"isMajorUpdate", "baseEnvironmentId"}),
    ({"maximumMemory": 1, "requiredMetadata": "{"}, {"maximumMemory", "requiredMetadata"}),
    ({"requiredMetadata": "{", "requiredMetadataValues": "5"}, {"requiredMetadata", "requiredMetadataValues"}),
    ({"requiredMetadataValues": "5", "filePath": "a.py"}, {"requiredMetadataValues", "file", "filePath"}),
]


@pytest.mark.parametrize("send", [post_version, patch_version])
@pytest.mark.parametrize(("fields", "wrong"), WRONG)
def test_all_that_is_wrong_with_a_version_is_told(
    api: Api, task_id: str, send: Any, fields: dict[str, Any], wrong: set[str]
) -> None:
    answer = send(api, task_id, None, **fields)
    assert (answer.status_code, set(answer.json()["errors"])) == (422, wrong), answer.text
    assert api.get(f"/customTasks/{task_id}/versions/").json()["totalCount"] == 0


def test_lines_of_requirements_that_are_wrong_are_told(api: Api, task_id: str) -> None:
    answer = post_version(api, task_id, {"requirements.txt": b"apple==1.0\n???\n"})
    assert answer.status_code == 422
    assert [one["packageName"] for one in answer.json()["dependencies"]] == ["apple"]
    assert answer.json()["invalidDependencies"][0]["lineNumber"] == 2


def test_an_environment_that_is_not_ready_or_not_ones_own(api: Api, installation: Installation, task_id: str) -> None:
    unbuilt = an_environment(api)["id"]
    assert set(post_version(api, task_id, baseEnvironmentId=unbuilt).json()["errors"]) == {"baseEnvironmentId"}
    hers = an_environment(installation.a_user("ann", organization="another"))["id"]
    told = post_version(api, task_id, baseEnvironmentId=hers).json()["errors"]["baseEnvironmentId"]
    nothing = post_version(api, task_id, baseEnvironmentId=NOBODY).json()["errors"]["baseEnvironmentId"]
    assert told == nothing.replace(NOBODY, hers)


def test_what_a_version_is_called_may_change(api: Api, installation: Installation, task_id: str) -> None:
    ask_for(installation, an_environment_id(api), "ROLE")
    version = a_task_version(api, task_id, FILES, requiredMetadata=json.dumps({"ROLE": "x"}))
    path = f"/customTasks/{task_id}/versions/{version['id']}/"
    assert version["requiredMetadataValues"] == [{"fieldName": "ROLE", "value": "x"}]
    changed = api.patch(path, json={"description": "The first."})
    assert (changed.status_code, changed.json()["description"]) == (200, "The first.")
    fixed = api.patch(path, json={"requiredMetadata": {"ROLE": "y"}, "description": 5})
    assert (fixed.status_code, set(fixed.json()["errors"])) == (422, {"requiredMetadata", "description"})


def test_a_reader_may_not_make_versions_and_is_told_of_nothing(
    api: Api, installation: Installation, task_id: str
) -> None:
    version = a_task_version(api, task_id, FILES)
    reader = installation.a_user("reader")
    body = {"data": [{"username": "reader", "role": "READ_ONLY"}]}
    assert api.patch(f"/customTasks/{task_id}/accessControl/", json=body).status_code == 204
    assert reader.get(f"/customTasks/{task_id}/versions/{version['id']}/").status_code == 200
    assert post_version(reader, task_id, FILES).status_code == 404
    answer = reader.patch(f"/customTasks/{task_id}/versions/{version['id']}/", json={"description": "x"})
    assert answer.status_code == 404
    assert reader.post(f"/customTasks/{task_id}/versions/{version['id']}/dependencyBuild/").status_code == 403


def test_what_a_training_needs_to_know_of_a_version(api: Api, installation: Installation) -> None:
    task = a_task(api, targetType="Anomaly", calibratePredictions=True)
    metadata = b"hyperparameters: [{name: trees, type: int, default: 10}]\ntypeSchema: {input_requirements: []}\n"
    made = a_task_version(api, task["id"], {"custom.py": CODE, "model-metadata.yaml": metadata})
    with installation.application.database.read() as session:
        model, version = service.find_version(session, None, made["id"], Permission.VIEW)
        assert (model.custom_model_type, model.target_type, model.calibrate_predictions) == (
            "training",
            "Anomaly",
            True,
        )
        assert version.hyperparameters == [{"name": "trees", "type": "int", "default": 10}]
        assert version.type_schema == {"input_requirements": []}
        assert version.base_environment_version_id == made["baseEnvironmentVersionId"]
        assert version.workspace_id
