"""Environments themselves: who sees which, changing and deleting them, the built-in ones."""

import pytest
from sqlalchemy import select

from modelyard.environments import service
from modelyard.environments.installation import install_builtin
from modelyard.environments.tables import Environment, EnvironmentVersion
from modelyard.identity.tables import AuditEvent
from modelyard.kernel.errors import Invalid
from tests.conftest import Installation
from tests.environments.contexts import an_environment, push_requirements

BUILTIN = {"lightgbm", "onnx", "python", "pytorch", "scikit-learn", "xgboost"}


def test_built_in_environments_are_there_public_and_built(installation: Installation) -> None:
    listed = installation.api.get("/executionEnvironments/").json()
    assert listed["totalCount"] == len(BUILTIN)
    for environment in listed["data"]:
        assert environment["isPublic"]
        assert environment["isBuiltIn"]
        assert environment["latestVersion"] == environment["latestSuccessfulVersion"]
        assert environment["latestVersion"]["buildStatus"] == "success"
    found = installation.api.get("/executionEnvironments/?searchFor=scikit-LEARN%20Drop").json()["data"]
    assert len(found) == 1
    assert "Python" in found[0]["name"]
    stranger = installation.a_user("eve", organization="elsewhere")
    assert stranger.get("/executionEnvironments/").json()["totalCount"] == len(BUILTIN)


def test_a_search_in_the_body_of_a_get_is_honoured(installation: Installation) -> None:
    answer = installation.api.get(
        "/executionEnvironments/", json={"searchFor": "xgboost drop-in"}
    )  # as one client does
    assert answer.json()["totalCount"] == 1


def test_the_second_start_changes_nothing_and_an_upgrade_adds_a_version(installation: Installation) -> None:
    database = installation.application.database
    with database.write() as session:
        install_builtin(session)
        assert len(session.scalars(select(EnvironmentVersion)).all()) == len(BUILTIN)
        old = session.scalars(select(EnvironmentVersion)).first()
        assert old is not None
        old.requirements = "something==older\n"
    with database.write() as session:
        install_builtin(session)
    with database.read() as session:
        environment = session.get_one(Environment, old.environment_id)
        assert environment.latest_version_id == environment.latest_successful_version_id != old.id
        assert session.get_one(EnvironmentVersion, environment.latest_version_id).label == "v2"
        assert session.get_one(EnvironmentVersion, old.id).requirements == "something==older\n"


def test_built_in_environments_are_nobodys_to_change(installation: Installation) -> None:
    environment = installation.api.get("/executionEnvironments/").json()["data"][0]
    path = f"/executionEnvironments/{environment['id']}/"
    assert installation.api.patch(path, json={"name": "Mine"}).status_code == 403
    assert installation.api.delete(path).status_code == 403
    assert installation.api.get(path).json() == environment


def test_an_environment_is_made_changed_and_deleted(installation: Installation) -> None:
    api = installation.api
    made = an_environment(api, "Orchard", description="Fruit", useCases=["customApplication"], programmingLanguage="r")
    assert (made["name"], made["description"], made["programmingLanguage"]) == ("Orchard", "Fruit", "r")
    assert made["useCases"] == ["customApplication"]
    assert (made["latestVersion"], made["latestSuccessfulVersion"], made["isPublic"]) == (None, None, False)
    path = f"/executionEnvironments/{made['id']}/"
    changed = api.patch(path, json={"name": "Garden", "useCases": ["notebook"]})
    assert changed.status_code == 200
    assert (changed.json()["name"], changed.json()["description"]) == ("Garden", "Fruit")
    assert api.get(path).json() == changed.json()
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404
    assert api.delete(path).status_code == 404
    with installation.application.database.read() as session:
        events = session.scalars(select(AuditEvent.action).where(AuditEvent.resource_id == made["id"])).all()
    assert list(events) == ["create", "update", "delete"]


def test_an_environment_asks_for_metadata(installation: Installation) -> None:
    api = installation.api
    keys = [{"fieldName": "REGION", "displayName": "Region of the data"}, {"fieldName": "TEAM", "displayName": "Team"}]
    made = an_environment(api, requiredMetadataKeys=keys)
    path = f"/executionEnvironments/{made['id']}/"
    assert made["requiredMetadataKeys"] == api.get(path).json()["requiredMetadataKeys"] == keys
    listed = api.get("/executionEnvironments/").json()["data"]
    assert {len(one["requiredMetadataKeys"]) for one in listed} == {0, 2}
    assert api.patch(path, json={"name": "n"}).json()["requiredMetadataKeys"] == keys
    assert api.patch(path, json={"requiredMetadataKeys": keys[:1]}).json()["requiredMetadataKeys"] == keys[:1]
    for names, told in (
        (["A", "A"], "twice"),
        (["PATH"], "is taken"),
        (["A=B"], "letters"),
        (["MODELYARD_X"], "taken"),
    ):
        wrong = [{"fieldName": name, "displayName": name} for name in names]
        for answer in (
            api.patch(path, json={"requiredMetadataKeys": wrong}),
            api.post("/executionEnvironments/", json={"name": "n", "requiredMetadataKeys": wrong}),
        ):
            assert answer.status_code == 422, answer.text
            assert told in answer.json()["errors"]["requiredMetadataKeys"]
    for unread in ([{"fieldName": "A"}], [{"fieldName": "", "displayName": "a"}], "A", None):
        answer = api.patch(path, json={"requiredMetadataKeys": unread})
        assert answer.json()["errors"].keys() == {"requiredMetadataKeys"}
    assert api.get(path).json()["requiredMetadataKeys"] == keys[:1]


def test_defaults_are_those_that_clients_leave_out(installation: Installation) -> None:
    made = an_environment(installation.api, description=None)
    assert (made["description"], made["programmingLanguage"], made["useCases"]) == ("", "python", ["customModel"])
    assert made["requiredMetadataKeys"] == []


def test_every_wrong_field_is_named(installation: Installation) -> None:
    wrong = {"name": "", "programmingLanguage": "cobol", "useCases": ["lunch"]}
    answer = installation.api.post("/executionEnvironments/", json=wrong)
    assert answer.status_code == 422
    assert answer.json()["errors"].keys() == wrong.keys()


def test_lists_are_filtered_paged_and_newest_first(installation: Installation) -> None:
    api = installation.api
    for name in ("One", "Two", "Three"):
        an_environment(api, name, useCases=["customApplication", "notebook"])
    listed = api.get("/executionEnvironments/?useCases=notebook&limit=2").json()
    assert [item["name"] for item in listed["data"]] == ["Three", "Two"]
    assert listed["totalCount"] == 3
    assert "useCases=notebook" in listed["next"]
    assert [item["name"] for item in api.get(listed["next"]).json()["data"]] == ["One"]
    assert api.get("/executionEnvironments/?useCases=lunch").status_code == 422


def test_strangers_see_and_change_nothing(installation: Installation) -> None:
    made = an_environment(installation.api)
    version = push_requirements(installation.api, made["id"], "apple\n")
    stranger = installation.a_user("eve")
    path = f"/executionEnvironments/{made['id']}/"
    versions = f"{path}versions/{version['id']}/"
    for below in (path, f"{path}versions/", versions, f"{versions}buildLog/", f"{versions}download/"):
        assert stranger.get(below).status_code == 404, below
    assert stranger.post(f"{versions}prepare/").status_code == 404
    assert stranger.patch(path, json={"name": "Mine"}).status_code == 404
    assert stranger.delete(path).status_code == 404
    listed = stranger.get("/executionEnvironments/?limit=1000").json()["data"]
    assert made["id"] not in [item["id"] for item in listed]


def test_a_base_environment_must_be_the_callers_and_built(installation: Installation) -> None:
    made = an_environment(installation.api)
    version = push_requirements(installation.api, made["id"], "apple\n")
    application = installation.application
    with application.database.read() as session:
        with pytest.raises(Invalid, match="has no version that was built"):
            service.find_version(session, None, made["id"])
        with pytest.raises(Invalid, match="its build status is submitted"):
            service.find_version(session, None, made["id"], version["id"])
        with pytest.raises(Invalid, match="there is no execution environment"):
            service.find_version(session, None, "0" * 24)
    installation.run_operations()
    with application.database.read() as session:
        assert service.find_version(session, None, made["id"]).id == version["id"]
        with pytest.raises(Invalid, match=f"has no version {'0' * 24}"):
            service.find_version(session, None, made["id"], "0" * 24)
    installation.api.delete(f"/executionEnvironments/{made['id']}/")
    with application.database.read() as session:
        assert service.find_version(session, None, made["id"], version["id"]).id == version["id"]


def test_an_environment_is_shared_and_its_last_owner_stays(installation: Installation) -> None:
    api = installation.api
    made = an_environment(api)
    path = f"/executionEnvironments/{made['id']}/"
    ann = installation.a_user("ann")
    shared = api.patch(f"{path}accessControl/", json={"data": [{"username": "ann", "role": "READ_ONLY"}]})
    assert (shared.status_code, shared.content) == (204, b"")
    assert [(line["username"], line["role"]) for line in api.get(f"{path}accessControl/").json()["data"]] == [
        ("admin", "OWNER"),
        ("ann", "READ_ONLY"),
    ]
    assert ann.get(path).status_code == 200
    assert made["id"] in [item["id"] for item in ann.get("/executionEnvironments/").json()["data"]]
    assert ann.patch(path, json={"name": "Mine"}).status_code == 403
    assert ann.patch(f"{path}accessControl/", json={"data": []}).status_code == 403
    leave = api.patch(f"{path}accessControl/", json={"data": [{"username": "admin", "role": None}]})
    assert leave.status_code == 409
    taken = api.patch(f"{path}accessControl/", json={"data": [{"username": "ann", "role": "NO_ROLE"}]})
    assert taken.status_code == 204
    assert ann.get(path).status_code == 404
