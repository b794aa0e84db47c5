"""Which due time is to be dealt with now, and which comes after it: what a schedule's catch-up policy means."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile

from modelyard.jobs.schedules.schemas import CatchUp
from modelyard.jobs.schedules.timing import Timing

GRACE = timedelta(seconds=60)
"""A due time that passed no longer ago is on time, whatever the policy: controllers restart, and clocks differ."""
MAX_CAUGHT_UP = 100
"""Of more missed due times than this, ``all`` catches up the newest."""


@dataclass(frozen=True)
class Turn:
    """``due`` is to be fired now (None: nothing is), ``following`` is the next due time after that."""

    due: datetime | None
    following: datetime | None


def next_turn(timing: Timing, catch_up: CatchUp, due: datetime, now: datetime) -> Turn:
    """What to do at ``now`` about a schedule that is next due at ``due``.

    A due time older than ``GRACE`` was missed. ``skip`` goes on with the first that was not; ``once`` fires the oldest
    and takes all others up to ``now`` as done; ``all`` fires one after the other.
    """
    first: datetime | None = due
    if due < now - GRACE:
        if catch_up == "once":
            return Turn(due, timing.next_after(now))
        first = _newest_missed(timing, due, now) if catch_up == "all" else _after_missed(timing, now)
    if first is None or first > now:
        return Turn(None, first)
    return Turn(first, timing.next_after(first))


def _after_missed(timing: Timing, now: datetime) -> datetime | None:
    return timing.next_after(now - GRACE - timedelta.resolution)


def _newest_missed(timing: Timing, due: datetime, now: datetime) -> datetime | None:
    """``due``, or where more than ``MAX_CAUGHT_UP`` due times have passed, the first of the newest of them."""
    missed = takewhile(lambda one: one <= now, islice(timing.upcoming(due), MAX_CAUGHT_UP))
    if sum(1 for _ in missed) < MAX_CAUGHT_UP:  # with ``due`` itself no more than are caught up
        return due
    return timing.next_after(timing.newest_before(now + timedelta(seconds=1), MAX_CAUGHT_UP) - timedelta(seconds=1))
