"""Wire types of ``/predictionEnvironments/`` (supporting-endpoints.md, A.11) and ``/predictionServers/`` (D.1)."""

from typing import Annotated, Literal

from msgspec import Meta, field

from modelyard.kernel.paging import PageQuery
from modelyard.kernel.wire import UNSET, Body, Moment, Schema, UnsetType

Platform = Literal[
    "aws",
    "gcp",
    "azure",
    "onPremise",
    "datarobot",
    "datarobotServerless",
    "openShift",
    "other",
    "snowflake",
    "sapAiCore",
]
ManagedBy = Literal["selfManaged", "managementAgent", "datarobot"]
ModelFormat = Literal["datarobot", "datarobotScoringCode", "customModel", "externalModel"]
Name = Annotated[str, Meta(min_length=1, max_length=255)]
Formats = Annotated[list[ModelFormat], Meta(min_length=1, max_length=4)]
Count = Annotated[int, Meta(ge=1)]


class PredictionEnvironmentCreate(Body):
    name: Name
    platform: Platform
    description: Annotated[str, Meta(max_length=10_000)] | None = None
    priority: int | None = None
    max_concurrent_batch_predictions_job: Count | None = None
    managed_by: ManagedBy | None = None
    is_managed_by_management_agent: bool | None = None
    supported_model_formats: Formats | None = None
    credential_id: str | None = None
    datastore_id: str | None = None


class PredictionEnvironmentUpdate(Body):
    name: Name | UnsetType = UNSET
    description: Annotated[str, Meta(max_length=10_000)] | UnsetType | None = UNSET
    platform: Platform | UnsetType = UNSET
    priority: int | UnsetType | None = UNSET
    max_concurrent_batch_predictions_job: Count | UnsetType | None = UNSET
    managed_by: ManagedBy | UnsetType = UNSET
    is_managed_by_management_agent: bool | UnsetType | None = UNSET
    supported_model_formats: Formats | UnsetType = UNSET
    credential_id: str | UnsetType | None = UNSET
    datastore_id: str | UnsetType | None = UNSET


class PredictionEnvironmentListQuery(PageQuery):
    search: str | None = None
    platform: list[Platform] | None = None
    supported_model_formats: list[ModelFormat] | None = None


class PredictionEnvironmentResponse(Schema):
    id: str
    name: str
    description: str | None
    platform: Platform
    managed_by: ManagedBy
    is_managed_by_management_agent: bool
    priority: int | None
    max_concurrent_batch_predictions_job: int | None
    supported_model_formats: list[ModelFormat]
    credential_id: str | None
    datastore_id: str | None
    is_deleted: bool
    created_at: Moment
    created_by: str | None
    permissions: list[str]


class BatchPredictions(Schema):
    processing: int
    queued: int


class PredictionServerResponse(Schema):
    id: str
    url: str
    datarobot_key: str = field(name="datarobot-key")
    batch_predictions: BatchPredictions
