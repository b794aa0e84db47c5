"""SIGKILL of the server's parts while jobs run: each run ends truthfully, having run once, and nothing is left over."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.jobs.builders import Yard, made, path_of, plain_environment
from tests.servers import Server, a_server
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("crash_job_kills")

STEADY = """
import os, time
print("ran", os.getpid(), flush=True)
for number in range(150):
    print("line", number, flush=True)
    time.sleep(0.02)
open(os.environ["MODELYARD_OUTPUT_DIR"] + "/count", "a").write("x")
"""


YEARLY = {"minute": [0], "hour": [0], "dayOfMonth": [1], "month": [1], "dayOfWeek": ["*"]}


class Killable(Yard):
    """A yard whose API may be away for a moment."""

    def read(self, run: Mapping[str, Any]) -> dict[str, Any]:
        def ask() -> dict[str, Any] | None:
            with contextlib.suppress(httpx.TransportError):
                return super(Killable, self).read(run)
            return None

        return wait_until(ask, 20, "the API")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, shared_images: dict[str, Path]) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("killed jobs")
    shared = {"cache_dir": shared_images["cache_dir"]}  # no images: a collection of everything would take others'
    with a_server(folder / "data", **shared, lease_s=6, max_custom_job_runs=2) as started:
        yield started


def test_killed_controllers_and_apis_cost_no_run(server: Server) -> None:
    yard = Killable(server.api, plain_environment(server.api))
    job = yard.a_job(STEADY)
    runs = [yard.start(job) for _ in range(4)]
    for run in runs[:2]:
        yard.await_log(run, "line 10\n")
    assert yard.read(runs[3])["phase"] == "waiting"
    server.kill("controller")
    yard.start(job)
    server.kill("api")
    yard.await_log(runs[2], "line 10\n")
    server.kill("controller")
    for run in runs:
        ended = yard.ended(run)
        assert (ended["status"], ended["attempt"]) == ("succeeded", 1), ended
        lines = yard.log(run).splitlines()
        assert lines[1:] == [f"line {number}" for number in range(150)]
        assert lines[0].startswith("ran ")
        assert yard.artifacts(run) == {"count": b"x"}
    assert "Traceback" not in server.log(), server.log()[-4000:]


def test_a_follower_of_a_killed_api_goes_on_with_the_next(server: Server) -> None:
    yard = Killable(server.api, plain_environment(server.api))
    run = yard.start(yard.a_job(STEADY))
    url, headers = f"{server.url}/api/v2{path_of(run)}logs/", {"Authorization": f"Bearer {yard.api.token}"}

    def follow() -> None:
        with httpx.stream("GET", url, params={"follow": "true"}, headers=headers, timeout=30) as answer:
            for line in answer.iter_lines():
                if line == "data: line 20":
                    server.kill("api")

    with pytest.raises(httpx.TransportError):
        follow()
    with httpx.stream("GET", url, params={"follow": "true"}, headers=headers, timeout=30) as answer:
        lines = [line for line in answer.iter_lines() if line.startswith("data: ")]
    assert lines[1:] == [*(f"data: line {number}" for number in range(150)), 'data: {"status":"succeeded"}']


def test_the_whole_server_killed_finds_its_runs_again(server: Server) -> None:
    yard = Killable(server.api, plain_environment(server.api))
    job = yard.a_job(STEADY)
    running, lost, waiting = (yard.start(job) for _ in range(3))
    for run in (running, lost):
        yard.await_log(run, "line 10\n")
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    (victim,) = [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(server.data_dir) in word and "workloads" in word for word in process.info["cmdline"] or ())
        and "supervisor" in " ".join(process.info["cmdline"])
    ][:1]
    victim.kill()
    server.start()
    ended = {name: yard.ended(run) for name, run in (("running", running), ("lost", lost), ("waiting", waiting))}
    statuses = [ended["running"]["status"], ended["lost"]["status"]]
    assert sorted(statuses) == ["interrupted", "succeeded"]
    (interrupted,) = [one for one in (ended["running"], ended["lost"]) if one["status"] == "interrupted"]
    *lines, last = yard.log(interrupted).splitlines()
    assert lines[1:] == [f"line {number}" for number in range(len(lines) - 1)]
    assert "supervisor was killed" in last
    assert ended["waiting"]["status"] == "succeeded"
    workloads = server.data_dir / "workloads"
    wait_until(lambda: not [one for one in workloads.iterdir() if not one.name.startswith(".")], 20, "their folders")


def test_everything_killed_at_once_supervisors_included(server: Server) -> None:
    """Last in this file: it looks whether anything is left of all that ran."""
    yard = Killable(server.api, plain_environment(server.api))
    steady, quick = yard.a_job(STEADY), yard.a_job("print('ran')\n")
    retried = yard.start(yard.a_job("print('ran')\nraise SystemExit(1)\n", maxRetries=1))
    yard.await_log(retried, "the next begins")
    executing, *queued = yard.start(steady), *(yard.start(quick) for _ in range(3))
    canceled = yard.start(steady)
    schedule = made(
        yard.api.post(f"/customJobs/{quick['id']}/schedules/", json={"schedule": YEARLY, "catchUp": "once"})
    )
    yard.await_log(executing, "line 10\n")
    assert yard.cancel(canceled).status_code == 204
    kill_everything(server)
    with sqlite3.connect(server.data_dir / "modelyard.db") as database:
        database.execute("UPDATE custom_job_schedules SET next_due_at = '2026-01-01 00:00:00.000000'")
    server.start()
    assert yard.ended(executing)["status"] == "interrupted"
    assert yard.log(executing).count("ran ") == 1
    assert "supervisor was killed" in yard.log(executing)
    assert (yard.ended(retried)["status"], yard.log(retried).count("ran\n")) == ("failed", 2)
    assert yard.ended(canceled)["status"] == "canceled"
    for run in queued:
        assert (yard.ended(run)["status"], yard.log(run)) == ("succeeded", "ran\n")
    path = f"/customJobs/{quick['id']}/runs/?scheduledJobId={schedule['id']}"
    caught_up = wait_until(lambda: yard.api.get(path).json()["data"], 20, "what was missed")[-1]
    assert caught_up["description"] == "Due at 2026-01-01T00:00:00.000000Z"
    assert yard.ended(caught_up)["status"] == "succeeded"
    assert_nothing_is_left(server)


def kill_everything(server: Server) -> None:
    """The server and all that it started, at once."""
    found = [process for process in psutil.process_iter() if str(server.data_dir) in words_of(process)]
    for process in found:
        process.kill()
    psutil.wait_procs(found, 20)
    assert server.process is not None
    server.process.wait()


def words_of(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def assert_nothing_is_left(server: Server) -> None:
    command = [sys.executable, "-m", "modelyard.cli.main", "gc", "--data-dir", str(server.data_dir), "--min-age", "0"]
    collected = subprocess.run([*command, "--json"], env=server.environment, capture_output=True, check=False)
    assert collected.returncode == 0, collected.stderr
    assert [one.name for one in (server.data_dir / "workloads").iterdir() if not one.name.startswith(".")] == []
    assert list((server.data_dir / "blobs" / ".incoming").iterdir()) == []
    assert not [
        process
        for process in psutil.process_iter()
        if "supervisor/" in words_of(process) and str(server.data_dir) in words_of(process)
    ]
    with sqlite3.connect(server.data_dir / "modelyard.db") as database:
        assert database.execute("SELECT count(*) FROM api_tokens WHERE holder_id IS NOT NULL").fetchone() == (0,)
