"""``/customJobs/{customJobId}/schedules/``."""

from sqlalchemy.orm import Session

from modelyard.identity.caller import Caller
from modelyard.jobs.schedules import service
from modelyard.jobs.schedules.schemas import (
    CreateCustomJobSchedule,
    CustomJobScheduleQuery,
    CustomJobScheduleResponse,
    UpdateCustomJobSchedule,
)
from modelyard.kernel.clock import Clock
from modelyard.kernel.paging import Page, PageQuery
from modelyard.kernel.routing import RequestInfo, endpoint
from modelyard.workspaces.references import References

TAG = "CustomJobs"
SCHEDULES = "/customJobs/{customJobId}/schedules/"
SCHEDULE = SCHEDULES + "{scheduleId}/"


@endpoint("GET", SCHEDULES, errors=(403, 404), tag=TAG)
def list_schedules(
    session: Session, caller: Caller, custom_job_id: str, query: PageQuery, request: RequestInfo, clock: Clock
) -> Page[CustomJobScheduleResponse]:
    """List the schedules of a custom job, newest first."""
    return service.list_schedules(session, caller, clock, custom_job_id, query, request)


@endpoint("POST", SCHEDULES, status=201, errors=(403, 404, 409, 422), tag=TAG)
def create_schedule(
    session: Session,
    caller: Caller,
    custom_job_id: str,
    body: CreateCustomJobSchedule,
    clock: Clock,
    references: References,
) -> CustomJobScheduleResponse:
    """Have a custom job run by itself at the times of a cron expression."""
    return service.create_schedule(session, caller, clock, references, custom_job_id, body)


@endpoint("GET", SCHEDULE, errors=(403, 404, 422), tag=TAG)
def read_schedule(
    session: Session,
    caller: Caller,
    custom_job_id: str,
    schedule_id: str,
    query: CustomJobScheduleQuery,
    clock: Clock,
) -> CustomJobScheduleResponse:
    """Read a schedule and when it is due next."""
    return service.read_schedule(session, caller, clock, custom_job_id, schedule_id, query.count)


@endpoint("PATCH", SCHEDULE, errors=(403, 404, 422), tag=TAG)
def update_schedule(
    session: Session,
    caller: Caller,
    custom_job_id: str,
    schedule_id: str,
    body: UpdateCustomJobSchedule,
    clock: Clock,
    references: References,
) -> CustomJobScheduleResponse:
    """Change, pause or resume a schedule. It counts from now: nothing before is caught up."""
    return service.update_schedule(session, caller, clock, references, custom_job_id, schedule_id, body)


@endpoint("DELETE", SCHEDULE, status=204, errors=(403, 404), tag=TAG)
def delete_schedule(session: Session, caller: Caller, custom_job_id: str, schedule_id: str) -> None:
    """Delete a schedule; the runs that it started stay."""
    service.delete_schedule(session, caller, custom_job_id, schedule_id)
