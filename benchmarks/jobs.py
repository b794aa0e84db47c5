"""Custom jobs: from POST to the first line, runs per second, lines to a follower, a flood of output, a long list."""

import contextlib
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psutil
from sqlalchemy import insert, update
from tests.jobs.builders import ENDED, Yard, path_of, plain_environment

from benchmarks.figures import Figure, Result, Skipped, interleaved
from benchmarks.installation import Installation, an_installation
from benchmarks.memory import MIB
from benchmarks.peers import job_runners
from benchmarks.peers.running import PeerError
from benchmarks.requests import Client
from modelyard.jobs.tables import CustomJob, CustomJobRun
from modelyard.kernel.database import Database
from modelyard.kernel.ids import new_id

FIRST_LINES = 40
PEER_LINES = 5
QUEUED = 200
LINES = 200
FLOOD_BYTES = 1 << 30
FEW, MANY = 1_000, 100_000
PAGES = 100
AT_ONCE = 2_000

HELLO = "print('hello', flush=True)\n"
SPEAKER = f"""
import time
for number in range({LINES}):
    print(time.time(), flush=True)
    time.sleep(0.02)
"""
FLOOD = f"""
import os
block = (b'x' * 99 + b'\\n') * 10_000
for _ in range({FLOOD_BYTES} // len(block)):
    os.write(1, block)
"""


def measure() -> list[Result]:
    results: list[Result] = []
    with an_installation() as installation:
        yard = Yard(installation.story.api, plain_environment(installation.story.api), patience_s=300)
        yard.run(yard.a_job(HELLO))
        results += _first_lines(yard, installation)
        results += _followed(yard, installation)
        results += _flood(yard, installation)
    with an_installation() as installation:
        yard = Yard(installation.story.api, plain_environment(installation.story.api), patience_s=300)
        yard.run(yard.a_job(HELLO))
        with Client(installation.server.port, installation.token) as client:
            results += _throughput(yard, client)
    return results + _lists()


def _first_lines(yard: Yard, installation: Installation) -> list[Result]:
    """POST of a run → the first line that user code printed, by the time that the supervisor wrote before it."""
    job = yard.a_job(HELLO)

    def ours() -> float:
        with Client(installation.server.port, installation.token) as client:
            asked_at = time.time()
            run = client.ask("POST", f"/api/v2/customJobs/{job['id']}/runs/", b"{}").json(201)
            while client.ask("GET", f"/api/v2{path_of(run)}").json(200)["status"] not in ENDED:
                time.sleep(0.1)
            written = client.ask("GET", f"/api/v2{path_of(run)}logs/?timestamps=true").body.decode().split()[0]
        return (datetime.fromisoformat(written).timestamp() - asked_at) * 1000

    taken = sorted(ours() for _ in range(FIRST_LINES))
    results: list[Result] = [Figure("POST of a run to its first line, p95", _at(taken, 0.95), "ms", 600)]
    for peer in job_runners.PEERS:
        try:
            with job_runners.running(peer) as theirs_once:
                theirs_once()
                mine, theirs = interleaved(PEER_LINES, ours, theirs_once)
        except PeerError as error:
            results.append(Skipped(f"POST of a run to its first line, beside {peer.name}", str(error)))
            continue
        results.append(Figure("POST of a run to its first line", mine, "ms", 0.5, theirs, peer.name, of_ratio=True))
    return [Figure("POST of a run to its first line, p50", _at(taken, 0.5), "ms", 250), *results]


def _throughput(yard: Yard, client: Client) -> list[Result]:
    """Runs wait behind ones that sleep until all are asked for; then they are let go."""
    job, blocker = yard.a_job(HELLO), yard.a_job("import time\ntime.sleep(600)\n")
    places = int(yard.api.get("/customJobLimits/").json()["maxCustomJobRuns"])
    blocking = [yard.start(blocker) for _ in range(places)]
    path = f"/api/v2/customJobs/{job['id']}/runs/"
    started = [client.ask("POST", path, b"{}").json(201)["id"] for _ in range(QUEUED)]
    for run in blocking:
        yard.cancel(run)
    while client.ask("GET", f"{path}{started[-1]}/").json(200)["status"] not in ENDED:
        time.sleep(0.25)
    ended = [yard.ended({"customJobId": job["id"], "id": run_id}) for run_id in started]
    assert {run["status"] for run in ended} == {"succeeded"}, {run["status"] for run in ended}
    begun = min(datetime.fromisoformat(str(run["startedAt"])) for run in ended)
    took_s = (max(datetime.fromisoformat(str(run["endedAt"])) for run in ended) - begun).total_seconds()
    return [Figure(f"runs per second, {QUEUED} queued", QUEUED / took_s, "/s", 8, at_least=True)]


def _followed(yard: Yard, installation: Installation) -> list[Result]:
    run = yard.start(yard.a_job(SPEAKER))
    headers = {"Authorization": f"Bearer {installation.token}"}
    url = f"{installation.server.url}/api/v2{path_of(run)}logs/?follow=true"
    delays = []
    with httpx.stream("GET", url, headers=headers, timeout=120) as answer:
        for line in answer.iter_lines():
            word = line.removeprefix("data: ")
            if word[:1].isdigit():
                delays.append((time.time() - float(word)) * 1000)
    assert len(delays) == LINES
    delays.sort()
    note = f"p50 {_at(delays, 0.5):.0f} ms"
    return [Figure("a line to a following client, p95", _at(delays, 0.95), "ms", 200, note=note)]


def _flood(yard: Yard, installation: Installation) -> list[Result]:
    """A gigabyte of output: what it does to the memory of the server's processes and to its answers."""
    job = yard.a_job(FLOOD)
    with Client(installation.server.port, installation.token) as client:

        def ping() -> float:
            return client.ask("GET", f"/api/v2/customJobs/{job['id']}/").seconds * 1000

        calm = sorted(ping() for _ in range(100))
        before = _memory_bytes(installation)
        run = yard.start(job)
        begun = time.perf_counter()
        peak, busy, largest = before, [], 0
        while (shown := yard.read(run))["status"] not in ENDED:
            busy += [ping() for _ in range(5)]
            peak = max(peak, _memory_bytes(installation))
            largest = max(largest, _log_bytes(installation))
        took_s = time.perf_counter() - begun
    assert shown["status"] == "succeeded", shown
    size = len(yard.log(run))
    note = f"{took_s:.1f} s for 1 GB, {size / MIB:.0f} MiB kept, at most {largest / MIB:.0f} MiB on disk"
    return [
        Figure("growth of the server by 1 GB of output", (peak - before) / MIB, "MiB", 64, note=note),
        Figure("read of a job meanwhile, p50", _at(sorted(busy), 0.5), "ms", 25, _at(calm, 0.5), "calm"),
    ]


def _memory_bytes(installation: Installation) -> int:
    """Of the roles alone: the memory of a workload and its supervisor is the workload's."""
    pids = [pid for role in ("api", "gateway", "controller") for pid in installation.server.pids(role)]
    return sum(psutil.Process(pid).memory_info().rss for pid in pids)


def _log_bytes(installation: Installation) -> int:
    total = 0
    for path in (installation.server.data_dir / "workloads").glob("*/log/*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def _lists() -> list[Result]:
    with an_installation() as installation:
        yard = Yard(installation.story.api, plain_environment(installation.story.api))
        few, many = (yard.a_job(HELLO) for _ in range(2))
        fill(installation, str(few["id"]), FEW)
        fill(installation, str(many["id"]), MANY)
        with Client(installation.server.port, installation.token) as client:
            took, among_few = interleaved(PAGES, _page_of(client, many), _page_of(client, few))
    title = f"100 of the {MANY:,} runs of a job"
    return [
        Figure(title, took, "ms", 15),
        Figure(title, took, "ms", 1.1, among_few, f"of {FEW:,}", of_ratio=True),
    ]


def _page_of(client: Client, job: dict[str, Any]) -> Callable[[], float]:
    def measured() -> float:
        answer = client.ask("GET", f"/api/v2/customJobs/{job['id']}/runs/?limit=100")
        assert answer.json(200)["count"] == 100
        return answer.seconds * 1000

    for _ in range(10):
        measured()
    return measured


def fill(installation: Installation, job_id: str, count: int) -> None:
    """Gives a job ended runs."""
    database = Database(f"sqlite:///{installation.database}")
    with database.read() as session:
        job = session.get_one(CustomJob, job_id)
    same = {
        "job_id": job.id,
        "organization_id": job.organization_id,
        "created_by_id": job.created_by_id,
        "description": "",
        "workspace_id": job.workspace_id,
        "entry_point_path": "main.py",
        "environment_version_id": job.environment_version_id,
        "egress_policy": "none",
        "parameter_definitions": [],
        "parameter_values": [],
        "timeout_s": 3600,
        "status": "succeeded",
        "phase": "finished",
        "attempt": 1,
        "exit_code": 0,
    }
    for start in range(0, count, AT_ONCE):
        rows = []
        for number in range(start, min(start + AT_ONCE, count)):
            at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
            rows.append(same | {"id": new_id(), "created_at": at, "started_at": at, "ended_at": at})
        with database.write() as session:
            session.execute(insert(CustomJobRun), rows)
    with database.write() as session:
        session.execute(update(CustomJob).where(CustomJob.id == job_id).values(run_count=count))
        session.connection().exec_driver_sql("ANALYZE")
    database.dispose()


def _at(taken: Sequence[float], share: float) -> float:
    return taken[min(len(taken) - 1, int(len(taken) * share))]
