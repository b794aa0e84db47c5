"""Wire types of deployments, named as in the contract (seed 004) and in supporting-endpoints.md, A.12."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from modelyard.deployments.prediction_environments.schemas import ModelFormat, Platform
from modelyard.kernel.paging import Offset
from modelyard.kernel.wire import Body, BoolText, Moment, Query, Schema, Uri

StatusName = Literal["active", "archived", "errored", "inactive", "launching", "replacingModel", "stopping"]
ImportanceName = Literal["CRITICAL", "HIGH", "MODERATE", "LOW"]
HealthName = Literal["failing", "notStarted", "passing", "unavailable", "unknown", "warning"]
HealthFilter = Literal["failing", "not_started", "passing", "unavailable", "unknown", "warning"]
BuildEnvironmentType = Literal["DataRobot", "Python", "R", "Java", "Julia", "Legacy", "Other"]
Reason = Literal["ACCURACY", "DATA_DRIFT", "ERRORS", "SCHEDULED_REFRESH", "SCORING_SPEED", "DEPRECATION", "OTHER"]
OrderBy = Literal[
    "label",
    "-label",
    "serviceHealth",
    "-serviceHealth",
    "modelHealth",
    "-modelHealth",
    "accuracyHealth",
    "-accuracyHealth",
    "recentPredictions",
    "-recentPredictions",
    "lastPredictionTimestamp",
    "-lastPredictionTimestamp",
    "currentModelDeployedTimestamp",
    "-currentModelDeployedTimestamp",
    "createdAtTimestamp",
    "-createdAtTimestamp",
    "importance",
    "-importance",
    "fairnessHealth",
    "-fairnessHealth",
    "customMetricsHealth",
    "-customMetricsHealth",
    "actualsTimelinessHealth",
    "-actualsTimelinessHealth",
    "predictionsTimelinessHealth",
    "-predictionsTimelinessHealth",
]
Label = Annotated[str, Meta(min_length=1, max_length=512)]
Description = Annotated[str, Meta(max_length=10_000)]
TagText = Annotated[str, Meta(min_length=1, max_length=50)]


class TagInput(Body):
    name: TagText
    value: TagText


class DeploymentFromModelPackage(Body):
    model_package_id: str
    label: Label
    prediction_environment_id: str | None = None
    description: Description | None = None
    importance: ImportanceName | None = None
    user_provided_id: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    runtime_parameter_values: str | None = None
    tags: Annotated[list[TagInput], Meta(max_length=100)] | None = None
    default_prediction_server_id: str | None = None


class DeploymentCreateFromLearningModel(Body):
    """``status`` says whether it is launched at once (the default)."""

    label: Label
    description: Description | None
    model_id: str
    default_prediction_server_id: str | UnsetType = UNSET
    grant_initial_deployment_roles_from_project: bool = True
    importance: ImportanceName | None = None
    prediction_threshold: Annotated[float, Meta(ge=0, le=1)] | UnsetType = UNSET
    status: Literal["active", "inactive"] | None = None


class DeploymentCreateResponse(Schema):
    id: str


class DeploymentListQuery(Query):
    offset: Offset = 0
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    order_by: OrderBy | None = None
    search: str | None = None
    service_health: list[HealthFilter] | None = None
    model_health: list[HealthFilter] | None = None
    accuracy_health: list[HealthFilter] | None = None
    role: Literal["OWNER", "USER"] | None = None
    status: list[StatusName] | None = None
    importance: list[ImportanceName] | None = None
    last_prediction_timestamp_start: datetime | None = None
    last_prediction_timestamp_end: datetime | None = None
    prediction_usage_daily_avg_greater_than: int | None = None
    prediction_usage_daily_avg_less_than: int | None = None
    default_prediction_server_id: list[str] | None = None
    build_environment_type: list[BuildEnvironmentType] | None = None
    execution_environment_type: list[Literal["datarobot", "external"]] | None = None
    prediction_environment_platform: list[Platform] | None = None
    created_by_me: BoolText | None = None
    created_by: str | None = None
    champion_model_execution_type: Literal["custom_inference_model", "external", "dedicated"] | None = None
    champion_model_target_type: str | None = None
    tag_keys: list[str] | None = None
    tag_values: list[str] | None = None


class DeploymentServiceHealthResponse(Schema):
    status: HealthName
    start_date: Moment | None
    end_date: Moment | None


class DeploymentModelHealthResponse(Schema):
    status: HealthName
    message: str
    start_date: Moment | None
    end_date: Moment | None


class DeploymentAccuracyHealthResponse(Schema):
    status: HealthName
    message: str
    start_date: Moment | None
    end_date: Moment | None


class DeploymentDefaultPredictionServerResponse(Schema):
    id: str | None
    url: str
    datarobot_key: str = field(name="datarobot-key")


class DeploymentGovernanceResponse(Schema):
    approval_status: Literal["PENDING", "APPROVED"]
    has_opened_change_requests: bool


class DeploymentModelCustomModelImageResponse(Schema):
    custom_model_id: str
    custom_model_name: str
    custom_model_version_id: str
    custom_model_version_label: str
    execution_environment_id: str
    execution_environment_name: str
    execution_environment_version_id: str
    execution_environment_version_label: str


class DeploymentModelResponse(Schema):
    id: str
    type: str
    target_type: str
    build_environment_type: str | None
    custom_model_image: DeploymentModelCustomModelImageResponse
    deployed_at: Moment | None
    is_deprecated: bool
    project_id: str | None
    project_name: str | None
    unstructured_model_kind: bool
    unsupervised_mode: bool
    unsupervised_type: Literal["anomaly", "clustering"] | None
    target_name: str | UnsetType = UNSET


class DeploymentModelPackageResponse(Schema):
    id: str
    name: str
    registered_model_id: str | None


class DeploymentDownloadResponse(Schema):
    """When something was downloaded for the first time."""

    timestamp: Moment | None


class DeploymentOwnerResponse(Schema):
    id: str
    email: str | None
    first_name: str | None
    last_name: str | None


class DeploymentOwnersResponse(Schema):
    count: int
    preview: list[DeploymentOwnerResponse]


class DeploymentPredictionEnvironmentResponse(Schema):
    id: str | None
    name: str
    platform: Platform
    is_managed_by_management_agent: bool
    plugin: str | None
    supported_model_formats: list[ModelFormat]


class DeploymentPredictionUsageResponse(Schema):
    daily_rates: list[int]
    last_timestamp: Moment | None


class DeploymentSettingsInfo(Schema):
    batch_monitoring_enabled: bool
    humble_ai_enabled: bool
    prediction_intervals_enabled: bool
    prediction_warning_enabled: bool


class DeploymentTagRetrieveResponse(Schema):
    id: str
    name: str
    value: str


class DeploymentRetrieveResponse(Schema):
    """``status_message`` is ours: why a deployment is errored, or what is wrong with an active one."""

    id: str
    label: str
    description: str | None
    importance: ImportanceName
    status: StatusName
    has_error: bool
    status_message: str | None
    created_at: Moment
    approval_status: Literal["PENDING", "APPROVED"]
    governance: DeploymentGovernanceResponse
    opened_change_requests: list[str]
    owners: DeploymentOwnersResponse
    permissions: list[str]
    model: DeploymentModelResponse
    model_package: DeploymentModelPackageResponse
    model_package_initial_download: DeploymentDownloadResponse
    scoring_code_initial_download: DeploymentDownloadResponse
    prediction_environment: DeploymentPredictionEnvironmentResponse
    default_prediction_server: DeploymentDefaultPredictionServerResponse
    prediction_usage: DeploymentPredictionUsageResponse
    service_health: DeploymentServiceHealthResponse
    model_health: DeploymentModelHealthResponse
    accuracy_health: DeploymentAccuracyHealthResponse
    settings: DeploymentSettingsInfo
    tags: list[DeploymentTagRetrieveResponse]
    user_provided_id: str | UnsetType = UNSET


class DeploymentListResponse(Schema):
    count: int
    next: Uri | None
    previous: Uri | None
    total_count: int
    data: list[DeploymentRetrieveResponse]


class DeploymentUpdate(Body):
    description: Description | UnsetType | None = UNSET
    importance: ImportanceName | UnsetType = UNSET
    label: Annotated[str, Meta(max_length=512)] | UnsetType | None = UNSET


class DeploymentDeleteQuery(Query):
    """Nothing here is managed by an agent, so there is never one to wait for."""

    ignore_management_agent: BoolText = "false"


class ModelValidation(Body):
    model_package_id: str


class ModelValidationResponse(Schema):
    status: Literal["passing", "warning", "failing"]
    message: str


class ModelReplacement(Body):
    model_package_id: str
    reason: Reason
    runtime_parameter_values: str | None = None


class RuntimeParameterChange(Body):
    runtime_parameter_values: str


class StatusChange(Body):
    status: Literal["active", "inactive"]


class DeletedDeploymentListQuery(Query):
    offset: Offset = 0
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class DeletedDeploymentResponse(Schema):
    id: str
    label: str
    deleted_at: Moment


class DeletedDeploymentListResponse(Schema):
    count: int
    next: Uri | None
    previous: Uri | None
    data: list[DeletedDeploymentResponse]


class DeploymentPermanentDelete(Body):
    action: Literal["PermanentlyErase"]
    deployment_ids: Annotated[list[str], Meta(min_length=1, max_length=100)]
