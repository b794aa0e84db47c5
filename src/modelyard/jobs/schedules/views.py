"""Schedules as the wire shows them, whole pages at once."""

from collections.abc import Sequence
from datetime import datetime
from itertools import islice

import msgspec
from sqlalchemy.orm import Session

from modelyard.identity.accounts import usernames
from modelyard.jobs.runs.schemas import RuntimeParameterValue
from modelyard.jobs.schedules.schemas import CronFields, CustomJobScheduleResponse
from modelyard.jobs.schedules.tables import CustomJobSchedule
from modelyard.jobs.schedules.timing import Timing, timing_of
from modelyard.kernel.wire import moment

SHOWN = 10


def view_schedule(
    session: Session, row: CustomJobSchedule, now: datetime, count: int = SHOWN
) -> CustomJobScheduleResponse:
    return view_schedules(session, [row], now, count)[0]


def view_schedules(
    session: Session, rows: Sequence[CustomJobSchedule], now: datetime, count: int = SHOWN
) -> list[CustomJobScheduleResponse]:
    """``count`` is how many of the next due times each shows."""
    names = usernames(session, {row.created_by_id for row in rows})
    return [_view(row, names.get(row.created_by_id, ""), now, count) for row in rows]


def fields_of(row: CustomJobSchedule) -> CronFields:
    return msgspec.convert(row.fields, CronFields)


def overrides_of(row: CustomJobSchedule) -> list[RuntimeParameterValue]:
    return msgspec.convert(row.parameter_overrides, list[RuntimeParameterValue])


def timing_of_row(row: CustomJobSchedule) -> Timing:
    return timing_of(fields_of(row), row.time_zone)


def _view(row: CustomJobSchedule, created_by: str, now: datetime, count: int) -> CustomJobScheduleResponse:
    upcoming = islice(timing_of_row(row).upcoming(now), count) if row.is_enabled else ()
    return CustomJobScheduleResponse(
        id=row.id,
        custom_job_id=row.job_id,
        scheduled_job_id=row.id,
        schedule=fields_of(row),
        parameter_overrides=overrides_of(row),
        time_zone=row.time_zone,
        enabled=row.is_enabled,
        catch_up=row.catch_up,  # type: ignore[arg-type] # checked when it was stored
        next_run_times=[moment(due) for due in upcoming],
        created_by=created_by,
        created=moment(row.created_at),
        updated=moment(row.updated_at),
        last_run_time=moment(row.last_run_at) if row.last_run_at else None,
        last_run_id=row.last_run_id,
        last_error=row.last_error,
        last_error_time=moment(row.last_error_at) if row.last_error_at else None,
    )
