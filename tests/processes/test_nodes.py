"""One machine executes what a database asks for: a second one with a disk of its own refuses, or adopts."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from modelyard.compute.nodes import ExecutorNode, Node, NodeTakenError, adopt, beat, claim, this_node
from modelyard.kernel.database import Database
from tests.conftest import Installation
from tests.jobs.builders import Yard, plain_environment
from tests.servers import Server, a_server
from tests.waiting import wait_until

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIRST = Node("a" * 32, "boot 1", "first", Path("/data"))
SECOND = Node("b" * 32, "boot 2", "second", Path("/data"))
SLOW = """
import os, time
open(os.environ["MODELYARD_OUTPUT_DIR"] + "/began", "x")
print("began", flush=True)
time.sleep(600)
"""


@pytest.fixture
def database(installation: Installation) -> Database:
    return installation.application.database


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def claimed(database: Database, node: Node, at: datetime) -> str | None:
    """Why a node may not execute, with what to do; None where it may, and then does."""
    try:
        with database.write() as session:
            claim(session, node, at)
    except NodeTakenError as error:
        return f"{error}; {error.remedy}"
    return None


def test_a_node_that_was_heard_of_keeps_others_out(database: Database) -> None:
    assert claimed(database, FIRST, NOW) is None
    assert claimed(database, FIRST, after(1)) is None
    refused = claimed(database, SECOND, after(30))
    assert refused is not None
    for word in ("first", "/data", "29 s ago", "stop the other one", "modelyard admin adopt --data-dir /data"):
        assert word in refused
    with database.write() as session:
        assert beat(session, FIRST, after(50))
        assert not beat(session, SECOND, after(50))
    with database.write() as session, pytest.raises(NodeTakenError, match="at work on this database"):
        adopt(session, SECOND, after(100))
    refused = claimed(database, SECOND, after(50 + 7300))
    assert refused is not None
    for word in ("2 h ago", "start the controller there", "modelyard admin adopt"):
        assert word in refused


def test_adopting_displaces_the_node_before(database: Database) -> None:
    claimed(database, FIRST, NOW)
    with database.write() as session:
        before = adopt(session, SECOND, after(61))
    assert before is not None
    assert (before.node_id, before.host_name) == (FIRST.id, "first")
    with database.write() as session:
        assert not beat(session, FIRST, after(62))
    assert claimed(database, SECOND, after(62)) is None
    assert "second" in str(claimed(database, FIRST, after(63)))


def test_a_machine_that_started_again_or_was_moved_goes_on(database: Database) -> None:
    claimed(database, FIRST, NOW)
    assert claimed(database, replace(FIRST, boot_id="boot 3"), after(5)) is None
    moved = replace(FIRST, boot_id="boot 4", host_name="third")
    assert "first" in str(claimed(database, moved, after(10))), "a copy of a directory that is in use"
    assert claimed(database, moved, after(70)) is None


def test_the_id_of_a_data_directory_is_made_once(tmp_path: Path) -> None:
    first = this_node(tmp_path)
    assert this_node(tmp_path) == first
    assert (tmp_path / "node").read_text() == first.id
    assert [path.name for path in tmp_path.iterdir()] == ["node"]


@contextmanager
def _silent(url: str) -> Iterator[None]:
    """As if the node had been silent for an hour."""
    database = Database(url)
    with database.write() as session:
        session.execute(update(ExecutorNode).values(seen_at=datetime.now(UTC) - timedelta(hours=1)))
    yield
    database.dispose()


def _prefix(own: Path, other: Path) -> tuple[str, ...]:
    """What a command begins with on a machine that does not have the other's files, where the tests may make one."""
    if os.getuid() != 0:
        return ()
    hide = f'hostname {own.name} && mount -t tmpfs none {other} && exec "$0" "$@"'
    return ("unshare", "--mount", "--uts", "sh", "-c", hide)


@pytest.mark.timeout(400)
def test_two_machines_on_one_database(
    tmp_path: Path, a_postgres_url: Callable[[], str], shared_images: dict[str, Path]
) -> None:
    """The second refuses to start; once it adopts, nothing that the first began is executed a second time."""
    url = a_postgres_url()
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
    with a_server(one / "data", prefix=_prefix(one, two), database_url=url, **shared_images) as first:
        yard = Yard(first.api, plain_environment(first.api))
        run = yard.start(yard.a_job(SLOW))
        yard.await_log(run, "began")
        environment = first.environment | {"MODELYARD_API_URL": first.url} | {"XDG_CONFIG_HOME": str(two / "config")}

        def on_second(*words: str) -> "subprocess.CompletedProcess[str]":
            command = [*_prefix(two, one), sys.executable, "-m", "modelyard.cli.main", *words]
            command += ["--data-dir", str(two / "data")]
            return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

        for words in (("controller",), ("admin", "adopt")):
            refused = on_second(*words)
            assert refused.returncode == 1, (words, refused)
            assert f"data directory {one / 'data'}" in refused.stderr
            assert "admin adopt" in refused.stderr or "adopt again" in refused.stderr
            assert "Traceback" not in refused.stderr
        assert yard.read(run)["phase"] == "executing"
        _end(first)
        with _silent(url):
            assert "admin adopt" in on_second("controller").stderr
            assert "executes the workloads from now on" in on_second("admin", "adopt").stdout
        second = Server(two / "data", environment, _prefix(two, one))
        try:
            second.start()
            ended = Yard(second.api, "").ended(run)
            assert (ended["status"], ended["attempt"]) == ("interrupted", 1)
            assert "on a machine that was given up" in ended["reason"]
            assert "executes what this database asks for" in _start_again(first, one, two)
        finally:
            second.close()


def _end(server: Server) -> None:
    """Ends the roles by force, as when a machine loses its power; what runs is ended with the fixture."""
    assert server.process is not None
    server.process.kill()
    server.process.wait()
    wait_until(lambda: not any(server.pids(role) for role in ("api", "gateway", "controller")), 20, "the roles to end")


def _start_again(server: Server, own: Path, other: Path) -> str:
    command = [*_prefix(own, other), sys.executable, "-m", "modelyard.cli.main", "controller"]
    command += ["--data-dir", str(server.data_dir)]
    environment = server.environment | {"MODELYARD_API_URL": server.url}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    return done.stderr
