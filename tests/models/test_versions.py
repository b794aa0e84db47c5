"""Versions: numbers, files, environments, settings, metadata."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select

from modelyard.environments.tables import BuildStatus, Environment, EnvironmentVersion
from modelyard.identity.roles import Permission
from modelyard.identity.tables import AuditEvent
from modelyard.kernel.ids import new_id
from modelyard.models import service, serving, usage
from modelyard.models.tables import CustomModelVersion
from modelyard.models.usage import UserKind
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces.tables import File
from tests.api_client import Api
from tests.conftest import Installation
from tests.environments.contexts import ask_for
from tests.models.builders import (
    GIT,
    NOBODY,
    a_model,
    a_next_version,
    a_version,
    an_environment_id,
    item_ids,
    patch_version,
    paths_of,
    post_version,
)


@pytest.fixture
def model_id(api: Api) -> str:
    return str(a_model(api)["id"])


def test_a_version_from_scratch_holds_the_uploaded_files(installation: Installation, model_id: str) -> None:
    api = installation.api
    files = {"custom.py": b"print()", "lib/ünï.py": b"", "data.bin": b"\x00\xff" * 500}
    version = a_version(api, model_id, files, gitModelVersion=json.dumps(GIT))
    assert paths_of(version) == sorted(files)
    assert (version["label"], version["isFrozen"], version["customModelId"]) == ("1.0", False, model_id)
    assert version["gitModelVersion"] == GIT
    assert version["baseEnvironmentId"] == an_environment_id(api)
    item = version["items"][-1]
    assert (item["fileName"], item["fileSource"], item["ref"]) == ("ünï.py", "local", None)
    blobs = installation.application.parts.get(BlobStore)  # type: ignore[type-abstract]
    for entry in version["items"]:
        assert blobs.read(entry["storagePath"].rpartition("/")[2]) == files[entry["filePath"]]
    assert api.get(f"/customModels/{model_id}/versions/{version['id']}/").json() == version
    assert api.get(f"/customModels/{model_id}/").json()["latestVersion"] == version


def test_each_version_from_scratch_forgets_the_files_before(api: Api, model_id: str) -> None:
    a_version(api, model_id, {"old.py": b"1"})
    assert paths_of(a_version(api, model_id, {"new.py": b"1"})) == ["new.py"]
    assert paths_of(a_version(api, model_id)) == []


def test_a_next_version_adds_replaces_and_deletes(api: Api, model_id: str) -> None:
    first = a_version(api, model_id, {"a.py": b"1", "b.py": b"2", "c.py": b"3", "d.py": b"4"})
    ids = item_ids(first)
    second = a_next_version(api, model_id, {"b.py": b"two", "e.py": b"5", "d.py": b"4"}, filesToDelete=ids["a.py"])
    assert paths_of(second) == ["b.py", "c.py", "d.py", "e.py"]
    assert item_ids(second)["c.py"] == ids["c.py"]
    assert item_ids(second)["d.py"] == ids["d.py"], "the same content keeps its id"
    assert item_ids(second)["b.py"] != ids["b.py"]
    assert api.get(f"/customModels/{model_id}/versions/{first['id']}/").json()["items"] == first["items"]


def test_only_what_changed_is_stored(installation: Installation, model_id: str) -> None:
    api = installation.api
    a_version(api, model_id, {f"f{number}.py": b"%d" % number for number in range(50)})
    before = _file_rows(installation)
    a_next_version(api, model_id, {"f7.py": b"new"})
    assert _file_rows(installation) == before + 1


@pytest.mark.parametrize("form", ["repeated", "json", "single"])
def test_files_to_delete_come_in_any_form(api: Api, model_id: str, form: str) -> None:
    ids = list(item_ids(a_version(api, model_id, {"a": b"1", "b": b"2", "c": b"3"})).values())
    sent: Any = {"repeated": ids[:2], "json": json.dumps(ids[:2]), "single": ids[0]}[form]
    left = paths_of(a_next_version(api, model_id, filesToDelete=sent))
    assert left == (["b", "c"] if form == "single" else ["c"])


def test_a_file_may_be_deleted_and_uploaded_in_one_request(api: Api, model_id: str) -> None:
    first = a_version(api, model_id, {"a": b"1"})
    second = a_next_version(api, model_id, {"a": b"1"}, filesToDelete=item_ids(first)["a"])
    assert paths_of(second) == ["a"]
    assert item_ids(second)["a"] != item_ids(first)["a"]


def test_a_folder_may_take_the_place_of_a_deleted_file(api: Api, model_id: str) -> None:
    first = a_version(api, model_id, {"a": b"1"})
    second = a_next_version(api, model_id, {"a/b": b"2"}, filesToDelete=item_ids(first)["a"])
    assert paths_of(second) == ["a/b"]
    assert patch_version(api, model_id, {"a": b"3"}).json()["errors"].keys() == {"filePath"}


def test_paths_may_be_one_json_list(api: Api, model_id: str) -> None:
    made = api.post(
        f"/customModels/{model_id}/versions/",
        files=[
            ("isMajorUpdate", (None, b"True")),
            ("baseEnvironmentId", (None, an_environment_id(api).encode())),
            ("filePath", (None, b'["x/one.py", "./two.py"]')),
            ("file", ("one.py", b"1")),
            ("file", ("/home/me/two.py", b"2")),
        ],
    )
    assert paths_of(made.json()) == ["two.py", "x/one.py"]


def test_an_empty_patch_makes_the_first_version(api: Api, model_id: str) -> None:
    made = api.patch(f"/customModels/{model_id}/versions/", content=b"")
    assert made.status_code == 201
    assert (made.json()["label"], made.json()["items"], made.json()["baseEnvironmentId"]) == ("1.0", [], None)
    assert patch_version(api, model_id, {"custom.py": b"1"}).json()["label"] == "1.1"


def test_a_patch_by_json_changes_settings(api: Api, model_id: str) -> None:
    files = item_ids(a_version(api, model_id, {"a.py": b"1", "b.py": b"2"}))
    body = {
        "isMajorUpdate": True,
        "maximumMemory": 268435456,
        "desiredMemory": 134217728,
        "replicas": 2,
        "requiresHa": True,
        "networkEgressPolicy": "PUBLIC",
        "resourceBundleId": None,
        "filesToDelete": [files["a.py"]],
        "gitModelVersion": GIT,
        "keepTrainingHoldoutData": True,
        "trainingData": None,
    }
    made = api.patch(f"/customModels/{model_id}/versions/", json=body)
    assert made.status_code == 201
    version = made.json()
    for field in ("maximumMemory", "desiredMemory", "replicas", "requiresHa", "networkEgressPolicy", "gitModelVersion"):
        assert version[field] == body[field]
    assert (version["label"], paths_of(version)) == ("2.0", ["b.py"])


def test_settings_are_inherited_by_a_next_version_only(api: Api, model_id: str) -> None:
    set_: dict[str, Any] = {
        "maximumMemory": 268435456,
        "replicas": 2,
        "networkEgressPolicy": "NONE",
        "requiresHa": "False",
    }
    a_version(api, model_id, **set_)
    inherited = a_next_version(api, model_id, {"a": b"1"})
    assert (inherited["maximumMemory"], inherited["replicas"], inherited["networkEgressPolicy"]) == (
        268435456,
        2,
        "NONE",
    )
    assert inherited["requiresHa"] is False
    cleared = api.patch(f"/customModels/{model_id}/versions/", json={"replicas": None}).json()
    assert (cleared["replicas"], cleared["maximumMemory"]) == (None, 268435456)
    assert a_version(api, model_id)["maximumMemory"] is None


def test_a_resource_bundle_and_memory_exclude_each_other(api: Api, model_id: str) -> None:
    a_version(api, model_id, maximumMemory=268435456)
    both = patch_version(api, model_id, maximumMemory=268435456, desiredMemory=134217728, resourceBundleId="cpu.small")
    assert both.status_code == 422
    assert set(both.json()["errors"]) == {"maximumMemory", "desiredMemory"}
    bundled = a_next_version(api, model_id, resourceBundleId="cpu.small")
    assert (bundled["resourceBundleId"], bundled["maximumMemory"]) == ("cpu.small", None)
    assert api.get(f"/customModels/{model_id}/").json()["resourceBundleId"] == "cpu.small"
    sized = a_next_version(api, model_id, maximumMemory=134217728)
    assert (sized["resourceBundleId"], sized["maximumMemory"]) == (None, 134217728)
    assert "cpu.small" in patch_version(api, model_id, resourceBundleId="huge").json()["errors"]["resourceBundleId"]


def test_numbers_go_up_by_the_settled_rule(installation: Installation, model_id: str) -> None:
    api = installation.api
    assert a_version(api, model_id, isMajorUpdate="True")["label"] == "1.0"
    assert a_next_version(api, model_id)["label"] == "1.1"
    packaged = a_version(api, model_id, isMajorUpdate="false")
    assert packaged["label"] == "1.2"
    with installation.application.database.write() as session:
        usage.add(session, packaged["id"], UserKind.MODEL_PACKAGE, new_id())
    assert api.get(f"/customModels/{model_id}/versions/{packaged['id']}/").json()["isFrozen"] is True
    after = a_next_version(api, model_id, isMajorUpdate="false")
    assert (after["label"], after["isFrozen"]) == ("2.0", False)
    assert a_next_version(api, model_id, isMajorUpdate="true")["label"] == "3.0"
    listed = api.get(f"/customModels/{model_id}/versions/").json()["data"]
    assert [version["label"] for version in listed] == ["3.0", "2.0", "1.2", "1.1", "1.0"]
    assert [version["isFrozen"] for version in listed] == [False, True, True, True, True]


def test_a_deployed_version_stays_frozen_and_a_test_freezes_nothing(installation: Installation, model_id: str) -> None:
    api = installation.api
    version = a_version(api, model_id)
    path = f"/customModels/{model_id}/versions/{version['id']}/"
    with installation.application.database.write() as session:
        usage.add(session, version["id"], UserKind.TEST, new_id())
    assert api.get(path).json()["isFrozen"] is False
    deployment = new_id()
    with installation.application.database.write() as session:
        usage.add(session, version["id"], UserKind.DEPLOYMENT, deployment)
        usage.add(session, version["id"], UserKind.DEPLOYMENT, deployment)
        usage.remove(session, UserKind.DEPLOYMENT, deployment, version["id"])
        usage.remove(session, UserKind.DEPLOYMENT, NOBODY)
    assert api.get(path).json()["isFrozen"] is True
    assert api.get(f"/customModels/{model_id}/").json()["deploymentsCount"] == 0


def test_freezing_is_kept(installation: Installation, model_id: str) -> None:
    version = a_version(installation.api, model_id)
    with installation.application.database.write() as session:
        _, row = service.find_version(session, None, version["id"], Permission.VIEW)
        service.freeze(session, row)
        frozen_at = row.frozen_at
        service.freeze(session, row)
        assert row.frozen_at == frozen_at is not None


def test_the_newest_environment_version_is_taken_and_then_inherited(installation: Installation, model_id: str) -> None:
    api = installation.api
    environment_id, versions = _an_environment(installation, api, BuildStatus.SUCCESS, BuildStatus.SUCCESS)
    first = a_version(api, model_id, baseEnvironmentId=environment_id)
    assert first["baseEnvironmentVersionId"] == versions[1]
    named = a_next_version(api, model_id, baseEnvironmentVersionId=versions[0])
    assert (named["baseEnvironmentId"], named["baseEnvironmentVersionId"]) == (environment_id, versions[0])
    assert a_next_version(api, model_id, baseEnvironmentId=environment_id)["baseEnvironmentVersionId"] == versions[0]
    assert a_version(api, model_id, baseEnvironmentId=...)["baseEnvironmentVersionId"] == versions[0]
    other = a_next_version(api, model_id, baseEnvironmentId=an_environment_id(api))
    assert other["baseEnvironmentId"] == an_environment_id(api) != environment_id


def test_a_wrong_environment_is_refused(installation: Installation, model_id: str) -> None:
    api = installation.api
    unbuilt, (failed,) = _an_environment(installation, api, BuildStatus.FAILED)
    ann = installation.a_user("ann")
    foreign, (foreign_version,) = _an_environment(installation, ann, BuildStatus.SUCCESS)
    good = an_environment_id(api)
    for fields, wrong in (
        ({"baseEnvironmentId": ...}, {"baseEnvironmentId", "baseEnvironmentVersionId"}),
        ({"baseEnvironmentId": NOBODY}, {"baseEnvironmentId"}),
        ({"baseEnvironmentId": foreign}, {"baseEnvironmentId"}),
        ({"baseEnvironmentId": ..., "baseEnvironmentVersionId": foreign_version}, {"baseEnvironmentVersionId"}),
        ({"baseEnvironmentId": unbuilt}, {"baseEnvironmentId"}),
        ({"baseEnvironmentId": unbuilt, "baseEnvironmentVersionId": failed}, {"baseEnvironmentVersionId"}),
        ({"baseEnvironmentId": good, "baseEnvironmentVersionId": failed}, {"baseEnvironmentVersionId"}),
        ({"baseEnvironmentId": ..., "baseEnvironmentVersionId": NOBODY}, {"baseEnvironmentVersionId"}),
    ):
        refused = post_version(api, model_id, {"a": b"1"}, **fields)
        assert refused.status_code == 422, fields
        assert set(refused.json()["errors"]) == wrong, fields
    _nothing_was_left(installation)


def test_versions_are_found_by_their_commit(api: Api, model_id: str) -> None:
    a_version(api, model_id)
    found = a_next_version(api, model_id, gitModelVersion=json.dumps(GIT))
    a_next_version(api, model_id, gitModelVersion=json.dumps({**GIT, "mainBranchCommitSha": "b" * 40}))
    path = f"/customModels/{model_id}/versions/?mainBranchCommitSha="
    assert [version["id"] for version in api.get(path + "a" * 40).json()["data"]] == [found["id"]]
    assert api.get(path + "c" * 40).json()["totalCount"] == 0


def test_the_list_of_versions_pages_newest_first(api: Api, model_id: str) -> None:
    for _ in range(3):
        a_next_version(api, model_id)
    for content in (b"{", b"[1]", b"\xff"):
        headers = {"Content-Type": "application/json"}
        refused = api.request("GET", f"/customModels/{model_id}/versions/", content=content, headers=headers)
        assert (refused.status_code, "JSON" in refused.json()["message"]) == (400, True)
    assert api.request("GET", f"/customModels/{model_id}/versions/", json=None, content=b"null").status_code == 200
    page = api.request("GET", f"/customModels/{model_id}/versions/", json={"limit": 1}).json()
    assert (page["count"], page["totalCount"], page["data"][0]["label"]) == (1, 3, "1.2")
    assert api.get(page["next"]).json()["data"][0]["label"] == "1.1"


def test_the_description_and_commit_of_a_version_may_change_even_when_it_is_frozen(
    installation: Installation, model_id: str
) -> None:
    api = installation.api
    version = a_version(api, model_id)
    a_next_version(api, model_id)
    path = f"/customModels/{model_id}/versions/{version['id']}/"
    changed = api.patch(path, json={"description": "first", "gitModelVersion": GIT})
    assert changed.status_code == 200
    assert changed.json() == {**version, "description": "first", "gitModelVersion": GIT, "isFrozen": True}
    listed = api.get(f"/customModels/{model_id}/versions/?mainBranchCommitSha={'a' * 40}").json()
    assert listed["totalCount"] == 1
    refusals: list[dict[str, Any]] = [{"description": "x" * 10001}, {"gitModelVersion": {}}, {"gitModelVersion": None}]
    for wrong in refusals:
        refused = api.patch(path, json=wrong)
        assert refused.status_code == 422
        assert set(refused.json()["errors"]) == set(wrong)
    with installation.application.database.read() as session:
        actions = session.scalars(select(AuditEvent.action).where(AuditEvent.resource_id == version["id"])).all()
    assert actions == ["create", "update"]


def test_required_metadata_is_set_once(installation: Installation, api: Api, model_id: str) -> None:
    values = [{"fieldName": "REGION", "value": "eu"}]
    assert a_version(api, model_id)["requiredMetadata"] == {}
    ask_for(installation, an_environment_id(api), "REGION")
    version = a_version(api, model_id, requiredMetadataValues=json.dumps(values))
    assert (version["requiredMetadata"], version["requiredMetadataValues"]) == ({"REGION": "eu"}, values)
    assert a_next_version(api, model_id)["requiredMetadata"] == {"REGION": "eu"}
    assert patch_version(api, model_id, requiredMetadataValues="[]").status_code == 422
    ask_for(installation, an_environment_id(api))
    fresh = a_version(api, model_id)
    ask_for(installation, an_environment_id(api), "REGION")
    path = f"/customModels/{model_id}/versions/{fresh['id']}/"
    assert api.patch(path, json={"requiredMetadata": {"ZONE": "us"}}).status_code == 422
    assert api.patch(path, json={"requiredMetadata": {"REGION": "us"}}).json()["requiredMetadataValues"] == [
        {"fieldName": "REGION", "value": "us"}
    ]
    assert api.patch(path, json={"requiredMetadataValues": values}).status_code == 422
    assert a_next_version(api, model_id, requiredMetadata='{"REGION": "ap"}')["requiredMetadata"] == {"REGION": "ap"}
    refusals: list[dict[str, Any]] = [
        {"requiredMetadata": "{"},
        {"requiredMetadata": '{"A": 1}'},
        {"requiredMetadata": json.dumps({"A": "x" * 101})},
        {"requiredMetadata": '{"A": "1"}', "requiredMetadataValues": json.dumps(values)},
    ]
    for wrong in refusals:
        assert "requiredMetadata" in patch_version(api, model_id, **wrong).json()["errors"]


def test_a_version_has_a_value_for_each_key_and_no_other(installation: Installation, api: Api, model_id: str) -> None:
    ask_for(installation, an_environment_id(api), "REGION", "TEAM")
    sent: list[tuple[dict[str, Any], str, str]] = [
        ({}, "requiredMetadataValues", "asks for a value of REGION (the region), TEAM (the team)"),
        ({"requiredMetadata": '{"REGION": "eu", "TEAM": ""}'}, "requiredMetadata", "TEAM (the team)"),
        ({"requiredMetadata": '{"REGION": "eu", "TEAM": "\\u0000"}'}, "requiredMetadata", "NUL characters"),
        (
            {"requiredMetadataValues": '[{"fieldName": "ZONE", "value": "1"}]'},
            "requiredMetadataValues",
            "does not ask for 'ZONE'; it asks for REGION, TEAM",
        ),
        (
            {"requiredMetadataValues": '[{"fieldName": "TEAM", "value": "1"}, {"fieldName": "TEAM", "value": "2"}]'},
            "requiredMetadataValues",
            "twice",
        ),
    ]
    for fields, field, told in sent:
        answer = post_version(api, model_id, **fields)
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"].keys() == {field}
        assert told in answer.json()["errors"][field]
    both = {"REGION": "eu", "TEAM": "fruit"}
    made = a_version(api, model_id, requiredMetadata=json.dumps(both))
    with installation.application.database.read() as session:
        servable = serving.load_servable(session, made["id"])
        spec = serving.service_spec(
            installation.application.settings, servable, "image", parameters=[], acts_for=NOBODY
        )
    assert both.items() <= spec.literals.items()
    ask_for(installation, an_environment_id(api), "REGION")
    assert a_next_version(api, model_id)["requiredMetadata"] == {"REGION": "eu"}


def test_without_an_environment_there_is_no_metadata(api: Api, model_id: str) -> None:
    answer = patch_version(api, model_id, baseEnvironmentId=..., requiredMetadata='{"REGION": "eu"}')
    assert answer.json()["errors"].keys() == {"requiredMetadata"}
    assert a_next_version(api, model_id, baseEnvironmentId=..., requiredMetadata="{}")["requiredMetadata"] == {}


def test_training_data_are_refused_as_long_as_they_are_not_supported(installation: Installation, model_id: str) -> None:
    api = installation.api
    refused = post_version(api, model_id, trainingData='{"datasetId": "x"}', holdoutData='{"partitionColumn": "p"}')
    assert refused.status_code == 422
    assert set(refused.json()["errors"]) == {"trainingData", "holdoutData"}
    assert "not supported" in refused.json()["message"]
    by_json = api.patch(f"/customModels/{model_id}/versions/", json={"trainingData": {"datasetId": "x"}})
    assert set(by_json.json()["errors"]) == {"trainingData"}
    _nothing_was_left(installation)
    assert a_version(api, model_id, keepTrainingHoldoutData="True", trainingData="")["label"] == "1.0"


WRONG_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"isMajorUpdate": ...}, "isMajorUpdate"),
    ({"isMajorUpdate": "maybe"}, "isMajorUpdate"),
    ({"isMajorUpdate": ["true", "true"]}, "isMajorUpdate"),
    ({"maximumMemory": "much"}, "maximumMemory"),
    ({"maximumMemory": "1"}, "maximumMemory"),
    ({"replicas": "0"}, "replicas"),
    ({"replicas": "9"}, "replicas"),
    ({"networkEgressPolicy": "DR_API_ACCESS"}, "networkEgressPolicy"),
    ({"requiresHa": "perhaps"}, "requiresHa"),
    ({"gitModelVersion": "{"}, "gitModelVersion"),
    ({"gitModelVersion": '{"refName": "main"}'}, "gitModelVersion"),
    ({"gitModelVersion": json.dumps({**GIT, "mainBranchCommitSha": "short"})}, "gitModelVersion"),
]


def test_a_wrong_field_is_named(api: Api, model_id: str) -> None:
    for fields, wrong in WRONG_FIELDS:
        refused = post_version(api, model_id, {"a": b"1"}, **fields)
        assert refused.status_code == 422, fields
        assert set(refused.json()["errors"]) == {wrong}, fields


def test_everything_that_is_wrong_is_told_at_once(installation: Installation, model_id: str) -> None:
    refused = post_version(
        installation.api,
        model_id,
        {"../escape.py": b"1"},
        baseEnvironmentId=NOBODY,
        desiredMemory="268435456",
        maximumMemory="134217728",
        trainingData="{}",
        requiredMetadata="[",
        runtimeParameterValues="{}",
    )
    assert set(refused.json()["errors"]) == {
        "filePath",
        "baseEnvironmentId",
        "desiredMemory",
        "trainingData",
        "requiredMetadata",
        "runtimeParameterValues",
    }
    _nothing_was_left(installation)


def test_limits_of_the_installation_hold(an_installation: Callable[..., Installation]) -> None:
    installation = an_installation(max_files_per_version=3, max_upload_bytes=20_000)
    api = installation.api
    model_id = a_model(api)["id"]
    a_version(api, model_id, {"a": b"1", "b": b"2", "c": b"3"})
    too_many = patch_version(api, model_id, {"d": b"4"})
    assert (too_many.status_code, set(too_many.json()["errors"])) == (422, {"file"})
    too_large = patch_version(api, model_id, {"a": b"x" * 30_000})
    assert too_large.status_code == 413
    assert api.get(f"/customModels/{model_id}/versions/").json()["totalCount"] == 1


def test_a_version_of_another_model_is_404(api: Api, model_id: str) -> None:
    other = a_model(api)["id"]
    version_id = a_version(api, other)["id"]
    for path in (f"versions/{version_id}/", f"versions/{version_id}/download/", f"versions/{NOBODY}/", "versions/x/"):
        assert api.get(f"/customModels/{model_id}/{path}").status_code == 404
    assert api.patch(f"/customModels/{model_id}/versions/{version_id}/", json={}).status_code == 404


def _an_environment(installation: Installation, api: Api, *statuses: BuildStatus) -> tuple[str, list[str]]:
    """An environment of the caller's, with a version of each build status, oldest first."""
    environment_id = api.post("/executionEnvironments/", json={"name": "mine"}).json()["id"]
    versions = []
    with installation.application.database.write() as session:
        environment = session.get_one(Environment, environment_id)
        for number, status in enumerate(statuses, start=1):
            version = EnvironmentVersion(
                id=new_id(),
                environment_id=environment_id,
                number=number,
                label=str(number),
                build_status=status.value,
                created_at=environment.created_at,
            )
            session.add(version)
            versions.append(version.id)
            environment.latest_version_id = version.id
            if status is BuildStatus.SUCCESS:
                environment.latest_successful_version_id = version.id
    return environment_id, versions


def _file_rows(installation: Installation) -> int:
    with installation.application.database.read() as session:
        return session.scalar(select(func.count()).select_from(File)) or 0


def _nothing_was_left(installation: Installation) -> None:
    with installation.application.database.read() as session:
        assert session.scalar(select(func.count()).select_from(CustomModelVersion)) == 0
    assert installation.stored() == (0, 0)
