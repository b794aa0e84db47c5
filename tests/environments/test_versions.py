"""Versions of environments: contexts in, images and logs out; and everything that is refused."""

import io
import json
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from modelyard.environments.images.store import ImageStore
from modelyard.environments.tables import Build, EnvironmentVersion
from modelyard.operations.tables import Operation
from tests.conftest import Installation
from tests.environments.contexts import (
    START,
    an_environment,
    path_of,
    push,
    push_requirements,
    tarred,
    zipped,
)

BOMB = zipped({"requirements.txt": b"\n" * (80 << 20)})


def image_of(installation: Installation, version_id: str) -> Path:
    with installation.application.database.read() as session:
        digest = session.get_one(EnvironmentVersion, version_id).image_digest
    assert digest is not None
    found = installation.application.parts.get(ImageStore).find(digest)
    assert found is not None
    return found


def asked(image: Path, program: str) -> str:
    """What a program prints in an image."""
    done = subprocess.run([str(image / "bin" / "python"), "-c", program], capture_output=True, check=True, text=True)
    return done.stdout.strip()


def test_a_version_is_latest_at_once_and_successful_when_built(installation: Installation) -> None:
    api, made = installation.api, an_environment(installation.api)
    archive = zipped({"requirements.txt": b"apple==1.0\n", "notes/a.txt": b"hello"})
    answer = push(api, made["id"], archive, label="first", description="with apples")
    assert answer.status_code == 202
    version = answer.json()
    assert (version["label"], version["description"]) == ("first", "with apples")
    assert (version["buildStatus"], version["imageId"]) == ("submitted", None)
    environment = api.get(f"/executionEnvironments/{made['id']}/").json()
    assert (environment["latestVersion"], environment["latestSuccessfulVersion"]) == (version, None)
    assert api.get(path_of(version, "buildLog/")).json() == {"error": None, "log": ""}

    installation.run_operations()

    status = api.get(answer.headers["Location"])
    assert status.status_code == 303
    built = api.get(status.headers["Location"]).json()
    assert (built["id"], built["buildStatus"]) == (version["id"], "success")
    assert "apple==1.0" in built["libraries"]
    log = api.get(path_of(version, "buildLog/")).json()
    assert log["error"] is None
    assert "Requirements: apple==1.0" in log["log"]
    environment = api.get(f"/executionEnvironments/{made['id']}/").json()
    assert environment["latestSuccessfulVersion"] == environment["latestVersion"] == built
    image = image_of(installation, version["id"])
    assert asked(image, "import apple; print(apple.version)") == "1.0"
    assert not list((installation.application.settings.data_dir / "spool").iterdir())


@pytest.mark.parametrize(
    "archive",
    [
        zipped({"folder/requirements.txt": b"apple\n", "folder/start_server.sh": START}),
        tarred({"./requirements.txt": b"apple\n", "start_server.sh": START}),
        tarred({"requirements.txt": b"apple\n", "start_server.sh": START}, "w:"),
    ],
    ids=["zip-with-a-folder", "tar.gz", "tar"],
)
def test_every_kind_of_archive_makes_the_same_workspace(installation: Installation, archive: bytes) -> None:
    made = an_environment(installation.api)
    version = push(installation.api, made["id"], archive).json()
    early = installation.api.get(path_of(version, "download/"))
    assert (early.status_code, "not unpacked" in early.json()["message"]) == (409, True)
    installation.run_operations()
    content = installation.api.get(path_of(version, "download/")).content
    with zipfile.ZipFile(io.BytesIO(content)) as context:
        assert {name: context.read(name) for name in context.namelist()} == {
            "requirements.txt": b"apple\n",
            "start_server.sh": START,
        }
    with installation.application.database.read() as session:
        row = session.get_one(EnvironmentVersion, version["id"])
        assert (row.build_status, row.has_start_script, row.context_digest) == ("success", True, None)


def test_versions_are_listed_newest_first(installation: Installation) -> None:
    made = an_environment(installation.api)
    versions = [push_requirements(installation.api, made["id"], text)["id"] for text in ("apple\n", "pear\n", "")]
    listed = installation.api.get(f"/executionEnvironments/{made['id']}/versions/").json()
    assert [item["id"] for item in listed["data"]] == versions[::-1]
    assert [item["label"] for item in listed["data"]] == ["v3", "v2", "v1"]
    assert installation.api.get(path_of({"environmentId": made["id"], "id": "0" * 24})).status_code == 404


def test_equal_requirements_are_built_once(installation: Installation) -> None:
    made = an_environment(installation.api)
    first = push_requirements(installation.api, made["id"], "apple\npear==1.0\n")
    second = push_requirements(installation.api, made["id"], "# the same\npear==1.0\napple\n")
    installation.run_operations()
    assert image_of(installation, first["id"]) == image_of(installation, second["id"])
    log = installation.api.get(path_of(second, "buildLog/")).json()["log"]
    assert "built already" in log


def test_a_package_that_does_not_exist_names_its_line(installation: Installation) -> None:
    made = an_environment(installation.api)
    good = push_requirements(installation.api, made["id"], "apple\n")
    bad = push_requirements(installation.api, made["id"], "apple\n\nquince==3.0\n")
    installation.run_operations()
    read = installation.api.get(path_of(bad)).json()
    assert (read["buildStatus"], read["imageId"]) == ("failed", None)
    log = installation.api.get(path_of(bad, "buildLog/")).json()
    assert 'Line 3 of requirements.txt of the environment ("quince==3.0")' in log["error"]
    assert log["error"] in log["log"]
    status = installation.api.get(bad["location"])
    assert (status.status_code, status.json()["status"], status.json()["message"]) == (200, "ERROR", log["error"])
    environment = installation.api.get(f"/executionEnvironments/{made['id']}/").json()
    assert environment["latestVersion"]["id"] == bad["id"]
    assert environment["latestSuccessfulVersion"]["id"] == good["id"]


def test_a_source_package_is_built_in_the_sandbox(an_installation: Callable[..., Installation]) -> None:
    """Of this release the public index has a source archive only."""
    installation = an_installation()
    made = an_environment(installation.api)
    version = push_requirements(installation.api, made["id"], "docopt==0.6.2\n")
    installation.run_operations()
    log = installation.api.get(path_of(version, "buildLog/")).json()
    assert log["error"] is None, log["log"]
    assert "building it from its source in the sandbox" in log["log"]
    assert asked(image_of(installation, version["id"]), "import docopt; print(docopt.__version__)") == "0.6.2"


@pytest.mark.parametrize(
    ("archive", "text"),
    [
        (b"", "it is empty"),
        (b"neither zip nor tar", "archive"),
        (zipped({"../requirements.txt": b"apple\n"}), "requirements.txt"),
        (zipped({"/requirements.txt": b"apple\n"}), "requirements.txt"),
        (tarred({"requirements.txt": b""}, kind=tarfile.SYMTYPE), "link"),
        (BOMB, "times its size"),
        (zipped({f"f{number}": b"" for number in range(1001)}), "more than 1000 files"),
        (zipped({"Dockerfile": b"FROM python\n"}), "container executor"),
        (zipped({"readme.md": b"hello"}), "neither a requirements.txt nor"),
        (zipped({"requirements.txt": b"apple\n==1.0\n-r other.txt\n"}), "line 2"),
        (zipped({"requirements.txt": b"\xff\xfe\x00"}), "UTF-8"),
    ],
    ids=["empty", "text", "dots", "absolute", "link", "bomb", "many", "dockerfile", "nothing", "unparsable", "bytes"],
)
def test_a_hostile_or_useless_context_is_refused_and_leaves_nothing(
    installation: Installation, archive: bytes, text: str
) -> None:
    made = an_environment(installation.api)
    answer = push(installation.api, made["id"], archive)
    assert answer.status_code == 422
    assert text in answer.json()["message"]
    assert installation.api.get(f"/executionEnvironments/{made['id']}/").json()["latestVersion"] is None
    with installation.application.database.read() as session:
        assert session.scalars(select(Build)).all() == []
        assert session.scalars(select(Operation)).all() == []
    assert installation.stored() == (0, 0)


def test_images_are_refused_with_the_executor_that_they_take(installation: Installation) -> None:
    path = f"/executionEnvironments/{an_environment(installation.api)['id']}/versions/"
    image = installation.api.post(
        path, files={"docker_image": ("i.tar", b"x")}, data={"dockerImageUri": "registry.test/i"}
    )
    assert image.status_code == 422
    assert image.json()["errors"].keys() == {"docker_image", "dockerImageUri"}
    assert "container executor" in image.json()["message"]
    nothing = installation.api.post(path, files={"other": ("i.tar", b"x")})
    assert (nothing.status_code, list(nothing.json()["errors"])) == (422, ["docker_context"])


def test_an_environment_deleted_while_it_is_built_leaves_no_work(installation: Installation) -> None:
    made = an_environment(installation.api)
    version = push_requirements(installation.api, made["id"], "apple\n")
    assert installation.api.delete(f"/executionEnvironments/{made['id']}/").status_code == 204
    installation.run_operations()
    assert installation.api.get(version["location"]).json()["status"] == "ABORTED"
    with installation.application.database.read() as session:
        assert session.scalars(select(Build)).all() == []


def test_a_built_in_environment_is_prepared_on_request(installation: Installation) -> None:
    """The plain one, with its own definition made small: its real packages are not in the tests' index."""
    database = installation.application.database
    listed = installation.api.get("/executionEnvironments/?searchFor=pytorch").json()["data"]
    version = listed[0]["latestVersion"]
    with database.write() as session:
        row = session.get_one(EnvironmentVersion, version["id"])
        row.requirements, row.lock = "apple\n", None
    user = installation.a_user("ann")
    answer = user.post(path_of(version, "prepare/"))
    assert answer.status_code == 202
    assert answer.json()["buildStatus"] == "submitted"
    other = installation.api.post(path_of(version, "prepare/"))
    assert other.json() == {"statusId": None, "buildStatus": "submitted"}
    assert other.headers["Location"].endswith(path_of(version))
    installation.run_operations()
    assert user.get(answer.headers["Location"]).status_code == 303
    assert user.get(path_of(version)).json()["buildStatus"] == "success"
    assert "Built in" in user.get(path_of(version, "buildLog/")).json()["log"]
    image_of(installation, version["id"])
    again = user.post(path_of(version, "prepare/"))
    assert again.json() == {"statusId": None, "buildStatus": "success"}
    assert again.headers["Location"].endswith(path_of(version))
    assert user.get(path_of(version, "download/")).status_code == 422


def test_a_preparation_that_fails_leaves_the_environment_usable(installation: Installation) -> None:
    """The packages of the real definition are missing from the tests' index, as when the index cannot be reached."""
    version = installation.api.get("/executionEnvironments/?searchFor=xgboost").json()["data"][0]["latestVersion"]
    answer = installation.api.post(path_of(version, "prepare/"))
    installation.run_operations()
    assert installation.api.get(answer.headers["Location"]).json()["status"] == "ERROR"
    log = installation.api.get(path_of(version, "buildLog/")).json()
    assert log["error"]
    assert installation.api.get(path_of(version)).json()["buildStatus"] == "success"
    assert installation.api.post(path_of(version, "prepare/")).json()["buildStatus"] == "submitted"


def test_names_of_files_survive(installation: Installation) -> None:
    made = an_environment(installation.api)
    name = "mappe/größe ☂.json"
    archive = zipped({"requirements.txt": b"", name: json.dumps({"a": 1}).encode()})
    version = push(installation.api, made["id"], archive).json()
    installation.run_operations()
    content = installation.api.get(path_of(version, "download/")).content
    assert name in zipfile.ZipFile(io.BytesIO(content)).namelist()
