"""Wire types of custom tasks, named as in the contract."""

from typing import Literal

from msgspec import UNSET, UnsetType

from modelyard.kernel.paging import Limit1000, Offset
from modelyard.kernel.wire import Body, Moment, Query, Schema, Uri
from modelyard.models.schemas import MemoryBytes, Name, Text500, Text10000
from modelyard.tasks.version_schemas import CustomTaskVersionResponse

TaskTargetType = Literal["Binary", "Regression", "Multiclass", "Anomaly", "Transform"]


class CustomTaskCreate(Body):
    """``calibrate_predictions`` matters for the target type Anomaly only."""

    name: Name
    target_type: TaskTargetType
    calibrate_predictions: bool | UnsetType = UNSET
    description: Text10000 | UnsetType = UNSET
    language: Text500 | UnsetType = UNSET
    maximum_memory: MemoryBytes | UnsetType | None = UNSET


class CustomTaskUpdate(Body):
    description: Text10000 | UnsetType = UNSET
    language: Text500 | UnsetType = UNSET
    maximum_memory: MemoryBytes | UnsetType | None = UNSET
    name: Name | UnsetType = UNSET


class CustomTaskCopy(Body):
    custom_task_id: str


class CustomTaskListQuery(Query):
    offset: Offset = 0
    limit: Limit1000 = 100
    order_by: Literal["created", "-created", "updated", "-updated"] | None = None
    search_for: str | None = None


class CustomTaskResponse(Schema):
    id: str
    name: str
    description: str
    language: str
    custom_model_type: Literal["training", "inference"]
    target_type: TaskTargetType
    calibrate_predictions: bool | UnsetType
    maximum_memory: int | None
    created: Moment
    created_by: str
    updated: Moment
    latest_version: CustomTaskVersionResponse | None


class CustomTaskListResponse(Schema):
    count: int
    next: Uri | None
    previous: Uri | None
    total_count: int
    data: list[CustomTaskResponse]
