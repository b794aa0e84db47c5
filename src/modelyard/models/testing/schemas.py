"""Wire types of custom model tests, named as in the contract."""

from typing import Annotated, Literal

from msgspec import Meta

from modelyard.kernel.paging import Limit1000, Offset
from modelyard.kernel.wire import UNSET, Body, Moment, PartialBody, Query, Schema, UnsetType, Uri

Level = Literal["fail", "warn", "skip"]
StatusName = Literal[
    "not_tested", "queued", "failed", "canceled", "succeeded", "in_progress", "aborted", "warning", "skipped"
]
Memory = Annotated[int, Meta(ge=134217728, le=15032385536)]
Replicas = Annotated[int, Meta(gt=0, le=8)]
Egress = Literal["NONE", "PUBLIC"]
Seconds = Annotated[float, Meta(ge=1, le=1800)]
Rate = Annotated[float, Meta(ge=0, le=1)]
ParallelUsers = Annotated[int, Meta(gt=0, le=20)]
PayloadRows = Annotated[int, Meta(ge=1, le=1_000_000)]


class CustomModelTestsConfig(PartialBody):
    error_check: Level = "fail"
    long_running_service: Level = "fail"
    null_value_imputation: Level = "skip"
    side_effects: Level = "skip"
    prediction_verification_check: Level = "skip"
    performance_check: Level = "skip"
    stability_check: Level = "skip"


class PredictionVerificationParameters(PartialBody):
    """Compare with ``predictions_column`` of a dataset; numbers may differ by ``comparison_precision``."""

    dataset_id: str
    predictions_column: str
    matching_rate: Rate = 1.0
    comparison_precision: Annotated[float, Meta(ge=0)] = 1e-6


class PerformanceParameters(PartialBody):
    """Times are in seconds: the longest that one request may take, and the whole check."""

    max_response_time: Seconds = 30
    max_execution_time: Seconds = 600
    num_parallel_users: ParallelUsers = 1


class StabilityParameters(PartialBody):
    """``num_predictions`` requests of random sizes (in rows); ``passing_rate`` of them must succeed."""

    num_predictions: Annotated[int, Meta(ge=1, le=100_000)] = 50
    passing_rate: Rate = 0.95
    num_parallel_users: ParallelUsers = 1
    min_payload_size: PayloadRows = 1
    max_payload_size: PayloadRows = 100


class CustomModelTestsParameters(PartialBody):
    prediction_verification_check: PredictionVerificationParameters | UnsetType = UNSET
    performance_check: PerformanceParameters | UnsetType = UNSET
    stability_check: StabilityParameters | UnsetType = UNSET


class CustomModelTests(Body):
    custom_model_id: str
    custom_model_version_id: str
    configuration: CustomModelTestsConfig | UnsetType = UNSET
    parameters: CustomModelTestsParameters | UnsetType = UNSET
    dataset_id: str | UnsetType = UNSET
    dataset_version_id: str | UnsetType = UNSET
    environment_id: str | UnsetType = UNSET
    environment_version_id: str | UnsetType = UNSET
    desired_memory: Memory | UnsetType | None = UNSET
    maximum_memory: Memory | UnsetType | None = UNSET
    network_egress_policy: Egress | UnsetType | None = UNSET
    replicas: Replicas | UnsetType | None = UNSET
    requires_ha: bool | UnsetType | None = UNSET
    resource_bundle_id: str | UnsetType | None = UNSET


class CustomModelTestsListQuery(Query):
    custom_model_id: str
    offset: Offset = 0
    limit: Limit1000 = 100
    resource_bundle_id: str | UnsetType = UNSET
    maximum_memory: int | UnsetType = UNSET
    network_egress_policy: Egress | UnsetType = UNSET
    desired_memory: int | UnsetType = UNSET
    replicas: int | UnsetType = UNSET
    requires_ha: bool | UnsetType = UNSET


class TailQuery(Query):
    """``lines`` is read as text, because a number that is wrong or missing is a 400 here."""

    lines: Annotated[
        str, Meta(extra_json_schema={"x-documented-type": "integer", "minimum": 1, "maximum": 1000, "default": 100})
    ] = ""


class TestingStatus(Schema):
    message: str
    status: StatusName


class CustomModelTesting(Schema):
    """The checks that are known today; a test that was started with fewer lists those it has."""

    error_check: TestingStatus | UnsetType = UNSET
    long_running_service: TestingStatus | UnsetType = UNSET
    null_value_imputation: TestingStatus | UnsetType = UNSET
    side_effects: TestingStatus | UnsetType = UNSET
    prediction_verification_check: TestingStatus | UnsetType = UNSET
    performance_check: TestingStatus | UnsetType = UNSET
    stability_check: TestingStatus | UnsetType = UNSET


class ShortName(Schema):
    id: str
    name: str


class ShortLabel(Schema):
    id: str
    label: str


class CustomModelTestsResponse(Schema):
    id: str
    created: Moment
    created_by: str
    completed_at: Moment | None
    custom_model: ShortName
    custom_model_image_id: str | None
    custom_model_version: ShortLabel
    image_type: Literal["customModelImage", "customModelVersion"]
    dataset_id: str | None
    dataset_version_id: str | None
    execution_environment: ShortName
    execution_environment_version: ShortLabel
    overall_status: StatusName
    testing_status: CustomModelTesting
    desired_memory: Memory | UnsetType | None = UNSET
    maximum_memory: Memory | UnsetType | None = UNSET
    network_egress_policy: Egress | UnsetType | None = UNSET
    replicas: Replicas | UnsetType | None = UNSET
    requires_ha: bool | UnsetType | None = UNSET
    resource_bundle_id: str | UnsetType | None = UNSET


class CustomModelTestsListResponse(Schema):
    count: int
    next: Uri | None
    previous: Uri | None
    total_count: int
    data: list[CustomModelTestsResponse]


class CustomModelAsyncOperationResponse(Schema):
    status_id: str


class CustomModelTestStartedResponse(CustomModelAsyncOperationResponse):
    """``custom_model_test_id`` is ours: another test may have been started before somebody looks for the newest."""

    custom_model_test_id: str


class CustomModelTestsLogTailResponse(Schema):
    log: str
