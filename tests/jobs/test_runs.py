"""Runs from their start to their end: what the program is given, how it ends, and what stops it."""

import json
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from modelyard.identity.tables import ApiToken
from modelyard.jobs.runs import work as run_work
from tests.jobs.builders import Workshop, made, path_of, send_job
from tests.waiting import wait_until

SEEN = """
import json, os, sys
print(json.dumps({"cwd": os.getcwd(), "argv": sys.argv, "env": dict(os.environ), "here": sorted(os.listdir("."))}))
open("scratch", "w").write("x")
try:
    open(os.environ["MODELYARD_CODE_DIR"] + "/new", "w")
except OSError as error:
    print("read-only:", error.errno)
print(open("data/table.csv").read())
"""
STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(99)"
child = subprocess.Popen([sys.executable, "-c", deaf])
print("stands", flush=True)
time.sleep(99)
"""
GRACEFUL = """
import signal, sys, time
def end(*_):
    print("was asked to end", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("stands", flush=True)
time.sleep(99)
"""


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter graces and pauses."""
    monkeypatch.setattr(run_work, "END_GRACE_S", 0.5)
    monkeypatch.setattr(run_work, "RETRY_PAUSES_S", (0.3, 0.6))


def tokens(workshop: Workshop) -> int:
    with workshop.installation.application.database.read() as session:
        return len(session.scalars(select(ApiToken.id).where(ApiToken.holder_id.is_not(None))).all())


def test_a_program_gets_what_is_documented_and_its_exit_code_decides(workshop: Workshop) -> None:
    job = workshop.a_job({"main.py": SEEN, "data/table.csv": "a,b\n"})
    run = workshop.run(job, description="look around")
    assert (run["status"], run["phase"], run["exitCode"], run["reason"]) == ("succeeded", "finished", 0, None)
    assert run["description"] == "look around"
    assert run["waitingFor"] is None
    times = [datetime.fromisoformat(run[name]) for name in ("created", "startedAt", "endedAt")]
    assert times == sorted(times)
    assert run["duration"] == pytest.approx((times[2] - times[1]).total_seconds(), abs=0.01)
    assert run["peakMemoryBytes"] > 1_000_000
    told, rest = workshop.log(run).split("\n", 1)
    seen = json.loads(told)
    env = seen["env"]
    assert env["MODELYARD_JOB_ID"] == job["id"]
    assert env["MODELYARD_RUN_ID"] == run["id"]
    assert env["DATAROBOT_ENDPOINT"] == env["MODELYARD_ENDPOINT"]
    assert env["MODELYARD_ENDPOINT"].endswith("/api/v2")
    assert env["DATAROBOT_API_TOKEN"] == env["MODELYARD_API_TOKEN"] == "***", "its token is masked in the log"
    assert "MODELYARD_EVENT" not in env
    assert {"data", "main.py", "output"} <= set(seen["here"]), "the files are where it is, and it may write there"
    assert rest.startswith("read-only: ")
    assert rest.endswith("a,b\n\n")
    assert str(workshop.installation.application.settings.data_dir) not in told
    read = made(workshop.api.get(f"/customJobs/{job['id']}/"), 200)
    assert (read["lastRun"], read["runCount"]) == (run["id"], 1)
    status = workshop.api.get(f"/status/{run['jobStatusId']}/")
    assert (status.status_code, status.headers["Location"].endswith(path_of(run))) == (303, True)
    assert tokens(workshop) == 0
    workshop.await_nothing_left()
    for answer in (
        workshop.cancel(run),
        workshop.api.patch(path_of(run), json={"description": "late"}),
    ):
        assert answer.status_code == 422
        assert "ended" in answer.text
    assert workshop.read(run) == run


def test_programs_of_every_kind(workshop: Workshop) -> None:
    kinds: dict[str, tuple[dict[str, str | bytes], str]] = {
        "shell": ({"run.sh": "echo one; exit 3\n", "main.py": "raise SystemExit(0)\n"}, "one\n"),
        "bash": ({"run.sh": '#!/bin/bash\n[[ -n $BASH_VERSION ]] && echo "two"; exit 3\n'}, "two\n"),
        "python": ({"main.py": "import other, sys\nsys.exit(other.CODE)\n", "other.py": "CODE = 3\n"}, ""),
        "own interpreter": ({"main.py": "#!/usr/bin/env python\nprint('four'); raise SystemExit(3)\n"}, "four\n"),
        "killed": ({"run.sh": "kill -9 $$\n"}, ""),
        "an exception": ({"main.py": "raise ValueError('boom')\n"}, "boom"),
    }
    jobs = {name: workshop.a_job(files) for name, (files, _) in kinds.items()}
    deep = workshop.a_job({"bin/go": "#!/bin/sh\nexit 3\n", "main.py": ""})
    go = next(one["id"] for one in deep["items"] if one["filePath"] == "bin/go")
    jobs["chosen"] = made(send_job(workshop.api, job_id=deep["id"], entryPoint=go))
    runs = {name: workshop.start(job) for name, job in jobs.items()}
    ended = {name: workshop.ended(run) for name, run in runs.items()}
    assert {run["status"] for run in ended.values()} == {"failed"}
    codes = {name: run["exitCode"] for name, run in ended.items()}
    assert codes == dict.fromkeys(codes, 3) | {"killed": 137, "an exception": 1}, codes
    for name, (_, text) in kinds.items():
        assert text in workshop.log(runs[name]), name
    assert "SIGKILL" in ended["killed"]["reason"]
    status = workshop.api.get(f"/status/{runs['shell']['jobStatusId']}/").json()
    assert (status["status"], "exit code 3" in status["message"]) == ("ERROR", True)


def test_cancel_asks_and_then_kills_the_whole_tree(workshop: Workshop) -> None:
    graceful, stubborn = workshop.start(workshop.a_job(GRACEFUL)), workshop.start(workshop.a_job(STUBBORN))
    for run in (graceful, stubborn):
        workshop.await_log(run, "stands")
        shown = workshop.read(run)
        assert (shown["status"], shown["phase"], shown["waitingFor"]) == ("running", "executing", None)
        assert shown["duration"] > 0
    values = {"runtimeParameterValues": []}
    assert workshop.api.patch(path_of(graceful), json=values).status_code == 422
    assert made(workshop.api.patch(path_of(graceful), json={"description": "new"}))["description"] == "new"
    assert workshop.api.delete(f"{path_of(graceful)}logs/").status_code == 409
    pid = workshop.executor.observe(str(workshop.row(stubborn).workload_id)).supervisor_pid
    for run in (graceful, stubborn):
        assert workshop.cancel(run).status_code == 204
        assert workshop.read(run)["status"] in {"canceling", "canceled"}
        assert workshop.cancel(run).status_code in {204, 422}, "asking twice does no harm"
    ended = [workshop.ended(run) for run in (graceful, stubborn)]
    assert {run["status"] for run in ended} == {"canceled"}
    assert "was asked to end" in workshop.log(graceful)
    assert "by force" in ended[1]["reason"]
    assert "stopped on request" in workshop.log(stubborn)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="the end of its supervisor")
    assert workshop.api.get(f"/status/{stubborn['jobStatusId']}/").json()["status"] == "ABORTED"
    assert tokens(workshop) == 0


def test_limits_end_a_run_with_the_reason(a_workshop: Callable[..., Workshop]) -> None:
    tiny = {"id": "tiny", "cpu_count": 1, "memory_bytes": 96 << 20}
    workshop = a_workshop(resource_bundles=(tiny,), job_timeout_s=60)
    slow = "print('begins', flush=True)\nimport time\ntime.sleep(50)\n"
    greedy = "held = [bytearray(1 << 20)]\nwhile True: held.append(bytearray(4 << 20))\n"
    with workshop.working():
        resources = {"egressNetworkPolicy": "none", "resourceBundleId": "tiny"}
        late = workshop.start(workshop.a_job(slow, timeoutSeconds=1))
        large = workshop.start(workshop.a_job(greedy, resources=resources))
        ended = workshop.ended(late)
        assert (ended["status"], ended["timeoutSeconds"]) == ("interrupted", 1)
        assert "time limit of 1 s" in ended["reason"]
        log = workshop.log(late)
        assert log.startswith("begins\n")
        assert "time limit of 1 s exceeded" in log
        killed = workshop.ended(large)
        assert killed["status"] == "failed"
        assert "memory" in killed["reason"]
        assert "memory" in workshop.log(large)


def test_runs_over_the_limit_wait_in_order_and_say_so(a_workshop: Callable[..., Workshop]) -> None:
    workshop = a_workshop(max_custom_job_runs=1)
    other_job = workshop.as_(workshop.installation.a_user("other", organization="elsewhere"))
    with workshop.working():
        blocker = workshop.start(workshop.a_job(GRACEFUL))
        workshop.await_log(blocker, "stands")
        job = workshop.a_job("import time\ntime.sleep(0.1)\n")
        waiting = [workshop.start(job) for _ in range(4)]
        shown = [workshop.read(run) for run in waiting]
        assert {(run["status"], run["phase"], run["duration"]) for run in shown} == {("running", "waiting", 0.0)}
        assert [run["waitingFor"] for run in shown] == [
            "a free place; 0 other runs wait longer",
            "a free place; 1 other run waits longer",
            "a free place; 2 other runs wait longer",
            "a free place; 3 other runs wait longer",
        ]
        assert workshop.log(waiting[0]) == ""
        elsewhere = other_job.a_job()
        assert other_job.run(elsewhere)["status"] == "succeeded", "each organization has its own places"
        assert workshop.cancel(waiting[1]).status_code == 204
        canceled = workshop.ended(waiting[1])
        assert (canceled["status"], canceled["startedAt"], canceled["duration"]) == ("canceled", None, 0.0)
        assert workshop.read(waiting[2])["waitingFor"] == "a free place; 1 other run waits longer"
        workshop.cancel(blocker)
        ended = [workshop.ended(waiting[place]) for place in (0, 2, 3)]
    for before, after in pairwise(ended):
        assert before["endedAt"] <= after["startedAt"], "one at a time, in the order they came"


def test_failed_attempts_are_repeated(workshop: Workshop) -> None:
    third_time = """
        import os, sys, urllib.request
        print("attempt", flush=True)
        open(os.environ["MODELYARD_OUTPUT_DIR"] + "/result", "w").write("x")
        sys.exit(int(os.environ.get("CODE", "7")))
    """
    job = workshop.a_job(third_time, maxRetries=2)
    run = workshop.ended(workshop.start(job))
    assert (run["status"], run["attempt"], run["maxRetries"], run["exitCode"]) == ("failed", 3, 2, 7)
    log = workshop.log(run).splitlines()
    assert log == [
        "attempt",
        "[modelyard] attempt 1 of 3 ended (exit code 7); the next begins in 0.3 s",
        "attempt",
        "[modelyard] attempt 2 of 3 ended (exit code 7); the next begins in 0.6 s",
        "attempt",
    ]
    assert run["duration"] > 0.9, "the pauses were kept"
    assert workshop.artifacts(run) == {"result": b"x"}
    good = workshop.run(workshop.a_job("print('once')\n", maxRetries=2))
    assert (good["status"], good["attempt"], workshop.log(good)) == ("succeeded", 1, "once\n")


def test_a_cancel_ends_the_retries(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_work, "RETRY_PAUSES_S", (30.0,))
    run = workshop.start(workshop.a_job("raise SystemExit(1)\n", maxRetries=3))
    workshop.await_log(run, "the next begins in 30 s")
    shown = workshop.read(run)
    assert (shown["status"], shown["phase"], shown["attempt"]) == ("running", "preparing", 1)
    assert shown["waitingFor"] == "attempt 2 to begin"
    assert tokens(workshop) == 0, "a token ends with its attempt"
    changed = workshop.api.patch(path_of(run), json={"runtimeParameterValues": []})
    assert changed.status_code == 422, "it has begun"
    assert workshop.cancel(run).status_code == 204
    ended = workshop.ended(run)
    assert (ended["status"], ended["attempt"]) == ("canceled", 1)
    assert workshop.log(run).splitlines()[-1] == "[modelyard] canceled"


def test_requirements_that_cannot_be_built_fail_the_run_with_the_log(workshop: Workshop) -> None:
    run = workshop.run(workshop.a_job({"main.py": "1\n", "requirements.txt": "no-such-package-anywhere==1\n"}))
    assert (run["status"], run["exitCode"], run["startedAt"]) == ("failed", None, None)
    assert "no-such-package-anywhere" in run["reason"] + workshop.log(run)


def test_what_modelyard_cannot_do_interrupts_the_run_and_keeps_its_output(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong in the server: the run ends, its program too, and its output is there."""

    def fail(*_: Any, **__: Any) -> None:
        raise run_work.OperationFailed("the store is full")

    monkeypatch.setattr(run_work, "collect_files", fail)
    run = workshop.run(workshop.a_job("print('done')\n"))
    assert (run["status"], run["reason"]) == ("interrupted", "the store is full")
    assert workshop.log(run) == "done\n[modelyard] the store is full\n"
    workshop.await_nothing_left()
    assert tokens(workshop) == 0
