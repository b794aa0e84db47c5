"""Wire types of custom model versions, named as in the contract."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from modelyard.environments.required_metadata import RequiredMetadataValue
from modelyard.kernel.paging import Limit1000, Offset
from modelyard.kernel.wire import Body, BoolText, Moment, Query, Schema, Uri, WebUrl
from modelyard.repositories.schemas import SourcePath
from modelyard.workspaces.items import WorkspaceItemResponse
from modelyard.workspaces.runtime_parameters import RuntimeParameterUnified

VersionNetworkPolicy = Literal["NONE", "PUBLIC"]
CommitSha = Annotated[
    str,
    Meta(
        min_length=40,
        max_length=40,
        pattern="^[0-9a-fA-F]{40}$",
        description="the SHA-1 of a commit: 40 hexadecimal digits",
    ),
]
MemoryBytes = Annotated[int, Meta(ge=134217728, le=15032385536)]
Replicas = Annotated[int, Meta(gt=0, le=8)]


class GitModelVersion(Body):
    commit_url: WebUrl
    main_branch_commit_sha: CommitSha
    pull_request_commit_sha: CommitSha | None
    ref_name: Annotated[str, Meta(max_length=1024)]


class CustomModelVersionCreate(Body):
    """The form of a version from scratch. Fields with JSON in a string are read by ``models.version_forms``."""

    is_major_update: BoolText
    base_environment_id: str | UnsetType = UNSET
    base_environment_version_id: str | UnsetType = UNSET
    desired_memory: MemoryBytes | UnsetType | None = UNSET
    file_path: str | list[str] | UnsetType = UNSET
    git_model_version: GitModelVersion | UnsetType = UNSET
    holdout_data: str | UnsetType | None = UNSET
    keep_training_holdout_data: bool = True
    maximum_memory: MemoryBytes | UnsetType | None = UNSET
    network_egress_policy: VersionNetworkPolicy | UnsetType | None = UNSET
    replicas: Replicas | UnsetType | None = UNSET
    required_metadata: str | UnsetType = UNSET
    required_metadata_values: str | UnsetType = UNSET
    requires_ha: bool | UnsetType | None = UNSET
    resource_bundle_id: str | UnsetType | None = UNSET
    training_data: str | UnsetType | None = UNSET
    runtime_parameter_values: str | UnsetType | None = UNSET
    runtime_parameters: str | UnsetType | None = UNSET


class CustomModelVersionCreateFromLatest(CustomModelVersionCreate):
    """The form of a version on top of the latest one."""

    files_to_delete: str | list[str] | UnsetType = UNSET


class CustomModelVersionCreateFromRepository(Body):
    """Of the ``fromRepository`` operations. ``keep_training_holdout_data`` has nothing to keep yet."""

    repository_id: str
    base_environment_id: str | UnsetType = UNSET
    is_major_update: bool | UnsetType = UNSET
    keep_training_holdout_data: bool = True
    ref: str | UnsetType = UNSET
    required_metadata: dict[str, Annotated[str, Meta(max_length=100)]] | UnsetType = UNSET
    required_metadata_values: list[RequiredMetadataValue] | UnsetType = UNSET
    source_path: SourcePath = UNSET


class CustomModelVersionMetadataUpdate(Body):
    description: Annotated[str, Meta(max_length=10000)] | UnsetType = UNSET
    git_model_version: GitModelVersion | UnsetType = UNSET
    required_metadata: dict[str, Annotated[str, Meta(max_length=100)]] | UnsetType = UNSET
    required_metadata_values: list[RequiredMetadataValue] | UnsetType = UNSET


class CustomModelVersionListQuery(Query):
    offset: Offset = 0
    limit: Limit1000 = 100
    main_branch_commit_sha: str | None = None


class DependencyConstraint(Schema):
    constraint_type: Literal["<", "<=", "==", ">=", ">"]
    version: str


class DependencyResponse(Schema):
    package_name: str
    constraints: list[DependencyConstraint]
    extras: str
    line: str
    line_number: int


class CustomModelVersionResponse(Schema):
    id: str
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
    desired_memory: int | None
    maximum_memory: int | None
    replicas: int | None
    requires_ha: bool | None
    network_egress_policy: VersionNetworkPolicy | None
    resource_bundle_id: str | None
    git_model_version: GitModelVersion | UnsetType
    required_metadata: dict[str, str]
    required_metadata_values: list[RequiredMetadataValue]
    runtime_parameters: list[RuntimeParameterUnified]


class CustomModelVersionListResponse(Schema):
    count: int
    next: Uri | None
    previous: Uri | None
    total_count: int
    data: list[CustomModelVersionResponse]
