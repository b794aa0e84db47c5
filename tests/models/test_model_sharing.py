"""Who may do what to a model."""

from tests.conftest import Installation
from tests.models.builders import a_model, a_version, patch_version


def test_the_owner_shares_and_takes_back(installation: Installation) -> None:
    owner, ann = installation.api, installation.a_user("ann")
    model = a_model(owner)
    path = f"/customModels/{model['id']}/accessControl/"
    shared = owner.patch(path, json={"data": [{"username": "ann", "role": "EDITOR", "canShare": False}]})
    assert (shared.status_code, shared.content) == (204, b"")
    listed = ann.get(path).json()
    assert [(line["username"], line["role"], line["canShare"]) for line in listed["data"]] == [
        ("admin", "OWNER", True),
        ("ann", "EDITOR", False),
    ]
    assert (listed["count"], listed["totalCount"]) == (2, 2)
    assert ann.get("/customModels/").json()["totalCount"] == 1
    for role in (None, "NO_ROLE"):
        owner.patch(path, json={"data": [{"username": "ann", "role": "USER"}]})
        assert owner.patch(path, json={"data": [{"username": "ann", "role": role}]}).status_code == 204
        assert ann.get(path).status_code == 404


def test_each_role_may_do_what_it_says(installation: Installation) -> None:
    owner, ann = installation.api, installation.a_user("ann")
    model = a_model(owner)
    version = a_version(owner, model["id"], {"custom.py": b"1"})
    base = f"/customModels/{model['id']}/"
    for role, may_look, may_edit, may_delete in (
        ("CONSUMER", False, False, False),
        ("READ_ONLY", True, False, False),
        ("OBSERVER", True, False, False),
        ("USER", True, True, False),
        ("EDITOR", True, True, False),
        ("DATA_SCIENTIST", True, True, False),
        ("ADMIN", True, True, True),
    ):
        granted = owner.patch(f"{base}accessControl/", json={"data": [{"username": "ann", "role": role}]})
        assert granted.status_code == 204, granted.text
        assert ann.get(base).status_code == (200 if may_look else 403), role
        assert ann.get("/customModels/").json()["totalCount"] == int(may_look), role
        assert ann.patch(base, json={"description": role}).status_code == (201 if may_edit else 403), role
        assert patch_version(ann, model["id"]).status_code == (201 if may_edit else 404), role
        renamed = ann.patch(f"{base}versions/{version['id']}/", json={"description": role})
        assert renamed.status_code == (200 if may_edit else 404), role
        assert ann.delete(base).status_code == (204 if may_delete else 403), role


def test_owners_may_always_share_and_a_repeated_role_keeps_the_right(installation: Installation) -> None:
    owner = installation.api
    installation.a_user("ann")
    path = f"/customModels/{a_model(owner)['id']}/accessControl/"

    def can_share(**line: object) -> bool:
        assert owner.patch(path, json={"data": [{"username": "ann", **line}]}).status_code == 204
        return {one["username"]: bool(one["canShare"]) for one in owner.get(path).json()["data"]}["ann"]

    assert can_share(role="OWNER") is can_share(role="OWNER", canShare=False) is True
    assert can_share(role="EDITOR") is False
    assert can_share(role="EDITOR", canShare=True) is can_share(role="EDITOR") is True
    assert can_share(role="USER") is False
    assert can_share(role="USER", canShare=True) is True
    assert can_share(role="USER", canShare=False) is can_share(role="USER") is False


def test_the_last_owner_cannot_leave(installation: Installation) -> None:
    model = a_model(installation.api)
    path = f"/customModels/{model['id']}/accessControl/"
    assert installation.api.patch(path, json={"data": [{"username": "admin", "role": None}]}).status_code == 409


def test_wrong_sharing_changes_nothing(installation: Installation) -> None:
    owner = installation.api
    installation.a_user("ann")
    installation.a_user("eve", organization="another")
    path = f"/customModels/{a_model(owner)['id']}/accessControl/"
    before = owner.get(path).json()
    for lines in (
        [{"username": "ann", "role": "USER"}, {"username": "nobody", "role": "USER"}],
        [{"username": "eve", "role": "USER"}],
        [{"username": "ann", "role": "KING"}],
        [{"username": "ann"}],
        [{"username": "ann", "role": "USER"}] * 101,
    ):
        assert owner.patch(path, json={"data": lines}).status_code == 422
    assert owner.patch(path, json={}).status_code == 422
    assert owner.get(path).json() == before


def test_an_editor_without_the_right_does_not_share(installation: Installation) -> None:
    owner, ann = installation.api, installation.a_user("ann")
    installation.a_user("bob")
    path = f"/customModels/{a_model(owner)['id']}/accessControl/"
    owner.patch(path, json={"data": [{"username": "ann", "role": "EDITOR", "canShare": False}]})
    assert ann.patch(path, json={"data": [{"username": "bob", "role": "USER"}]}).status_code == 403
    owner.patch(path, json={"data": [{"username": "ann", "role": "EDITOR", "canShare": True}]})
    assert ann.patch(path, json={"data": [{"username": "bob", "role": "USER"}]}).status_code == 204
    assert ann.patch(path, json={"data": [{"username": "bob", "role": "OWNER"}]}).status_code == 422
