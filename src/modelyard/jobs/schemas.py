"""Wire types of custom jobs, named as in the contract. What is ours beyond it says so."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from modelyard.environments.required_metadata import RequiredMetadataValue
from modelyard.events.schemas import EventType
from modelyard.kernel.paging import Limit1000, Offset
from modelyard.kernel.wire import Body, BoolText, Moment, Query, Schema
from modelyard.workspaces.items import WorkspaceItemResponse
from modelyard.workspaces.runtime_parameters import RuntimeParameterUnified

JobType = Literal["default", "hostedCustomMetric", "notification", "retraining"]
EgressPolicy = Literal["none", "public"]

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Text10000 = Annotated[str, Meta(max_length=10000)]
Retries = Annotated[int, Meta(ge=0, le=10)]
Seconds = Annotated[int, Meta(ge=1)]
ManyIds = Annotated[list[str], Meta(max_length=100)]
Tags = Annotated[list[Annotated[str, Meta(min_length=1, max_length=255)]], Meta(max_length=100)]
FilePaths = Annotated[list[str], Meta(max_length=1000)]


class CustomJobResources(Schema):
    egress_network_policy: EgressPolicy
    resource_bundle_id: str | None


class CustomJobResourcesUpdate(Body):
    """What is not sent stays as it is; null is the default bundle."""

    egress_network_policy: EgressPolicy
    resource_bundle_id: str | UnsetType | None = UNSET


class Subscription(Body):
    """What a notification job listens to: all types of events unless some are named, and whatever of the deployments
    (and jobs) its owner may see unless deployments are named."""

    event_types: Annotated[list[EventType], Meta(max_length=20)] | None = None
    deployment_ids: Annotated[list[str], Meta(max_length=100)] | None = None


class JobSettings(Body):
    """What creating and changing a job have in common. ``requiredMetadataValues``, ``timeoutSeconds``,
    ``maxRetries``, ``tags`` and ``subscription`` (of notification jobs) are ours."""

    description: Text10000 | UnsetType = UNSET
    environment_id: str | UnsetType = UNSET
    environment_version_id: str | UnsetType = UNSET
    file_path: str | FilePaths | UnsetType = UNSET
    resources: CustomJobResourcesUpdate | UnsetType = UNSET
    runtime_parameter_values: str | UnsetType = UNSET
    runtime_parameters: str | UnsetType = UNSET
    required_metadata_values: str | UnsetType = UNSET
    timeout_seconds: Seconds | UnsetType | None = UNSET
    max_retries: Retries | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    subscription: Subscription | UnsetType | None = UNSET


class CreateCustomJob(JobSettings, kw_only=True):
    name: Name
    job_type: JobType = "default"


class CreateCustomJobFromTemplateGallery(JobSettings, kw_only=True):
    template_id: str
    job_type: JobType | UnsetType = UNSET
    name: Name | UnsetType = UNSET


class UpdateCustomJob(JobSettings):
    name: Name | UnsetType = UNSET
    entry_point: str | UnsetType = UNSET
    files_to_delete: str | ManyIds | UnsetType = UNSET


class CustomJobListQuery(Query):
    offset: Offset = 0
    limit: Limit1000 = 100
    only_running: BoolText | None = None
    search: str | None = None
    job_type: list[JobType] | None = None


class CustomJobResponse(Schema):
    """``requiredMetadataValues``, ``timeoutSeconds``, ``maxRetries``, ``templateId``, ``tags``, ``subscription``,
    ``createdBy`` and ``runCount`` are ours."""

    id: str
    name: str
    description: str
    job_type: JobType
    created: Moment
    created_by: str
    updated: Moment
    entry_point: str | None
    environment_id: str | None
    environment_version_id: str | None
    items: list[WorkspaceItemResponse]
    last_run: str | None
    run_count: int
    resources: CustomJobResources
    runtime_parameters: list[RuntimeParameterUnified]
    required_metadata_values: list[RequiredMetadataValue]
    timeout_seconds: int | None
    max_retries: int
    template_id: str | None
    tags: list[str]
    subscription: Subscription | None


class CustomJobFileResponse(Schema):
    id: str
    file_name: str
    file_path: str
    content: str


class CustomJobLimitsResponse(Schema):
    max_custom_job_runs: int
    max_custom_job_timeout: int
