"""Wire types of schedules (supporting-endpoints A.16). What is ours beyond it says so."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from modelyard.jobs.runs.schemas import RuntimeParameterValue
from modelyard.kernel.wire import Body, Moment, Query, Schema
from modelyard.workspaces.runtime_parameters import MAX_PARAMETERS

CatchUp = Literal["skip", "once", "all"]
CronValues = Annotated[list[int | Annotated[str, Meta(max_length=100)]], Meta(max_length=100)]
Overrides = Annotated[list[RuntimeParameterValue], Meta(max_length=MAX_PARAMETERS)]


class CronFields(Body):
    """Each a list of numbers, or ``["*"]``; text among them may be a range, a step or a name, as cron takes them."""

    minute: CronValues
    hour: CronValues
    day_of_month: CronValues
    month: CronValues
    day_of_week: CronValues


class CreateCustomJobSchedule(Body):
    """``timeZone``, ``enabled`` and ``catchUp`` are ours."""

    schedule: CronFields
    time_zone: str = "UTC"
    enabled: bool = True
    catch_up: CatchUp = "skip"
    parameter_overrides: Overrides | None = None


class UpdateCustomJobSchedule(Body):
    schedule: CronFields | UnsetType = UNSET
    time_zone: str | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    catch_up: CatchUp | UnsetType = UNSET
    parameter_overrides: Overrides | UnsetType | None = UNSET


class CustomJobScheduleQuery(Query):
    count: Annotated[int, Meta(ge=0, le=100)] = 10
    """How many of the next due times are wanted."""


class CustomJobScheduleResponse(Schema):
    """``scheduledJobId``, which the runs carry, is the schedule's id. From ``timeZone`` on the fields are ours."""

    id: str
    custom_job_id: str
    scheduled_job_id: str
    schedule: CronFields
    parameter_overrides: list[RuntimeParameterValue]
    time_zone: str
    enabled: bool
    catch_up: CatchUp
    next_run_times: list[Moment]
    """None while the schedule is paused."""
    created_by: str
    """On whose behalf the runs are started."""
    created: Moment
    updated: Moment
    last_run_time: Moment | None
    last_run_id: str | None
    last_error: str | None
    """Why the newest due time started no run; null when it did."""
    last_error_time: Moment | None
