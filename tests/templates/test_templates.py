"""Custom templates: made, listed, read, changed and deleted."""

import json
from typing import Any

import pytest
from sqlalchemy import event, func, select

from modelyard.identity.tables import AuditEvent, Grant
from modelyard.templates.tables import CustomTemplate, CustomTemplateTag
from modelyard.workspaces.tables import File, Tree, Workspace
from tests.api_client import Api
from tests.conftest import Installation
from tests.environments.contexts import zipped
from tests.templates.builders import FILES, a_template, environment_of, post_template

ROWS = (CustomTemplate, CustomTemplateTag, Workspace, Tree, File, Grant, AuditEvent)


def row_counts(installation: Installation) -> dict[str, int]:
    with installation.application.database.read() as session:
        return {row.__tablename__: session.scalar(select(func.count()).select_from(row)) or 0 for row in ROWS}


def own(api: Api, query: str = "") -> list[str]:
    """The names of the listed templates without the shipped ones."""
    answer = api.get(f"/customTemplates/?{query}")
    assert answer.status_code == 200, answer.text
    return [one["name"] for one in answer.json()["data"] if one["templateMetadata"]["publisher"] != "Modelyard"]


def test_a_template_is_made_and_read(api: Api) -> None:
    metadata = {
        "classLabels": ["yes", "no"],
        "readme": "# Nightly",
        "resourceBundleIds": ["cpu.small"],
        "source": {"repository": "here"},
        "tags": ["night", "scores"],
        "templateTypeSpecificResources": {"serviceWebRequestsOnRootPath": True},
        "publisher": "Us",
        "category": "Scoring",
    }
    made = a_template(
        api,
        templateMetadata=metadata,
        defaultResourceBundleId="cpu.micro",
        enabled="false",
        templateSubType="retraining",
    )
    assert {name: made[name] for name in made if name not in {"id", "items"}} == {
        "name": "Nightly",
        "description": "Scores every night.",
        "templateType": "customJob",
        "templateSubType": "retraining",
        "enabled": False,
        "defaultEnvironment": environment_of(api),
        "defaultResourceBundleId": "cpu.micro",
        "templateMetadata": metadata,
    }
    assert sorted(item["name"] for item in made["items"]) == sorted(FILES)
    path = f"/customTemplates/{made['id']}/"
    assert api.get(path).json() == made
    for item in made["items"]:
        content = api.get(f"{path}files/{item['id']}/").json()
        assert content == {"id": item["id"], "filename": item["name"], "content": FILES[item["name"]].decode()}


def test_what_is_not_sent_has_a_default(api: Api) -> None:
    environment = environment_of(api)
    made = a_template(api, defaultEnvironment={"environmentId": environment["environmentId"]})
    assert made["defaultEnvironment"] == environment
    assert (made["enabled"], made["defaultResourceBundleId"]) == (True, None)
    assert made["templateMetadata"] == {
        "classLabels": [],
        "readme": None,
        "resourceBundleIds": [],
        "source": {},
        "tags": [],
        "templateTypeSpecificResources": {"serviceWebRequestsOnRootPath": False},
        "publisher": None,
        "category": None,
    }


def test_each_part_is_changed_alone(api: Api) -> None:
    made = a_template(
        api, templateMetadata={"tags": ["a", "b"], "publisher": "Us"}, defaultResourceBundleId="cpu.small"
    )
    path = f"/customTemplates/{made['id']}/"
    expected = dict(made)
    for field, sent, shown in (
        ("name", "Weekly", "Weekly"),
        ("description", "", ""),
        ("templateSubType", "notification", "notification"),
        ("enabled", "false", False),
        ("defaultResourceBundleId", "cpu.nano", "cpu.nano"),
        ("defaultResourceBundleId", "null", None),
        (
            "templateMetadata",
            '{"tags": ["b", "c"]}',
            made["templateMetadata"] | {"tags": ["b", "c"], "publisher": None},
        ),
        ("templateMetadata", "", made["templateMetadata"] | {"tags": [], "publisher": None}),
    ):
        expected |= {field: shown}
        answer = api.patch(path, data={field: sent}, files={"nothing": ("", b"")})
        assert (answer.status_code, answer.json()) == (200, expected)
    as_json = {"name": "Monthly", "templateMetadata": {"tags": ["d"]}, "enabled": True}
    changed = api.patch(path, json=as_json).json()
    assert (changed["name"], changed["templateMetadata"]["tags"], changed["enabled"]) == ("Monthly", ["d"], True)
    assert api.patch(path, json={}).json() == changed
    assert own(api, "tag=d") == ["Monthly"]
    assert own(api, "tag=c") == own(api, "search=night") == []
    assert own(api, "search=MONTH") == ["Monthly"]


def test_a_zip_takes_the_place_of_all_files(installation: Installation) -> None:
    api = installation.api
    made = a_template(api)
    path, before = f"/customTemplates/{made['id']}/", row_counts(installation)
    changed = api.patch(path, files={"file": ("t.zip", zipped({"run.sh": b"#!/bin/sh\n"}))})
    assert changed.status_code == 200, changed.text
    assert [item["name"] for item in changed.json()["items"]] == ["run.sh"]
    assert changed.json() == made | {"items": changed.json()["items"]}
    assert api.get(f"{path}files/{made['items'][0]['id']}/").status_code == 404
    after = row_counts(installation)
    assert (after["trees"], after["workspaces"], after["files"]) == (
        before["trees"],
        before["workspaces"],
        before["files"] - 1,
    )


def test_a_deleted_template_leaves_nothing(installation: Installation) -> None:
    before = row_counts(installation)
    made = a_template(installation.api, templateMetadata={"tags": ["a"]})
    path = f"/customTemplates/{made['id']}/"
    assert installation.api.delete(path).status_code == 204
    assert installation.api.get(path).status_code == 404
    assert installation.api.delete(path).status_code == 404
    assert row_counts(installation) == before | {"audit_events": before["audit_events"] + 2}


def test_the_list_is_filtered_ordered_and_paged(api: Api) -> None:
    a_template(api, name="Beta", description="scores", templateMetadata={"tags": ["x", "y"], "publisher": "Us"})
    a_template(api, name="alpha", templateSubType="notification", templateMetadata={"category": "Alerts"})
    a_template(api, name="Gamma", templateType="customApplication", templateSubType="streamlit")
    assert own(api) == ["Gamma", "alpha", "Beta"]
    assert own(api, "search=SCORES&templateType=customJob") == ["alpha", "Beta"]
    assert own(api, "search=%25") == []
    assert own(api, "tag=x") == own(api, "publisher=Us") == ["Beta"]
    assert own(api, "category=Alerts") == own(api, "templateSubType=notification") == ["alpha"]
    assert own(api, "templateType=customApplication") == ["Gamma"]
    empty = "tag=&templateType=&templateSubType=&publisher=&category=&search="
    assert own(api, empty) == ["Gamma", "alpha", "Beta"]
    assert own(api, "tag=X") == own(api, "publisher=us") == ["Beta"]
    assert own(api, "category=ALERTS") == ["alpha"]
    assert own(api, "tag=z") == own(api, "templateType=none") == own(api, "templateType=CUSTOMJOB") == []
    assert own(api, "orderBy=createdAt") == ["Beta", "alpha", "Gamma"]
    assert own(api, "orderBy=-name") == ["Gamma", "Beta", "alpha"]
    assert own(api, "orderBy=templateType") == ["Gamma", "Beta", "alpha"]
    assert own(api, "orderBy=-templateSubType") == ["Gamma", "alpha", "Beta"]
    whole = api.get("/customTemplates/?orderBy=name").json()
    pages = [api.get(f"/customTemplates/?orderBy=name&limit=1&offset={n}").json() for n in range(whole["totalCount"])]
    assert [one["data"][0] for one in pages] == whole["data"]
    assert pages[0]["previous"] is pages[-1]["next"] is None
    for wrong in ("limit=101", "limit=0", "offset=-1", "orderBy=size"):
        assert api.get(f"/customTemplates/?{wrong}").status_code == 422


def test_many_templates_take_no_more_queries_than_one(installation: Installation) -> None:
    for number in range(30):
        a_template(installation.api, name=f"t{number}", templateMetadata={"tags": ["a", "b"]})
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    event.listen(installation.application.database.engine, "before_cursor_execute", note)
    assert len(installation.api.get("/customTemplates/?limit=1&tag=a").json()["data"]) == 1
    one = len(statements)
    assert len(installation.api.get("/customTemplates/?limit=100&tag=a").json()["data"]) == 30
    assert len(statements) == 2 * one


def test_the_organization_looks_the_owner_changes_others_see_nothing(installation: Installation) -> None:
    ann, bob = installation.a_user("ann"), installation.a_user("bob")
    eve = installation.a_user("eve", organization="another")
    made = a_template(ann)
    path = f"/customTemplates/{made['id']}/"
    file = f"{path}files/{made['items'][0]['id']}/"
    assert bob.get(path).json() == made
    assert bob.get(file).status_code == 200
    assert own(bob) == ["Nightly"]
    assert [bob.patch(path, json={"name": "x"}).status_code, bob.delete(path).status_code] == [403, 403]
    assert own(eve) == []
    strange = [eve.get(path), eve.get(file), eve.patch(path, json={"name": "x"}), eve.delete(path)]
    assert [answer.status_code for answer in strange] == [404] * 4
    assert ann.patch(path, json={"name": "mine"}).status_code == 200


def test_a_file_that_is_no_text_is_not_answered_as_text(api: Api) -> None:
    made = a_template(api, {"a.bin": b"\xff\xfe\x00", "b.bin": b"a\0b", "c.txt": "ä".encode(), "d.txt": b""})
    answers = {item["name"]: api.get(f"/customTemplates/{made['id']}/files/{item['id']}/") for item in made["items"]}
    assert {name: answer.status_code for name, answer in answers.items()} == {
        "a.bin": 422,
        "b.bin": 422,
        "c.txt": 200,
        "d.txt": 200,
    }
    assert answers["c.txt"].json()["content"] == "ä"
    other = a_template(api)
    assert api.get(f"/customTemplates/{other['id']}/files/{made['items'][0]['id']}/").status_code == 404


def test_everything_that_is_wrong_is_told_at_once(installation: Installation) -> None:
    before = row_counts(installation)
    answer = post_template(
        installation.api,
        b"no zip at all",
        name="n" * 256,
        description="d" * 10_001,
        templateSubType="sometimes",
        defaultEnvironment={"environmentId": "0" * 24, "environmentVersionId": "1" * 24},
        defaultResourceBundleId="cpu.colossal",
        templateMetadata={"tags": [1], "readme": "r" * 1_048_577, "publisher": "p" * 256},
        enabled="perhaps",
    )
    assert answer.status_code == 422
    assert sorted(answer.json()["errors"]) == [
        "defaultEnvironment.environmentId",
        "defaultResourceBundleId",
        "description",
        "enabled",
        "file",
        "name",
        "templateMetadata.publisher",
        "templateMetadata.readme",
        "templateMetadata.tags",
        "templateSubType",
    ]
    assert row_counts(installation) == before
    missing = installation.api.post("/customTemplates/", data={"name": " "}, files={"x": ("", b"")})
    assert sorted(missing.json()["errors"]) == [
        "defaultEnvironment",
        "description",
        "file",
        "name",
        "templateSubType",
        "templateType",
    ]


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("name", " ", "name"),
        ("templateType", "customThing", "templateType"),
        ("templateSubType", "sometimes", "templateSubType"),
        ("defaultEnvironment", "{", "defaultEnvironment"),
        ("defaultEnvironment", "[]", "defaultEnvironment"),
        ("defaultEnvironment", "{}", "defaultEnvironment.environmentId"),
        ("defaultEnvironment", '{"environmentId": 1}', "defaultEnvironment.environmentId"),
        ("templateMetadata", "{", "templateMetadata"),
        ("templateMetadata", "[" * 100_000, "templateMetadata"),
        ("templateMetadata", "7", "templateMetadata"),
        ("templateMetadata", '{"readme": "a\\u0000"}', "templateMetadata.readme"),
        ("templateMetadata", '{"source": {"a\\u0000": 1}}', "templateMetadata.source"),
        ("templateMetadata", '{"source": []}', "templateMetadata.source"),
        ("templateMetadata", json.dumps({"tags": ["a"] * 1001}), "templateMetadata.tags"),
        ("templateMetadata", json.dumps({"tags": ["a" * 256]}), "templateMetadata.tags"),
        ("defaultResourceBundleId", "gpu.small", "defaultResourceBundleId"),
    ],
)
def test_wrong_fields_change_nothing(api: Api, field: str, value: str, named: str) -> None:
    path = f"/customTemplates/{a_template(api)['id']}/"
    before = api.get(path).json()
    refused = api.patch(path, data={field: value, "description": "new"}, files={"x": ("", b"")})
    assert (refused.status_code, list(refused.json()["errors"])) == (422, [named])
    made = post_template(api, **{field: value})
    assert (made.status_code, list(made.json()["errors"])) == (422, [named])
    assert api.get(path).json() == before
    assert own(api) == ["Nightly"]


@pytest.mark.parametrize(
    "archive",
    [
        b"",
        b"PK\x03\x04 broken",
        zipped({}),
        zipped({"../evil.py": b"x"}),
        zipped({"/etc/passwd": b"x"}),
        zipped({"a": b"x", "a/b": b"x"}),
        zipped({f"{number}.txt": b"" for number in range(1001)}),
        zipped({"/".join(["f" * 100] * 3): b"x"}),
        zipped({"bomb": b"\0" * (101 << 20)}),
    ],
    ids=["empty", "broken", "no files", "escapes", "absolute", "file and folder", "too many", "long path", "bomb"],
)
def test_hostile_zips_leave_nothing(installation: Installation, archive: bytes) -> None:
    template = a_template(installation.api)
    before = row_counts(installation)
    made = post_template(installation.api, archive)
    changed = installation.api.patch(
        f"/customTemplates/{template['id']}/", data={"name": "new"}, files={"file": ("t.zip", archive)}
    )
    for answer in (made, changed):
        assert (answer.status_code, list(answer.json()["errors"])) == (422, ["file"])
    assert row_counts(installation) == before
    assert installation.api.get(f"/customTemplates/{template['id']}/").json() == template


def test_two_zips_are_one_too_many(api: Api) -> None:
    path = f"/customTemplates/{a_template(api)['id']}/"
    files = [("file", ("a.zip", zipped(FILES))), ("file", ("b.zip", zipped(FILES)))]
    assert list(api.patch(path, files=files).json()["errors"]) == ["file"]


def test_an_environment_of_others_is_as_if_it_were_not_there(installation: Installation) -> None:
    eve = installation.a_user("eve", organization="another")
    theirs = eve.post("/executionEnvironments/", json={"name": "theirs"}).json()
    answer = post_template(installation.api, defaultEnvironment={"environmentId": theirs["id"]})
    unknown = post_template(installation.api, defaultEnvironment={"environmentId": "0" * 24})
    for refused, id_ in ((answer, theirs["id"]), (unknown, "0" * 24)):
        assert refused.status_code == 422
        told = refused.json()["errors"]["defaultEnvironment.environmentId"]
        assert told == f"There is no execution environment {id_} that you may see."
    wrong: dict[str, Any] = environment_of(installation.api) | {"environmentVersionId": "0" * 24}
    refused = post_template(installation.api, defaultEnvironment=wrong)
    assert list(refused.json()["errors"]) == ["defaultEnvironment.environmentVersionId"]
