"""Wire types of ``/datasets/`` (supporting-endpoints.md, A.5)."""

from typing import Annotated, Literal

from msgspec import Meta

from modelyard.datasets.profile import ColumnType
from modelyard.kernel.paging import PageQuery
from modelyard.kernel.wire import UNSET, Body, Moment, Schema, UnsetType, Uri

Category = Literal["TRAINING", "PREDICTION"]
State = Literal["RUNNING", "COMPLETED", "ERROR"]
Name = Annotated[str, Meta(min_length=1, max_length=255)]


class DatasetVersionResponse(Schema):
    """A dataset as one of its versions shows it."""

    dataset_id: str
    name: str
    version_id: str
    version_number: int
    is_latest_version: bool
    file_name: str
    dataset_size: int
    row_count: int | None
    column_count: int | None
    processing_state: State
    error: str | None
    categories: list[Category]
    created_by: str
    creation_date: Moment
    uri: Uri
    data_source_type: Literal["file", "url"]
    is_snapshot: bool = True
    data_persisted: bool = True
    data_source_id: str | None = None
    sample_size: None = None
    is_data_engine_eligible: bool = False
    is_wrangling_eligible: bool = False
    is_vector_database_eligible: bool = False
    is_playground_evaluation_dataset_eligible: bool = False


class UploadForm(Body):
    """The multipart body of an upload, beside its one part ``file``."""

    categories: list[Category] | Category | UnsetType = UNSET


class DatasetFromUrl(Body):
    """A dataset is always a snapshot of the whole file, which is kept: what says otherwise is refused."""

    url: Annotated[str, Meta(min_length=1, max_length=8000)]
    do_snapshot: bool | None = None
    persist_data_after_ingestion: bool | None = None
    sample_size: dict[str, str | int] | None = None
    categories: list[Category] | UnsetType = UNSET


class UploadResponse(Schema):
    catalog_id: str
    catalog_version_id: str
    status_id: str


class DatasetUpdate(Body):
    name: Name | UnsetType = UNSET
    categories: list[Category] | UnsetType = UNSET


class DatasetListQuery(PageQuery):
    search_for: str | None = None
    order_by: Literal["created", "-created", "name", "-name"] = "-created"


class FeatureResponse(Schema):
    """One column."""

    id: int
    name: str
    feature_type: ColumnType
    data_type: str
    na_count: int
    unique_count: int
    min: int | float | str | None
    max: int | float | str | None
    mean: float | None
    std_dev: float | None
