"""Wire types of ``/customModelDeployments/``, named as in the contract."""

from typing import Literal

from modelyard.deployments.schemas import StatusName
from modelyard.kernel.paging import PageQuery
from modelyard.kernel.wire import Schema, Uri

TestingStatusName = Literal[
    "not_tested", "queued", "failed", "canceled", "succeeded", "in_progress", "aborted", "warning", "skipped"
]


class CustomModelDeploymentListQuery(PageQuery):
    custom_model_ids: list[str] | None = None
    environment_ids: list[str] | None = None


class CustomModelShortResponse(Schema):
    id: str
    name: str


class CustomModelVersionShortResponse(Schema):
    id: str
    label: str


class ExecutionEnvironmentShortResponse(Schema):
    id: str
    name: str


class ExecutionEnvironmentVersionShortResponse(Schema):
    id: str
    label: str


class CustomModelDeploymentResponse(Schema):
    id: str
    label: str
    status: StatusName
    deployed: str
    deployed_by: str
    custom_model: CustomModelShortResponse
    custom_model_version: CustomModelVersionShortResponse
    custom_model_image_id: str
    image_type: Literal["customModelImage", "customModelVersion"]
    execution_environment: ExecutionEnvironmentShortResponse
    execution_environment_version: ExecutionEnvironmentVersionShortResponse
    testing_status: TestingStatusName


class CustomModelDeploymentListResponse(Schema):
    count: int
    next: Uri | None
    previous: Uri | None
    total_count: int
    data: list[CustomModelDeploymentResponse]
