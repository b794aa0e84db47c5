"""Remote repositories through the API."""

from collections.abc import Callable
from typing import Any

import pytest

from modelyard.repositories.locations import BucketLocation, GitLocation, read_location, repository_name
from tests.api_client import Api
from tests.conftest import Installation
from tests.credentials.builders import a_credential, share
from tests.repositories.builders import a_remote


@pytest.fixture
def installation(an_installation: Callable[..., Installation]) -> Installation:
    """One that allows no private host."""
    return an_installation()


GITHUB = "https://github.com/team/churn"


def refused(api: Api, **fields: Any) -> dict[str, str]:
    body = {"name": "Code", "location": GITHUB, "sourceType": "github"} | fields
    answer = api.post("/remoteRepositories/", json=body)
    assert answer.status_code == 422, answer.text
    return dict(answer.json()["errors"])


def test_made_read_changed_deleted(api: Api) -> None:
    made = a_remote(api, GITHUB, sourceType="github", description="all of it")
    path = f"/remoteRepositories/{made['id']}/"
    assert api.get(path).json() == made
    assert (made["location"], made["sourceType"], made["credentialId"]) == (GITHUB, "github", None)
    changed = api.patch(path, json={"name": "Other", "description": None}).json()
    assert (changed["name"], changed["description"], changed["location"]) == ("Other", None, GITHUB)
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404


def test_lists_are_paged_searched_and_ordered(api: Api) -> None:
    for name in ("b", "a", "c"):
        a_remote(api, f"https://git.example.com/{name}x.git", name=name)
    listed = api.get("/remoteRepositories/", params={"limit": 2, "orderBy": "name"}).json()
    assert ([one["name"] for one in listed["data"]], listed["totalCount"]) == (["a", "b"], 3)
    assert [one["name"] for one in api.get(listed["next"]).json()["data"]] == ["c"]
    assert [one["name"] for one in api.get("/remoteRepositories/?searchFor=CX").json()["data"]] == ["c"]
    assert [one["name"] for one in api.get("/remoteRepositories/").json()["data"]] == ["c", "a", "b"]


def test_strangers_see_nothing(installation: Installation) -> None:
    path = f"/remoteRepositories/{a_remote(installation.api, GITHUB)['id']}/"
    eve = installation.a_user("eve")
    assert eve.get("/remoteRepositories/").json()["totalCount"] == 0
    assert {eve.get(path).status_code, eve.patch(path, json={}).status_code, eve.delete(path).status_code} == {404}


@pytest.mark.parametrize(
    "location",
    [
        "https://localhost/x.git",
        "https://127.0.0.1/x.git",
        "https://127.1/x.git",
        "https://[::1]/x.git",
        "https://10.0.0.5/x.git",
        "https://169.254.169.254/x",
        "ssh://git@192.168.1.1/x.git",
        "git@localhost:x.git",
        "http://github.com/team/churn",
        "https://anna:secret@github.com/team/churn",
        "https://anna@github.com/team/churn",
        "file:///etc",
        "/etc",
        "ext::sh -c id",
        "javascript:alert(1)",
        "data:text/html,x",
        "github.com:team/churn",
        "git@example.com:x\x1b]52;c;eA==\x07",
        "https://example.com/x\n",
        "git://github.com/x",
        "ssh://-oProxyCommand=id/x",
        "-oProxyCommand=id:x",
        "git@example.com:-x",
        "ssh://-x@example.com/x",
        "https://example.com/",
        "https://example.com/x?y",
        "https://exa mple.com/x",
        "https://exämple.com/x",
        "https://example.com:99999/x",
    ],
)
def test_locations_that_are_refused(api: Api, location: str) -> None:
    assert list(refused(api, location=location)) == ["location"]


def test_private_hosts_that_are_named_are_allowed(an_installation: Callable[..., Installation]) -> None:
    api = an_installation(allowed_private_hosts=("10.0.0.5", "localhost")).api
    for location in ("http://10.0.0.5/x.git", "https://localhost/x.git", "git@localhost:x.git"):
        a_remote(api, location)
    assert list(refused(api, location="http://10.0.0.6/x.git")) == ["location"]
    a_remote(api, "http://localhost:9000/bucket/models", sourceType="s3")


@pytest.mark.parametrize(
    "location",
    [
        "x",
        "UPPER",
        "s3://",
        "http://minio.example.com/bucket",
        "https://10.0.0.1/bucket",
        "https://minio.example.com:99999/bucket",
        "https://minio.example.com:x/bucket",
        "https://anna@minio.example.com/bucket",
        "10.0.0.1",
        "s3://a..b/c",
        "javascript:alert(1)",
        "javascript/alert(1)\n",
        "ftp://a/b",
    ],
)
def test_buckets_that_are_refused(api: Api, location: str) -> None:
    assert list(refused(api, location=location, sourceType="s3")) == ["location"]


def test_wrong_fields_come_all_at_once(api: Api) -> None:
    wrong = {"name": " ", "location": "x y", "sourceType": "svn", "credentialId": "0" * 24, "description": 5}
    assert refused(api, **wrong).keys() >= {"name", "sourceType", "description"}
    assert refused(api, name=" ", location="x y", credentialId="0" * 24).keys() >= {"name", "location"}
    assert refused(api, credentialId="0" * 24).keys() == {"credentialId"}
    path = f"/remoteRepositories/{a_remote(api, GITHUB)['id']}/"
    answer = api.patch(path, json={"name": "", "sourceType": "s3", "credentialId": "x"})
    assert answer.status_code == 422
    assert answer.json()["errors"].keys() == {"name"} | answer.json()["errors"].keys() & {"location", "credentialId"}
    assert api.get(path).json()["name"] == "Churn code"


def test_the_credential_must_fit_and_be_usable(installation: Installation) -> None:
    api = installation.api
    basic = a_credential(api, "basic")["credentialId"]
    key = a_credential(api, "key", credentialType="rsa", privateKey="k")["credentialId"]
    assert "takes s3" in refused(api, location="models", sourceType="s3", credentialId=basic)["credentialId"]
    assert "takes apiToken or basic" in refused(api, credentialId=key)["credentialId"]
    assert "takes rsa" in refused(api, location="git@github.com:a/b.git", credentialId=basic)["credentialId"]
    made = a_remote(api, GITHUB, credentialId=basic)
    path = f"/remoteRepositories/{made['id']}/"
    assert api.patch(path, json={"location": "git@github.com:a/b.git"}).json()["errors"].keys() == {"credentialId"}
    moved = api.patch(path, json={"location": "git@github.com:a/b.git", "credentialId": key})
    assert moved.json()["credentialId"] == key
    assert api.patch(path, json={"credentialId": None}).json()["credentialId"] is None
    anna = installation.a_user("anna")
    mine = {"name": "Code", "location": GITHUB, "sourceType": "github", "credentialId": basic}
    assert anna.post("/remoteRepositories/", json=mine).json()["errors"].keys() == {"credentialId"}
    share(api, basic, "anna", "CONSUMER")
    assert anna.post("/remoteRepositories/", json=mine).status_code == 201


def test_a_lost_credential_can_be_taken_to_no_other_host(installation: Installation) -> None:
    """Who may no longer use a credential cannot have it sent to a server of their own."""
    api, anna = installation.api, installation.a_user("anna")
    credential = a_credential(api, "basic")["credentialId"]
    share(api, credential, "anna")
    made = a_remote(anna, GITHUB, credentialId=credential)
    share(api, credential, "anna", None)
    path = f"/remoteRepositories/{made['id']}/"
    answer = anna.patch(path, json={"location": "https://evil.example.com/x.git"})
    assert (answer.status_code, list(answer.json()["errors"])) == (422, ["credentialId"])
    assert anna.patch(path, json={"name": "Still mine"}).status_code == 200


def test_locations_as_they_are_read() -> None:
    browsed = "https://bitbucket.example.com/projects/KEY/repos/churn/browse"
    found = read_location(browsed, "bitbucket-server")
    assert isinstance(found, GitLocation)
    assert found.url == "https://bitbucket.example.com/scm/KEY/churn.git"
    for location, name in ((f"{GITHUB}.git", "churn"), ("git@github.com:churn.git", "churn"), (f"{GITHUB}/", "churn")):
        assert repository_name(read_location(location, "git")) == name
    assert read_location("s3://models/churn/", "s3") == BucketLocation("models", "churn/", None)
    assert read_location("models", "s3") == BucketLocation("models", "", None)
