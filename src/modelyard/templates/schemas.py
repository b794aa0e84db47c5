"""Wire types of custom templates (seed 002; supporting-endpoints.md A.15)."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType, field

from modelyard.kernel.paging import Limit100, Offset
from modelyard.kernel.wire import Body, Query, Schema

TemplateType = Literal["customJob", "customModel", "customTask", "customApplication", "customMetric"]
JobType = Literal["default", "hostedCustomMetric", "notification", "retraining"]
EgressPolicy = Literal["none", "public"]
Text255 = Annotated[str, Meta(max_length=255)]
Description = Annotated[str, Meta(max_length=10_000)]
Labels = Annotated[list[Text255], Meta(max_length=1000)]
Readme = Annotated[str, Meta(max_length=1_048_576)]


class DefaultEnvironment(Schema):
    environment_id: str
    environment_version_id: str


class DefaultEnvironmentWish(Body):
    """What ``defaultEnvironment`` holds as JSON; without a version the newest built one is meant."""

    environment_id: str
    environment_version_id: str | None = None


class TemplateTypeSpecificResources(Body):
    """``egressNetworkPolicy``, of jobs, is ours."""

    service_web_requests_on_root_path: bool | None = False
    egress_network_policy: EgressPolicy | UnsetType = UNSET


class TemplateMetadata(Body):
    """What is known of a template for good. ``publisher`` and ``category`` are what the list can be filtered by."""

    class_labels: Labels = field(default_factory=list)
    readme: Readme | None = None
    resource_bundle_ids: Labels = field(default_factory=list)
    source: dict[str, Any] = field(default_factory=dict)
    tags: Labels = field(default_factory=list)
    template_type_specific_resources: TemplateTypeSpecificResources = field(
        default_factory=TemplateTypeSpecificResources
    )
    publisher: Text255 | None = None
    category: Text255 | None = None


class CustomTemplateFile(Schema):
    """``name`` is the file's path in the template."""

    id: str
    name: str


class CustomTemplateFileContent(Schema):
    id: str
    filename: str
    content: str


class CustomTemplateEntity(Schema):
    id: str
    name: str
    description: str
    template_type: str
    template_sub_type: str | None
    enabled: bool
    default_environment: DefaultEnvironment
    default_resource_bundle_id: str | None
    template_metadata: TemplateMetadata
    items: list[CustomTemplateFile]


class CustomTemplateListQuery(Query):
    offset: Offset = 0
    limit: Limit100 = 100
    order_by: (
        Literal[
            "name",
            "-name",
            "createdAt",
            "-createdAt",
            "templateType",
            "-templateType",
            "templateSubType",
            "-templateSubType",
        ]
        | None
    ) = None
    search: str | None = None
    tag: str | None = None
    template_type: str | None = None
    template_sub_type: str | None = None
    publisher: str | None = None
    category: str | None = None


class CustomTemplateUpdatePayload(Body):
    """What of a template is changed; a zip as ``file`` takes the place of all of its files.

    ``defaultEnvironment`` and ``templateMetadata`` are JSON in a text.
    """

    name: Text255 | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    template_type: Text255 | UnsetType = UNSET
    template_sub_type: Text255 | UnsetType = UNSET
    default_environment: str | UnsetType = UNSET
    default_resource_bundle_id: str | UnsetType | None = UNSET
    template_metadata: str | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET


class CustomTemplateCreatePayload(CustomTemplateUpdatePayload):
    """A new template; ``file`` is a zip of its files."""

    name: Text255
    description: Description
    template_type: Text255
    template_sub_type: Text255
    default_environment: str
