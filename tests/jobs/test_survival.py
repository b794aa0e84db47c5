"""Whatever is killed, at whatever moment: each run ends truthfully, and its program ran once."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from modelyard.compute.executor import Observation, State
from modelyard.jobs.runs import work as run_work
from modelyard.jobs.runs.outcome import outcome_of
from modelyard.jobs.tables import Phase, RunStatus
from tests.jobs.builders import Workshop
from tests.jobs.controller import PLACES
from tests.waiting import wait_until

COUNTED = """
import os, time
print("ran", os.urandom(4).hex(), flush=True)
open(os.environ["MODELYARD_OUTPUT_DIR"] + "/count", "a").write("x")
time.sleep(0.2)
"""
STEADY = "import time\nfor number in range(10_000):\n    print('line', number, flush=True)\n    time.sleep(0.01)\n"

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def a_controller(shelf: Workshop) -> Iterator[Start]:
    """Starts controllers in processes of their own, which die at the place that is named, if any."""
    started: list[subprocess.Popen[bytes]] = []
    settings = json.dumps(shelf.installation.application.settings.model_dump(exclude_unset=True), default=str)

    def start(place: str = "") -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "tests.jobs.controller", settings, place]
        started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        return started[-1]

    yield start
    for process in started:
        process.terminate()
    for process in started:
        process.wait(20)


def test_a_controller_that_dies_at_any_place_is_followed_by_another(shelf: Workshop, a_controller: Start) -> None:
    job = shelf.a_job(COUNTED)
    for place in PLACES:
        run = shelf.start(job)
        assert a_controller(place).wait(30) == -signal.SIGKILL, place
        with shelf.working():
            ended = shelf.ended(run)
        assert (ended["status"], ended["attempt"], ended["exitCode"]) == ("succeeded", 1, 0), (place, ended)
        assert shelf.log(run).count("ran") == 1, place
        assert shelf.artifacts(run) == {"count": b"x"}, place


def test_one_that_dies_while_runs_wait_loses_none(shelf: Workshop, a_controller: Start) -> None:
    """Two controllers share the work; one is killed in the middle of it."""
    job = shelf.a_job(COUNTED)
    doomed, other = a_controller(), a_controller()
    runs = [shelf.start(job) for _ in range(14)]  # four more than there are places
    canceled = runs[-1]
    wait_until(lambda: shelf.read(runs[0])["phase"] in {"executing", "finished"}, 40, "the first to execute")
    doomed.kill()
    assert shelf.cancel(canceled).status_code == 204
    ended = [shelf.ended(run) for run in runs]
    assert [run["status"] for run in ended] == ["succeeded"] * 13 + ["canceled"]
    logs = [shelf.log(run) for run in runs[:-1]]
    assert all(log.count("ran") == 1 for log in logs)
    assert len(set(logs)) == len(logs)
    assert other.poll() is None


@pytest.mark.parametrize("how", ["killed", "restarted"])
def test_a_lost_run_is_interrupted_and_keeps_what_it_wrote(workshop: Workshop, how: str) -> None:
    run = workshop.start(workshop.a_job(STEADY))
    workshop.await_log(run, "line 20\n")
    workload_id = str(workshop.row(run).workload_id)
    if how == "restarted":
        note = workshop.executor.work(workload_id).parent / "supervisor.json"
        note.write_text(json.dumps(json.loads(note.read_text()) | {"boot_id": "another"}))
    pid = workshop.executor.observe(workload_id).supervisor_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    ended = workshop.ended(run)
    assert (ended["status"], ended["exitCode"]) == ("interrupted", None)
    assert {"killed": "supervisor was killed", "restarted": "machine was restarted"}[how] in ended["reason"]
    *lines, last = workshop.log(run).splitlines()
    assert lines == [f"line {number}" for number in range(len(lines))]
    assert len(lines) > 20
    assert last == f"[modelyard] {ended['reason']}"
    workshop.await_nothing_left()


def test_a_lost_attempt_is_repeated_where_the_job_asks_for_it(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_work, "RETRY_PAUSES_S", (0.1,))
    run = workshop.start(workshop.a_job("print('begins', flush=True)\nimport time\ntime.sleep(0.7)\n", maxRetries=1))
    workshop.await_log(run, "begins")
    os.kill(workshop.executor.observe(str(workshop.row(run).workload_id)).supervisor_pid or 0, signal.SIGKILL)
    ended = workshop.ended(run)
    assert (ended["status"], ended["attempt"], ended["reason"]) == ("succeeded", 2, None)
    log = workshop.log(run).splitlines()
    assert [log[0], log[2]] == ["begins", "begins"]
    assert "attempt 1 of 2 ended (its supervisor was killed" in log[1]


# the phases as a table: how an attempt that was seen so ends

OVERTIME, KILLED, STOPPED = "time limit of 1 s exceeded", "its supervisor was killed", "stopped on request"
SIGNALLED, MEMORY, UNSTARTED = "ended by signal SIGKILL", "memory limit exceeded", "could not be started"
EXITED, LOST = State.EXITED, State.LOST

ENDINGS: list[tuple[Observation, bool, RunStatus, str | None]] = [
    (Observation(EXITED, exit_code=0), False, RunStatus.SUCCEEDED, None),
    (Observation(EXITED, exit_code=1), False, RunStatus.FAILED, None),
    (Observation(EXITED, 137, SIGNALLED), False, RunStatus.FAILED, SIGNALLED),
    (Observation(EXITED, 137, MEMORY), False, RunStatus.FAILED, MEMORY),
    (Observation(EXITED, None, UNSTARTED), False, RunStatus.INTERRUPTED, UNSTARTED),
    (Observation(EXITED, 143, OVERTIME), False, RunStatus.INTERRUPTED, OVERTIME),
    (Observation(EXITED, 0, OVERTIME), False, RunStatus.INTERRUPTED, OVERTIME),
    (Observation(EXITED, 143, STOPPED), False, RunStatus.INTERRUPTED, STOPPED),
    (Observation(EXITED, 143, STOPPED), True, RunStatus.CANCELED, STOPPED),
    (Observation(EXITED, exit_code=0), True, RunStatus.CANCELED, "canceled"),
    (Observation(LOST, reason=KILLED), False, RunStatus.INTERRUPTED, KILLED),
    (Observation(LOST, reason=KILLED), True, RunStatus.CANCELED, KILLED),
]


@pytest.mark.parametrize(("seen", "is_canceled", "status", "reason"), ENDINGS)
def test_how_an_attempt_ended_decides_how_the_run_did(
    seen: Observation, is_canceled: bool, status: RunStatus, reason: str | None
) -> None:
    outcome = outcome_of(seen, is_canceled=is_canceled)
    assert (outcome.status, outcome.reason) == (status, reason)


def test_every_phase_but_the_last_has_a_way_on() -> None:
    assert set(run_work.PHASES) == set(Phase) - {Phase.FINISHED}
