"""The wire types of projects and their models. Ours: the seeds name projects, but do not describe them."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from modelyard.kernel.paging import Limit1000, Offset, PageQuery
from modelyard.kernel.wire import UNSET, Body, Moment, Query, Schema, UnsetType
from modelyard.learning.targets import Metric, TargetType

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Percent = Annotated[float, Meta(ge=0, lt=100)]


class PartitioningBody(Body):
    """``folds`` is for ``cv`` (5 by default), ``validationPct`` for ``tvh`` (16 by default)."""

    method: Literal["cv", "tvh"]
    folds: Annotated[int, Meta(ge=2, le=50)] | UnsetType = UNSET
    validation_pct: Percent | UnsetType = UNSET
    holdout_pct: Percent | UnsetType = UNSET
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1)] | UnsetType = UNSET


class ProjectCreate(Body):
    """Without ``target`` the project finds anomalies."""

    project_name: Name
    dataset_id: str
    dataset_version_id: str | UnsetType = UNSET
    target: str | UnsetType | None = UNSET
    target_type: TargetType | UnsetType = UNSET
    metric: Metric | UnsetType = UNSET
    partitioning: PartitioningBody | UnsetType = UNSET
    positive_class_label: str | UnsetType = UNSET


class ProjectUpdate(Body):
    project_name: Name | UnsetType = UNSET
    metric: Metric | UnsetType = UNSET


class ProjectListQuery(PageQuery):
    search_for: str | None = None
    order_by: Literal["created", "-created"] = "-created"


class PartitioningResponse(Schema):
    method: Literal["cv", "tvh"]
    folds: int | None
    validation_pct: float | None
    holdout_pct: float
    seed: int


class ProjectResponse(Schema):
    """``partitionRows`` says how many rows are in each part, once it is ``ready``."""

    id: str
    project_name: str
    status: Literal["preparing", "ready", "errored"]
    reason: str | None
    dataset_id: str
    dataset_version_id: str
    target: str | None
    target_type: TargetType
    metric: Metric | None
    positive_class_label: str | None
    class_labels: list[str]
    partitioning: PartitioningResponse
    partition_rows: dict[str, int]
    features: list[str]
    row_count: int
    model_count: int
    created: Moment
    updated: Moment
    created_by: str


class TaskOfChain(Body):
    """``parameters``: values of the hyperparameters that the version defines; its defaults for the others."""

    custom_task_version_id: str
    parameters: dict[str, Any] | UnsetType = UNSET


class LearningModelCreate(Body):
    """A chain: any number of transforms, then an estimator.

    ``rowWeightsColumn`` counts rows differently, in fitting and in metrics. ``calibrate`` (anomalies only) has scores
    lie between 0 and 1; when absent the estimator's task decides.
    """

    tasks: Annotated[list[TaskOfChain], Meta(min_length=1, max_length=20)]
    name: Annotated[str, Meta(min_length=1, max_length=512)] | UnsetType = UNSET
    row_weights_column: str | UnsetType | None = UNSET
    calibrate: bool | UnsetType = UNSET


class LearningModelListQuery(Query):
    """``score`` is the project's metric where it was validated, best first; models without one come last."""

    offset: Offset = 0
    limit: Limit1000 = 100
    order_by: Literal["score", "created", "-created"] = "score"


class ChainTask(Schema):
    """``cached``: in how many of the trainings its fit and output were taken from an earlier training."""

    custom_task_id: str
    custom_task_version_id: str
    name: str
    label: str
    kind: Literal["transform", "estimator"]
    parameters: dict[str, Any]
    fit_seconds: float | None = None
    transform_seconds: float | None = None
    columns: int | None = None
    sparse: bool | None = None
    cached: int | None = None


class FoldResponse(Schema):
    """One training on ``trainRows``, and how good it was on ``rows`` that it did not see."""

    id: str
    train_rows: int | None
    rows: int
    metrics: dict[str, float | None]
    predict_seconds: float | None
    peak_memory: int | None


class Progress(Schema):
    """How many steps of the training are done; ``message`` says which is under way, or waited for."""

    done: int
    total: int
    message: str


class LearningModelResponse(Schema):
    """``metrics`` by partition: ``crossValidation`` (mean over folds) or ``validation``, and ``holdout``. Memory and
    sizes are in bytes, times in seconds."""

    id: str
    project_id: str
    name: str
    status: Literal["queued", "preparing", "training", "completed", "errored", "canceled"]
    reason: str | None
    status_id: str | None
    progress: Progress
    tasks: list[ChainTask]
    target_type: TargetType
    row_weights_column: str | None
    calibrate: bool
    metrics: dict[str, dict[str, float | None]]
    folds: list[FoldResponse]
    score_distribution: dict[str, Any] | None
    training_seconds: float | None
    peak_memory: int | None
    artifact_size: int | None
    execution_environment_id: str
    execution_environment_version_id: str
    image_digest: str | None
    custom_model_id: str | None
    created: Moment
    started: Moment | None
    ended: Moment | None
    created_by: str


class PredictionCreate(Body):
    dataset_id: str
    dataset_version_id: str | UnsetType = UNSET


class PredictionResponse(Schema):
    """Predictions for the rows of a dataset; ``file/`` below it is the CSV, once it is ``completed``."""

    id: str
    model_id: str
    dataset_id: str
    dataset_version_id: str
    status: Literal["running", "completed", "errored", "canceled"]
    reason: str | None
    row_count: int | None
    size: int | None
    created: Moment
    ended: Moment | None
    created_by: str
