"""Exact due times, worked out by hand from the dates on which the zones change their clocks."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest

from modelyard.jobs.schedules.schemas import CronFields
from modelyard.jobs.schedules.timing import Timing, check_timing
from modelyard.kernel.problems import Problems

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)

DUE_TIMES = [
    # Berlin, 29 March 2026: 02:00 becomes 03:00 at 01:00Z.
    ("Europe/Berlin", "30 2 * * *", "2026-03-28T12:00", ["2026-03-29T01:00", "2026-03-30T00:30"]),
    ("Europe/Berlin", "0 2,3 * * *", "2026-03-28T12:00", ["2026-03-29T01:00", "2026-03-30T00:00", "2026-03-30T01:00"]),
    ("Europe/Berlin", "0 * * * *", "2026-03-28T23:30", ["2026-03-29T00:00", "2026-03-29T01:00", "2026-03-29T02:00"]),
    ("Europe/Berlin", "*/30 2 * * *", "2026-03-28T12:00", ["2026-03-30T00:00", "2026-03-30T00:30"]),
    ("Europe/Berlin", "0 9 * * 1-5", "2026-03-26T12:00", ["2026-03-27T08:00", "2026-03-30T07:00"]),
    # Berlin, 25 October 2026: 03:00 becomes 02:00 at 01:00Z.
    ("Europe/Berlin", "30 2 * * *", "2026-10-24T12:00", ["2026-10-25T00:30", "2026-10-26T01:30"]),
    ("Europe/Berlin", "45 2 * * *", "2026-10-25T01:10", ["2026-10-26T01:45"]),  # asked in the second 02:10
    ("Europe/Berlin", "0 3 * * *", "2026-10-24T12:00", ["2026-10-25T02:00", "2026-10-26T02:00"]),
    ("Europe/Berlin", "0 * * * *", "2026-10-24T23:30", ["2026-10-25T00:00", "2026-10-25T01:00", "2026-10-25T02:00"]),
    (
        "Europe/Berlin",
        "*/30 2 * * *",
        "2026-10-24T12:00",
        ["2026-10-25T00:00", "2026-10-25T00:30", "2026-10-25T01:00", "2026-10-25T01:30", "2026-10-26T01:00"],
    ),
    # New York: 8 March 2026, 02:00 becomes 03:00 at 07:00Z; 1 November, 02:00 becomes 01:00 at 06:00Z.
    ("America/New_York", "15 2 * * *", "2026-03-07T12:00", ["2026-03-08T07:00", "2026-03-09T06:15"]),
    ("America/New_York", "30 1 * * *", "2026-10-31T12:00", ["2026-11-01T05:30", "2026-11-02T06:30"]),
    (
        "America/New_York",
        "*/20 1 * * *",
        "2026-10-31T12:00",
        [f"2026-11-01T{time}" for time in ("05:00", "05:20", "05:40", "06:00", "06:20", "06:40")],
    ),
    ("America/New_York", "0 9 1 * *", "2026-10-01T12:00", ["2026-10-01T13:00", "2026-11-01T14:00"]),
    # Havana changes at midnight: 8 March 2026, 00:00 becomes 01:00; 1 November, 01:00 becomes 00:00; both at 05:00Z.
    ("America/Havana", "0 0 * * *", "2026-03-07T12:00", ["2026-03-08T05:00", "2026-03-09T04:00"]),
    ("America/Havana", "0 0 * * *", "2026-10-31T12:00", ["2026-11-01T04:00", "2026-11-02T05:00"]),
    # Adelaide is half an hour off: 5 April 2026, 03:00 becomes 02:00; 4 October, 02:00 becomes 03:00; both at 16:30Z.
    ("Australia/Adelaide", "30 2 * * *", "2026-04-04T00:00", ["2026-04-04T16:00", "2026-04-05T17:00"]),
    ("Australia/Adelaide", "0 * * * *", "2026-04-04T15:45", ["2026-04-04T16:30", "2026-04-04T17:30"]),
    ("Australia/Adelaide", "30 2 * * *", "2026-10-03T00:00", ["2026-10-03T16:30", "2026-10-04T16:00"]),
    # Lord Howe changes by half an hour: 5 April 2026, 02:00 becomes 01:30 at 15:00Z the day before;
    # 4 October, 02:00 becomes 02:30 at 15:30Z the day before.
    ("Australia/Lord_Howe", "45 1 * * *", "2026-04-04T00:00", ["2026-04-04T14:45", "2026-04-05T15:15"]),
    (
        "Australia/Lord_Howe",
        "*/15 3 * * *",
        "2026-04-04T00:00",
        ["2026-04-04T16:30", "2026-04-04T16:45", "2026-04-04T17:00", "2026-04-04T17:15", "2026-04-05T16:30"],
    ),
    (
        "Australia/Lord_Howe",
        "*/15 1 * * *",
        "2026-04-04T13:00",
        [f"2026-04-04T{time}" for time in ("14:00", "14:15", "14:30", "14:45", "15:00", "15:15")]
        + ["2026-04-05T14:30"],
    ),
    ("Australia/Lord_Howe", "15 2 * * *", "2026-10-03T00:00", ["2026-10-03T15:30", "2026-10-04T15:15"]),
    (
        "Australia/Lord_Howe",
        "*/15 3 * * *",
        "2026-10-03T00:00",
        ["2026-10-03T16:00", "2026-10-03T16:15", "2026-10-03T16:30", "2026-10-03T16:45", "2026-10-04T16:00"],
    ),
    # Zones that never change: 5:30 and 5:45 ahead.
    ("Asia/Kolkata", "0 9 * * *", "2026-03-28T12:00", ["2026-03-29T03:30", "2026-03-30T03:30"]),
    ("Asia/Kolkata", "*/20 * * * *", "2026-03-29T00:00", ["2026-03-29T00:10", "2026-03-29T00:30", "2026-03-29T00:50"]),
    ("Asia/Kathmandu", "0 0 * * 0", "2026-03-27T12:00", ["2026-03-28T18:15", "2026-04-04T18:15"]),
    # What the fields mean, without clocks in the way.
    ("UTC", "0 0 29 2 *", "2026-01-01T00:00", ["2028-02-29T00:00", "2032-02-29T00:00"]),
    ("UTC", "0 0 1 * 5", "2026-11-25T00:00", ["2026-11-27T00:00", "2026-12-01T00:00", "2026-12-04T00:00"]),
    ("UTC", "0 0 */10 * 5", "2026-11-25T00:00", ["2026-12-11T00:00", "2027-01-01T00:00"]),
    ("UTC", "0 0 L * *", "2026-11-25T00:00", ["2026-11-30T00:00", "2026-12-31T00:00"]),
    ("UTC", "0 0 * * 5L", "2026-11-25T00:00", ["2026-11-27T00:00", "2026-12-25T00:00"]),
    ("UTC", "0 0 * * FRI#2", "2026-11-25T00:00", ["2026-12-11T00:00", "2027-01-08T00:00"]),
    ("UTC", "*/25 10-11 * DEC 0", "2026-11-25T00:00", [f"2026-12-06T10:{m}" for m in ("00", "25", "50")]),
]


@pytest.mark.parametrize(("zone", "expression", "after", "expected"), DUE_TIMES)
def test_due_times(zone: str, expression: str, after: str, expected: list[str]) -> None:
    timing = Timing(expression, ZoneInfo(zone))
    begin = datetime.fromisoformat(after).replace(tzinfo=UTC)
    found = islice(timing.upcoming(begin), len(expected))
    assert [due.strftime("%Y-%m-%dT%H:%M") for due in found] == expected


@pytest.mark.parametrize("begin", [datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 9, 28, tzinfo=UTC)])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe", "America/Havana", "Africa/Cairo"])
@pytest.mark.parametrize("expression", ["*/30 * * * *", "30 2 * * *", "*/15 1-3 * * *", "0 */2 * * *", "5 0 * * *"])
def test_wherever_one_begins_the_same_times_come(begin: datetime, zone: str, expression: str) -> None:
    """Due times of eight weeks with a change of clocks are a rising line; each is found from any moment before it."""
    timing = Timing(expression, ZoneInfo(zone))
    end = begin + timedelta(weeks=8)
    line = list(takewhile(lambda due: due < end, timing.upcoming(begin)))
    assert len(line) >= 55
    for one, other in pairwise(line):
        assert one < other
        assert timing.next_after(one + (other - one) / 2) == other


def fields(text: str) -> CronFields:
    """A crontab's five fields, numbers as numbers."""
    values = [[int(one) if one.isdigit() else one for one in field.split(",")] for field in text.split()]
    names = ("minute", "hour", "day_of_month", "month", "day_of_week")
    return CronFields(**dict(zip(names, values, strict=True)))


def problems_of(schedule: CronFields, zone: str = "UTC") -> dict[str, str]:
    problems = Problems()
    timing = check_timing(schedule, zone, NOW, problems)
    assert (timing is None) == bool(problems._errors)
    return problems._errors


@pytest.mark.parametrize(
    "text",
    [
        "0 0 * * *",
        "59 23 31 12 6",
        "*/15 1-5 1,15 JAN,JUL MON-FRI",
        "0 0 29 2 *",
        "0 0 31 2 1",  # on Mondays of February: a day of the week makes up for the day that is not
        "0 0 31 1,2 *",
        "0 0 LW * *",
        "0-30/10 * * * 5L",
    ],
)
def test_fields_that_can_be(text: str) -> None:
    assert problems_of(fields(text)) == {}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("60 0 * * *", {"schedule.minute": "60"}),
        ("0 24 * * *", {"schedule.hour": "24"}),
        ("0 0 0 * *", {"schedule.dayOfMonth": "0"}),
        ("0 0 32 * *", {"schedule.dayOfMonth": "32"}),
        ("0 0 * 13 *", {"schedule.month": "13"}),
        ("0 0 * * 8", {"schedule.dayOfWeek": "8"}),
        ("0 0 31 2 *", {"schedule.dayOfMonth": "there is no day 31 in month 2"}),
        ("0 0 31 2,4,6,9,11 *", {"schedule.dayOfMonth": "there is no day 31 in month 2, 4, 6, 9, 11"}),
        ("0 0 30 FEB *", {"schedule.dayOfMonth": "there is no day 30 in month FEB"}),
        ("0 0 */31 * SUN#5", {"schedule": "not due within"}),  # the first of a month is never its fifth Sunday
        ("5-1 -1 */0 x MON-", {f"schedule.{name}": "cannot be" for name in ("minute", "hour")}),
    ],
)
def test_fields_that_cannot_be(text: str, wrong: dict[str, str]) -> None:
    found = problems_of(fields(text))
    assert found.keys() >= wrong.keys()
    assert all(part in found[name] for name, part in wrong.items())


def test_all_that_is_wrong_is_told() -> None:
    schedule = CronFields(minute=[60, "61"], hour=[], day_of_month=["1 2"], month=["*\n*"], day_of_week=["9" * 100])
    found = problems_of(schedule, "Europe/Berlim")
    names = {"minute", "hour", "dayOfMonth", "month", "dayOfWeek"}
    assert found.keys() == {f"schedule.{name}" for name in names} | {"timeZone"}
    assert found["schedule.hour"] == 'must not be empty; ["*"] stands for all'
    assert found["schedule.minute"].startswith("60 cannot be and '61' must be numbers, not text; allowed are 0 to 59")
    assert found["timeZone"].startswith("there is no time zone 'Europe/Berlim'; did you mean Europe/Berlin or")


@pytest.mark.parametrize(
    "zone", ["", "Mars/Olympus", "../etc/passwd", "/etc/localtime", "localtime", "Europe", "europe/berlin"]
)
def test_zones_that_are_none(zone: str) -> None:
    assert problems_of(fields("0 0 * * *"), zone).keys() == {"timeZone"}
