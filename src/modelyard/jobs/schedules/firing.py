"""Starting runs when they are due. Any number of controllers do this together; each due time fires once."""

import logging
from datetime import datetime, timedelta

from sqlalchemy import delete, exists, select
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from modelyard.identity import sharing
from modelyard.identity.accounts import usernames
from modelyard.identity.caller import Caller, find_active_caller
from modelyard.identity.roles import Permission
from modelyard.identity.tables import ResourceKind
from modelyard.jobs.runs.service import start_run
from modelyard.jobs.schedules.tables import CustomJobSchedule, ScheduleFiring
from modelyard.jobs.schedules.turns import next_turn
from modelyard.jobs.schedules.views import overrides_of, timing_of_row
from modelyard.jobs.tables import CustomJob
from modelyard.kernel.clock import Clock, to_wire
from modelyard.kernel.database import Database, lost_a_race
from modelyard.kernel.errors import Forbidden, ModelyardError
from modelyard.kernel.parts import Parts
from modelyard.kernel.settings import Settings
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces.references import References

log = logging.getLogger(__name__)

IDLE_S = 30.0
AGAIN_S = 0.05
BATCH = 100
REMEMBERED = timedelta(days=30)
"""How long it is known what became of a due time. That it is over, the schedule's next due time says for ever."""


class Firing:
    """The controller's loop over schedules that are due."""

    def __init__(self, database: Database, parts: Parts) -> None:
        self._database = database
        self._settings = parts.get(Settings)
        self._blobs = parts.get(BlobStore)  # type: ignore[type-abstract]
        self._references = parts.get(References)
        self._clock = parts.get(Clock)  # type: ignore[type-abstract]

    def look(self) -> float:
        """Fires what is due, one due time of each schedule; the answer is when to look again, in seconds."""
        for schedule_id, job_id in self._due():
            self._fire(schedule_id, job_id)
        with self._database.read() as session:
            due = session.scalar(
                select(CustomJobSchedule.next_due_at)
                .where(CustomJobSchedule.next_due_at.is_not(None))
                .order_by(CustomJobSchedule.next_due_at)
                .limit(1)
            )
        if due is None:
            return IDLE_S
        return min(IDLE_S, max(AGAIN_S, (due - self._clock.now()).total_seconds()))

    def _due(self) -> list[tuple[str, str]]:
        """The schedules that are due, and their jobs; those first that wait longest."""
        with self._database.read() as session:
            rows = session.execute(
                select(CustomJobSchedule.id, CustomJobSchedule.job_id)
                .where(CustomJobSchedule.next_due_at <= self._clock.now())
                .order_by(CustomJobSchedule.next_due_at)
                .limit(BATCH)
            )
            return [(row[0], row[1]) for row in rows]

    def _fire(self, schedule_id: str, job_id: str) -> None:
        """One due time in one transaction. What fails for no foreseen reason is written down too, and not repeated."""
        try:
            with self._database.write() as session:
                self._take_turn(session, schedule_id, job_id)
        except Exception as error:
            if lost_a_race(error):
                return  # another controller was in the way; the next look finds what is left
            if isinstance(error, OperationalError | InterfaceError):
                raise  # the database is not there: nothing can be written down, and all is tried again
            log.exception("schedule %s", schedule_id)
            with self._database.write() as session:
                self._give_up(session, schedule_id, job_id, f"{type(error).__name__}: {error}")

    def _take_turn(self, session: Session, schedule_id: str, job_id: str) -> None:
        job, schedule = _locked(session, schedule_id, job_id)
        now = self._clock.now()
        if job is None or schedule is None or schedule.next_due_at is None or schedule.next_due_at > now:
            return  # deleted, paused, changed or fired since it was found
        if job.deleted_at is not None:
            schedule.next_due_at = None
            return
        turn = next_turn(timing_of_row(schedule), schedule.catch_up, schedule.next_due_at, now)  # type: ignore[arg-type]
        if turn.due is not None and not _was_fired(session, schedule_id, turn.due):
            self._start(session, job, schedule, turn.due, now)
        schedule.next_due_at = turn.following
        session.execute(
            delete(ScheduleFiring).where(
                ScheduleFiring.schedule_id == schedule_id, ScheduleFiring.due_at < now - REMEMBERED
            )
        )

    def _start(
        self, session: Session, job: CustomJob, schedule: CustomJobSchedule, due: datetime, now: datetime
    ) -> None:
        values = [each.as_value() for each in overrides_of(schedule)]
        try:
            with session.begin_nested():
                run = start_run(
                    session,
                    _creator(session, schedule, job),
                    self._settings,
                    self._blobs,
                    self._references,
                    job,
                    values,
                    description=f"Due at {to_wire(due)}",
                    schedule_id=schedule.id,
                )
        except ModelyardError as error:
            _note_failure(session, schedule, due, now, error.message)
            return
        session.add(ScheduleFiring(schedule_id=schedule.id, due_at=due, fired_at=now, run_id=run.id))
        schedule.last_run_at, schedule.last_run_id = now, run.id
        schedule.last_error = schedule.last_error_at = None

    def _give_up(self, session: Session, schedule_id: str, job_id: str, error: str) -> None:
        """Goes on after a due time that could not be dealt with; a schedule whose next cannot be found rests."""
        _, schedule = _locked(session, schedule_id, job_id)
        now = self._clock.now()
        if schedule is None or schedule.next_due_at is None or schedule.next_due_at > now:
            return
        due = schedule.next_due_at
        try:
            schedule.next_due_at = timing_of_row(schedule).next_after(now)
        except Exception:
            log.exception("the next due time of schedule %s", schedule_id)
            schedule.next_due_at = None
        if not _was_fired(session, schedule_id, due):
            _note_failure(session, schedule, due, now, error)


def _locked(session: Session, schedule_id: str, job_id: str) -> tuple[CustomJob | None, CustomJobSchedule | None]:
    """The job before its schedule: the order in which everybody locks them."""
    job = session.get(CustomJob, job_id, with_for_update=True)
    return job, session.get(CustomJobSchedule, schedule_id, with_for_update=True)


def _was_fired(session: Session, schedule_id: str, due: datetime) -> bool:
    """Whether a due time was dealt with before: only when a clock was set back."""
    fired = exists().where(ScheduleFiring.schedule_id == schedule_id, ScheduleFiring.due_at == due)
    return bool(session.scalar(select(fired)))


def _creator(session: Session, schedule: CustomJobSchedule, job: CustomJob) -> Caller:
    """The schedule's creator, with the rights that they have today; raises when those do not let them run the job."""
    caller = find_active_caller(session, schedule.created_by_id)
    if caller is None:
        name = usernames(session, [schedule.created_by_id]).get(schedule.created_by_id, schedule.created_by_id)
        raise Forbidden(f"User {name}, who made the schedule, is not active any more.")
    sharing.require(session, caller, ResourceKind.CUSTOM_JOB, job.id, Permission.EDIT, what="custom job")
    return caller


def _note_failure(session: Session, schedule: CustomJobSchedule, due: datetime, now: datetime, error: str) -> None:
    log.warning("schedule %s, due at %s: no run was started: %s", schedule.id, to_wire(due), error)
    session.add(ScheduleFiring(schedule_id=schedule.id, due_at=due, fired_at=now, error=error))
    schedule.last_error, schedule.last_error_at = error, now
