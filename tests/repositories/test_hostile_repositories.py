"""Repositories that are broken, or made to break in: nothing gets out of its folder, and nothing half-made stays."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard.operations import service as operations
from tests.conftest import Installation
from tests.credentials.builders import a_credential
from tests.models.builders import a_model, an_environment_id
from tests.repositories.builders import a_remote, paths_of, pulled, refused, start_pull
from tests.repositories.git_server import GitServer
from tests.waiting import wait_until

CODE = {"custom.py": b"x = 1\n"}
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 10\n"


def remote(installation: Installation, server: GitServer, name: str = "churn.git") -> str:
    return str(a_remote(installation.api, f"{server.url}/{name}")["id"])


def test_links_and_submodules_are_named_and_refused(installation: Installation, server: GitServer) -> None:
    repository = server.a_repository()
    repository.commit(CODE, links={"out": "../../../etc/passwd"}, submodules={"lib": "1" * 40})
    message = refused(installation, remote(installation, server))
    assert "'lib' is a submodule; 'out' is a symbolic link" in message
    assert paths_of(pulled(installation, remote(installation, server), sourcePath="custom.py")) == ["custom.py"]


@pytest.mark.parametrize("name", ["..", ".", "a\\b", "C:x", "bell\a", "/etc/x"])
def test_names_that_leave_their_folder(installation: Installation, server: GitServer, name: str) -> None:
    repository = server.a_repository()
    blob = repository.blob(b"x")
    inner = repository.tree(("100644", "evil.py", blob))
    repository.commit_tree(repository.tree(("40000", name, inner)))
    assert "cannot be" in refused(installation, remote(installation, server))


def test_a_folder_of_gits_own_is_just_files(installation: Installation, server: GitServer, tmp_path: Path) -> None:
    """A hook, a filter and a configuration that would run something, if anybody checked this out."""
    mark = tmp_path / "it ran"
    repository = server.a_repository()
    config = f'[core]\n\tfsmonitor = touch "{mark}"\n[filter "x"]\n\tsmudge = touch "{mark}"\n'.encode()
    inner = repository.tree(("100644", "config", repository.blob(config)))
    files = repository.tree(
        ("40000", ".git", inner),
        ("100644", ".gitattributes", repository.blob(b"* filter=x export-ignore\n")),
        ("100755", "custom.py", repository.blob(b"x")),
    )
    repository.commit_tree(files)
    version = pulled(installation, remote(installation, server))
    assert paths_of(version) == [".git/config", ".gitattributes", "custom.py"]
    assert not mark.exists()


def test_a_tree_that_unfolds_without_end(installation: Installation, server: GitServer) -> None:
    repository = server.a_repository()
    tree = repository.tree(("100644", "f", repository.blob(b"x")))
    for _ in range(9):
        tree = repository.tree(*(("40000", f"d{number}", tree) for number in range(10)))
    repository.commit_tree(tree)
    message = refused(installation, remote(installation, server))
    assert "lists more files" in message or "More than the 1000 files" in message


def test_files_over_the_limit_are_named(installation: Installation, server: GitServer) -> None:
    server.a_repository().commit(CODE | {"data/large.bin": b"0" * 100_001, "data/also.bin": b"1" * 200_000})
    for source in ("*", "data"):
        message = refused(installation, remote(installation, server), sourcePath=source)
        assert "data/also.bin'" in message
        assert "data/large.bin'" in message
        assert "custom.py" not in message


def test_a_file_that_is_none(installation: Installation, server: GitServer) -> None:
    repository = server.a_repository()
    inner = repository.tree(("100644", "f", repository.blob(b"x")))
    repository.commit_tree(repository.tree(("100644", "custom.py", inner)))
    for source in ("*", "custom.py"):
        message = refused(installation, remote(installation, server), sourcePath=source)
        assert "no files but only said to be: 'custom.py'" in message


def test_a_path_that_is_longer_than_can_be_kept(installation: Installation, server: GitServer) -> None:
    folder = "/".join(["folder"] * 100)
    server.a_repository().commit({f"{folder}/{folder}/custom.py": b"x"})
    message = refused(installation, remote(installation, server), sourcePath=folder)
    assert "is longer than 1024 characters in the repository" in message


def test_pointers_to_large_files_are_no_files(installation: Installation, server: GitServer) -> None:
    server.a_repository().commit(CODE | {"model.pkl": POINTER})
    assert "Git LFS, which is not pulled: 'model.pkl'" in refused(installation, remote(installation, server))


def test_what_is_not_there(installation: Installation, server: GitServer) -> None:
    server.a_repository("empty.git")
    server.a_repository().commit(CODE)
    empty = remote(installation, server, "empty.git")
    assert "it has no commit yet" in refused(installation, empty)
    assert "it has no commit yet" in refused(installation, empty, ref="main")
    there = remote(installation, server)
    assert "no branch, tag or commit 'mian'; it has 'main'" in refused(installation, there, ref="mian")
    assert "no commit 'deadbeef'" in refused(installation, there, ref="deadbeef")
    assert f"no commit '{'d' * 40}'" in refused(installation, there, ref="d" * 40)
    assert "There is no 'custom.yp'; 'models' in" in refused(installation, there, sourcePath=["models", "custom.yp"])
    assert "There is no such repository" in refused(installation, remote(installation, server, "nothing.git"))
    assert "is no Git repository" in refused(installation, remote(installation, server, "page.git"))


def test_a_ref_is_no_option(installation: Installation, server: GitServer, tmp_path: Path) -> None:
    server.a_repository().commit(CODE)
    there = remote(installation, server)
    mark = tmp_path / "it ran"
    for ref in (f"--upload-pack=touch {mark}", "-u", "main:main", "main^{/x}", "@{-1}"):
        assert "no branch, tag or commit" in refused(installation, there, ref=ref)
    assert "There is no '--output=x'" in refused(installation, there, sourcePath="--output=x")
    assert not mark.exists()


def test_two_files_for_one_place(installation: Installation, server: GitServer) -> None:
    server.a_repository().commit({"a/custom.py": b"1", "b/custom.py": b"2"})
    message = refused(installation, remote(installation, server), sourcePath=["a", "b"])
    assert "'a/custom.py' and 'b/custom.py' would both become 'custom.py'" in message


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("http://127.0.0.2/x.git", "The host 127.0.0.2 is private"),
        ("http://169.254.169.254/latest", "The host 169.254.169.254 is private"),
        ("file:///etc", "must be an http:// or https:// URL"),
        ("ext::sh -c id", "must be an http:// or https:// URL"),
        ("http://[", "which is no URL"),
        ("http://a\0b/", "must be an http:// or https:// URL"),
    ],
)
def test_a_redirect_leads_nowhere_private(
    installation: Installation, server: GitServer, target: str, text: str
) -> None:
    server.redirects["/churn.git"] = target
    assert text in refused(installation, remote(installation, server))


def test_a_redirect_of_the_second_request_is_not_followed(installation: Installation, server: GitServer) -> None:
    """The first request is looked up before git asks; here the objects themselves are said to be elsewhere."""
    server.a_repository().commit(CODE)
    server.redirects["/churn.git/git-upload-pack"] = "http://127.0.0.2/churn.git/git-upload-pack"
    assert "redirects to another address" in refused(installation, remote(installation, server))


def test_a_login_is_not_taken_to_another_host(an_installation: Callable[..., Installation], server: GitServer) -> None:
    installation = an_installation(allowed_private_hosts=("127.0.0.1", "localhost"))
    server.a_repository("new.git").commit(CODE)
    server.redirects["/old.git"] = f"{server.url.replace('127.0.0.1', 'localhost')}/new.git"
    credential = a_credential(installation.api, "git")["credentialId"]
    message = refused(installation, a_remote(installation.api, f"{server.url}/old.git", credentialId=credential)["id"])
    assert "redirects to the host localhost, which the credential is not sent to" in message
    assert server.authorizations == []
    assert paths_of(pulled(installation, remote(installation, server, "old.git"))) == ["custom.py"]


def test_a_server_that_hangs_is_given_up(an_installation: Callable[..., Installation], server: GitServer) -> None:
    installation = an_installation(allowed_private_hosts=("127.0.0.1",), pull_timeout_s=1)
    server.a_repository().commit(CODE)
    server.stuck.add("/churn.git/git-upload-pack")
    assert "took longer than the 1 s" in refused(installation, remote(installation, server))


def test_a_server_that_drips_is_given_up(an_installation: Callable[..., Installation], server: GitServer) -> None:
    """A byte now and then keeps every timeout of a socket from passing; the whole must end all the same."""
    installation = an_installation(allowed_private_hosts=("127.0.0.1",), pull_timeout_s=1)
    server.dripping.add("/churn.git")
    assert "takes too long to answer" in refused(installation, remote(installation, server))


def test_a_pull_can_be_canceled_before_the_server_answers(installation: Installation, server: GitServer) -> None:
    server.dripping.add("/churn.git")
    api = installation.api
    location = start_pull(api, a_model(api)["id"], remote(installation, server))
    working = threading.Thread(target=installation.run_operations)
    working.start()
    wait_until(lambda: server.requests, what="the first request")
    with installation.application.database.write() as session:
        operations.request_cancel(session, location.split("/")[-2])
    working.join(5)
    assert api.get(location).json()["status"] == "ABORTED"


def test_a_pull_can_be_canceled(installation: Installation, server: GitServer) -> None:
    server.a_repository().commit(CODE)
    server.stuck.add("/churn.git/git-upload-pack")
    api = installation.api
    location = start_pull(api, a_model(api)["id"], remote(installation, server))
    working = threading.Thread(target=installation.run_operations)
    working.start()
    wait_until(lambda: any("git-upload-pack" in path.partition("?")[0] for path in server.requests), what="git to ask")
    assert "Looking for the default branch of Churn code" in api.get(location).json()["message"]
    with installation.application.database.write() as session:
        operations.request_cancel(session, location.split("/")[-2])
    working.join(10)
    assert api.get(location).json()["status"] == "ABORTED"
    assert not list((installation.application.settings.data_dir / "spool").glob("pull-*"))


def test_requirements_that_cannot_be_read_make_no_version(installation: Installation, server: GitServer) -> None:
    server.a_repository().commit(CODE | {"requirements.txt": b"=== nonsense\n"})
    assert "requirements.txt cannot be read" in refused(installation, remote(installation, server))


def test_what_is_gone_before_the_pull_begins(installation: Installation, server: GitServer) -> None:
    server.a_repository().commit(CODE)
    api = installation.api
    credential = a_credential(api, "git")["credentialId"]
    made = a_remote(api, f"{server.url}/churn.git", credentialId=credential)["id"]
    model = a_model(api)["id"]
    without_credential, without_repository = start_pull(api, model, made), start_pull(api, model, made)
    assert api.delete(f"/credentials/{credential}/").status_code == 204
    operation = without_repository.split("/")[-2]
    with installation.application.database.write() as session:
        operations.request_cancel(session, operation)
    installation.run_operations()
    assert "credential of 'Churn code' cannot be used" in api.get(without_credential).json()["message"]
    fresh = a_remote(api, f"{server.url}/churn.git")["id"]
    deleted = start_pull(api, model, fresh)
    assert api.delete(f"/remoteRepositories/{fresh}/").status_code == 204
    installation.run_operations()
    assert "was deleted before anything was pulled" in api.get(deleted).json()["message"]
    assert api.get(f"/customModels/{model}/versions/").json()["totalCount"] == 0


def test_wrong_fields_come_all_at_once(installation: Installation) -> None:
    api = installation.api
    path = f"/customModels/{a_model(api)['id']}/versions/fromRepository/"
    body = {
        "repositoryId": "0" * 24,
        "baseEnvironmentId": "0" * 24,
        "isMajorUpdate": "yes",
        "ref": "a\nb",
        "sourcePath": ["../x"],
        "requiredMetadata": {"A": "1"},
        "requiredMetadataValues": [{"fieldName": "A", "value": "2"}],
    }
    for method in ("POST", "PATCH"):
        answer = api.request(method, path, json=body)
        assert answer.status_code == 422
        assert answer.json()["errors"].keys() == {name for name in body if name != "requiredMetadataValues"}
    assert api.post(path, json={"sourcePath": 5}).json()["errors"].keys() >= {"repositoryId", "sourcePath"}


def test_strangers_pull_nothing(installation: Installation, server: GitServer) -> None:
    server.a_repository().commit(CODE)
    there = remote(installation, server)
    eve = installation.a_user("eve")
    body = {"repositoryId": there, "baseEnvironmentId": an_environment_id(eve)}
    path = f"/customModels/{a_model(eve)['id']}/versions/fromRepository/"
    assert list(eve.post(path, json=body).json()["errors"]) == ["repositoryId"]
    mine = f"/customModels/{a_model(installation.api)['id']}/versions/fromRepository/"
    assert eve.post(mine, json=body).status_code == 404
