"""Wire types of registered models and model packages (supporting-endpoints.md, A.10)."""

from typing import Annotated, Literal

from msgspec import Meta

from modelyard.kernel.paging import Offset, PageQuery
from modelyard.kernel.wire import UNSET, Body, BoolText, Moment, Query, Schema, UnsetType

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Description = Annotated[str, Meta(max_length=10_000)]
Threshold = Annotated[float, Meta(ge=0, le=1)]
BuildStatusName = Literal["inProgress", "complete", "failed"]


class TagInput(Body):
    name: Annotated[str, Meta(min_length=1, max_length=50)]
    value: Annotated[str, Meta(max_length=50)]


class PackageFromCustomModelVersion(Body):
    custom_model_version_id: str
    name: Name | None = None
    description: Description | None = None
    registered_model_name: Name | None = None
    registered_model_description: Description | None = None
    registered_model_id: str | None = None
    registered_model_tags: Annotated[list[TagInput], Meta(max_length=100)] | None = None
    prompt: Annotated[str, Meta(max_length=10_000)] | None = None
    tags: Annotated[list[TagInput], Meta(max_length=100)] | None = None


class PackageListQuery(PageQuery):
    model_id: str | None = None
    registered_model_id: str | None = None
    search: str | None = None
    for_challenger: bool | None = None
    prediction_threshold: float | None = None
    imported: bool | None = None
    model_kind: str | None = None


class PackageUpdate(Body):
    name: Name | UnsetType = UNSET
    prediction_threshold: Threshold | UnsetType = UNSET


class TagResponse(Schema):
    id: str
    name: str
    value: str


class PackageTarget(Schema):
    name: str | None
    type: str
    prediction_threshold: float | None
    class_names: list[str] | None
    class_count: int | None


class TextGeneration(Schema):
    prompt: str | None


class CustomModelDetails(Schema):
    id: str
    version_id: str
    version_label: str
    name: str


class PackageSource(Schema):
    custom_model_details: CustomModelDetails


class ModelDescription(Schema):
    model_name: str
    build_environment_type: str


class ModelPackageResponse(Schema):
    """``model_id`` is the custom model version's id."""

    id: str
    name: str
    model_id: str
    model_execution_type: Literal["custom_inference_model"]
    registered_model_id: str
    registered_model_version: int
    build_status: BuildStatusName
    build_error: str | None
    stage: str
    is_archived: bool
    target: PackageTarget
    tags: list[TagResponse]
    text_generation: TextGeneration
    model_description: ModelDescription
    source_meta: PackageSource
    active_deployment_count: int
    created_at: Moment
    created_by: str


class RegisteredModelListQuery(PageQuery):
    search: str | None = None
    is_global: BoolText | None = None
    order_by: Literal["name", "-name", "createdAt", "-createdAt", "modifiedAt", "-modifiedAt"] = "-modifiedAt"


class RegisteredModelUpdate(Body):
    name: Name | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    is_global: bool | UnsetType = UNSET


class RegisteredModelTarget(Schema):
    name: str | None
    type: str


class RegisteredModelResponse(Schema):
    id: str
    name: str
    description: str | None
    is_global: bool
    is_archived: bool
    last_version_num: int
    target: RegisteredModelTarget
    created_at: Moment
    created_by: str
    modified_at: Moment


class VersionListQuery(Query):
    offset: Offset = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    search: str | None = None
