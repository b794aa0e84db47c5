"""When a schedule is due: cron fields in a time zone, by the rules of Debian's cron as cronsim follows them."""

import difflib
import re
import zoneinfo
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from modelyard.jobs.schedules.schemas import CronFields, CronValues
from modelyard.kernel.problems import Problems

ALLOWED = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "dayOfMonth": "1 to 31, L or LW (the last day or weekday of the month)",
    "month": "1 to 12 or JAN to DEC",
    "dayOfWeek": "0 to 6 (0 is Sunday), SUN to SAT, 5L (the last Friday) or 5#2 (the second Friday)",
}
_VALUE = re.compile(r"[0-9A-Za-z*/#-]{1,100}")
STAR = "*"
LAST_DAY_OF_WEEK = 6
"""Of numbers: ranges in text may end with 7, as in a crontab."""
_ANY_DAY = datetime(2024, 1, 1, tzinfo=UTC)
_NO_ZONES = frozenset({"localtime", "posixrules", "Factory"})
"""Files among the zones that are none: what they say differs between machines, or is nothing."""
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Timing:
    """A cron expression of five fields and the zone whose clocks it means."""

    expression: str
    zone: ZoneInfo

    def next_after(self, moment: datetime) -> datetime | None:
        """The first due time after ``moment``, in UTC; None when there is none within 50 years.

        Where the clocks are changed in between, the hour of what was found is looked through once more: cronsim 2.8
        goes on from the half hour when they are changed by half an hour, and would miss the first half of an hour.
        """
        found = self._first_after(moment)
        if found is None or self._offset(found) == self._offset(moment):
            return found
        begins = found - timedelta(minutes=found.astimezone(self.zone).minute)
        again = self._first_after(max(moment, begins - _SECOND))
        return found if again is None else min(found, again)

    def upcoming(self, moment: datetime) -> Iterator[datetime]:
        """All due times after ``moment``, in order."""
        due = self.next_after(moment)
        while due is not None:
            yield due
            due = self.next_after(due)

    def newest_before(self, moment: datetime, count: int) -> datetime:
        """About the ``count``-th due time before ``moment``, of a timing that has had so many."""
        simulated = CronSim(self.expression, moment.astimezone(self.zone), reverse=True)
        return list(islice(simulated, count))[-1].astimezone(UTC)

    def _first_after(self, moment: datetime) -> datetime | None:
        for found in CronSim(self.expression, moment.astimezone(self.zone)):
            due = found.astimezone(UTC)
            if due > moment:  # in the doubled hour the simulation begins an hour too early
                return due
        return None

    def _offset(self, moment: datetime) -> timedelta | None:
        return moment.astimezone(self.zone).utcoffset()


def timing_of(schedule: CronFields, time_zone: str) -> Timing:
    """The timing of fields that were checked when they were stored."""
    return Timing(_expression(schedule), ZoneInfo(time_zone))


def check_timing(schedule: CronFields, time_zone: str, now: datetime, problems: Problems) -> Timing | None:
    """The timing, or None when something is wrong, which ``problems`` then tell."""
    faults = {f"schedule.{name}": fault for name, values in _named(schedule) if (fault := _fault(name, values))}
    problems.update(faults)
    zone = _zone(time_zone, problems)
    if faults:
        return None
    expression = _expression(schedule)
    try:
        CronSim(expression, _ANY_DAY)
    except CronSimError:
        days, months = ", ".join(map(str, schedule.day_of_month)), ", ".join(map(str, schedule.month))
        problems.add("schedule.dayOfMonth", f"there is no day {days} in month {months}")
        return None
    timing = Timing(expression, zone or ZoneInfo("UTC"))
    if timing.next_after(now) is None:
        problems.add("schedule", f"{expression!r} is not due within the next 50 years")
        return None
    return timing if zone else None


def _named(schedule: CronFields) -> list[tuple[str, CronValues]]:
    fields = (schedule.minute, schedule.hour, schedule.day_of_month, schedule.month, schedule.day_of_week)
    return list(zip(ALLOWED, fields, strict=True))


def _expression(schedule: CronFields) -> str:
    return " ".join(",".join(map(str, values)) for _, values in _named(schedule))


def _fault(name: str, values: CronValues) -> str | None:
    """What is wrong with one field: each of its values is tried by itself, with a star everywhere else."""
    if not values:
        return 'must not be empty; ["*"] stands for all'
    if STAR in values and len(values) > 1:
        return 'must be ["*"], which stands for all, or a list without "*"'
    texts = [value for value in values if isinstance(value, str) and _is_number(value)]
    wrong = [value for value in values if value not in texts and not _is_understood(name, value)]
    faults = [f"{_shown(wrong)} cannot be"] if wrong else []
    faults += [f"{_shown(texts)} must be numbers, not text"] if texts else []
    if not faults:
        return None
    return (
        f"{' and '.join(faults)}; allowed are {ALLOWED[name]}, "
        "and as text ranges such as 1-5 and steps such as */15; * stands alone"
    )


def _shown(values: Sequence[int | str]) -> str:
    return ", ".join(map(repr, values[:10]))


def _is_number(text: str) -> bool:
    return re.fullmatch("[0-9]+", text) is not None


def _is_understood(name: str, value: int | str) -> bool:
    if name == "dayOfWeek" and isinstance(value, int) and value > LAST_DAY_OF_WEEK:
        return False
    if not _VALUE.fullmatch(str(value)):
        return False
    try:
        CronSim(" ".join(str(value) if field == name else "*" for field in ALLOWED), _ANY_DAY)
    except CronSimError:
        return False
    return True


def _zone(name: str, problems: Problems) -> ZoneInfo | None:
    if name in _zone_names():
        return ZoneInfo(name)
    near = difflib.get_close_matches(name[:100], _zone_names(), 3)
    hint = f"did you mean {' or '.join(near)}?" if near else "names are such as Europe/Berlin or UTC"
    problems.add("timeZone", f"there is no time zone {name[:100]!r}; {hint}")
    return None


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones()) - _NO_ZONES
