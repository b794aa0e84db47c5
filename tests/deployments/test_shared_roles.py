"""Sharing with users, groups and the organization, as every kind of resource does it; asked for deployments."""

from typing import Any

import httpx
import pytest
from sqlalchemy import event

from tests.api_client import Api
from tests.deployments.shelf import Shelf


@pytest.fixture
def path(shelf: Shelf) -> str:
    """The list of roles of a deployment that the administrator owns."""
    return f"/deployments/{shelf.put('Churn')}/sharedRoles/"


def role(name: str, **recipient: str) -> dict[str, str]:
    return {"role": name, "shareRecipientType": "user"} | recipient


def share(api: Api, path: str, *roles: Any) -> httpx.Response:
    answer: httpx.Response = api.patch(path, json={"operation": "updateRoles", "roles": list(roles)})
    return answer


def listed(api: Api, path: str, query: str = "") -> list[tuple[str, str, str]]:
    answer = api.get(f"{path}?{query}")
    assert answer.status_code == 200, answer.text
    return [(line["name"], line["role"], line["shareRecipientType"]) for line in answer.json()["data"]]


def id_of(api: Api, username: str) -> str:
    return str(api.get(f"/users/?search={username}").json()["data"][0]["id"])


def a_group(api: Api, name: str, *members: str) -> str:
    group_id = str(api.post("/groups/", json={"name": name}).json()["id"])
    for member in members:
        added = api.post(f"/groups/{group_id}/members/", json={"userId": id_of(api, member)})
        assert added.status_code == 204, added.text
    return group_id


def organization_id(api: Api) -> str:
    return str(api.get("/account/info/").json()["orgId"])


def test_users_groups_and_the_organization_get_roles_and_lose_them(shelf: Shelf, path: str) -> None:
    owner = shelf.api
    ann, bob, cleo = (shelf.installation.a_user(name) for name in ("ann", "bob", "cleo"))
    group = a_group(owner, "scientists", "bob")
    organization = organization_id(owner)
    shared = share(
        owner,
        path,
        role("EDITOR", id=id_of(owner, "ann")),
        role("USER", id=group, shareRecipientType="group"),
    )
    assert (shared.status_code, shared.content) == (204, b"")
    assert sorted(listed(owner, path)) == [
        ("admin", "OWNER", "user"),
        ("ann", "EDITOR", "user"),
        ("scientists", "USER", "group"),
    ]
    assert listed(ann, path) == listed(bob, path) == listed(owner, path)
    assert bob.patch(path.replace("sharedRoles/", ""), json={"description": "b"}).status_code == 204
    assert cleo.get(path).status_code == 404
    everybody = role("READ_ONLY", id=organization, shareRecipientType="organization")
    assert share(owner, path, everybody).status_code == 204
    assert ("default", "READ_ONLY", "organization") in listed(cleo, path)
    assert cleo.get("/deployments/").json()["totalCount"] == 1
    gone = [everybody, role("", username="ann"), role("", id=group, shareRecipientType="group")]
    assert share(owner, path, *(one | {"role": "NO_ROLE"} for one in gone)).status_code == 204
    assert listed(owner, path) == [("admin", "OWNER", "user")]
    assert {api.get(path).status_code for api in (ann, bob, cleo)} == {404}
    assert cleo.get("/deployments/").json()["totalCount"] == 0


def test_a_group_and_the_organization_are_known_by_name_too(shelf: Shelf, path: str) -> None:
    shelf.installation.a_user("eve", organization="another")
    a_group(shelf.api, "scientists")
    named = [("scientists", "group"), ("default", "organization")]
    lines = [role("USER", username=name, shareRecipientType=kind) for name, kind in named]
    assert share(shelf.api, path, *lines).status_code == 204
    assert {line[0] for line in listed(shelf.api, path)} == {"admin", "scientists", "default"}
    another = role("USER", username="another", shareRecipientType="organization")
    assert share(shelf.api, path, another).status_code == 422


def test_the_list_is_filtered_and_paged(shelf: Shelf, path: str) -> None:
    owner = shelf.api
    for name in ("ann", "bob"):
        shelf.installation.a_user(name)
    group = a_group(owner, "ann")
    lines = [role("USER", username="ann"), role("USER", username="bob")]
    share(owner, path, *lines, role("OBSERVER", id=group, shareRecipientType="group"))
    assert sorted(listed(owner, path, "name=ann")) == [("ann", "OBSERVER", "group"), ("ann", "USER", "user")]
    assert listed(owner, path, "name=ann&shareRecipientType=user") == [("ann", "USER", "user")]
    assert listed(owner, path, "shareRecipientType=group") == [("ann", "OBSERVER", "group")]
    assert listed(owner, path, f"id={group}") == [("ann", "OBSERVER", "group")]
    assert listed(owner, path, "name=an") == listed(owner, path, f"id={'0' * 24}") == []
    pages = [owner.get(f"{path}?limit=2&offset={offset}").json() for offset in (0, 2)]
    assert [(one["count"], one["totalCount"]) for one in pages] == [(2, 4), (2, 4)]
    assert [line for one in pages for line in one["data"]] == owner.get(path).json()["data"]
    assert "offset=2" in pages[0]["next"]
    for wrong in ("limit=0", "limit=1001", "offset=-1", "shareRecipientType=team"):
        assert owner.get(f"{path}?{wrong}").status_code == 422


def test_roles_that_the_list_has_no_word_for_are_shown_as_what_they_allow(shelf: Shelf, path: str) -> None:
    for name, granted, shown in (("ann", "DEMO_OBSERVER", "OBSERVER"), ("bob", "DEMO_READ_ONLY", "READ_ONLY")):
        shelf.installation.a_user(name)
        assert share(shelf.api, path, role(granted, username=name)).status_code == 204
        assert listed(shelf.api, path, f"name={name}") == [(name, shown, "user")]


def test_every_wrong_line_is_named_and_nothing_is_changed(shelf: Shelf, path: str) -> None:
    owner = shelf.api
    for name in ("ann", "bob"):
        shelf.installation.a_user(name)
    eve = shelf.installation.a_user("eve", organization="another")
    before = listed(owner, path)
    answer = share(
        owner,
        path,
        role("USER", username="ann"),
        role("USER", username="nobody"),
        role("USER", id="f" * 24),
        role("USER", username="eve"),
        role("USER", id=organization_id(eve), shareRecipientType="organization"),
        role("KING", username="bob"),
        role("USER", username="ann", id=id_of(owner, "ann")),
        role("USER"),
        role("USER", username="bob", shareRecipientType="team"),
        role("USER", id=id_of(owner, "ann")),
        role("USER", username="ann", shareRecipientType="group"),
    )
    assert answer.status_code == 422
    assert sorted(answer.json()["errors"]) == [
        "roles[0].username",
        "roles[10].username",
        "roles[1].username",
        "roles[2].id",
        "roles[3].username",
        "roles[4].id",
        "roles[5].role",
        "roles[6]",
        "roles[7]",
        "roles[8].shareRecipientType",
        "roles[9].id",
    ]
    assert listed(owner, path) == before


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"operation": "updateRoles"},
        {"operation": "updateRoles", "roles": []},
        {"operation": "updateRoles", "roles": None},
        {"operation": "updateRoles", "roles": [role("USER", username="ann")] * 101},
        {"operation": "updateRoles", "roles": [{"username": "ann", "shareRecipientType": "user"}]},
        {"operation": "updateRoles", "roles": [{"username": "ann", "role": "USER"}]},
        {"operation": "updateRoles", "roles": [role("USER", username="an\0n")]},
        {"operation": "updateRoles", "roles": [role("USER", username="ann") | {"role": None}]},
        {"operation": "addRoles", "roles": [role("USER", username="ann")]},
    ],
)
def test_other_bodies_are_refused(shelf: Shelf, path: str, body: dict[str, Any]) -> None:
    shelf.installation.a_user("ann")
    assert shelf.api.patch(path, json=body).status_code == 422
    assert listed(shelf.api, path) == [("admin", "OWNER", "user")]


def test_who_may_not_share_is_told_so_and_a_stranger_nothing(shelf: Shelf, path: str) -> None:
    ann, eve = shelf.installation.a_user("ann"), shelf.installation.a_user("eve", organization="another")
    shelf.installation.a_user("bob")
    share(shelf.api, path, role("EDITOR", username="ann"))
    for lines in ([role("USER", username="bob")], [role("USER", username="nobody")], [role("OWNER", username="ann")]):
        assert share(ann, path, *lines).status_code == 403
        assert share(eve, path, *lines).status_code == 404
    assert eve.get(path).status_code == 404
    share(shelf.api, path, role("CONSUMER", username="ann"))
    assert ann.get(path).status_code == 403


def test_nobody_goes_above_their_own_role(shelf: Shelf, path: str) -> None:
    ann = shelf.installation.a_user("ann")
    shelf.installation.a_user("bob")
    line = {"username": "ann", "role": "EDITOR", "canShare": True}
    shelf.api.patch(path.replace("sharedRoles", "accessControl"), json={"data": [line]})
    refused = share(ann, path, role("OWNER", username="bob"), role("NO_ROLE", username="admin"))
    assert (refused.status_code, sorted(refused.json()["errors"])) == (422, ["roles[0].role", "roles[1].username"])
    assert share(ann, path, role("USER", username="bob")).status_code == 204


def test_anybody_may_leave_except_the_last_owner(shelf: Shelf, path: str) -> None:
    ann = shelf.installation.a_user("ann")
    share(shelf.api, path, role("OBSERVER", username="ann"))
    assert share(ann, path, role("NO_ROLE", id=id_of(shelf.api, "ann"))).status_code == 204
    assert ann.get(path).status_code == 404
    for last in ("NO_ROLE", "EDITOR"):
        refused = share(shelf.api, path, role(last, username="admin"), role("EDITOR", username="ann"))
        assert refused.status_code == 409
        assert listed(shelf.api, path) == [("admin", "OWNER", "user")]
    handed = share(shelf.api, path, role("NO_ROLE", username="admin"), role("OWNER", username="ann"))
    assert handed.status_code == 204
    assert listed(ann, path) == [("ann", "OWNER", "user")]


def test_an_inactive_user_gets_no_role_and_can_lose_one(shelf: Shelf, path: str) -> None:
    shelf.installation.a_user("ann")
    ann = id_of(shelf.api, "ann")
    share(shelf.api, path, role("USER", id=ann))
    assert shelf.api.patch(f"/users/{ann}/", json={"isActive": False}).status_code == 200
    assert share(shelf.api, path, role("OBSERVER", id=ann)).status_code == 422
    assert share(shelf.api, path, role("NO_ROLE", id=ann)).status_code == 204


def test_a_hundred_roles_take_no_more_reading_than_one(shelf: Shelf, path: str) -> None:
    for number in range(100):
        shelf.installation.a_user(f"user{number}")
    lines = [role("USER", username=f"user{number}") for number in range(100)]
    reads: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if statement.startswith("SELECT") and "count(" not in statement:
            reads.append(statement)

    engine = shelf.installation.application.database.engine
    event.listen(engine, "before_cursor_execute", note)
    assert share(shelf.api, path, *lines[:1]).status_code == 204
    one = len(reads)
    assert share(shelf.api, path, *lines).status_code == 204
    assert len(reads) == 2 * one
    reads.clear()
    assert len(listed(shelf.api, path, "limit=1000")) == 101
    many = len(reads)
    reads.clear()
    assert len(listed(shelf.api, path, "limit=1")) == 1
    assert len(reads) == many
