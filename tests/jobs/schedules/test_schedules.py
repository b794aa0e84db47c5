"""Schedules through the API: what is answered, what is refused, and to whom."""

from typing import Any

import pytest
from sqlalchemy import select

from modelyard.identity import grant_counts, sharing
from modelyard.identity.tables import AuditEvent, Grant, ResourceKind, User
from modelyard.jobs.schedules.service import MAX_SCHEDULES
from tests.api_client import Api
from tests.jobs.schedules.conftest import Yard, cron

NOBODY = "0123456789abcdef01234567"


def test_a_schedule_comes_back_as_it_was_sent(yard: Yard) -> None:
    job_id = yard.a_job()
    overrides = [{"fieldName": "REGION", "type": "string", "value": "south"}]
    made = yard.post(
        job_id,
        "30 2 * * *",
        timeZone="Europe/Berlin",
        catchUp="once",
        parameterOverrides=overrides,
    ).json()
    assert made.pop("nextRunTimes")[:2] == ["2026-03-01T01:30:00.000000Z", "2026-03-02T01:30:00.000000Z"]
    schedule_id = made.pop("id")
    assert made == {
        "customJobId": job_id,
        "scheduledJobId": schedule_id,
        "schedule": {"minute": [30], "hour": [2], "dayOfMonth": ["*"], "month": ["*"], "dayOfWeek": ["*"]},
        "parameterOverrides": overrides,
        "timeZone": "Europe/Berlin",
        "enabled": True,
        "catchUp": "once",
        "createdBy": "admin",
        "created": "2026-03-01T00:00:00.000000Z",
        "updated": "2026-03-01T00:00:00.000000Z",
        "lastRunTime": None,
        "lastRunId": None,
        "lastError": None,
        "lastErrorTime": None,
    }
    read = yard.schedule(job_id, schedule_id)
    assert {name: read[name] for name in made} == made


def test_what_is_left_out_has_its_default(yard: Yard) -> None:
    job_id = yard.a_job()
    made = yard.post(job_id, "*/15 1-5 1,L JAN 0", parameterOverrides=None).json()
    assert (made["timeZone"], made["enabled"], made["catchUp"], made["parameterOverrides"]) == ("UTC", True, "skip", [])
    assert made["schedule"] == cron("*/15 1-5 1,L JAN 0")
    assert len(made["nextRunTimes"]) == 10


def test_next_run_times_are_counted(yard: Yard) -> None:
    job_id = yard.a_job()
    path = f"/customJobs/{job_id}/schedules/{yard.a_schedule(job_id, '* * * * *')}/"
    assert len(yard.api.get(f"{path}?count=100").json()["nextRunTimes"]) == 100
    assert yard.api.get(f"{path}?count=0").json()["nextRunTimes"] == []
    assert yard.api.get(f"{path}?count=101").status_code == 422


def test_the_list_is_paged_newest_first(yard: Yard) -> None:
    job_id, other = yard.a_job(), yard.a_job()
    ids = [yard.a_schedule(job_id, f"{minute} 0 * * *") for minute in range(3)]
    yard.a_schedule(other, "0 0 * * *")
    page = yard.api.get(f"/customJobs/{job_id}/schedules/?limit=2").json()
    assert [one["id"] for one in page["data"]] == [ids[2], ids[1]]
    assert (page["totalCount"], page["count"], page["previous"]) == (3, 2, None)
    assert [one["id"] for one in yard.api.get(page["next"]).json()["data"]] == [ids[0]]
    assert page["data"][0]["nextRunTimes"][0] == "2026-03-01T00:02:00.000000Z"


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"schedule": cron("60 24 31 2 *")}, {"schedule.minute", "schedule.hour"}),
        ({"schedule": cron("0 0 31 2 *")}, {"schedule.dayOfMonth"}),
        ({"schedule": cron("0 0 * * *") | {"month": []}}, {"schedule.month"}),
        ({"schedule": {"minute": [0]}}, {"schedule"}),
        ({"schedule": cron("0 0 * * *") | {"hour": [True]}}, {"schedule"}),
        ({"schedule": cron("0 0 * * *") | {"hour": [1.5]}}, {"schedule"}),
        ({"schedule": cron("0 0 * * *") | {"hour": ["9" * 101]}}, {"schedule"}),
        ({"schedule": cron("0 0 * * *") | {"hour": [10**30]}}, {"schedule"}),
        (
            {"schedule": cron("0 0 * * *") | {"hour": ["1 2"], "month": ["\u0661"], "minute": [-1]}},
            {"schedule.hour", "schedule.month", "schedule.minute"},
        ),
        ({"schedule": cron("0 0 * * *") | {"hour": ["*", 1]}}, {"schedule.hour"}),
        ({"schedule": cron("0 0 * * *") | {"hour": ["5"], "minute": [1, "1,5"]}}, {"schedule.hour", "schedule.minute"}),
        ({"schedule": cron("0 0 * * *") | {"dayOfWeek": [7]}}, {"schedule.dayOfWeek"}),
        ({"timeZone": "Mars/Olympus"}, {"timeZone"}),
        ({"timeZone": None, "enabled": "yes", "catchUp": "later"}, {"timeZone", "enabled", "catchUp"}),
        ({"parameterOverrides": [{"fieldName": "COLOUR", "type": "string", "value": "x"}]}, {"parameterOverrides"}),
        ({"parameterOverrides": [{"fieldName": "SIZE", "type": "numeric", "value": 10}]}, {"parameterOverrides"}),
        ({"parameterOverrides": [{"fieldName": "SIZE", "type": "string", "value": "1"}]}, {"parameterOverrides"}),
        (
            {
                "schedule": cron("60 0 * * *"),
                "timeZone": "Nowhere",
                "parameterOverrides": [{"fieldName": "SIZE", "type": "numeric", "value": 0}] * 2,
            },
            {"schedule.minute", "timeZone", "parameterOverrides"},
        ),
    ],
)
def test_what_cannot_be_is_refused_all_at_once(yard: Yard, fields: dict[str, Any], wrong: set[str]) -> None:
    job_id = yard.a_job()
    path = f"/customJobs/{job_id}/schedules/"
    answer = yard.api.post(path, json={"schedule": cron("0 0 * * *")} | fields)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"].keys() == wrong
    assert yard.api.get(path).json()["totalCount"] == 0

    schedule_id = yard.a_schedule(job_id, "0 0 * * *")
    before = yard.schedule(job_id, schedule_id)
    changed = yard.api.patch(f"{path}{schedule_id}/", json=fields)
    assert (changed.status_code, changed.json()["errors"].keys()) == (422, wrong)
    assert yard.schedule(job_id, schedule_id) == before


def test_a_number_too_long_for_python(yard: Yard) -> None:
    body = b'{"schedule": {"minute": [%s], "hour": ["%s"], "dayOfMonth": [1], "month": [1], "dayOfWeek": [1]}}'
    for digits in (b"1" * 50, b"1" * 5000):
        answer = yard.api.post(f"/customJobs/{yard.a_job()}/schedules/", content=body % (digits, digits))
        assert answer.status_code in {400, 422}, answer.text


def test_a_body_without_a_schedule(yard: Yard) -> None:
    answer = yard.api.post(f"/customJobs/{yard.a_job()}/schedules/", json={})
    assert answer.json()["errors"] == {"schedule": "is required"}


def test_a_job_has_only_so_many(yard: Yard) -> None:
    job_id = yard.a_job()
    for _ in range(MAX_SCHEDULES):
        last = yard.a_schedule(job_id, "0 0 * * *")
    answer = yard.post(job_id, "0 0 * * *")
    assert answer.status_code == 409
    assert str(MAX_SCHEDULES) in answer.json()["message"]
    assert yard.api.delete(f"/customJobs/{job_id}/schedules/{last}/").status_code == 204
    yard.a_schedule(job_id, "0 0 * * *")


def test_changes(yard: Yard) -> None:
    job_id = yard.a_job()
    schedule_id = yard.a_schedule(
        job_id, "0 9 * * *", parameterOverrides=[{"fieldName": "SIZE", "type": "numeric", "value": 2}]
    )
    yard.clock.set("2026-03-01T12:00")
    changed = yard.patch(job_id, schedule_id, timeZone="Asia/Kolkata", catchUp="all")
    assert changed["nextRunTimes"][0] == "2026-03-02T03:30:00.000000Z"
    assert (changed["created"], changed["updated"]) == ("2026-03-01T00:00:00.000000Z", "2026-03-01T12:00:00.000000Z")
    assert (changed["catchUp"], len(changed["parameterOverrides"])) == ("all", 1)
    changed = yard.patch(job_id, schedule_id, schedule=cron("0 18 * * *"), parameterOverrides=[])
    assert changed["nextRunTimes"][0] == "2026-03-01T12:30:00.000000Z"
    assert (changed["timeZone"], changed["parameterOverrides"]) == ("Asia/Kolkata", [])
    assert yard.patch(job_id, schedule_id, enabled=False)["nextRunTimes"] == []
    assert yard.patch(job_id, schedule_id, enabled=True) == changed


def test_rights(yard: Yard) -> None:
    owner, colleague, stranger = yard.a_user("owner"), yard.a_user("colleague"), yard.a_user("far", organization="far")
    job_id = yard.a_job(owner)
    schedule_id = yard.a_schedule(job_id, "0 0 * * *", api=owner)
    path = f"/customJobs/{job_id}/schedules/"
    assert answers(yard, stranger, path, schedule_id) == [404] * 5
    assert answers(yard, colleague, path, schedule_id) == [404] * 5
    share(yard, job_id, "colleague", "READ_ONLY")
    assert answers(yard, colleague, path, schedule_id) == [200, 200, 403, 403, 403]
    share(yard, job_id, "colleague", "EDITOR")
    assert answers(yard, colleague, path, schedule_id) == [200, 200, 201, 200, 204]


def answers(yard: Yard, api: Api, path: str, schedule_id: str) -> list[int]:
    """The statuses of all five operations."""
    del yard
    return [
        api.get(path).status_code,
        api.get(f"{path}{schedule_id}/").status_code,
        api.post(path, json={"schedule": cron("0 0 * * *")}).status_code,
        api.patch(f"{path}{schedule_id}/", json={"catchUp": "all"}).status_code,
        api.delete(f"{path}{schedule_id}/").status_code,
    ]


def share(yard: Yard, job_id: str, username: str, role: str | None) -> None:
    """Sets a user's role on a job, without the API for it."""
    with yard.application.database.write() as session:
        user_id = session.scalar(select(User.id).where(User.username == username))
        assert user_id is not None
        if role is None:
            grant_counts.remove(session, Grant.resource_id == job_id, Grant.subject_id == user_id)
        else:
            sharing.grant(session, ResourceKind.CUSTOM_JOB, job_id, user_id, role, can_share=False)


@pytest.mark.parametrize("schedule_id", [NOBODY, "nonsense"])
def test_schedules_that_are_not(yard: Yard, schedule_id: str) -> None:
    path = f"/customJobs/{yard.a_job()}/schedules/{schedule_id}/"
    assert yard.api.get(path).status_code == 404
    assert yard.api.patch(path, json={}).status_code == 404
    assert yard.api.delete(path).status_code == 404


def test_a_schedule_is_found_below_its_own_job_only(yard: Yard) -> None:
    job_id, other = yard.a_job(), yard.a_job()
    schedule_id = yard.a_schedule(job_id, "0 0 * * *")
    path = f"/customJobs/{other}/schedules/{schedule_id}/"
    assert [yard.api.get(path).status_code, yard.api.delete(path).status_code] == [404, 404]
    assert yard.schedule(job_id, schedule_id)["id"] == schedule_id


def test_every_change_is_in_the_audit_trail(yard: Yard) -> None:
    job_id = yard.a_job()
    schedule_id = yard.a_schedule(job_id, "0 0 * * *")
    yard.patch(job_id, schedule_id, enabled=False)
    yard.api.delete(f"/customJobs/{job_id}/schedules/{schedule_id}/")
    with yard.application.database.read() as session:
        rows = session.scalars(select(AuditEvent).where(AuditEvent.resource_id == schedule_id).order_by(AuditEvent.at))
        found = [(row.action, row.resource_kind, row.detail) for row in rows]
    about = {"customJobId": job_id}
    assert found == [
        ("create", "customJobSchedule", about),
        ("update", "customJobSchedule", about | {"fields": ["enabled"]}),
        ("delete", "customJobSchedule", about),
    ]
