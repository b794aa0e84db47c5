"""Wire types of custom models, named as in the contract."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from modelyard.kernel.paging import Limit1000, Offset
from modelyard.kernel.wire import Body, BoolText, Moment, Query, Schema, Uri
from modelyard.models.version_schemas import CustomModelVersionResponse, GitModelVersion

CustomModelType = Literal["training", "inference"]
TargetType = Literal["Binary", "Regression", "Multiclass", "Anomaly", "Transform", "TextGeneration", "Unstructured"]
ModelNetworkPolicy = Literal["NONE", "DR_API_ACCESS", "PUBLIC"]

MIN_MEMORY_BYTES = 134217728
MAX_MEMORY_BYTES = 15032385536

MemoryBytes = Annotated[int, Meta(ge=MIN_MEMORY_BYTES, le=MAX_MEMORY_BYTES)]
Replicas = Annotated[int, Meta(gt=0, le=8)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Name = Annotated[str, Meta(min_length=1, max_length=255)]
Text10000 = Annotated[str, Meta(max_length=10000)]
Text500 = Annotated[str, Meta(max_length=500)]
Labels = Annotated[list[str], Meta(max_length=100)]


class Tag(Body):
    name: Annotated[str, Meta(min_length=1, max_length=255)]
    value: Annotated[str, Meta(max_length=255)]


class ExternalMlopsStatsConfig(Body):
    """Datasets that describe a model which runs outside."""

    training_dataset_id: str | None = None
    holdout_dataset_id: str | None = None


class CustomModelCreate(Body):
    custom_model_type: CustomModelType
    name: Name
    calibrate_predictions: bool | UnsetType = UNSET
    class_labels: Labels | UnsetType = UNSET
    description: Text10000 | UnsetType = UNSET
    desired_memory: MemoryBytes | UnsetType | None = UNSET
    git_model_version: GitModelVersion | UnsetType = UNSET
    is_training_data_for_versions_permanently_enabled: bool | UnsetType = UNSET
    language: Text500 | UnsetType = UNSET
    maximum_memory: MemoryBytes | UnsetType | None = UNSET
    negative_class_label: Text500 | UnsetType | None = UNSET
    network_egress_policy: ModelNetworkPolicy | UnsetType | None = UNSET
    playground_id: Annotated[str, Meta(max_length=255)] | UnsetType | None = UNSET
    positive_class_label: Text500 | UnsetType | None = UNSET
    prediction_threshold: Fraction | UnsetType = UNSET
    replicas: Replicas | UnsetType | None = UNSET
    requires_ha: bool | UnsetType | None = UNSET
    supports_binary_classification: bool | UnsetType = UNSET
    supports_regression: bool | UnsetType = UNSET
    target_name: Text500 | UnsetType | None = UNSET
    target_type: TargetType | UnsetType = UNSET
    user_provided_id: Annotated[str, Meta(min_length=1, max_length=100)] | UnsetType = UNSET
    is_unstructured_model_kind: bool | UnsetType = UNSET
    is_proxy_model: bool | UnsetType = UNSET
    tags: Annotated[list[Tag], Meta(max_length=100)] | UnsetType | None = UNSET
    external_mlops_stats_config: ExternalMlopsStatsConfig | UnsetType | None = UNSET


class CustomModelUpdate(Body):
    class_labels: Labels | UnsetType = UNSET
    description: Text10000 | UnsetType = UNSET
    desired_memory: MemoryBytes | UnsetType | None = UNSET
    git_model_version: GitModelVersion | UnsetType = UNSET
    is_training_data_for_versions_permanently_enabled: bool | UnsetType = UNSET
    language: Text500 | UnsetType = UNSET
    maximum_memory: MemoryBytes | UnsetType | None = UNSET
    name: Name | UnsetType = UNSET
    negative_class_label: Text500 | UnsetType | None = UNSET
    network_egress_policy: ModelNetworkPolicy | UnsetType | None = UNSET
    positive_class_label: Text500 | UnsetType | None = UNSET
    prediction_threshold: Fraction | UnsetType = UNSET
    replicas: Replicas | UnsetType | None = UNSET
    requires_ha: bool | UnsetType | None = UNSET
    target_name: Text500 | UnsetType | None = UNSET
    tags: Annotated[list[Tag], Meta(max_length=100)] | UnsetType | None = UNSET
    external_mlops_stats_config: ExternalMlopsStatsConfig | UnsetType | None = UNSET


class CustomModelCopy(Body):
    custom_model_id: str


class CustomModelListQuery(Query):
    offset: Offset = 0
    limit: Limit1000 = 100
    custom_model_type: CustomModelType | None = None
    is_deployed: BoolText | None = None
    order_by: Literal["created", "-created", "updated", "-updated"] | None = None
    search_for: str | None = None


class CustomModelResponse(Schema):
    id: str
    name: str
    description: str
    language: str
    custom_model_type: CustomModelType
    target_type: TargetType
    created: Moment
    created_by: str
    updated: Moment
    deployments_count: int
    latest_version: CustomModelVersionResponse | None
    supports_binary_classification: bool
    supports_regression: bool
    supports_anomaly_detection: bool
    is_training_data_for_versions_permanently_enabled: bool
    is_unstructured_model_kind: bool
    is_proxy_model: bool
    tags: list[Tag]
    calibrate_predictions: bool | UnsetType
    class_labels: list[str] | UnsetType
    desired_memory: int | None
    maximum_memory: int | None
    replicas: int | None
    requires_ha: bool | None
    network_egress_policy: ModelNetworkPolicy | None
    resource_bundle_id: str | None
    playground_id: str | None
    git_model_version: GitModelVersion | UnsetType
    external_mlops_stats_config: ExternalMlopsStatsConfig | None
    positive_class_label: str | UnsetType
    negative_class_label: str | UnsetType
    prediction_threshold: float
    target_name: str | UnsetType
    user_provided_id: str | UnsetType
    training_data_assignment_in_progress: bool = False
    training_data_file_name: str | None = None
    training_data_partition_column: str | None = None
    training_dataset_id: str | None = None
    training_dataset_version_id: str | None = None


class CustomModelListResponse(Schema):
    count: int
    next: Uri | None
    previous: Uri | None
    total_count: int
    data: list[CustomModelResponse]


class CustomModelResourceLimits(Schema):
    desired_custom_model_container_size: int | None
    max_custom_model_container_size: int | None
    max_custom_model_replicas_per_deployment: int | None
    max_custom_model_testing_parallel_users: int


class DownloadQuery(Query):
    pps: BoolText = "false"
