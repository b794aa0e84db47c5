"""The slice through its API: types and their fields, names, lists, changes, rights; and no answer tells a secret."""

import json
from typing import Any

import pytest
from msgspec.structs import fields

from modelyard.credentials.schemas import CredentialFields
from modelyard.credentials.types import FIELDS
from modelyard.workspaces.runtime_parameters import CREDENTIAL_TYPES
from tests.api_client import Api
from tests.conftest import Installation
from tests.credentials.builders import ACCOUNT_KEY, EXAMPLES, PASSWORD, a_credential, share
from tests.credentials.opening import opened
from tests.models.builders import NOBODY

ANSWERED = {"credentialId", "name", "description", "credentialType", "creationDate"}


def test_every_type_of_the_contract_has_its_fields() -> None:
    assert set(FIELDS) == set(CREDENTIAL_TYPES) == set(EXAMPLES)
    on_the_wire = {info.encode_name for info in fields(CredentialFields)}
    assert {field.name for one in FIELDS.values() for field in one} == on_the_wire
    assert all(any(field.is_secret and field.is_required for field in one) for one in FIELDS.values())


@pytest.mark.parametrize("type_", sorted(EXAMPLES))
def test_a_credential_of_each_type(api: Api, type_: str) -> None:
    made = a_credential(api, "one", credentialType=type_, description="what for", **EXAMPLES[type_])
    assert set(made) == ANSWERED
    assert (made["name"], made["description"], made["credentialType"]) == ("one", "what for", type_)
    assert api.get(f"/credentials/{made['credentialId']}/").json() == made
    assert api.get("/credentials/").json()["data"] == [made]


def test_the_older_name_of_api_token_and_a_key_file_as_text(api: Api) -> None:
    assert a_credential(api, "t", credentialType="api_token", apiToken="secret")["credentialType"] == "apiToken"
    assert a_credential(api, "k", credentialType="gcp", gcpKey=json.dumps(ACCOUNT_KEY))["credentialType"] == "gcp"
    for wrong in ("no json", "[1]", "{" * 5000):
        refused = api.post("/credentials/", json={"name": "w", "credentialType": "gcp", "gcpKey": wrong})
        assert set(refused.json()["errors"]) == {"gcpKey"}
        assert wrong not in refused.text


BASIC = {"name": "n", "credentialType": "basic", "user": "u", "password": "p"}
BEARER = {"name": "n", "credentialType": "bearer", "token": "t"}
GCP = {"name": "n", "credentialType": "gcp"}
LONG = "top-secret" * 2000
WRONG: list[tuple[dict[str, Any], set[str]]] = [
    ({}, {"name", "credentialType"}),
    ({"name": "n", "credentialType": "basic"}, {"user", "password"}),
    (BASIC | {"name": "", "password": 5}, {"name", "password"}),
    (BASIC | {"password": ""}, {"password"}),
    (BASIC | {"user": None}, {"user"}),
    (BASIC | {"credentialType": "magic", "user": ["top-secret"]}, {"credentialType", "user"}),
    (
        {"name": " ", "credentialType": "s3", "password": "top-secret"},
        {"name", "password", "awsAccessKeyId", "awsSecretAccessKey"},
    ),
    (BEARER | {"name": "n" * 256, "token": LONG, "user": "top-secret"}, {"name", "token", "user"}),
    (BEARER | {"token": {"a": "top-secret"}, "description": 1}, {"token", "description"}),
    (BEARER | {"token": "top-secret\0"}, {"token"}),
    (GCP | {"gcpKey": {"private_key": LONG * 5}}, {"gcpKey"}),
    (GCP | {"gcpKey": ["top-secret"]}, {"gcpKey"}),
]


@pytest.mark.parametrize(("body", "wrong"), WRONG)
def test_all_that_is_wrong_in_one_answer_that_shows_no_secret(api: Api, body: dict[str, Any], wrong: set[str]) -> None:
    refused = api.post("/credentials/", json=body)
    assert refused.status_code == 422, refused.text
    assert set(refused.json()["errors"]) == wrong
    assert "top-secret" not in refused.text
    assert api.get("/credentials/").json()["totalCount"] == 0


def test_a_body_that_is_no_json_is_not_shown(api: Api) -> None:
    headers = {"Content-Type": "application/json"}
    for content in (
        b'{"password": "top-secret"',
        b'["top-secret"]',
        b'"top-secret"',
        b'{"password": "top-secret\xff"}',
    ):
        refused = api.post("/credentials/", content=content, headers=headers)
        assert refused.status_code in {400, 422}
        assert "top-secret" not in refused.text


def test_a_name_is_taken_once_by_each_owner(installation: Installation) -> None:
    api, other = installation.api, installation.a_user("bob")
    a_credential(api, "one")
    second = a_credential(api, "two")
    assert api.post("/credentials/", json={"name": "one", "credentialType": "bearer", "token": "x"}).status_code == 409
    assert api.patch(f"/credentials/{second['credentialId']}/", json={"name": "one"}).status_code == 409
    assert api.patch(f"/credentials/{second['credentialId']}/", json={"name": "two"}).status_code == 200
    a_credential(other, "one")


def test_lists_are_paged_filtered_and_ordered(api: Api) -> None:
    a_credential(api, "beta", description="For the Warehouse")
    a_credential(api, "alpha", credentialType="bearer", token="token")
    a_credential(api, "gamma", credentialType="apiToken", apiToken="token")

    def names(query: str) -> list[str]:
        return [one["name"] for one in api.get(f"/credentials/?{query}").json()["data"]]

    assert names("") == ["gamma", "alpha", "beta"]
    assert names("orderBy=creationDate") == ["beta", "alpha", "gamma"]
    assert names("orderBy=name") == ["alpha", "beta", "gamma"]
    assert names("orderBy=-name&limit=1&offset=1") == ["beta"]
    assert names("types=basic&types=api_token&orderBy=name") == ["beta", "gamma"]
    assert names("search=WAREhouse") == ["beta"]
    assert names("search=anna") == []
    page = api.get("/credentials/?types=basic&types=bearer&limit=1").json()
    assert (page["count"], page["totalCount"], page["previous"]) == (1, 2, None)
    assert "types=basic&types=bearer" in page["next"]
    for wrong in ("types=magic", "orderBy=type", "limit=0"):
        assert api.get(f"/credentials/?{wrong}").status_code == 422


def test_a_change_leaves_what_is_absent(installation: Installation) -> None:
    api = installation.api
    made = a_credential(api, credentialType="s3", **EXAMPLES["s3"])
    path = f"/credentials/{made['credentialId']}/"
    changed = api.patch(path, json={"name": "renamed", "description": None, "awsSessionToken": None}).json()
    assert changed == made | {"name": "renamed", "description": None}
    assert plain(installation, made) == {"awsAccessKeyId": "AKIA1", "awsSecretAccessKey": "the-secret"}
    api.patch(path, json={"awsSecretAccessKey": "another", "credentialType": "s3"})
    assert plain(installation, made) == {"awsAccessKeyId": "AKIA1", "awsSecretAccessKey": "another"}
    api.patch(path, json={"awsSessionToken": "session"})
    api.patch(path, json={"awsAccessKeyId": "AKIA2", "awsSecretAccessKey": "third"})
    assert plain(installation, made)["awsSessionToken"] == "session"
    assert api.get("/credentials/?search=renamed").json()["count"] == 1


def test_a_wrong_change_names_everything_and_changes_nothing(installation: Installation) -> None:
    api = installation.api
    made = a_credential(api)
    body = {
        "name": "",
        "description": 5,
        "credentialType": "s3",
        "password": None,
        "user": ["top-secret"],
        "token": "top-secret",
    }
    refused = api.patch(f"/credentials/{made['credentialId']}/", json=body)
    assert refused.status_code == 422
    assert set(refused.json()["errors"]) == set(body)
    assert "top-secret" not in refused.text
    assert plain(installation, made) == {"user": "anna", "password": PASSWORD}


def test_rights(installation: Installation) -> None:
    api, bob, eve = installation.api, installation.a_user("bob"), installation.a_user("eve", organization="elsewhere")
    made = a_credential(api)
    path = f"/credentials/{made['credentialId']}/"
    for stranger in (bob, eve):
        assert stranger.get(path).status_code == 404
        assert stranger.patch(path, json={"name": "mine"}).status_code == 404
        assert stranger.delete(path).status_code == 404
        assert stranger.get("/credentials/").json()["totalCount"] == 0
    share(api, made["credentialId"], "bob")
    assert bob.get(path).json() == made
    assert bob.get("/credentials/").json()["totalCount"] == 1
    assert bob.patch(path, json={"password": "other"}).status_code == 403
    assert bob.delete(path).status_code == 403
    share(api, made["credentialId"], "bob", "CONSUMER")
    assert bob.get(path).status_code == 403
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404
    assert api.get(f"/credentials/{NOBODY}/").status_code == 404


def plain(installation: Installation, made: dict[str, Any]) -> dict[str, Any]:
    """The fields as a workload of the administrator's would get them."""
    return opened(installation, made["credentialId"])
