"""Making, reading, changing and deleting the schedules of a job (supporting-endpoints A.16)."""

from datetime import datetime

import msgspec
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from modelyard.identity import audit
from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.jobs.changes import check_defined
from modelyard.jobs.runs.schemas import RuntimeParameterValue
from modelyard.jobs.schedules.schemas import (
    CreateCustomJobSchedule,
    CronFields,
    CustomJobScheduleResponse,
    UpdateCustomJobSchedule,
)
from modelyard.jobs.schedules.tables import CustomJobSchedule
from modelyard.jobs.schedules.timing import check_timing
from modelyard.jobs.schedules.views import fields_of, view_schedule, view_schedules
from modelyard.jobs.service import find_job
from modelyard.jobs.tables import CustomJob
from modelyard.jobs.views import definitions_of, values_of
from modelyard.kernel.clock import Clock
from modelyard.kernel.errors import Conflict, NotFound
from modelyard.kernel.ids import is_id, new_id
from modelyard.kernel.paging import Page, PageQuery, page
from modelyard.kernel.problems import Problems
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.wakeup import notify
from modelyard.kernel.wire import UNSET, changes
from modelyard.workspaces.references import References
from modelyard.workspaces.runtime_parameters import ReferenceFault, check_values

AUDIT_KIND = "customJobSchedule"
MAX_SCHEDULES = 50
"""Of one job."""


def list_schedules(
    session: Session, caller: Caller, clock: Clock, job_id: str, query: PageQuery, request: RequestInfo
) -> Page[CustomJobScheduleResponse]:
    """The schedules of a job, newest first."""
    job = find_job(session, caller, job_id, Permission.VIEW)
    statement = (
        select(CustomJobSchedule).where(CustomJobSchedule.job_id == job.id).order_by(CustomJobSchedule.id.desc())
    )
    return page(session, statement, query, request, lambda rows: view_schedules(session, rows, clock.now()))


def create_schedule(
    session: Session, caller: Caller, clock: Clock, references: References, job_id: str, body: CreateCustomJobSchedule
) -> CustomJobScheduleResponse:
    """Has the job run by itself from now on. ``Conflict`` when it has ``MAX_SCHEDULES`` already."""
    job = find_job(session, caller, job_id, Permission.EDIT, lock=True)
    now = clock.now()
    problems = Problems()
    with problems.collecting():
        timing = check_timing(body.schedule, body.time_zone, now, problems)
    _check_overrides(job, body.parameter_overrides or [], references.seen_by(session, caller), problems)
    problems.raise_all()
    having = session.scalar(select(func.count()).where(CustomJobSchedule.job_id == job.id)) or 0
    if having >= MAX_SCHEDULES:
        raise Conflict(f"Custom job {job.id} has {having} schedules; more than {MAX_SCHEDULES} are not allowed.")
    row = CustomJobSchedule(
        id=new_id(),
        job_id=job.id,
        created_by_id=caller.user_id,
        created_at=now,
        updated_at=now,
        fields=msgspec.to_builtins(body.schedule),
        time_zone=body.time_zone,
        is_enabled=body.enabled,
        catch_up=body.catch_up,
        parameter_overrides=msgspec.to_builtins(body.parameter_overrides or []),
        next_due_at=timing.next_after(now) if timing and body.enabled else None,
    )
    session.add(row)
    audit.record(session, caller, "create", AUDIT_KIND, row.id, {"customJobId": job.id})
    session.flush()
    notify(session)
    return view_schedule(session, row, now)


def read_schedule(
    session: Session, caller: Caller, clock: Clock, job_id: str, schedule_id: str, count: int
) -> CustomJobScheduleResponse:
    find_job(session, caller, job_id, Permission.VIEW)
    return view_schedule(session, _find(session, job_id, schedule_id), clock.now(), count)


def update_schedule(
    session: Session,
    caller: Caller,
    clock: Clock,
    references: References,
    job_id: str,
    schedule_id: str,
    body: UpdateCustomJobSchedule,
) -> CustomJobScheduleResponse:
    """Changes a schedule. A new timing, and the end of a pause, count from now: nothing before is caught up."""
    job = find_job(session, caller, job_id, Permission.EDIT, lock=True)
    row = _find(session, job.id, schedule_id, lock=True)
    now = clock.now()
    _set_timing(row, body, now)
    if body.catch_up is not UNSET:
        row.catch_up = body.catch_up
    problems = Problems()
    timing = check_timing(fields_of(row), row.time_zone, now, problems)
    if body.parameter_overrides is not UNSET:
        overrides = body.parameter_overrides or []
        _check_overrides(job, overrides, references.seen_by(session, caller), problems)
        row.parameter_overrides = msgspec.to_builtins(overrides)
    problems.raise_all()
    if row.next_due_at is None and row.is_enabled and timing is not None:
        row.next_due_at = timing.next_after(now)
        notify(session)
    row.updated_at = now
    audit.record(
        session, caller, "update", AUDIT_KIND, row.id, {"customJobId": job.id, "fields": sorted(changes(body))}
    )
    session.flush()
    return view_schedule(session, row, now)


def delete_schedule(session: Session, caller: Caller, job_id: str, schedule_id: str) -> None:
    """Ends a schedule; the runs that it started stay."""
    job = find_job(session, caller, job_id, Permission.EDIT, lock=True)
    row = _find(session, job.id, schedule_id, lock=True)
    session.delete(row)
    audit.record(session, caller, "delete", AUDIT_KIND, row.id, {"customJobId": job.id})


def _set_timing(row: CustomJobSchedule, body: UpdateCustomJobSchedule, now: datetime) -> None:
    """Puts in what was sent; where it makes a difference, the next due time is to be found anew."""
    before = (fields_of(row), row.time_zone, row.is_enabled)
    wanted: CronFields = before[0] if body.schedule is UNSET else body.schedule
    row.fields = msgspec.to_builtins(wanted)
    row.time_zone = row.time_zone if body.time_zone is UNSET else body.time_zone
    row.is_enabled = row.is_enabled if body.enabled is UNSET else body.enabled
    if (wanted, row.time_zone, row.is_enabled) != before:
        row.next_due_at = None


def _find(session: Session, job_id: str, schedule_id: str, *, lock: bool = False) -> CustomJobSchedule:
    """A schedule of a job that the caller was found to have the right to; whoever locks it has locked its job."""
    row = session.get(CustomJobSchedule, schedule_id, with_for_update=lock) if is_id(schedule_id) else None
    if row is None or row.job_id != job_id:
        raise NotFound(f"There is no schedule {schedule_id} of custom job {job_id}.")
    return row


def _check_overrides(
    job: CustomJob, overrides: list[RuntimeParameterValue], reference_fault: ReferenceFault, problems: Problems
) -> None:
    """Checks what the runs will have: the schedule's own values, and the job's where it has none."""
    definitions = definitions_of(job)
    values = [each.as_value() for each in overrides]
    with problems.collecting():
        check_defined(definitions, values, "parameterOverrides")
    with problems.collecting():
        check_values(
            definitions, values, "parameterOverrides", reference_fault, inherited=values_of(job), null_keeps=True
        )
