"""Building what a task's requirements.txt asks for."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelyard.environments.tables import Build
from tests.api_client import Api
from tests.conftest import Installation
from tests.environments.conftest import RUNNER_NEEDS
from tests.environments.models import a_built_environment
from tests.images.packages import PackageIndex, serving
from tests.tasks.builders import CODE, a_task, a_task_version


@pytest.fixture
def index(tmp_path: Path) -> Iterator[PackageIndex]:
    with serving(tmp_path / "index") as index:
        for name in (*RUNNER_NEEDS, "apple", "pear"):
            index.add_wheel(name)
        yield index


@pytest.fixture
def installation(an_installation: Callable[..., Installation], index: PackageIndex) -> Installation:
    return an_installation(package_index_url=index.url)


@pytest.fixture
def environment_id(installation: Installation) -> str:
    return str(a_built_environment(installation)["id"])


def path_of_version(api: Api, environment_id: str, requirements: bytes | None) -> str:
    task = a_task(api)
    files = {"custom.py": CODE} | ({} if requirements is None else {"requirements.txt": requirements})
    version = a_task_version(api, task["id"], files, baseEnvironmentId=environment_id)
    return f"/customTasks/{task['id']}/versions/{version['id']}/"


def test_a_build_from_start_to_log(installation: Installation, environment_id: str) -> None:
    api = installation.api
    path = path_of_version(api, environment_id, b"pear==1.0\n")
    for answer in (
        api.get(f"{path}dependencyBuild/"),
        api.get(f"{path}dependencyBuildLog/"),
        api.delete(f"{path}dependencyBuild/"),
    ):
        assert answer.status_code == 422
        assert "build has not been started" in answer.json()["message"]
    started = api.post(f"{path}dependencyBuild/")
    assert (started.status_code, "Location" in started.headers) == (202, False)
    state = started.json()
    ids = path.split("/")
    assert (state["customTaskId"], state["customTaskVersionId"]) == (ids[2], ids[4])
    assert (state["buildStatus"], state["buildEnd"], state["buildLogLocation"]) == ("submitted", None, None)
    assert api.get(f"{path}dependencyBuildLog/").status_code == 404
    installation.run_operations()
    state = api.get(f"{path}dependencyBuild/").json()
    assert state["buildStatus"] == "success"
    assert state["buildLogLocation"].endswith(f"{path}dependencyBuildLog/")
    assert "pear" in api.get(state["buildLogLocation"]).text
    assert api.delete(f"{path}dependencyBuild/").status_code == 409
    model = api.get(path.replace("customTasks", "customModels") + "dependencyBuild/").json()
    assert (model["buildStatus"], model["customModelId"]) == ("success", ids[2]), "one build, by both doors"


def test_a_build_that_fails_and_one_that_is_cancelled(installation: Installation, environment_id: str) -> None:
    api = installation.api
    failing = path_of_version(api, environment_id, b"plum==1.0\n")
    api.post(f"{failing}dependencyBuild/")
    cancelled = path_of_version(api, environment_id, b"apple==1.0\npear==1.0\n")
    api.post(f"{cancelled}dependencyBuild/")
    assert api.delete(f"{cancelled}dependencyBuild/").status_code == 204
    installation.run_operations()
    assert api.get(f"{failing}dependencyBuild/").json()["buildStatus"] == "failed"
    assert "plum" in api.get(f"{failing}dependencyBuildLog/").text
    assert api.get(f"{cancelled}dependencyBuild/").json()["buildStatus"] == "failed"


def test_there_may_be_nothing_to_build(installation: Installation, environment_id: str) -> None:
    path = path_of_version(installation.api, environment_id, None)
    answer = installation.api.post(f"{path}dependencyBuild/")
    assert (answer.status_code, set(answer.json()["errors"])) == (422, {"dependencyBuild"})


def test_a_deleted_task_takes_its_builds_along(installation: Installation, environment_id: str) -> None:
    api = installation.api
    path = path_of_version(api, environment_id, b"pear==1.0\n")
    api.post(f"{path}dependencyBuild/")
    assert api.delete(path.partition("versions/")[0]).status_code == 204
    with installation.application.database.read() as session:
        assert session.query(Build).filter_by(subject_id=path.split("/")[4]).count() == 0
