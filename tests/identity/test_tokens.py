"""API tokens, and what a client asks first: ping, version, account."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import pytest

from modelyard.gateway.grants import Grants
from modelyard.identity.tables import ApiToken
from modelyard.identity.token_use import TokenUse
from tests.api_client import Api
from tests.conftest import Installation


@pytest.mark.parametrize("path", ["/ping", "/ping/", "//ping"])
def test_ping_needs_no_token(api: Api, path: str) -> None:
    answer = api.as_(None).get(path)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"response": "pong"}


def test_the_version_tells_whether_a_token_is_valid(api: Api) -> None:
    answer = api.get("/version/").json()
    assert answer["versionString"] == version("modelyard")
    assert answer["releasedVersion"].startswith(f"{answer['major']}.{answer['minor']}")
    assert api.as_("my_unknown").get("/version/").status_code == 401
    assert api.as_(None).get("/version/").status_code == 401


def test_the_account_behind_a_token(installation: Installation) -> None:
    account = installation.api.get("/account/info/").json()
    assert account["username"] == "admin"
    assert account["orgId"] == account["tenantId"]
    assert account["permissions"] == {"administration": True}
    somebody = installation.a_user("somebody").get("/account/info/").json()
    assert somebody["permissions"] == {"administration": False}
    assert {"uid", "email", "firstName", "lastName"} <= set(somebody)


def test_a_token_is_shown_once_and_works_until_it_is_revoked(api: Api) -> None:
    made = api.post("/apiTokens/", json={"name": "laptop"})
    assert made.status_code == 201, made.text
    token = made.json()["token"]
    assert token.startswith("my_")
    assert api.as_(token).get("/account/info/").status_code == 200
    listed = api.get("/apiTokens/").json()["data"]
    assert [found["name"] for found in listed] == ["laptop", "first start"]
    assert all("token" not in found for found in listed)
    assert token not in api.get("/apiTokens/").text
    assert api.delete(f"/apiTokens/{made.json()['id']}/").status_code == 204
    assert api.as_(token).get("/account/info/").status_code == 401
    assert api.delete(f"/apiTokens/{made.json()['id']}/").status_code == 404
    assert len(api.get("/apiTokens/").json()["data"]) == 1


def test_a_token_ends_when_it_said(installation: Installation) -> None:
    ends = datetime.now(UTC) + timedelta(hours=1)
    made = installation.api.post("/apiTokens/", json={"name": "ci", "expiresAt": ends.isoformat()}).json()
    short_lived = installation.api.as_(made["token"])
    assert short_lived.get("/account/info/").status_code == 200
    with installation.application.database.write() as session:
        session.get_one(ApiToken, made["id"]).expires_at = datetime.now(UTC) - timedelta(seconds=1)
    assert short_lived.get("/account/info/").status_code == 401
    assert [found["name"] for found in installation.api.get("/apiTokens/").json()["data"]] == ["first start"]


@pytest.mark.parametrize("expires_at", ["2001-01-01T00:00:00Z", "2099-01-01T00:00:00", "tomorrow"])
def test_an_end_that_makes_no_sense_is_refused(api: Api, expires_at: str) -> None:
    answer = api.post("/apiTokens/", json={"name": "ci", "expiresAt": expires_at})
    assert answer.status_code == 422
    assert set(answer.json()["errors"]) == {"expiresAt"}


def test_only_the_full_scope_exists(api: Api) -> None:
    assert api.post("/apiTokens/", json={"name": "ci", "scope": "predict"}).status_code == 422


def test_an_administrator_makes_and_revokes_tokens_of_others(installation: Installation) -> None:
    user = installation.api.post("/users/", json={"username": "grace"}).json()
    made = installation.api.post("/apiTokens/", json={"name": "hers", "userId": user["id"]}).json()
    assert made["username"] == "grace"
    grace = installation.api.as_(made["token"])
    assert grace.get("/account/info/").json()["uid"] == user["id"]
    listed = installation.api.get(f"/apiTokens/?userId={user['id']}").json()["data"]
    assert [found["id"] for found in listed] == [made["id"]]
    own = installation.api.get("/apiTokens/").json()["data"][0]["id"]
    assert grace.delete(f"/apiTokens/{own}/").status_code == 404
    assert installation.api.delete(f"/apiTokens/{made['id']}/").status_code == 204
    installation.api.patch(f"/users/{user['id']}/", json={"isActive": False})
    refused = installation.api.post("/apiTokens/", json={"name": "hers", "userId": user["id"]})
    assert refused.status_code == 422


def test_the_last_use_of_a_token_is_written_in_batches(installation: Installation) -> None:
    use = TokenUse(installation.application.database)
    token_id = installation.api.get("/apiTokens/").json()["data"][0]["id"]
    use.note(token_id)
    use.note(token_id)
    assert installation.api.get("/apiTokens/").json()["data"][0]["lastUsedAt"] is None
    use.write()
    assert installation.api.get("/apiTokens/").json()["data"][0]["lastUsedAt"] is not None


def test_requests_are_noted_when_the_process_ends(an_installation: Callable[..., Installation]) -> None:
    installation = an_installation()
    installation.api.get("/account/info/")
    installation.api.client.__exit__(None, None, None)
    with installation.application.database.read() as session:
        assert session.query(ApiToken).one().last_used_at is not None
    installation.api.client.__enter__()


def test_the_gateway_notes_tokens_too(installation: Installation) -> None:
    noted: list[str] = []
    grants = Grants(installation.application.database, noted.append)
    grants.load((f"Bearer {installation.api.token}", "0" * 24))
    assert noted == [installation.api.get("/apiTokens/").json()["data"][0]["id"]]
    grants.load(("Bearer my_unknown", "0" * 24))
    assert len(noted) == 1
