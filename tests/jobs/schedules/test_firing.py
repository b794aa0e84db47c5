"""Runs that schedules start: when, for whom, how often, and what happens when they cannot be started."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from modelyard.identity.tables import User
from modelyard.jobs.schedules import firing as firing_module
from modelyard.jobs.schedules.firing import IDLE_S, Firing
from modelyard.jobs.schedules.schemas import CatchUp
from modelyard.jobs.schedules.tables import CustomJobSchedule, ScheduleFiring
from modelyard.jobs.schedules.timing import Timing
from modelyard.jobs.schedules.turns import MAX_CAUGHT_UP, next_turn
from tests.jobs.schedules.conftest import Yard, cron
from tests.jobs.schedules.test_schedules import share

HOURLY = Timing("0 * * * *", ZoneInfo("UTC"))
MINUTELY = Timing("* * * * *", ZoneInfo("UTC"))


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-03-01T{text}").replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("timing", "catch_up", "due", "now", "fires", "following"),
    [
        (HOURLY, "skip", "09:00:00", "08:59:59.999999", None, "09:00:00"),
        (HOURLY, "skip", "09:00:00", "09:00:00", "09:00:00", "10:00:00"),
        (HOURLY, "skip", "09:00:00", "09:01:00", "09:00:00", "10:00:00"),  # as late as may be
        (HOURLY, "skip", "09:00:00", "09:01:00.000001", None, "10:00:00"),
        (HOURLY, "skip", "09:00:00", "12:30:00", None, "13:00:00"),
        (HOURLY, "skip", "09:00:00", "12:00:30", "12:00:00", "13:00:00"),  # the last one is on time
        (HOURLY, "once", "09:00:00", "09:00:30", "09:00:00", "10:00:00"),
        (HOURLY, "once", "09:00:00", "12:30:00", "09:00:00", "13:00:00"),
        (HOURLY, "once", "09:00:00", "12:00:00", "09:00:00", "13:00:00"),
        (HOURLY, "all", "09:00:00", "12:30:00", "09:00:00", "10:00:00"),
        (HOURLY, "all", "12:00:00", "12:30:00", "12:00:00", "13:00:00"),
        (MINUTELY, "skip", "09:00:00", "09:00:59", "09:00:00", "09:01:00"),
        (MINUTELY, "all", "09:00:00", "10:39:30", "09:00:00", "09:01:00"),  # 100 with this one
        (MINUTELY, "all", "09:00:00", "10:40:00", "09:01:00", "09:02:00"),  # the oldest of 101 is left out
        (MINUTELY, "all", "01:00:00", "10:40:59", "09:01:00", "09:02:00"),
    ],
)
def test_turns(timing: Timing, catch_up: CatchUp, due: str, now: str, fires: str | None, following: str) -> None:
    turn = next_turn(timing, catch_up, at(due), at(now))
    assert turn.due == (at(fires) if fires else None)
    assert turn.following == at(following)


def test_runs_are_started_when_they_are_due(yard: Yard) -> None:
    job_id = yard.a_job()
    schedule_id = yard.a_schedule(
        job_id, "30 9 * * *", parameterOverrides=[{"fieldName": "REGION", "type": "string", "value": "south"}]
    )
    assert yard.look("2026-03-01T09:29:50") == 10
    assert yard.fired(job_id) == []
    yard.look("2026-03-01T09:30")
    yard.look("2026-03-01T09:30")
    (run,) = yard.runs(job_id)
    assert (run["scheduledJobId"], run["createdBy"]) == (schedule_id, "admin")
    assert run["description"] == "Due at 2026-03-01T09:30:00.000000Z"
    assert {one["fieldName"]: one["currentValue"] for one in run["runtimeParameters"]} == {"REGION": "south", "SIZE": 1}
    schedule = yard.schedule(job_id, schedule_id)
    assert (schedule["lastRunId"], schedule["lastRunTime"]) == (run["id"], "2026-03-01T09:30:00.000000Z")
    assert schedule["nextRunTimes"][0] == "2026-03-02T09:30:00.000000Z"
    yard.look("2026-03-02T09:30:05")
    assert yard.fired(job_id) == ["2026-03-01T09:30", "2026-03-02T09:30"]


def test_it_sleeps_until_the_next_of_all_schedules(yard: Yard) -> None:
    assert yard.look() == IDLE_S
    job_id = yard.a_job()
    yard.a_schedule(job_id, "0 12 * * *")
    assert yard.look() == IDLE_S
    yard.a_schedule(job_id, "1 0 * * *")
    assert yard.look("2026-03-01T00:00:45") == 15


def test_the_runs_of_one_schedule_can_be_listed(yard: Yard) -> None:
    job_id = yard.a_job()
    first, second = yard.a_schedule(job_id, "0 * * * *"), yard.a_schedule(job_id, "30 * * * *")
    for hour in range(1, 4):
        yard.look(f"2026-03-01T0{hour}:00")
        yard.look(f"2026-03-01T0{hour}:30")
    assert yard.fired(job_id, first) == [f"2026-03-01T0{hour}:00" for hour in range(1, 4)]
    assert yard.fired(job_id, second) == [f"2026-03-01T0{hour}:30" for hour in range(1, 4)]


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        ("skip", []),
        ("once", ["2026-03-01T01:00"]),
        ("all", ["2026-03-01T01:00", "2026-03-01T02:00", "2026-03-01T03:00"]),
    ],
)
def test_a_controller_that_was_down(yard: Yard, catch_up: str, expected: list[str]) -> None:
    job_id = yard.a_job()
    yard.a_schedule(job_id, "0 * * * *", catchUp=catch_up)
    yard.look("2026-03-01T03:20")
    assert yard.fired(job_id) == expected
    yard.look("2026-03-01T03:40")
    assert yard.fired(job_id) == expected
    yard.look("2026-03-01T04:00")
    assert yard.fired(job_id) == [*expected, "2026-03-01T04:00"]


def test_of_very_many_missed_due_times_the_newest_are_caught_up(yard: Yard) -> None:
    job_id = yard.a_job()
    yard.a_schedule(job_id, "*/2 * * * *", catchUp="all")
    yard.look("2026-03-02T00:01")
    fired = yard.fired(job_id)
    assert len(fired) == MAX_CAUGHT_UP
    assert (fired[0], fired[-1]) == ("2026-03-01T20:42", "2026-03-02T00:00")


@pytest.mark.parametrize("catch_up", ["skip", "once", "all"])
def test_a_pause_is_not_caught_up(yard: Yard, catch_up: str) -> None:
    job_id = yard.a_job()
    schedule_id = yard.a_schedule(job_id, "0 * * * *", catchUp=catch_up)
    yard.patch(job_id, schedule_id, enabled=False)
    assert yard.look("2026-03-01T03:00") == IDLE_S
    yard.clock.set("2026-03-01T03:00:30")  # within the grace of a due time that fell into the pause
    yard.patch(job_id, schedule_id, enabled=True)
    yard.look()
    assert yard.fired(job_id) == []
    yard.look("2026-03-01T04:00")
    assert yard.fired(job_id) == ["2026-03-01T04:00"]


def test_a_schedule_that_is_made_paused_starts_nothing(yard: Yard) -> None:
    job_id = yard.a_job()
    schedule_id = yard.a_schedule(job_id, "0 * * * *", enabled=False)
    yard.look("2026-03-01T01:00")
    assert yard.fired(job_id) == []
    yard.patch(job_id, schedule_id, enabled=True)
    yard.look("2026-03-01T02:00")
    assert yard.fired(job_id) == ["2026-03-01T02:00"]


def test_a_changed_schedule_is_due_by_its_new_fields(yard: Yard) -> None:
    job_id = yard.a_job()
    schedule_id = yard.a_schedule(job_id, "0 1 * * *")
    yard.patch(job_id, schedule_id, schedule=cron("0 2 * * *"))
    yard.look("2026-03-01T01:00")
    yard.look("2026-03-01T02:00")
    yard.patch(job_id, schedule_id, timeZone="Asia/Kolkata")
    yard.look("2026-03-01T20:30")
    assert yard.fired(job_id) == ["2026-03-01T02:00", "2026-03-01T20:30"]


def test_a_change_of_something_else_leaves_what_is_due(yard: Yard) -> None:
    job_id = yard.a_job()
    schedule_id = yard.a_schedule(job_id, "0 * * * *")
    yard.clock.set("2026-03-01T03:20")
    yard.patch(job_id, schedule_id, catchUp="all", enabled=True, schedule=cron("0 * * * *"))
    yard.look()
    assert len(yard.fired(job_id)) == 3


def test_a_run_that_goes_on_does_not_keep_the_next_from_its_place_in_line(a_yard: Callable[..., Yard]) -> None:
    yard = a_yard(max_custom_job_runs=1)
    job_id = yard.a_job()
    yard.a_schedule(job_id, "0 * * * *")
    yard.look("2026-03-01T01:00")
    yard.look("2026-03-01T02:00")
    assert [run["phase"] for run in yard.runs(job_id)] == ["preparing", "waiting"]


def test_deleting_a_schedule_leaves_its_runs(yard: Yard) -> None:
    job_id = yard.a_job()
    schedule_id = yard.a_schedule(job_id, "0 * * * *")
    yard.look("2026-03-01T01:00")
    assert yard.api.delete(f"/customJobs/{job_id}/schedules/{schedule_id}/").status_code == 204
    assert yard.look("2026-03-01T02:00") == IDLE_S
    assert yard.fired(job_id, schedule_id) == ["2026-03-01T01:00"]
    assert rows(yard, ScheduleFiring) == 0


def test_a_deleted_job_stops_its_schedules_and_cleaning_up_erases_them(yard: Yard) -> None:
    job_id = yard.a_job()
    schedule_id = yard.a_schedule(job_id, "0 * * * *", catchUp="all")
    yard.look("2026-03-01T01:00")
    for run in yard.runs(job_id):
        yard.api.delete(f"/customJobs/{job_id}/runs/{run['id']}/")
    yard.installation.run_operations()
    assert yard.api.delete(f"/customJobs/{job_id}/").status_code == 204
    assert yard.look("2026-03-01T05:00") == IDLE_S
    assert yard.api.get(f"/customJobs/{job_id}/schedules/{schedule_id}/").status_code == 404
    assert (rows(yard, CustomJobSchedule), rows(yard, ScheduleFiring)) == (1, 1)
    assert yard.api.post(f"/customJobsCleanup/{job_id}/").status_code == 204
    assert (rows(yard, CustomJobSchedule), rows(yard, ScheduleFiring)) == (0, 0)


def rows(yard: Yard, table: type[Any]) -> int:
    with yard.application.database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_a_run_that_cannot_be_started_is_told_and_the_next_is_tried(yard: Yard) -> None:
    job_id = yard.a_job(environment=False)
    schedule_id = yard.a_schedule(job_id, "0 * * * *", catchUp="all")
    yard.look("2026-03-01T01:00")
    assert yard.fired(job_id) == []
    failed = yard.schedule(job_id, schedule_id)
    assert "no execution environment" in failed["lastError"]
    assert (failed["lastErrorTime"], failed["lastRunTime"]) == ("2026-03-01T01:00:00.000000Z", None)
    assert failed["nextRunTimes"][0] == "2026-03-01T02:00:00.000000Z"
    job = yard.api.get(f"/customJobs/{yard.a_job()}/").json()
    changed = yard.api.patch(f"/customJobs/{job_id}/", json={"environmentId": job["environmentId"]})
    assert changed.status_code == 201, changed.text
    yard.look("2026-03-01T02:00")
    assert yard.fired(job_id) == ["2026-03-01T02:00"]
    assert yard.schedule(job_id, schedule_id)["lastError"] is None
    with yard.application.database.read() as session:
        known = session.execute(
            select(ScheduleFiring.run_id, ScheduleFiring.error).order_by(ScheduleFiring.due_at)
        ).all()
    assert [(run_id is None, error is None) for run_id, error in known] == [(True, False), (False, True)]


def test_overrides_that_the_job_does_not_define_any_more(yard: Yard) -> None:
    job_id = yard.a_job()
    schedule_id = yard.a_schedule(
        job_id, "0 * * * *", parameterOverrides=[{"fieldName": "SIZE", "type": "numeric", "value": 2}]
    )
    files = [("file", ("metadata.yaml", b"name: other\n")), ("filePath", (None, "metadata.yaml"))]
    assert yard.api.patch(f"/customJobs/{job_id}/", files=files).status_code == 201
    yard.look("2026-03-01T01:00")
    assert yard.fired(job_id) == []
    assert "does not define 'SIZE'" in yard.schedule(job_id, schedule_id)["lastError"]


def test_a_creator_who_may_not_run_it_any_more(yard: Yard) -> None:
    owner, colleague = yard.a_user("owner"), yard.a_user("colleague")
    job_id = yard.a_job(owner)
    share(yard, job_id, "colleague", "EDITOR")
    yard.a_schedule(job_id, "0 * * * *", api=colleague)
    assert look_as(yard, owner, job_id, "2026-03-01T01:00") == (1, None)
    share(yard, job_id, "colleague", "READ_ONLY")
    count, error = look_as(yard, owner, job_id, "2026-03-01T02:00")
    assert (count, error) == (1, f"Your role READ_ONLY on custom job {job_id} does not allow you to edit it.")
    share(yard, job_id, "colleague", None)
    count, error = look_as(yard, owner, job_id, "2026-03-01T03:00")
    assert (count, error) == (1, f"There is no custom job {job_id} that you may see.")
    share(yard, job_id, "colleague", "EDITOR")
    with yard.application.database.write() as session:
        session.execute(update(User).where(User.username == "colleague").values(is_active=False))
    count, error = look_as(yard, owner, job_id, "2026-03-01T04:00")
    assert (count, error) == (1, "User colleague, who made the schedule, is not active any more.")


def look_as(yard: Yard, api: Any, job_id: str, text: str) -> tuple[int, str | None]:
    """How many runs there are after a look, and the error of the job's only schedule."""
    yard.look(text)
    (schedule,) = api.get(f"/customJobs/{job_id}/schedules/").json()["data"]
    return api.get(f"/customJobs/{job_id}/runs/").json()["totalCount"], schedule["lastError"]


def test_a_fault_of_ours_is_told_and_keeps_no_other_schedule_from_firing(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = yard.a_job(), yard.a_job()
    broken = yard.a_schedule(bad, "0 * * * *", catchUp="all")
    yard.a_schedule(good, "0 * * * *")
    real = firing_module.start_run

    def fails(session: Session, caller: Any, settings: Any, blobs: Any, job: Any, *others: Any, **more: Any) -> Any:
        run = real(session, caller, settings, blobs, job, *others, **more)
        if job.id == bad:
            raise KeyError("broken")
        return run

    monkeypatch.setattr(firing_module, "start_run", fails)
    yard.look("2026-03-01T01:00")
    assert (yard.fired(bad), yard.fired(good)) == ([], ["2026-03-01T01:00"])
    assert yard.schedule(bad, broken)["lastError"] == "KeyError: 'broken'"
    monkeypatch.undo()
    yard.look("2026-03-01T02:00")
    assert yard.fired(bad) == ["2026-03-01T02:00"]


def test_a_clock_that_was_set_back_fires_nothing_twice(yard: Yard) -> None:
    job_id = yard.a_job()
    schedule_id = yard.a_schedule(job_id, "0 * * * *")
    yard.look("2026-03-01T01:00")
    yard.clock.set("2026-03-01T00:50")
    yard.patch(job_id, schedule_id, enabled=False)
    yard.patch(job_id, schedule_id, enabled=True)
    yard.look("2026-03-01T01:00")
    yard.look("2026-03-01T02:00")
    assert yard.fired(job_id) == ["2026-03-01T01:00", "2026-03-01T02:00"]


def test_due_times_of_long_ago_are_forgotten(yard: Yard) -> None:
    job_id = yard.a_job()
    yard.a_schedule(job_id, "0 0 * * *")
    for day in ("2026-03-02", "2026-03-03", "2026-04-02"):
        yard.look(f"{day}T00:00")
    assert rows(yard, ScheduleFiring) == 2
    assert len(yard.runs(job_id)) == 3


def test_a_controller_that_dies_before_the_end_has_done_nothing(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Firing, run, operation and next due time are one: all of them or none."""
    job_id = yard.a_job()
    schedule_id = yard.a_schedule(job_id, "0 * * * *")
    yard.clock.set("2026-03-01T01:00")
    firing = Firing(yard.application.database, yard.application.parts)
    real = Firing._take_turn

    def dies(self: Firing, session: Session, *ids: str) -> None:
        real(self, session, *ids)
        session.flush()
        assert session.scalar(select(func.count()).select_from(ScheduleFiring)) == 1
        raise SystemExit

    monkeypatch.setattr(Firing, "_take_turn", dies)
    with pytest.raises(SystemExit):
        firing.look()
    monkeypatch.undo()
    assert (yard.fired(job_id), rows(yard, ScheduleFiring)) == ([], 0)
    assert yard.schedule(job_id, schedule_id)["lastRunTime"] is None
    yard.look("2026-03-01T01:00:40")
    assert yard.fired(job_id) == ["2026-03-01T01:00"]
