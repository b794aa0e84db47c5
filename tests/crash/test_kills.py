"""SIGKILL at every stage of the story: whatever is killed, everything ends truthfully, and nothing is left over."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import select

from modelyard.garbage import BLOB_COLUMNS
from modelyard.kernel.database import Database
from tests.journeys.crowd import Crowd
from tests.journeys.story import SCIKIT_LEARN, Seen, Story, answered
from tests.servers import a_server
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("crash_kills")

ROLES = ("api", "gateway", "controller")
VICTIMS = ("api", "supervisor", "gateway", "runner", "controller")
NAMED = """
    import time

    def load_model(code_dir):
        time.sleep({seconds})
        return {name!r}

    def score_unstructured(model, data, **kwargs):
        return model
"""
SLOWLY = """
    import time
    import pandas as pd

    def load_model(code_dir):
        return 1

    def score(data, model, **kwargs):
        time.sleep(0.02)
        return pd.DataFrame({"Predictions": data["x"].fillna(0).astype(float)})
"""
PACKAGES = iter([f"idna==3.{minor}" for minor in range(10, 1, -1)])
ROWS = "x,y\n" + "".join(f"{number},{number}\n" for number in range(30))
HONEST = ("killed", "SIGKILL", "went away", "interrupted", "signal 9", "exit code 137")
"""What a reason says that tells the truth about these tests."""
IN_SANDBOX = 4
"""Processes of a workload once its sandbox stands: supervisor, bubblewrap twice, and what was to run."""
_numbers = count()


@dataclass
class Yard(Story):
    """A server whose parts are killed one after another."""

    served: dict[str, str] = field(default_factory=dict)

    def a_named_package(self, *, seconds: float = 0.0, name: str = "one") -> dict[str, Any]:
        return self.a_package_of(NAMED.format(name=name, seconds=seconds), name=f"{name} {next(_numbers)}")

    def kill(self, victim: str, workloads: Callable[[], list[Seen]]) -> None:
        """Kills a role, or the supervisor or the runner of a workload that is alive now."""
        if victim in ROLES:
            self.server.kill(victim)
            return
        one = wait_until(workloads, 30, "a workload to kill")[0]
        if victim == "runner":
            wait_until(lambda: len(one.pids()) >= IN_SANDBOX, 30, "something in the sandbox")
        with contextlib.suppress(ProcessLookupError):
            os.kill(one.supervisor_pid if victim == "supervisor" else one.runner_pid(), signal.SIGKILL)

    def patiently(self, ask: Callable[[], httpx.Response]) -> httpx.Response:
        """An answer, asked for again when the API is just being restarted."""

        def attempt() -> httpx.Response | None:
            with contextlib.suppress(httpx.TransportError):
                return ask()
            return None

        return wait_until(attempt, 20, "the API")

    def collect(self) -> None:
        """``modelyard gc``, of everything."""
        command = [sys.executable, "-m", "modelyard.cli.main", "gc", "--min-age", "0"]
        command += ["--data-dir", str(self.server.data_dir)]
        subprocess.run(command, env=self.server.environment, check=True, capture_output=True, timeout=60)

    def await_text(self, deployment_id: str, text: str) -> None:
        def look() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return self.ask(deployment_id).text == text
            return False

        wait_until(look, 40, f"{text!r} from {deployment_id}")


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory, shared_images: dict[str, Path]) -> Iterator[Yard]:
    folder = tmp_path_factory.mktemp("yard")
    shared = {"cache_dir": shared_images["cache_dir"]}  # images of its own: their end is looked at, too
    with a_server(folder / "data", **shared, lease_s=6) as server:
        yard = Yard(server)
        yield yard
        yard.close()


# the stages: each begins something, has the victim killed in the middle of it, and checks how it ended


def upload(yard: Yard, victim: str) -> None:
    """A dataset on its way in; only the API can lose it, and then the client knows."""
    content = ROWS.encode() * 2000

    def slowly() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="rows.csv"\r\n\r\n'
        yield content[: len(content) // 2]
        yard.kill(victim, list)
        time.sleep(0.1)
        yield content[len(content) // 2 :]
        yield b"\r\n--b--\r\n"

    def send(body: Any) -> httpx.Response:
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        return yard.api.post("/datasets/fromFile/", content=body, headers=headers)

    before = yard.api.get("/datasets/").json()["totalCount"]
    if victim == "api":
        with pytest.raises(httpx.TransportError):
            send(slowly())
        assert yard.api.get("/datasets/").json()["totalCount"] == before
        uploaded = yard.api.post("/datasets/fromFile/", files={"file": ("rows.csv", content)})
    else:
        uploaded = send(slowly())
    answered(uploaded, 202)
    dataset = yard.await_success(uploaded.headers["Location"])
    assert dataset["processingState"] == "COMPLETED"
    assert yard.api.get(f"/datasets/{dataset['datasetId']}/file/").content == content


def build(yard: Yard, victim: str) -> None:
    """Dependencies being built: done in the end, or failed with the reason and done when asked for again."""
    model = yard.a_model(name="built")
    requirements = f"docopt==0.6.2\n{next(PACKAGES)}\n"  # the first is a source package: it is built in the sandbox
    files = {"custom.py": NAMED.format(name="b", seconds=0), "requirements.txt": requirements}
    version = yard.a_version(model["id"], files)
    path = f"/customModels/{model['id']}/versions/{version['id']}/dependencyBuild/"

    def status() -> str:
        return str(answered(yard.patiently(lambda: yard.api.get(path)), 200)["buildStatus"])

    answered(yard.api.post(path), 202)

    def builders() -> list[Seen]:
        return [one for one in yard.workloads() if not one.labels.keys() & {"service", "test"}]

    wait_until(builders, 20, "the build to begin")
    yard.kill(victim, builders)
    wait_until(lambda: status() in {"success", "failed"}, 60, "the end of the build")
    log = yard.api.get(path.replace("dependencyBuild/", "dependencyBuildLog/")).text
    if status() == "failed":
        assert victim not in ROLES, log
        assert any(word in log for word in HONEST), log
        answered(yard.api.post(path), 202)
        wait_until(lambda: status() == "success", 60, "the second build")


def run_test(yard: Yard, victim: str) -> None:
    """A test of a model: a killed part of the server changes nothing, a killed model fails it with the reason."""
    model = yard.a_model(name="tested", targetType="Regression", targetName="y")
    version = yard.a_version(model["id"], {"custom.py": SLOWLY}, SCIKIT_LEARN)
    uploaded = yard.api.post("/datasets/fromFile/", files={"file": ("rows.csv", ROWS.encode())})
    dataset = yard.await_success(uploaded.headers["Location"])
    body = {"customModelId": model["id"], "customModelVersionId": version["id"], "datasetId": dataset["datasetId"]}
    body["configuration"] = {"errorCheck": "fail", "longRunningService": "fail", "sideEffects": "fail"}
    asked = yard.api.post("/customModelTests/", json=body)
    answered(asked, 202)

    def testing() -> list[Seen]:
        return [one for one in yard.workloads() if "test" in one.labels]

    wait_until(testing, 60, "the model under test")
    yard.kill(victim, testing)
    test = yard.await_success(asked.headers["Location"])
    assert test["completedAt"]
    if test["overallStatus"] != "succeeded":
        assert victim not in ROLES, test
        messages = " ".join(one["message"] for one in test["testingStatus"].values())
        assert any(word in messages for word in HONEST), messages
    wait_until(lambda: not testing(), 20, "the end of the tested model")


def package(yard: Yard, victim: str) -> None:
    """A version being packaged, with its image to be built."""
    model = yard.a_model(name="packaged")
    files = {"custom.py": NAMED.format(name="p", seconds=0), "requirements.txt": f"{next(PACKAGES)}\n"}
    made = yard.a_package(yard.a_version(model["id"], files))
    yard.kill(victim, list)

    def built() -> dict[str, Any] | None:
        found = answered(yard.patiently(lambda: yard.api.get(f"/modelPackages/{made['id']}/")), 200)
        return found if found["buildStatus"] != "inProgress" else None

    found = wait_until(built, 60, "the package")
    assert found["buildStatus"] == "complete", found


def launch(yard: Yard, victim: str) -> None:
    """A deployment being launched: it is active in the end, or errored with the reason."""
    deployment_id, location = yard.launch(yard.a_named_package(seconds=0.7))
    wait_until(lambda: yard.workloads_of(deployment_id), 60, "the model to be starting")
    yard.kill(victim, lambda: yard.workloads_of(deployment_id))
    yard.await_success(location)
    assert yard.read(deployment_id)["status"] == "active"
    yard.await_text(deployment_id, "one")
    assert len(yard.workloads_of(deployment_id)) == 1
    yard.delete(deployment_id)


def serve(yard: Yard, victim: str) -> None:
    """Serving: without api or controller nobody notices; a killed model or gateway is back soon."""
    deployment_id = yard.deploy(yard.a_named_package())
    (before,) = yard.workloads_of(deployment_id)
    if victim in {"api", "controller"}:
        crowd = Crowd(yard, deployment_id)
        with crowd.asking(4):
            crowd.await_more(50)
            yard.kill(victim, list)
            crowd.await_more(200)
        assert crowd.failures == []
    else:
        yard.kill(victim, lambda: yard.workloads_of(deployment_id))
    yard.await_text(deployment_id, "one")
    (after,) = wait_until(lambda: yard.workloads_of(deployment_id), 20)
    assert (after.id == before.id) == (victim in ROLES)
    assert yard.read(deployment_id)["status"] == "active"
    yard.delete(deployment_id)


def replace(yard: Yard, victim: str) -> None:
    """A model being replaced: the new one answers in the end, and whoever answered before did until then."""
    deployment_id = yard.deploy(yard.a_named_package(name="old"))
    (old,) = yard.workloads_of(deployment_id)
    location = yard.replace(deployment_id, yard.a_named_package(seconds=0.7, name="new"))

    def starting() -> list[Seen]:
        return [one for one in yard.workloads_of(deployment_id) if one.id != old.id]

    wait_until(starting, 30, "the new model to be starting")
    yard.kill(victim, starting)
    yard.await_success(location)
    yard.await_text(deployment_id, "new")
    wait_until(lambda: len(yard.workloads_of(deployment_id)) == 1, 30, "the end of the old model")
    yard.delete(deployment_id)


def delete(yard: Yard, victim: str) -> None:
    """A deployment being deleted."""
    deployment_id = yard.deploy(yard.a_named_package())
    (before,) = yard.workloads_of(deployment_id)
    yard.delete(deployment_id)
    yard.kill(victim, lambda: [before])
    wait_until(lambda: not yard.workloads_of(deployment_id), 30, "the end of its replica")
    wait_until(lambda: not (yard.executor.root / before.id).exists(), 30, "the end of its folder")


STAGES: dict[Callable[[Yard, str], None], tuple[str, ...]] = {
    upload: ROLES,
    build: VICTIMS,
    run_test: VICTIMS,
    package: ("api", "controller"),
    launch: VICTIMS,
    serve: VICTIMS,
    replace: VICTIMS,
    delete: ("api", "supervisor", "controller", "runner"),
}


@pytest.mark.parametrize(
    ("stage", "victim"),
    [
        pytest.param(stage, victim, id=f"{stage.__name__}-{victim}")
        for stage, victims in STAGES.items()
        for victim in victims
    ],
)
def test_a_kill_in_the_middle(yard: Yard, stage: Callable[[Yard, str], None], victim: str) -> None:
    stage(yard, victim)
    assert "Traceback" not in yard.server.log(), yard.server.log()[-4000:]


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_the_next_start_adopts_what_runs(yard: Yard, how: str) -> None:
    """Restarting everything restarts no model."""
    deployment_id = yard.deploy(yard.a_named_package())
    (before,) = yard.workloads_of(deployment_id)
    pids = before.pids()
    pending = yard.launch(yard.a_named_package(seconds=0.5, name="pending"))
    assert yard.server.process is not None
    if how == "killed":
        os.kill(yard.server.process.pid, signal.SIGKILL)
        yard.server.process.wait()
        roles = [pid for role in ROLES for pid in yard.server.pids(role)]
        wait_until(lambda: not any(_runs(pid) for pid in roles), 30, "the end of all roles")
    else:
        assert yard.server.stop() == 0
    assert before.pids() == pids, "it runs on while there is no server"
    yard.server.start()
    yard.await_text(deployment_id, "one")
    assert yard.workloads_of(deployment_id) == [before]
    assert before.pids() == pids
    yard.await_success(pending[1])
    yard.await_text(pending[0], "pending")
    for one in (deployment_id, pending[0]):
        yard.delete(one)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_nothing_is_left_after_collection(yard: Yard) -> None:
    """No process, folder or blob outlives what it was for."""
    api = yard.api
    for deployment in api.get("/deployments/?limit=100").json()["data"]:
        yard.delete(deployment["id"])
    yard.await_nothing_runs()
    wait_until(lambda: yard.processes() == [], 10, "the end of all supervisors")
    for path, key in (("registeredModels", "id"), ("customModels", "id"), ("datasets", "datasetId")):
        for one in api.get(f"/{path}/?limit=100").json()["data"]:
            assert api.delete(f"/{path}/{one[key]}/").status_code == 204
    yard.collect()
    data = yard.server.data_dir
    assert yard.executor.ids() == []
    assert [path for path in yard.executor.runtime_dir.iterdir() if path.is_dir()] == []
    assert files_in(data / "checkouts") == []
    assert files_in(data / "spool") == []
    assert files_in(data / "images" / ".staging") == []
    blobs = {path.name for path in files_in(data / "blobs") if path.name != ".lock"}
    assert len(blobs) == len(wanted_blobs(data)), blobs
    operations = api.get("/status/?limit=1000").json()["data"]
    assert {one["status"] for one in operations} <= {"COMPLETED", "ABORTED", "ERROR"}, operations
    assert all(one["message"] for one in operations if one["status"] == "ERROR"), operations


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


def wanted_blobs(data: Path) -> set[str]:
    """The blobs that a row names."""
    database = Database(f"sqlite:///{data / 'modelyard.db'}")
    with database.read() as session:
        found = {digest for column in BLOB_COLUMNS for digest in session.scalars(select(column)) if digest}
    database.dispose()
    return found
