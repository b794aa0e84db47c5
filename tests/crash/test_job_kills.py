"""SIGKILL of the server's parts while jobs run: each run ends truthfully, having run once, and nothing is left over."""

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.jobs.builders import Yard, path_of, plain_environment
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
    with a_server(folder / "data", **shared_images, lease_s=6, max_custom_job_runs=2) as started:
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
