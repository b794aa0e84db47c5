"""Users, groups and organizations: what administrators do, and what nobody else may."""

import pytest
from sqlalchemy import select

from modelyard.identity.sharing import grant
from modelyard.identity.tables import AuditEvent, ResourceKind, SubjectKind
from tests.api_client import Api
from tests.conftest import Installation


def a_new_user(api: Api, username: str, **fields: object) -> dict[str, object]:
    answer = api.post("/users/", json={"username": username, **fields})
    assert answer.status_code == 201, answer.text
    created: dict[str, object] = answer.json()
    return created


def test_an_administrator_creates_reads_and_lists_users(api: Api) -> None:
    made = a_new_user(api, "grace", email="grace@example.org", firstName="Grace", lastName="Hopper")
    assert made["isActive"] is True
    assert made["isAdmin"] is False
    assert api.get(f"/users/{made['id']}/").json() == made
    listed = api.get("/users/").json()
    assert [user["username"] for user in listed["data"]] == ["admin", "grace"]
    assert listed["totalCount"] == 2
    assert [user["username"] for user in api.get("/users/?search=HOPP").json()["data"]] == ["grace"]
    assert api.get("/users/?search=%25").json()["data"] == []
    first = api.get("/users/?limit=1").json()
    assert first["next"].endswith("/api/v2/users/?offset=1&limit=1")
    assert [user["username"] for user in api.get(first["next"]).json()["data"]] == ["grace"]


def test_a_username_is_taken_once(api: Api) -> None:
    a_new_user(api, "grace")
    answer = api.post("/users/", json={"username": "grace"})
    assert answer.status_code == 409
    assert "'grace'" in answer.json()["message"]


@pytest.mark.parametrize("username", ["", "two words", "a/b", "x" * 256])
def test_an_unusable_username_is_refused(api: Api, username: str) -> None:
    answer = api.post("/users/", json={"username": username})
    assert answer.status_code == 422
    assert set(answer.json()["errors"]) == {"username"}


def test_every_wrong_field_of_a_new_user_is_named(api: Api) -> None:
    answer = api.post("/users/", json={"email": 3, "isAdmin": "yes", "organizationId": "nowhere"})
    assert answer.status_code == 422
    assert set(answer.json()["errors"]) == {"username", "email", "isAdmin", "organizationId"}
    absent = api.post("/users/", json={"username": "grace", "organizationId": "0" * 24})
    assert absent.status_code == 422
    assert set(absent.json()["errors"]) == {"organizationId"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/users/"),
        ("POST", "/users/"),
        ("GET", "/users/{other}/"),
        ("PATCH", "/users/{other}/"),
        ("PATCH", "/users/{own}/"),
        ("GET", "/groups/"),
        ("POST", "/groups/"),
        ("DELETE", "/groups/{other}/"),
        ("POST", "/groups/{other}/members/"),
        ("GET", "/organizations/"),
        ("POST", "/organizations/"),
        ("GET", "/apiTokens/?userId={other}"),
    ],
)
def test_only_administrators_administer(installation: Installation, method: str, path: str) -> None:
    somebody = installation.a_user("somebody")
    own = somebody.get("/account/info/").json()["uid"]
    other = installation.api.get("/account/info/").json()["uid"]
    bodies = {"/users/": {"username": "x"}, "/groups/{other}/members/": {"userId": own}, "PATCH": {"isAdmin": True}}
    body = bodies.get(path, bodies.get(method, {"name": "x"}))
    sent = {} if method in {"GET", "DELETE"} else {"json": body}
    answer = somebody.request(method, path.format(own=own, other=other), **sent)
    assert answer.status_code == 403, answer.text
    assert "administrator" in answer.json()["message"]
    assert installation.api.get("/users/").json()["totalCount"] == 2


def test_everybody_reads_themselves(installation: Installation) -> None:
    somebody = installation.a_user("somebody")
    own = somebody.get("/account/info/").json()["uid"]
    assert somebody.get(f"/users/{own}/").json()["username"] == "somebody"


def test_the_last_active_administrator_stays(installation: Installation) -> None:
    api = installation.api
    own = api.get("/account/info/").json()["uid"]
    for change in ({"isActive": False}, {"isAdmin": False}):
        answer = api.patch(f"/users/{own}/", json=change)
        assert answer.status_code == 409, answer.text
        assert "last active administrator" in answer.json()["message"]
    second = a_new_user(api, "second", isAdmin=True)
    api.patch(f"/users/{second['id']}/", json={"isActive": False})
    assert api.patch(f"/users/{own}/", json={"isActive": False}).status_code == 409
    api.patch(f"/users/{second['id']}/", json={"isActive": True})
    assert api.patch(f"/users/{own}/", json={"isAdmin": False}).status_code == 200
    assert api.get("/users/").status_code == 403


def test_a_deactivated_user_is_out_at_once(installation: Installation) -> None:
    somebody = installation.a_user("somebody")
    own = somebody.get("/account/info/").json()["uid"]
    assert installation.api.patch(f"/users/{own}/", json={"isActive": False}).json()["isActive"] is False
    assert somebody.get("/account/info/").status_code == 401
    assert installation.api.get("/users/?isActive=false").json()["totalCount"] == 1
    installation.api.patch(f"/users/{own}/", json={"isActive": True})
    assert somebody.get("/account/info/").status_code == 200


def test_a_change_keeps_what_it_does_not_name(api: Api) -> None:
    made = a_new_user(api, "grace", email="grace@example.org", firstName="Grace")
    changed = api.patch(f"/users/{made['id']}/", json={"firstName": None, "lastName": "Hopper"}).json()
    assert changed == made | {"firstName": None, "lastName": "Hopper"}


def test_every_change_leaves_an_audit_row(installation: Installation) -> None:
    made = a_new_user(installation.api, "grace")
    installation.api.patch(f"/users/{made['id']}/", json={"isAdmin": True})
    with installation.application.database.read() as session:
        rows = session.scalars(
            select(AuditEvent).where(AuditEvent.resource_id == made["id"]).order_by(AuditEvent.id)
        ).all()
    assert [row.action for row in rows] == ["create", "update"]
    assert rows[1].detail == {"is_admin": True}
    assert all(row.user_id for row in rows)


def test_members_of_a_group(installation: Installation) -> None:
    api = installation.api
    group = api.post("/groups/", json={"name": "scientists"}).json()
    assert group["membersCount"] == 0
    grace = a_new_user(api, "grace")
    for _ in range(2):
        assert api.post(f"/groups/{group['id']}/members/", json={"userId": grace["id"]}).status_code == 204
    assert api.get(f"/groups/{group['id']}/").json()["membersCount"] == 1
    assert [user["username"] for user in api.get(f"/groups/{group['id']}/members/").json()["data"]] == ["grace"]
    member = f"/groups/{group['id']}/members/{grace['id']}/"
    assert api.delete(member).status_code == 204
    assert api.delete(member).status_code == 404
    assert api.post(f"/groups/{group['id']}/members/", json={"userId": "0" * 24}).status_code == 404


def test_a_group_has_users_of_one_organization(api: Api) -> None:
    other = api.post("/organizations/", json={"name": "elsewhere"}).json()
    stranger = a_new_user(api, "stranger", organizationId=other["id"])
    group = api.post("/groups/", json={"name": "scientists"}).json()
    answer = api.post(f"/groups/{group['id']}/members/", json={"userId": stranger["id"]})
    assert answer.status_code == 422
    assert set(answer.json()["errors"]) == {"userId"}


def test_names_of_groups_and_organizations(api: Api) -> None:
    group = api.post("/groups/", json={"name": "scientists"}).json()
    assert api.post("/groups/", json={"name": "scientists"}).status_code == 409
    assert api.patch(f"/groups/{group['id']}/", json={"name": "engineers"}).json()["name"] == "engineers"
    assert [found["name"] for found in api.get("/groups/?search=ENGI").json()["data"]] == ["engineers"]
    organization = api.post("/organizations/", json={"name": "elsewhere"}).json()
    assert organization["usersCount"] == 0
    assert api.post("/organizations/", json={"name": "default"}).status_code == 409
    assert api.patch(f"/organizations/{organization['id']}/", json={"name": "default"}).status_code == 409
    assert [found["name"] for found in api.get("/organizations/").json()["data"]] == ["default", "elsewhere"]
    assert api.post("/groups/", json={"name": "scientists", "organizationId": organization["id"]}).status_code == 201


def test_a_group_with_a_role_stays(installation: Installation) -> None:
    group = installation.api.post("/groups/", json={"name": "scientists"}).json()
    with installation.application.database.write() as session:
        grant(
            session,
            ResourceKind.DATASET,
            "0" * 24,
            group["id"],
            "OWNER",
            can_share=True,
            subject_kind=SubjectKind.GROUP,
        )
    answer = installation.api.delete(f"/groups/{group['id']}/")
    assert answer.status_code == 409
    assert "1 resource" in answer.json()["message"]


def test_a_deleted_group_is_gone(api: Api) -> None:
    group = api.post("/groups/", json={"name": "scientists"}).json()
    grace = a_new_user(api, "grace")
    api.post(f"/groups/{group['id']}/members/", json={"userId": grace["id"]})
    assert api.delete(f"/groups/{group['id']}/").status_code == 204
    assert api.get(f"/groups/{group['id']}/").status_code == 404
