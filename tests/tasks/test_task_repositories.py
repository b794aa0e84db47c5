"""Versions of tasks from a real Git server."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api_client import Api
from tests.conftest import Installation
from tests.models.builders import an_environment_id, paths_of
from tests.repositories.builders import a_remote
from tests.repositories.git_server import GitServer, a_git_server
from tests.tasks.builders import CODE, a_task, a_task_version

METADATA = b"hyperparameters: [{name: trees, type: int}]\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with a_git_server(tmp_path / "repositories") as served:
        yield served


@pytest.fixture
def installation(an_installation: Callable[..., Installation]) -> Installation:
    return an_installation(allowed_private_hosts=("127.0.0.1",))


def ask(api: Api, method: str, task_id: str, **fields: Any) -> Any:
    return api.request(method, f"/customTasks/{task_id}/versions/fromRepository/", json=fields)


def test_a_version_of_a_repository_alone_and_on_top_of_the_latest(
    installation: Installation, server: GitServer
) -> None:
    api = installation.api
    sha = server.a_repository().commit({"trees/custom.py": CODE, "trees/model-metadata.yaml": METADATA})
    remote = a_remote(api, f"{server.url}/churn.git")
    task = a_task(api)
    a_task_version(api, task["id"], {"kept.py": b"x"})
    made = []
    for method in ("PATCH", "POST"):
        fields = {"repositoryId": remote["id"], "ref": "main", "sourcePath": ["trees"], "isMajorUpdate": True}
        answer = ask(api, method, task["id"], **fields, baseEnvironmentId=an_environment_id(api))
        assert answer.status_code == 202, answer.text
        status = api.get(answer.headers["Location"]).json()
        assert status["statusType"] == "CustomTaskVersion"
        installation.run_operations()
        done = api.get(answer.headers["Location"])
        assert done.status_code == 303, done.text
        assert f"/customTasks/{task['id']}/versions/" in done.headers["Location"]
        made.append(api.get(done.headers["Location"]).json())
    assert [paths_of(version) for version in made] == [
        ["custom.py", "kept.py", "model-metadata.yaml"],
        ["custom.py", "model-metadata.yaml"],
    ]
    assert [version["label"] for version in made] == ["2.0", "3.0"]
    assert made[0]["items"][0]["commitSha"] == sha
    assert made[1]["hyperparameters"] == [{"name": "trees", "type": "int"}]


def test_what_is_wrong_is_told_before_anything_is_pulled(installation: Installation) -> None:
    api = installation.api
    task = a_task(api)
    answer = ask(api, "POST", task["id"], repositoryId="0" * 24, isMajorUpdate="x", baseEnvironmentId="0" * 24)
    assert answer.status_code == 422
    assert set(answer.json()["errors"]) == {"repositoryId", "isMajorUpdate", "baseEnvironmentId"}
    for method in ("POST", "PATCH"):
        assert set(ask(api, method, task["id"]).json()["errors"]) == {"repositoryId", "baseEnvironmentId"}
    model = f"/customModels/{task['id']}/versions/"
    for path in (model, f"{model}fromRepository/"):
        refused = api.patch(path, json={"isMajorUpdate": False})
        assert "baseEnvironmentId" in refused.json()["errors"], path
    a_task_version(api, task["id"])
    assert set(ask(api, "PATCH", task["id"]).json()["errors"]) == {"repositoryId"}, "that of the latest is kept"


def test_files_that_cannot_be_a_version_end_the_pull(installation: Installation, server: GitServer) -> None:
    api = installation.api
    server.a_repository().commit({"model-metadata.yaml": b"hyperparameters: [{name: trees, type: tree}]"})
    remote = a_remote(api, f"{server.url}/churn.git")
    task = a_task(api)
    answer = ask(api, "POST", task["id"], repositoryId=remote["id"], baseEnvironmentId=an_environment_id(api))
    installation.run_operations()
    status = api.get(answer.headers["Location"]).json()
    assert status["status"] == "ERROR"
    assert "type must be one of int, float, select, string, multi, not 'tree'" in status["message"]
    assert api.get(f"/customTasks/{task['id']}/versions/").json()["totalCount"] == 0
