"""Versions of models from a real Git server."""

import base64
import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select, update

from modelyard.identity.tables import AuditEvent
from modelyard.operations.tables import Operation
from modelyard.repositories.pulled import Limits, PullError, read_source_paths, sort_out
from modelyard.storage.blobs import BlobStore
from tests.conftest import Installation
from tests.credentials.builders import a_credential
from tests.models.builders import a_model, post_version
from tests.repositories.builders import a_remote, paths_of, pulled, refused, start_pull
from tests.repositories.git_server import LOGIN, GitServer

FILES = {"README.md": b"read me", "models/churn/custom.py": b"x = 1\n", "models/churn/data/a.csv": b"a\n1\n"}


def test_a_version_of_a_branch_says_where_each_file_is_from(installation: Installation, server: GitServer) -> None:
    sha = server.a_repository().commit(FILES)
    location = f"{server.url}/churn.git"
    version = pulled(installation, a_remote(installation.api, location)["id"])
    assert paths_of(version) == sorted(FILES)
    item = version["items"][1]
    assert (item["fileSource"], item["commitSha"], item["ref"]) == ("git", sha, "main")
    assert (item["repositoryName"], item["repositoryLocation"]) == ("churn", location)
    assert (item["filePath"], item["repositoryFilePath"]) == ("models/churn/custom.py",) * 2
    blobs = installation.application.parts.get(BlobStore)  # type: ignore[type-abstract]
    assert blobs.read(item["storagePath"].rpartition("/")[2]) == b"x = 1\n"


def test_a_pulled_version_is_audited(installation: Installation, server: GitServer) -> None:
    server.a_repository().commit(FILES)
    version = pulled(installation, a_remote(installation.api, f"{server.url}/churn.git")["id"])
    with installation.application.database.read() as session:
        row = session.scalars(select(AuditEvent).where(AuditEvent.resource_id == version["id"])).one()
        assert (row.action, row.user_id) == ("create", installation.api.get("/account/info/").json()["uid"])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("models/churn", {"custom.py": "models/churn/custom.py", "data/a.csv": "models/churn/data/a.csv"}),
        ("models/churn/*", {"custom.py": "models/churn/custom.py", "data/a.csv": "models/churn/data/a.csv"}),
        ("models/churn/custom.py", {"custom.py": "models/churn/custom.py"}),
        (["models/churn/data/", "README.md"], {"README.md": "README.md", "a.csv": "models/churn/data/a.csv"}),
        ("*", {path: path for path in FILES}),
    ],
)
def test_paths_of_files_and_folders(
    installation: Installation, server: GitServer, source: str | list[str], expected: dict[str, str]
) -> None:
    server.a_repository().commit(FILES)
    remote = a_remote(installation.api, f"{server.url}/churn.git")
    version = pulled(installation, remote["id"], sourcePath=source)
    assert {item["filePath"]: item["repositoryFilePath"] for item in version["items"]} == expected


@pytest.mark.parametrize("allows_filter", [True, False])
def test_a_ref_is_a_branch_a_tag_or_a_commit(
    installation: Installation, server: GitServer, allows_filter: bool
) -> None:
    repository = server.a_repository()
    repository.git("config", "uploadpack.allowFilter", str(allows_filter).lower())
    first = repository.commit({"custom.py": b"1"})
    repository.git("tag", "-a", "v1", "-m", "one", first)
    second = repository.commit({"custom.py": b"2"})
    repository.commit({"custom.py": b"3"})
    other = repository.commit({"custom.py": b"4"}, branch="topic/x")
    remote = a_remote(installation.api, f"{server.url}/churn.git")["id"]
    for ref, sha in {
        "v1": first,
        second: second,
        second[:9]: second,
        "topic/x": other,
        "refs/heads/topic/x": other,
        "heads/topic/x": other,
    }.items():
        version = pulled(installation, remote, ref=ref, sourcePath="custom.py")
        assert [(item["commitSha"], item["ref"]) for item in version["items"]] == [(sha, ref)]


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_a_short_commit_beside_tags_of_other_things(
    installation: Installation, server: GitServer, object_format: str
) -> None:
    repository = server.a_repository(object_format=object_format)
    repository.commit({"custom.py": b"0"})
    sha = repository.commit({"custom.py": b"1"})
    repository.commit({"custom.py": b"2"})
    repository.git("tag", "-a", "of-a-tree", "-m", "as Linux has it", f"{sha}^{{tree}}")
    repository.git("tag", "of-a-file", repository.blob(b"a key, as git has it"))
    remote = a_remote(installation.api, f"{server.url}/churn.git")["id"]
    for source in ("custom.py", "*"):
        version = pulled(installation, remote, ref=sha[:10].upper(), sourcePath=source)
        assert version["items"][0]["commitSha"] == sha


def test_a_short_commit_that_could_be_several(installation: Installation, server: GitServer) -> None:
    repository = server.a_repository()
    tree = repository.tree(("100644", "f", repository.blob(b"x")))
    names: dict[str, str] = {}
    number = 0
    while True:  # 7 digits are the fewest that are looked up; some 20,000 commits have two that begin alike
        number += 1
        content = f"tree {tree}\nauthor a <a@x> {number} +0000\ncommitter a <a@x> {number} +0000\n\nx\n".encode()
        sha = hashlib.sha1(b"commit %d\0%s" % (len(content), content), usedforsecurity=False).hexdigest()
        if sha[:7] in names:
            break
        names[sha[:7]] = content.decode()
    for branch, text in (("one", names[sha[:7]]), ("two", content.decode())):
        made = repository.git("hash-object", "-w", "-t", "commit", "--stdin", given=text.encode())
        repository.git("update-ref", f"refs/heads/{branch}", made)
    remote = a_remote(installation.api, f"{server.url}/churn.git")["id"]
    assert "is the beginning of 2 names" in refused(installation, remote, ref=sha[:7])


def test_a_file_that_comes_again_says_where_it_is_from_now(installation: Installation, server: GitServer) -> None:
    repository = server.a_repository()
    first = repository.commit({"custom.py": b"same", "a.csv": b"1"})
    api = installation.api
    model = a_model(api)["id"]
    remote = a_remote(api, f"{server.url}/churn.git")["id"]
    post_version(api, model, {"custom.py": b"same"})
    items = pulled(installation, remote, model, method="PATCH")["items"]
    assert {item["commitSha"] for item in items} == {first}
    again = pulled(installation, remote, model, method="PATCH")["items"]
    assert [item["id"] for item in again] == [item["id"] for item in items]
    second = repository.commit({"custom.py": b"same", "a.csv": b"2"})
    items = pulled(installation, remote, model, method="PATCH")["items"]
    assert {item["commitSha"] for item in items} == {second}


def test_only_the_files_that_are_wanted_come(installation: Installation, server: GitServer) -> None:
    server.a_repository().commit(FILES | {f"large/{number}.bin": bytes([number]) * 90_000 for number in range(5)})
    remote = a_remote(installation.api, f"{server.url}/churn.git")["id"]
    assert paths_of(pulled(installation, remote, sourcePath="models/churn/custom.py")) == ["custom.py"]
    assert "450017 bytes together; 100000 are allowed" in refused(installation, remote)


def test_patch_puts_the_files_over_the_latest_version(installation: Installation, server: GitServer) -> None:
    repository = server.a_repository()
    repository.commit(FILES)
    api = installation.api
    model = a_model(api)["id"]
    remote = a_remote(api, f"{server.url}/churn.git")["id"]
    uploaded = post_version(api, model, {"custom.py": b"old", "keep.txt": b"k"}).json()
    version = pulled(installation, remote, model, method="PATCH", sourcePath="models/churn", isMajorUpdate=True)
    assert (version["label"], paths_of(version)) == ("2.0", ["custom.py", "data/a.csv", "keep.txt"])
    assert [item["fileSource"] for item in version["items"]] == ["git", "git", "local"]
    alone = pulled(installation, remote, model, sourcePath="README.md")
    assert (alone["label"], paths_of(alone)) == ("2.1", ["README.md"])
    assert api.get(f"/customModels/{model}/").json()["latestVersion"]["id"] == alone["id"]
    assert uploaded["label"] == "1.0"


@pytest.mark.parametrize(
    "login",
    [
        {"credentialType": "basic", "user": LOGIN[0], "password": LOGIN[1]},
        {"credentialType": "bearer", "token": LOGIN[1]},
        {"credentialType": "apiToken", "apiToken": LOGIN[1]},
    ],
)
def test_a_private_repository_opens_with_a_credential(
    installation: Installation, server: GitServer, login: dict[str, str]
) -> None:
    server.a_repository("private/churn.git").commit(FILES)
    credential = a_credential(installation.api, "git", **login)["credentialId"]
    remote = a_remote(installation.api, f"{server.url}/private/churn.git", credentialId=credential)
    assert len(pulled(installation, remote["id"])["items"]) == 3


@pytest.mark.parametrize(
    ("source_type", "user"), [("github", "x-access-token"), ("gitlab-cloud", "oauth2"), ("bitbucket-server", None)]
)
def test_a_token_is_sent_as_the_server_wants_it(
    installation: Installation, server: GitServer, source_type: str, user: str | None
) -> None:
    server.a_repository("open.git").commit(FILES)
    credential = a_credential(installation.api, "git", credentialType="apiToken", apiToken="secret-of-mine")
    remote = a_remote(
        installation.api,
        f"{server.url}/open.git",
        sourceType=source_type,
        credentialId=credential["credentialId"],
    )
    version = pulled(installation, remote["id"])
    assert {item["fileSource"] for item in version["items"]} == {source_type}
    expected = {"Bearer secret-of-mine"} if user is None else set(map(_basic, [f"{user}:secret-of-mine"]))
    assert set(server.authorizations) == expected


def _basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def test_a_wrong_login_says_so_and_stays_secret(installation: Installation, server: GitServer) -> None:
    server.a_repository("private/churn.git").commit(FILES)
    location = f"{server.url}/private/churn.git"
    assert "asks for a login" in refused(installation, a_remote(installation.api, location)["id"])
    wrong = a_credential(installation.api, "git", password="wrong-and-secret")["credentialId"]
    message = refused(installation, a_remote(installation.api, location, credentialId=wrong)["id"])
    assert "asks for a login" in message
    assert "wrong-and-secret" not in message
    with installation.application.database.read() as session:
        rows = session.execute(select(Operation.payload, Operation.state, Operation.message)).all()
    assert "wrong-and-secret" not in str(rows)


def test_a_repository_of_the_other_object_format(installation: Installation, server: GitServer) -> None:
    sha = server.a_repository(object_format="sha256").commit(FILES)
    version = pulled(installation, a_remote(installation.api, f"{server.url}/churn.git")["id"])
    assert {item["commitSha"] for item in version["items"]} == {sha}
    assert len(sha) == 64


def test_a_repository_that_moved_is_followed(installation: Installation, server: GitServer) -> None:
    server.a_repository("new.git").commit(FILES)
    server.redirects["/old.git"] = f"{server.url}/new.git"
    assert len(pulled(installation, a_remote(installation.api, f"{server.url}/old.git")["id"])["items"]) == 3


def test_a_repeated_last_step_makes_no_second_version(installation: Installation, server: GitServer) -> None:
    """As after a controller that was killed between making the version and saying so."""
    server.a_repository().commit(FILES)
    api = installation.api
    model = a_model(api)["id"]
    location = start_pull(api, model, a_remote(api, f"{server.url}/churn.git")["id"])
    installation.run_operations()
    with installation.application.database.write() as session:
        session.execute(
            update(Operation).where(Operation.id == location.split("/")[-2]).values(status="RUNNING", finished_at=None)
        )
        session.execute(update(Operation).where(Operation.id == location.split("/")[-2]).values(steps_done=2))
    installation.run_operations()
    assert api.get(location).status_code == 303
    assert api.get(f"/customModels/{model}/versions/").json()["totalCount"] == 1


def test_the_commit_is_settled_once(installation: Installation, server: GitServer) -> None:
    """A second attempt at fetching takes the commit that the first looked up, though the branch moved on."""
    repository = server.a_repository()
    first = repository.commit({"custom.py": b"1"})
    api = installation.api
    location = start_pull(api, a_model(api)["id"], a_remote(api, f"{server.url}/churn.git")["id"])
    state = {"source": {"source_type": "git", "name": "churn", "location": "l", "target": first, "ref": "main"}}
    repository.commit({"custom.py": b"2"})
    with installation.application.database.write() as session:
        session.execute(
            update(Operation).where(Operation.id == location.split("/")[-2]).values(steps_done=1, state=state)
        )
    installation.run_operations()
    version = api.get(api.get(location).headers["Location"]).json()
    assert version["items"][0]["commitSha"] == first


def test_a_thousand_files(an_installation: Callable[..., Installation], server: GitServer, tmp_path: Path) -> None:
    installation = an_installation(allowed_private_hosts=("127.0.0.1",))
    server.a_repository().commit({f"part{n % 20}/file{n}.py": f"x = {n}\n".encode() for n in range(1000)})
    remote = a_remote(installation.api, f"{server.url}/churn.git")["id"]
    assert len(pulled(installation, remote)["items"]) == 1000
    server.a_repository("more.git").commit({f"file{n}.py": b"" for n in range(1001)})
    message = refused(installation, a_remote(installation.api, f"{server.url}/more.git")["id"])
    assert "More than the 1000 files" in message


def test_source_paths_are_read_as_people_write_them() -> None:
    assert read_source_paths(["./a/", "a", "b/*"]) == ("a", "b")
    for everything in ("", ".", "/", "*", ["a", "*"], []):
        assert read_source_paths(everything) == ()
    with pytest.raises(ValueError, match=r"'\.\./x' leaves its folder.*'/etc' is absolute"):
        read_source_paths(["../x", "/etc"])


def test_what_has_no_end_is_not_read_to_the_end() -> None:
    for name in ("{}.py", "{}\\x", "../{}"):
        endless = ((name.format(number), "k", 1) for number in itertools.count())
        with pytest.raises(PullError, match="More than the 10 files"):
            sort_out(endless, (), Limits(10, 100))
