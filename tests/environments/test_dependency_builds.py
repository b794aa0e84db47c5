"""Building a model version's dependencies: live, once, cancelled, killed and taken up again."""

import codecs
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import select, update

from modelyard.environments import builds
from modelyard.environments.images.spec import ImageSpec, RequirementsFile
from modelyard.environments.images.store import ImageStore
from modelyard.environments.tables import Build, EnvironmentVersion, ImageUse
from modelyard.environments.work import collect_images, ensure_image, live_image_digests
from modelyard.operations import service as operations
from modelyard.operations.engine import Engine
from modelyard.operations.tables import Operation
from modelyard.operations.work import Handler, Work
from modelyard.workspaces.erasing import ERASE
from tests.conftest import Installation
from tests.environments.contexts import path_of
from tests.environments.models import a_built_environment, a_model_version, build_path
from tests.images.packages import PackageIndex
from tests.waiting import wait_until

CASES = Path(__file__).parents[1] / "cases"


@contextmanager
def a_running_engine(installation: Installation) -> Iterator[Engine]:
    """A controller in a thread."""
    engine = installation.application.engine()
    thread = threading.Thread(target=engine.run, daemon=True)
    thread.start()
    try:
        yield engine
    finally:
        engine.stop()
        thread.join(10)
        assert not thread.is_alive()


def stored_build(installation: Installation, version: dict[str, Any]) -> Build:
    with installation.application.database.read() as session:
        found = builds.find_build(session, builds.MODEL_VERSION, version["id"])
    assert found is not None
    return found


def image_of(installation: Installation, version: dict[str, Any]) -> Path:
    digest = stored_build(installation, version).image_digest
    assert digest is not None
    found = installation.application.parts.get(ImageStore).find(digest)
    assert found is not None
    return found


def test_a_build_from_start_to_log(installation: Installation) -> None:
    api = installation.api
    version = a_model_version(api, a_built_environment(installation)["id"], "pear==1.0\n")
    before = api.get(build_path(version))
    assert before.status_code == 422
    assert "build has not been started" in before.json()["message"]
    assert api.get(build_path(version, "dependencyBuildLog/")).status_code == 422
    assert api.delete(build_path(version)).status_code == 422

    started = api.post(build_path(version))
    assert started.status_code == 202
    assert started.json().keys() == {
        "buildStart",
        "buildEnd",
        "buildLogLocation",
        "buildStatus",
        "customModelId",
        "customModelVersionId",
    }
    assert (started.json()["buildStatus"], started.json()["buildEnd"]) == ("submitted", None)
    assert api.get(build_path(version, "dependencyBuildLog/")).status_code == 404
    assert api.post(build_path(version), json={}).json() == started.json()

    installation.run_operations()

    done = api.get(build_path(version)).json()
    assert done["buildStatus"] == "success"
    assert done["buildEnd"] > done["buildStart"]
    assert (done["customModelId"], done["customModelVersionId"]) == (version["customModelId"], version["id"])
    log = api.get(done["buildLogLocation"])
    assert log.headers["Content-Type"].startswith("text/plain")
    assert "Requirements: apple, pear==1.0." in log.text
    assert api.delete(build_path(version)).status_code == 409
    program = "import apple, pear; print(apple.version, pear.version)"
    image = image_of(installation, version)
    assert subprocess.check_output([str(image / "bin" / "python"), "-c", program], text=True) == "1.0 1.0\n"


def test_an_image_that_was_built_on_the_way_is_a_success(installation: Installation) -> None:
    api = installation.api
    environment = a_built_environment(installation)
    version = a_model_version(api, environment["id"], "pear==1.0\n")
    twin = a_model_version(api, environment["id"], "pear==1.0\n")
    assert api.get(build_path(version)).status_code == 422
    packaged = api.post("/modelPackages/fromCustomModelVersion/", json={"customModelVersionId": version["id"]})
    assert packaged.status_code == 201, packaged.text
    assert api.get(build_path(version)).status_code == 422, "it is not built yet"
    installation.run_operations()
    done = api.get(build_path(version)).json()
    assert (done["buildStatus"], done["customModelVersionId"]) == ("success", version["id"])
    assert done["buildStart"] < done["buildEnd"]
    assert "packaged" in api.get(done["buildLogLocation"]).text
    assert api.get(build_path(twin)).status_code == 422, "nobody needed its image yet"
    bare = a_model_version(api, environment["id"], None)
    assert api.post("/modelPackages/fromCustomModelVersion/", json={"customModelVersionId": bare["id"]}).is_success
    installation.run_operations()
    assert api.get(build_path(bare)).status_code == 422, "there is nothing to build"


def test_a_file_as_powershell_writes_it(installation: Installation, index: PackageIndex) -> None:
    index.add_wheel("packaging", "24.2")
    index.add_wheel("attrs")
    content = (CASES / "requirements_utf16" / "model" / "requirements.txt").read_bytes()
    assert content.startswith(codecs.BOM_UTF16_LE)
    version = a_model_version(installation.api, a_built_environment(installation)["id"], content)
    found = {each["packageName"]: each["constraints"] for each in version["dependencies"]}
    assert found == {"packaging": [{"constraintType": "==", "version": "24.2"}], "attrs": []}
    installation.api.post(build_path(version))
    installation.run_operations()
    assert installation.api.get(build_path(version)).json()["buildStatus"] == "success"
    command = [
        str(image_of(installation, version) / "bin" / "python"),
        "-c",
        "import packaging; print(packaging.version)",
    ]
    assert subprocess.check_output(command, text=True) == "24.2\n"


def test_a_warm_build_is_a_success_at_once(installation: Installation) -> None:
    api = installation.api
    environment = a_built_environment(installation)
    first = a_model_version(api, environment["id"], "pear==1.0\n")
    api.post(build_path(first))
    installation.run_operations()
    second = a_model_version(api, environment["id"], "pear == 1.0  # the same\n", first["customModelId"])
    taken_s = []
    for _ in range(5):
        before = time.perf_counter()
        answer = api.post(build_path(second))
        taken_s.append(time.perf_counter() - before)
        assert answer.json()["buildStatus"] == "success"
    assert min(taken_s) < 0.05
    assert image_of(installation, second) == image_of(installation, first)
    assert "built already" in api.get(answer.json()["buildLogLocation"]).text


def test_a_failing_line_is_named_and_a_better_index_heals(installation: Installation, index: PackageIndex) -> None:
    api = installation.api
    version = a_model_version(api, a_built_environment(installation)["id"], "pear\n# sour\nquince>=2\n")
    api.post(build_path(version))
    installation.run_operations()
    failed = api.get(build_path(version)).json()
    assert failed["buildStatus"] == "failed"
    log = api.get(failed["buildLogLocation"]).text
    assert 'Line 3 of requirements.txt ("quince>=2")' in log
    assert str(stored_build(installation, version).error) in log
    index.add_wheel("quince", "2.0")
    assert api.post(build_path(version)).json()["buildStatus"] == "submitted"
    installation.run_operations()
    assert api.get(build_path(version)).json()["buildStatus"] == "success"


def test_what_has_nothing_to_build_says_so(installation: Installation) -> None:
    version = a_model_version(installation.api, a_built_environment(installation)["id"], None)
    answer = installation.api.post(build_path(version))
    assert answer.status_code == 422
    assert "there is nothing to build" in answer.json()["message"]


def test_strangers_find_no_build(installation: Installation) -> None:
    version = a_model_version(installation.api, a_built_environment(installation)["id"], "pear\n")
    installation.api.post(build_path(version))
    stranger = installation.a_user("eve")
    assert stranger.get(build_path(version)).status_code == 404
    assert stranger.post(build_path(version)).status_code == 404
    assert stranger.delete(build_path(version)).status_code == 404
    assert stranger.get(build_path(version, "dependencyBuildLog/")).status_code == 404


@contextmanager
def a_package_that_never_comes(index: PackageIndex, folder: Path, name: str) -> Iterator[Callable[[], None]]:
    """The index, in ``folder``, knows the package, and leaves whoever asks for its file waiting.

    What is yielded lets it come after all.
    """
    index.add_wheel(name)
    file = next(folder.glob(f"files/{name}-*.whl"))
    content = file.read_bytes()
    file.unlink()
    os.mkfifo(file)

    def arrive() -> None:
        if file.is_fifo():
            pipe = os.open(file, os.O_RDWR)
            file.unlink()
            file.write_bytes(content)
            os.close(pipe)  # whoever waits reads nothing

    try:
        yield arrive
    finally:
        arrive()


def test_the_log_streams_while_the_build_runs_and_a_cancel_ends_it(
    installation: Installation, index: PackageIndex, tmp_path: Path
) -> None:
    api = installation.api
    environment = a_built_environment(installation)
    version = a_model_version(api, environment["id"], "medlar\n")
    with a_package_that_never_comes(index, tmp_path / "index", "medlar"), a_running_engine(installation):
        api.post(build_path(version))

        def shown() -> bool:
            with installation.application.database.read() as session:
                build = builds.find_build(session, builds.MODEL_VERSION, version["id"])
                return build is not None and "Requirements: apple, medlar." in builds.log_of(session, build)

        wait_until(shown, what="the first line of the log")
        assert api.get(build_path(version)).json()["buildStatus"] == "processing"
        assert api.get(build_path(version, "dependencyBuildLog/")).status_code == 404
        assert api.delete(build_path(version)).status_code == 204
        ended = api.get(build_path(version)).json()
        assert ended["buildStatus"] == "failed"
        assert ended["buildEnd"]
        operation_id = stored_build(installation, version).operation_id

        def aborted() -> bool:
            return bool(api.get(f"/status/{operation_id}/").json()["status"] == "ABORTED")

        wait_until(aborted, what="the end of the operation")
    images = installation.application.settings.data_dir / "images"
    assert list((images / ".staging").iterdir()) == []
    assert stored_build(installation, version).error == "The build was canceled."


def test_a_build_whose_controller_was_killed_is_taken_up_again(installation: Installation) -> None:
    """What a SIGKILL leaves: a leased operation, a build on show as processing, half a log."""
    api = installation.api
    version = a_model_version(api, a_built_environment(installation)["id"], "pear\n")
    api.post(build_path(version))
    build = stored_build(installation, version)
    with installation.application.database.write() as session:
        past = datetime.now(UTC) - timedelta(seconds=1)
        session.execute(
            update(Operation)
            .where(Operation.id == build.operation_id)
            .values(status="RUNNING", lease_owner="gone/1/1.00", lease_token="0" * 24, lease_expires_at=past)
        )
        session.execute(update(Build).where(Build.id == build.id).values(status="processing", log="Requirements: …\n"))
    installation.run_operations()
    done = api.get(build_path(version)).json()
    assert done["buildStatus"] == "success"
    log = api.get(done["buildLogLocation"]).text
    assert log.startswith("Requirements: …\nThe build was interrupted; it starts again.\n")
    assert "Built in" in log


def test_a_controller_killed_in_the_middle_of_a_build_loses_nothing(
    installation: Installation, index: PackageIndex, tmp_path: Path
) -> None:
    """SIGKILL while the installer waits for a file; the next controller builds at once, without the lease's end."""
    api, application = installation.api, installation.application
    version = a_model_version(api, a_built_environment(installation)["id"], "medlar\n")
    settings = application.settings
    variables = {
        "MODELYARD_DATA_DIR": str(settings.data_dir),
        "MODELYARD_RUNTIME_DIR": str(settings.runtime_dir),
        "MODELYARD_DATABASE_URL": settings.database(),
        "MODELYARD_PACKAGE_INDEX_URL": index.url,
    }
    program = "from modelyard.app import build; from modelyard.kernel.settings import Settings; "
    program += "build(Settings()).engine().run()"
    with a_package_that_never_comes(index, tmp_path / "index", "medlar") as arrive:
        api.post(build_path(version))
        controller = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, **variables})
        try:
            wait_until(lambda: installers_below(controller.pid), what="the installer to run")
            wait_until(lambda: api.get(build_path(version)).json()["buildStatus"] == "processing")
        finally:
            controller.kill()
            controller.wait()
        arrive()
        with a_running_engine(installation):
            wait_until(lambda: api.get(build_path(version)).json()["buildStatus"] == "success", timeout_s=20)
    assert "it starts again" in api.get(build_path(version, "dependencyBuildLog/")).text
    images = application.parts.get(ImageStore)
    staging = settings.data_dir / "images" / ".staging"

    def is_clean() -> bool:
        images.collect(builds_digests(installation))
        return not list(staging.iterdir())

    wait_until(is_clean, what="the killed build's folder to be collected")
    assert image_of(installation, version).is_dir()


def installers_below(pid: int) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it may end just now
            found += [child] if child.name() == "uv" else []
    return found


def builds_digests(installation: Installation) -> set[str]:
    with installation.application.database.read() as session:
        return live_image_digests(session, used_since=datetime.now(UTC))


def test_a_deleted_model_takes_its_builds_along(installation: Installation) -> None:
    api = installation.api
    version = a_model_version(api, a_built_environment(installation)["id"], "pear\n")
    api.post(build_path(version))
    assert api.delete(f"/customModels/{version['customModelId']}/").status_code == 204
    installation.run_operations()
    with installation.application.database.read() as session:
        kinds = session.scalars(select(Build.subject_kind)).all()
        assert list(kinds) == [builds.ENVIRONMENT_VERSION]
        left = session.scalars(select(Operation.kind).where(Operation.finished_at.is_(None))).all()
        assert set(left) == {ERASE}, "which waits until nobody can be uploading the same"


def test_images_are_collected_when_nothing_refers_to_them(installation: Installation) -> None:
    api, application = installation.api, installation.application
    images, settings = application.parts.get(ImageStore), application.settings
    environment = a_built_environment(installation)
    version = a_model_version(api, environment["id"], "pear\n")
    api.post(build_path(version))
    installation.run_operations()
    base = api.get(f"/executionEnvironments/{environment['id']}/").json()["latestVersion"]["imageId"]
    own = stored_build(installation, version).image_digest
    assert collect_images(application.database, images, age_s=0) == []
    api.delete(f"/customModels/{version['customModelId']}/")
    assert collect_images(application.database, images, age_s=settings.garbage_age_s) == [], "it was used lately"
    assert collect_images(application.database, images, age_s=0) == [own]
    assert images.find(base) is not None
    api.delete(f"/executionEnvironments/{environment['id']}/")
    assert collect_images(application.database, images, age_s=0) == [base]
    with application.database.read() as session:
        assert session.scalars(select(ImageUse)).all() == []


def test_other_operations_get_their_image_built(installation: Installation) -> None:
    """``ensure_image``: built when it is absent, found when it is there, its failure that of the operation."""
    application = installation.application
    said: list[str] = []
    found: list[Path] = []

    def need(work: Work) -> None:
        spec = ImageSpec((RequirementsFile("requirements.txt", work.payload["text"]),))
        found.append(ensure_image(work, spec, said.append))

    def run(text: str) -> Operation:
        with application.database.write() as session:
            row = operations.start(session, None, "need", status_type="Test", payload={"text": text})
        Engine(application.database, application.parts, [Handler("need", (need,))]).run_until_idle()
        with application.database.read() as session:
            return session.get_one(Operation, row.id)

    assert run("pear\n").status == "COMPLETED"
    assert run("pear\n").status == "COMPLETED"
    assert found[0] == found[1]
    assert said == ["Building the environment."]
    failed = run("pear\nquince\n")
    assert failed.status == "ERROR"
    assert failed.message.startswith("The environment could not be built: Line 2 of requirements.txt")
    assert "line 1" in run("=1\n").message


@pytest.mark.parametrize("below", ["", "prepare/"])
def test_an_image_that_was_lost_is_made_again(installation: Installation, below: str) -> None:
    environment = a_built_environment(installation)
    version = installation.api.get(f"/executionEnvironments/{environment['id']}/").json()["latestVersion"]
    images = installation.application.parts.get(ImageStore)
    images.collect([])
    assert images.find(version["imageId"]) is None
    if below:
        installation.api.post(path_of(version, below))
    else:
        made = a_model_version(installation.api, environment["id"], "apple\n")
        installation.api.post(build_path(made))
    installation.run_operations()
    assert images.find(version["imageId"]) is not None
    with installation.application.database.read() as session:
        assert session.get_one(EnvironmentVersion, version["id"]).build_status == "success"
