"""Wire types of custom task versions, named as in the contract.

Runtime parameters, hyperparameters and the type schema are ours: what a metadata file defines should be seen.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from modelyard.environments.required_metadata import RequiredMetadataValue
from modelyard.kernel.paging import Limit1000, Offset
from modelyard.kernel.wire import Body, BoolText, Moment, Query, Schema
from modelyard.models.version_schemas import DependencyResponse, MemoryBytes
from modelyard.repositories.schemas import SourcePath
from modelyard.workspaces.hyperparameters import Hyperparameter
from modelyard.workspaces.items import WorkspaceItemResponse
from modelyard.workspaces.runtime_parameters import RuntimeParameterUnified
from modelyard.workspaces.type_schema import TypeSchema


class CustomTaskVersionCreate(Body):
    """The form of a version from scratch. Fields with JSON in a string are read by ``models.version_forms``."""

    base_environment_id: str
    is_major_update: BoolText
    file_path: str | list[str] | UnsetType = UNSET
    maximum_memory: MemoryBytes | UnsetType | None = UNSET
    required_metadata: str | UnsetType = UNSET
    required_metadata_values: str | UnsetType = UNSET
    runtime_parameter_values: str | UnsetType | None = UNSET


class CustomTaskVersionCreateFromLatest(CustomTaskVersionCreate):
    """The form of a version on top of the latest one."""

    files_to_delete: str | list[str] | UnsetType = UNSET


class CustomTaskVersionCreateFromRepository(Body):
    repository_id: str
    base_environment_id: str | UnsetType = UNSET
    is_major_update: bool | UnsetType = UNSET
    ref: str | UnsetType = UNSET
    required_metadata: dict[str, Annotated[str, Meta(max_length=100)]] | UnsetType = UNSET
    required_metadata_values: list[RequiredMetadataValue] | UnsetType = UNSET
    source_path: SourcePath = UNSET


class CustomTaskVersionMetadataUpdate(Body):
    description: Annotated[str, Meta(max_length=10000)] | UnsetType = UNSET
    required_metadata: dict[str, Annotated[str, Meta(max_length=100)]] | UnsetType = UNSET
    required_metadata_values: list[RequiredMetadataValue] | UnsetType = UNSET


class CustomTaskVersionListQuery(Query):
    offset: Offset = 0
    limit: Limit1000 = 100


class CustomTaskVersionResponse(Schema):
    """``custom_model_id`` and ``custom_task_id`` are the same."""

    id: str
    custom_task_id: str
    custom_model_id: str
    label: str
    version_major: int
    version_minor: int
    is_frozen: bool
    created: Moment
    description: str | None
    items: list[WorkspaceItemResponse]
    dependencies: list[DependencyResponse]
    base_environment_id: str | None
    base_environment_version_id: str | None
    maximum_memory: int | None
    required_metadata: dict[str, str]
    required_metadata_values: list[RequiredMetadataValue]
    warning: list[str]
    runtime_parameters: list[RuntimeParameterUnified]
    hyperparameters: list[Hyperparameter]
    type_schema: TypeSchema | None


class CustomTaskVersionListResponse(Schema):
    count: int
    next: str | None
    previous: str | None
    total_count: int
    data: list[CustomTaskVersionResponse]


class CustomTaskVersionDependencyBuildMetadataResponse(Schema):
    """``buildEnd`` and ``buildLogLocation`` are null until the build has ended."""

    build_end: str | None
    build_log_location: Annotated[str, Meta(extra_json_schema={"format": "uri"})] | None
    build_start: str
    build_status: Literal["submitted", "processing", "failed", "success"]
    custom_task_id: str
    custom_task_version_id: str
