"""Wire types of runs, named as in the contract. What is ours beyond it says so."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from modelyard.environments.required_metadata import RequiredMetadataValue
from modelyard.jobs.schemas import CustomJobResources, Text10000
from modelyard.kernel.paging import Limit1000, Offset
from modelyard.kernel.wire import Body, Moment, Query, Schema
from modelyard.workspaces.items import WorkspaceItemResponse
from modelyard.workspaces.runtime_parameters import (
    MAX_TEXT_LENGTH,
    ParameterType,
    RuntimeParameterUnified,
    Value,
    coerced,
)

RunStatusName = Literal["succeeded", "failed", "running", "interrupted", "canceling", "canceled"]
PhaseName = Literal["waiting", "preparing", "executing", "finished"]


class RuntimeParameterValue(Body):
    """``value`` null falls back to the job's value. Numbers and booleans may be text."""

    field_name: str
    type: ParameterType
    value: Annotated[str, Meta(max_length=MAX_TEXT_LENGTH)] | bool | int | float | None

    def as_value(self) -> Value:
        return coerced(Value(field_name=self.field_name, type=self.type, value=self.value))


class CreateCustomJobRun(Body):
    description: Text10000 | UnsetType = UNSET
    runtime_parameter_values: Annotated[list[RuntimeParameterValue], Meta(max_length=100)] | UnsetType = UNSET

    def values(self) -> list[Value]:
        sent = [] if self.runtime_parameter_values is UNSET else self.runtime_parameter_values
        return [each.as_value() for each in sent]


class CustomJobRunListQuery(Query):
    offset: Offset = 0
    limit: Limit1000 = 100
    scheduled_job_id: str | None = None


class CustomJobRunResponse(Schema):
    """From ``phase`` on the fields are ours. ``duration`` is in seconds, of the execution alone."""

    id: str
    custom_job_id: str
    created: Moment
    description: str
    duration: float
    entry_point: str | UnsetType
    items: list[WorkspaceItemResponse]
    job_status_id: str | None
    resources: CustomJobResources
    runtime_parameters: list[RuntimeParameterUnified]
    status: RunStatusName
    phase: PhaseName
    waiting_for: str | None
    """What has to happen before the run goes on."""
    started_at: Moment | None
    ended_at: Moment | None
    exit_code: int | None
    reason: str | None
    """Why it ended as it did, where that was not its own doing."""
    attempt: int
    max_retries: int
    timeout_seconds: int
    environment_version_id: str | None
    required_metadata_values: list[RequiredMetadataValue]
    scheduled_job_id: str | None
    missed_events: int
    """How many events this run of a notification job stands for that could not be told."""
    created_by: str
    peak_memory_bytes: int | None


class ArtifactListQuery(Query):
    offset: Offset = 0
    limit: Limit1000 = 1000


class ArtifactResponse(Schema):
    id: str
    file_name: str
    file_path: str
    size_bytes: int
    created: Moment
