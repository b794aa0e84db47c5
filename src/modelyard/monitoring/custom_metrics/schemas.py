"""Wire types of custom metrics, named as the vendor's public documentation of its API names them (decision 0028)."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from modelyard.kernel.paging import PageQuery
from modelyard.kernel.wire import UNSET, Body, Moment, Query, Schema, UnsetType

MAX_REPORTED = 10_000
LARGEST = 1e100
"""Beyond this no value is measured, and sums of values could leave what a float holds."""
LARGEST_SAMPLE = 1_000_000_000

Directionality = Literal["higherIsBetter", "lowerIsBetter"]
MetricType = Literal["average", "gauge", "sum"]
OrderBy = Literal["name", "-name", "createdAt", "-createdAt"]
Name = Annotated[str, Meta(min_length=1, max_length=255)]
Units = Annotated[str, Meta(min_length=1, max_length=255)]
Description = Annotated[str, Meta(max_length=1000)]
Value = Annotated[float, Meta(ge=-LARGEST, le=LARGEST)]
ColumnName = Annotated[str, Meta(min_length=1, max_length=500)]


class BaselineValue(Schema):
    value: Value


class MetricColumn(Schema):
    column_name: ColumnName


class TimestampColumn(Schema):
    column_name: ColumnName
    time_format: Annotated[str, Meta(min_length=1, max_length=100)] | None


Baseline = Annotated[list[BaselineValue], Meta(max_length=5)]


class CustomMetricCreate(Body):
    """``timestamp``, ``value``, ``sample_count``, ``batch`` and ``association_id`` name columns of a table."""

    name: Name
    units: Units
    directionality: Directionality
    type: MetricType
    is_model_specific: bool
    description: Description | None = None
    time_step: Literal["hour"] = "hour"
    baseline_values: Baseline | None = None
    timestamp: TimestampColumn | None = None
    value: MetricColumn | None = None
    sample_count: MetricColumn | None = None
    batch: MetricColumn | None = None
    association_id: MetricColumn | None = None


class CustomMetricUpdate(Body):
    """What is absent stays as it is; a null description, baseline or column is taken away."""

    name: Name | UnsetType = UNSET
    units: Units | UnsetType = UNSET
    directionality: Directionality | UnsetType = UNSET
    type: MetricType | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    time_step: Literal["hour"] | UnsetType = UNSET
    baseline_values: Baseline | UnsetType | None = UNSET
    timestamp: TimestampColumn | UnsetType | None = UNSET
    value: MetricColumn | UnsetType | None = UNSET
    sample_count: MetricColumn | UnsetType | None = UNSET
    batch: MetricColumn | UnsetType | None = UNSET
    association_id: MetricColumn | UnsetType | None = UNSET


COLUMNS = ("timestamp", "value", "sample_count", "batch", "association_id")


class CustomMetricListQuery(PageQuery):
    """``search`` looks into names and descriptions; ``name`` is the exact one."""

    search: str | None = None
    name: str | None = None
    order_by: OrderBy = "createdAt"


class MetricCreator(Schema):
    id: str
    username: str | None


class CustomMetricResponse(Schema):
    id: str
    deployment_id: str
    name: str
    description: str
    units: str
    directionality: Directionality
    type: MetricType
    is_model_specific: bool
    time_step: Literal["hour"]
    baseline_values: list[BaselineValue]
    timestamp: TimestampColumn | None
    value: MetricColumn | None
    sample_count: MetricColumn | None
    batch: MetricColumn | None
    association_id: MetricColumn | None
    created_at: Moment
    created_by: MetricCreator


class ReportedValue(msgspec.Struct, rename="camel"):
    """One entry of ``buckets``. ``timestamp`` is read apart, for a message of our own."""

    value: Value
    timestamp: str
    sample_size: Annotated[int, Meta(ge=1, le=LARGEST_SAMPLE)] = 1
    batch: str | None = None


_ENTRY = {
    "type": "object",
    "required": ["value", "timestamp"],
    "properties": {
        "value": {"type": "number", "minimum": -LARGEST, "maximum": LARGEST},
        "timestamp": {"type": "string", "format": "date-time"},
        "sampleSize": {"type": "integer", "minimum": 1, "maximum": LARGEST_SAMPLE, "default": 1},
    },
}


class MetricValuesFromJson(Body):
    """``buckets`` are read one by one, so that every wrong one is named. ``dry_run`` checks and keeps nothing."""

    buckets: Annotated[list[Any], Meta(min_length=1, max_length=MAX_REPORTED, extra_json_schema={"items": _ENTRY})]
    model_id: str | None = None
    model_package_id: str | None = None
    dry_run: bool = False


class SummaryQuery(Query):
    """Times are widened to whole hours. Without them: the last seven days."""

    start: datetime | None = None
    end: datetime | None = None
    model_id: str | None = None
    model_package_id: str | None = None


class ValuesOverTimeQuery(SummaryQuery):
    """``bucket_size`` is an ISO 8601 duration of whole hours, days, weeks or months."""

    bucket_size: Annotated[str, Meta(max_length=20)] = "P1D"


class MetricPeriod(Schema):
    start: Moment
    end: Moment


class MetricInfo(Schema):
    id: str
    name: str
    units: str
    directionality: Directionality
    type: MetricType
    is_model_specific: bool
    time_step: Literal["hour"]
    baseline_values: list[BaselineValue]


class MetricBucket(Schema):
    """``value`` is null where nothing was reported."""

    period: MetricPeriod
    value: float | None
    sample_size: int


class ValuesOverTimeResponse(Schema):
    metric: MetricInfo
    model_id: str | None
    model_package_id: str | None
    bucket_size: str
    buckets: list[MetricBucket]
    summary: MetricBucket


class MetricSummary(MetricInfo):
    """Changes are in percent of the size of what is compared with; null where that is missing or zero."""

    value: float | None
    sample_count: int
    baseline_value: float | None
    percent_change: float | None
    previous_value: float | None
    percent_change_from_previous: float | None


class SummaryResponse(Schema):
    """``previous_period`` is as long as ``period`` and ends where it begins."""

    period: MetricPeriod
    previous_period: MetricPeriod
    metric: MetricSummary
    model_id: str | None
    model_package_id: str | None
