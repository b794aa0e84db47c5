"""Stretches of time in whole hours, and how they are cut into buckets."""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

HOUR = timedelta(hours=1)
USUAL_SPAN = timedelta(days=7)
LONGEST_SPAN = timedelta(days=5 * 366)
MAX_BUCKETS = 10_000
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
_DURATION = re.compile(r"P(?:(\d{1,3})M|(?:(\d{1,3})W)?(?:(\d{1,4})D)?(?:T(\d{1,5})H)?)", re.ASCII)


@dataclass(frozen=True)
class Period:
    """From ``start`` up to, and without, ``end``; both are whole hours in UTC."""

    start: datetime
    end: datetime

    def before(self) -> "Period":
        """The period of the same length that ends where this one begins."""
        return Period(self.start - (self.end - self.start), self.start)


@dataclass(frozen=True)
class BucketSize:
    """A number of months of the calendar, or a span of time."""

    months: int = 0
    span: timedelta = timedelta()


def as_utc(time: datetime) -> datetime | None:
    """The time in UTC; without a zone it is taken as UTC. None outside of the years that are kept."""
    try:
        utc = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except OverflowError:
        return None
    return utc if EARLIEST <= utc < LATEST else None


def whole_hour(time: datetime) -> datetime:
    """The beginning of the hour that ``time`` is in."""
    return time.replace(minute=0, second=0, microsecond=0)


def read_period(start: datetime | None, end: datetime | None, now: datetime) -> tuple[Period, dict[str, str]]:
    """The period that a client asks for, widened to whole hours, and what is wrong with it by field."""
    errors: dict[str, str] = {}
    for name, time in (("start", start), ("end", end)):
        if time is not None and as_utc(time) is None:
            errors[name] = f"must be between {EARLIEST.year} and {LATEST.year}, not {time.isoformat()}"
    if errors:
        return Period(EARLIEST, EARLIEST + HOUR), errors
    end = (as_utc(end) if end else None) or now
    last = whole_hour(end)
    if last != end:
        last += HOUR
    first = whole_hour((as_utc(start) if start else None) or last - USUAL_SPAN)
    if first >= last:
        errors["start" if start else "end"] = f"start ({first.isoformat()}) must be before end ({last.isoformat()})"
    elif last - first > LONGEST_SPAN:
        errors["start"] = f"at most {LONGEST_SPAN.days} days at once; this is {(last - first).days}"
    return Period(first, last), errors


def read_bucket_size(text: str) -> BucketSize | None:
    """``PT1H``, ``P1D``, ``P7D``, ``P1W``, ``P1M``, … or None for anything else."""
    found = _DURATION.fullmatch(text)
    if found is None:
        return None
    months, weeks, days, hours = (int(part or 0) for part in found.groups())
    size = BucketSize(months, timedelta(weeks=weeks, days=days, hours=hours))
    return size if size.months or size.span else None


def edges(period: Period, size: BucketSize) -> list[datetime] | None:
    """Where buckets begin, counted from the period's start, and the period's end; None for too many."""
    found = [period.start]
    while len(found) <= MAX_BUCKETS:
        following = _step(period.start, size, len(found))
        if following >= period.end:
            return [*found, period.end]
        found.append(following)
    return None


def _step(start: datetime, size: BucketSize, count: int) -> datetime:
    if not size.months:
        return start + size.span * count
    year, month = divmod(start.year * 12 + start.month - 1 + size.months * count, 12)
    if year > LATEST.year:
        return LATEST + LONGEST_SPAN
    return start.replace(year=year, month=month + 1, day=min(start.day, monthrange(year, month + 1)[1]))
