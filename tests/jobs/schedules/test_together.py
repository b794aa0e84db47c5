"""Several controllers fire together, in threads and in processes, on either database: each due time once."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from modelyard.app import loops
from modelyard.jobs.schedules.firing import IDLE_S, Firing
from modelyard.jobs.schedules.tables import ScheduleFiring
from modelyard.kernel.database import Database
from modelyard.kernel.parts import Parts
from modelyard.operations.engine import Engine
from tests.jobs.schedules.conftest import Yard
from tests.jobs.schedules.test_firing import rows
from tests.waiting import wait_until

CONTROLLERS = 4
JOBS = 3

CONTROLLER = """
    import os
    import signal
    import sys
    from datetime import datetime
    from pathlib import Path

    from modelyard.app import build
    from modelyard.compute.isolation import without_sandbox
    from modelyard.jobs.schedules.firing import Firing
    from modelyard.kernel.clock import Clock
    from modelyard.kernel.settings import Settings

    data_dir, database_url, moment, how = sys.argv[1:]

    class Stands:
        def now(self):
            return datetime.fromisoformat(moment)

    application = build(Settings(data_dir=Path(data_dir), database_url=database_url), without_sandbox())
    application.parts.add(Clock, Stands())
    firing = Firing(application.database, application.parts)
    if how == "die":
        take_turn = Firing._take_turn

        def dies(self, session, *ids):
            take_turn(self, session, *ids)
            session.flush()
            os.kill(os.getpid(), signal.SIGKILL)

        Firing._take_turn = dies
    print("ready", flush=True)
    sys.stdin.readline()
    while firing.look() <= 0.05:
        pass
"""


@pytest.fixture
def yard(each_database: str, a_yard: Callable[..., Yard]) -> Yard:
    return a_yard(database_url=each_database)


def jobs_with_schedules(yard: Yard) -> list[str]:
    """Jobs that have missed three due times and catch all of them up."""
    jobs = [yard.a_job() for _ in range(JOBS)]
    for job_id in jobs:
        yard.a_schedule(job_id, "0 * * * *", catchUp="all")
    yard.clock.set("2026-03-01T03:20")
    return jobs


def assert_each_once(yard: Yard, jobs: list[str]) -> None:
    expected = [f"2026-03-01T0{hour}:00" for hour in (1, 2, 3)]
    assert {job_id: sorted(yard.fired(job_id)) for job_id in jobs} == dict.fromkeys(jobs, expected)
    assert rows(yard, ScheduleFiring) == JOBS * len(expected)


def a_controller(yard: Yard, how: str = "live") -> "subprocess.Popen[str]":
    """A process that waits for a line and then fires what is due at the yard's time."""
    application = yard.application
    url = application.database.engine.url.render_as_string(hide_password=False)
    arguments = [str(application.settings.data_dir), url, yard.clock.time.isoformat(), how]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MODELYARD_")}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CONTROLLER), *arguments],
        env=environment,
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def let_go(*controllers: "subprocess.Popen[str]") -> list[int]:
    """Has them all begin at once; how they ended."""
    for controller in controllers:
        assert controller.stdout is not None
        assert controller.stdout.readline() == "ready\n"
    for controller in controllers:
        assert controller.stdin is not None
        controller.stdin.write("go\n")
        controller.stdin.flush()
    ended = []
    for controller in controllers:
        controller.communicate(timeout=60)
        ended.append(controller.returncode)
    return ended


def test_controllers_in_threads(yard: Yard, each_database: str) -> None:
    jobs = jobs_with_schedules(yard)
    parts = yard.application.parts
    barrier = threading.Barrier(CONTROLLERS)
    faults: list[Exception] = []

    def control(parts: Parts) -> None:
        database = Database(each_database)
        barrier.wait()
        try:
            firing = Firing(database, parts)
            while firing.look() <= 0.05:
                pass
        except Exception as error:  # noqa: BLE001 # shown by the test itself
            faults.append(error)
        database.dispose()

    threads = [threading.Thread(target=control, args=(parts,)) for _ in range(CONTROLLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not faults
    assert_each_once(yard, jobs)


def test_controllers_in_processes(yard: Yard) -> None:
    jobs = jobs_with_schedules(yard)
    assert let_go(a_controller(yard), a_controller(yard)) == [0, 0]
    assert_each_once(yard, jobs)


def test_a_controller_that_is_killed_in_the_middle(yard: Yard) -> None:
    """What it had begun is as if it had never been; another one does it."""
    jobs = jobs_with_schedules(yard)
    assert let_go(a_controller(yard, "die")) == [-signal.SIGKILL]
    assert [yard.fired(job_id) for job_id in jobs] == [[]] * JOBS
    assert rows(yard, ScheduleFiring) == 0
    yard.look()
    assert_each_once(yard, jobs)


def test_the_database_itself_refuses_a_second_firing(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the look before it wrong, the unique constraint would still hold, and take the run with it."""
    job_id = yard.a_job()
    schedule_id = yard.a_schedule(job_id, "0 * * * *")
    yard.look("2026-03-01T01:00")
    yard.clock.set("2026-03-01T00:50")
    yard.patch(job_id, schedule_id, enabled=False)
    yard.patch(job_id, schedule_id, enabled=True)
    monkeypatch.setattr("modelyard.jobs.schedules.firing._was_fired", lambda *_: False)
    yard.clock.set("2026-03-01T01:00")
    firing = Firing(yard.application.database, yard.application.parts)
    with contextlib.suppress(IntegrityError):  # PostgreSQL calls it a lost race, SQLite a fault: neither may write
        firing.look()
    assert yard.fired(job_id) == ["2026-03-01T01:00"]


def test_the_controller_is_woken_by_a_new_schedule(yard: Yard) -> None:
    """It sleeps until something is due; a commit wakes it. The loop is the one that every controller runs."""
    job_id = yard.a_job()
    (loop,) = [one for one in loops(yard.application) if one.name == "job schedules"]
    looked = threading.Event()

    def look() -> float | None:
        pause_s = loop.run()
        looked.set()
        return pause_s

    engine = Engine(yard.application.database, yard.application.parts, [], [replace(loop, run=look)])
    thread = threading.Thread(target=engine.run)
    thread.start()
    try:
        assert looked.wait(30)
        yard.clock.set("2026-03-01T00:59:59.950")
        yard.a_schedule(job_id, "0 * * * *")
        yard.clock.set("2026-03-01T01:00")
        begun = time.monotonic()
        wait_until(lambda: yard.fired(job_id) == ["2026-03-01T01:00"], what="the run")
        assert time.monotonic() - begun < IDLE_S / 2, "it slept on"
    finally:
        engine.stop()
        thread.join(30)
