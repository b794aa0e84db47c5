"""Wire types of ``/executionEnvironments/`` (supporting-endpoints.md, A.4)."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from modelyard.environments.required_metadata import RequiredMetadataKeys
from modelyard.kernel.paging import PageQuery
from modelyard.kernel.wire import UNSET, Body, Moment, Schema, UnsetType

UseCase = Literal["customModel", "customApplication", "customJob", "customTask", "notebook"]
ProgrammingLanguage = Literal["python", "r", "java", "julia", "legacy", "other"]
BuildStatusName = Literal["submitted", "processing", "success", "failed"]
Name = Annotated[str, Meta(min_length=1, max_length=255)]
Description = Annotated[str, Meta(max_length=10_000)]


class EnvironmentVersionResponse(Schema):
    id: str
    label: str
    environment_id: str
    image_id: str | None
    description: str
    build_status: BuildStatusName
    libraries: list[str] | None
    created: Moment
    source_docker_image_uri: str | None = None


class EnvironmentResponse(Schema):
    id: str
    name: str
    description: str
    programming_language: ProgrammingLanguage
    use_cases: list[UseCase]
    required_metadata_keys: RequiredMetadataKeys
    is_public: bool
    is_built_in: bool
    latest_version: EnvironmentVersionResponse | None
    latest_successful_version: EnvironmentVersionResponse | None
    created: Moment
    created_by: str | None


class EnvironmentCreate(Body):
    name: Name
    description: Description | None = None
    programming_language: ProgrammingLanguage = "python"
    use_cases: list[UseCase] = msgspec.field(default_factory=lambda: ["customModel"])
    required_metadata_keys: RequiredMetadataKeys = msgspec.field(default_factory=list)


class EnvironmentUpdate(Body):
    name: Name | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    use_cases: list[UseCase] | UnsetType = UNSET
    required_metadata_keys: RequiredMetadataKeys | UnsetType = UNSET


class EnvironmentListQuery(PageQuery):
    use_cases: UseCase | None = None
    search_for: str | None = None


class EnvironmentVersionForm(Body):
    """The multipart body of a new version, beside the archive ``docker_context``."""

    label: Name | None = None
    description: Description | None = None
    docker_image_uri: str | None = None


class BuildLogResponse(Schema):
    """``error`` is null unless the build failed."""

    error: str | None
    log: str


class PreparationResponse(Schema):
    """``status_id`` is null where the image is there already, or where somebody else has it made."""

    status_id: str | None
    build_status: BuildStatusName
