"""Controllers that are killed in the middle of a pull, and programs that outlive nobody."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelyard.operations import service as operations
from modelyard.repositories import git_program
from tests.conftest import Installation
from tests.models.builders import a_model
from tests.repositories.builders import a_remote, paths_of, pulled, refused, start_pull
from tests.repositories.git_server import GitServer
from tests.waiting import wait_until

OBJECTS = "/churn.git/git-upload-pack"
Start = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture
def a_controller(installation: Installation) -> Iterator[Start]:
    """Starts controllers in processes of their own."""
    started: list[subprocess.Popen[bytes]] = []
    settings = json.dumps(installation.application.settings.model_dump(exclude_unset=True), default=str)

    def start() -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "tests.repositories.controller", settings]
        started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait(20)


def spool(installation: Installation) -> Path:
    return installation.application.settings.data_dir / "spool"


def programs_in(folder: Path) -> list[str]:
    """What runs with its files below a folder, of all programs."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (place / "environ").read_bytes():
                found.append((place / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def killed_in_the_middle(installation: Installation, server: GitServer, a_controller: Start) -> str:
    """A pull whose controller was killed while git spoke to the server; the address of its status."""
    server.a_repository().commit({"custom.py": b"x"})
    server.stuck.add(OBJECTS)
    api = installation.api
    location = start_pull(api, a_model(api)["id"], a_remote(api, f"{server.url}/churn.git")["id"])
    controller = a_controller()
    wait_until(lambda: OBJECTS in server.requests and programs_in(spool(installation)), what="git to ask")
    controller.send_signal(signal.SIGKILL)
    controller.wait()
    wait_until(lambda: not programs_in(spool(installation)), timeout_s=10, what="git to end")
    server.stuck.clear()
    assert list(spool(installation).glob("pull-*"))
    return location


def test_a_killed_pull_is_done_by_the_next_controller(
    installation: Installation, server: GitServer, a_controller: Start
) -> None:
    location = killed_in_the_middle(installation, server, a_controller)
    heir = a_controller()
    wait_until(lambda: installation.api.get(location).status_code == 303, what="the version")
    heir.kill()
    version = installation.api.get(installation.api.get(location).headers["Location"]).json()
    assert paths_of(version) == ["custom.py"]
    assert not list(spool(installation).glob("pull-*"))


def test_a_killed_pull_that_is_canceled_leaves_nothing(
    installation: Installation, server: GitServer, a_controller: Start
) -> None:
    location = killed_in_the_middle(installation, server, a_controller)
    with installation.application.database.write() as session:
        operations.request_cancel(session, location.split("/")[-2])
    a_controller()
    wait_until(lambda: installation.api.get(location).json()["status"] == "ABORTED", what="the end")
    assert not list(spool(installation).glob("pull-*"))


def test_two_pulls_at_once(installation: Installation, server: GitServer) -> None:
    sha = server.a_repository().commit({"custom.py": b"x"})
    api = installation.api
    model, remote = a_model(api)["id"], a_remote(api, f"{server.url}/churn.git")["id"]
    locations = [start_pull(api, model, remote, "PATCH" if number else "POST") for number in range(4)]
    workers = [threading.Thread(target=installation.run_operations) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    made = [api.get(api.get(location).headers["Location"]).json() for location in locations]
    assert sorted(version["label"] for version in made) == ["1.0", "1.1", "1.2", "1.3"]
    assert {item["commitSha"] for version in made for item in version["items"]} == {sha}
    assert not list(spool(installation).glob("pull-*"))


def test_a_git_that_would_not_heed_the_checked_addresses_is_refused(
    installation: Installation, server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.a_repository().commit({"custom.py": b"x"})
    remote = a_remote(installation.api, f"{server.url}/churn.git")["id"]
    old = tmp_path / "old" / "git"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho git version 2.34.1\n")
    old.chmod(0o755)
    git_program.check_version.cache_clear()
    with monkeypatch.context() as changed:
        changed.setenv("PATH", f"{old.parent}:{os.environ['PATH']}")
        assert "git is too old (git version 2.34.1)" in refused(installation, remote)
    assert paths_of(pulled(installation, remote)) == ["custom.py"]
