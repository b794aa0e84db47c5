"""Everything that locks rows of jobs at once, on either database: nobody waits for somebody who waits for them."""

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, func, select, text, update
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError

from modelyard.app import loops
from modelyard.jobs.runs import queue, work
from modelyard.jobs.schedules.tables import CustomJobSchedule
from modelyard.jobs.tables import CustomJobRun
from modelyard.operations import service as operations
from modelyard.operations.engine import Engine
from modelyard.operations.tables import Operation
from modelyard.operations.work import OperationFailed, Work
from tests.jobs.builders import Workshop, path_of
from tests.waiting import wait_until

CROWD_S = 2.0
LOOPS = {"notification jobs", "job runs", "job schedules"}
EVERY_MINUTE = {"minute": ["*"], "hour": ["*"], "dayOfMonth": ["*"], "month": ["*"], "dayOfWeek": ["*"]}


@pytest.fixture
def crowded(each_database: str, a_workshop: Callable[..., Workshop], monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """Where each run that begins fails at once, which is an event."""

    def refuse(*_: object) -> None:
        raise OperationFailed("no image today")

    monkeypatch.setattr(work, "ensure_image", refuse)
    return a_workshop(database_url=each_database, max_custom_job_runs=2)


class Crowd:
    """Threads that do things again and again until it is over, and what went wrong."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop
        self.faults: list[str] = []
        self.over = threading.Event()
        self.jobs = [
            *(workshop.a_job(jobType="notification", name=f"listener {number}") for number in range(3)),
            *(workshop.a_job(name=f"job {number}") for number in range(2)),
        ]
        for job in self.jobs:
            answer = workshop.api.post(f"/customJobs/{job['id']}/schedules/", json={"schedule": EVERY_MINUTE})
            assert answer.status_code == 201, answer.text
        self.database = workshop.installation.application.database
        event.listen(self.database.engine, "handle_error", self._note)

    def _note(self, context: ExceptionContext) -> None:
        if getattr(context.original_exception, "sqlstate", "") == "40P01":
            self.faults.append(f"deadlock: {context.statement}")

    def start_and_cancel(self, chance: random.Random) -> None:
        job = chance.choice(self.jobs)
        run = self._ask("POST", f"/customJobs/{job['id']}/runs/", {201}, json={})
        self._ask("PATCH", f"/customJobs/{job['id']}/", {201}, json={"description": str(chance.random())})
        if run is not None and chance.random() < 0.5:
            self._ask("PATCH", path_of(run), {201, 422}, json={"description": "changed"})
            self._ask("DELETE", path_of(run), {202, 204, 422})

    def make_and_delete(self, _: random.Random) -> None:
        job = self.workshop.a_job(jobType="notification")
        run = self._ask("POST", f"/customJobs/{job['id']}/runs/", {201}, json={})
        assert run is not None
        self._ask("DELETE", path_of(run), {202, 204, 422})
        self._ask("DELETE", f"/customJobs/{job['id']}/", {204, 409})

    def make_due(self, _: random.Random) -> None:
        """All schedules are due now."""
        with self.database.write() as session:
            ids = session.scalars(select(CustomJobSchedule.id).order_by(CustomJobSchedule.job_id)).all()
            for one in ids:
                session.execute(
                    update(CustomJobSchedule)
                    .where(CustomJobSchedule.id == one, CustomJobSchedule.next_due_at.is_not(None))
                    .values(next_due_at=datetime.now(UTC) - timedelta(seconds=1))
                )
        time.sleep(0.5)

    def _ask(self, method: str, path: str, statuses: set[int], **body: Any) -> dict[str, Any] | None:
        answer = self.workshop.api.request(method, path, **body)
        if answer.status_code not in statuses:
            self.faults.append(f"{method} {path}: {answer.status_code} {answer.text}")
        return dict(answer.json()) if answer.status_code in {200, 201} else None

    def keep(self, act: Callable[[random.Random], None], number: int) -> None:
        chance = random.Random(number)  # noqa: S311 # no secret
        while not self.over.is_set():
            act(chance)


def test_nobody_waits_in_a_circle(crowded: Workshop, caplog: pytest.LogCaptureFixture) -> None:
    crowd = Crowd(crowded)
    application = crowded.installation.application
    wanted = [loop for loop in loops(application) if loop.name in LOOPS]
    engines = [Engine(application.database, application.parts, work.handlers(), wanted, workers=3) for _ in range(2)]
    acts = [crowd.start_and_cancel, crowd.start_and_cancel, crowd.make_and_delete, crowd.make_due]
    threads = [threading.Thread(target=engine.run) for engine in engines]
    threads += [threading.Thread(target=crowd.keep, args=(act, number)) for number, act in enumerate(acts)]
    for thread in threads:
        thread.start()
    time.sleep(CROWD_S)
    crowd.over.set()
    try:
        wait_until(lambda: open_runs(crowded) == 0, 60, "all runs to end")
    finally:
        for engine in engines:
            engine.stop()
        for thread in threads:
            thread.join(30)
    assert not crowd.faults
    assert not [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]


def test_a_run_that_waits_and_is_given_up_takes_the_queue_first(
    each_database: str, a_workshop: Callable[..., Workshop]
) -> None:
    """Whoever gives out places holds the queue and wakes the operations of those that wait."""
    workshop = a_workshop(database_url=each_database, max_custom_job_runs=1)
    application = workshop.installation.application
    job = workshop.a_job()
    workshop.start(job)
    waiting = workshop.row(workshop.start(job))
    with application.database.write() as session:
        operation = session.get_one(Operation, waiting.operation_id)
        operation.lease_token = "ours"  # no secret
        session.flush()
        given_up = Work(application.database, application.parts, operation, time.monotonic() + 60)
    faults: list[Exception] = []

    def give_up() -> None:
        try:
            work._on_failure(given_up, "given up")
        except DBAPIError as error:
            faults.append(error)

    thread = threading.Thread(target=give_up)
    with application.database.write() as session:
        queue.PLACES.lock(session, waiting.organization_id)
        thread.start()
        if session.get_bind().dialect.name == "postgresql":
            blocked = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            wait_until(lambda: session.scalar(blocked), 10, "the other to wait")
        operations.wake(session, str(waiting.operation_id))
    thread.join(30)
    assert not faults
    found = workshop.row({"id": waiting.id})
    assert (found.status, found.reason) == ("interrupted", "given up")


def open_runs(workshop: Workshop) -> int:
    with workshop.installation.application.database.read() as session:
        return session.scalar(select(func.count()).where(CustomJobRun.ended_at.is_(None))) or 0
