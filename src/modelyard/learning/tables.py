"""Projects, the models trained in them, and what those predicted."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from modelyard.compute.nodes import OnNode
from modelyard.kernel.database import Base, Id, Json
from modelyard.kernel.ids import new_id


class ProjectStatus(StrEnum):
    PREPARING = "preparing"
    READY = "ready"
    ERRORED = "errored"


class ModelStatus(StrEnum):
    """Where a training is. ``queued`` waits for a free place, ``preparing`` for its environment and data."""

    QUEUED = "queued"
    PREPARING = "preparing"
    TRAINING = "training"
    COMPLETED = "completed"
    ERRORED = "errored"
    CANCELED = "canceled"


OPEN = frozenset({ModelStatus.QUEUED, ModelStatus.PREPARING, ModelStatus.TRAINING})


class PredictionStatus(StrEnum):
    RUNNING = "running"
    COMPLETED = "completed"
    ERRORED = "errored"
    CANCELED = "canceled"


class Project(Base):
    """What is to be learned, of which rows. It keeps its data, also when the dataset is deleted.

    ``table_digest`` names the rows as Parquet, ``partition_digest`` the part of each row (``partitions.assign``, 16-bit
    little-endian). ``class_labels`` has the positive class of two first.
    """

    __tablename__ = "projects"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    organization_id: Mapped[str] = mapped_column(Id)
    created_by_id: Mapped[str] = mapped_column(Id)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    name: Mapped[str] = mapped_column(String(255))
    search_text: Mapped[str] = mapped_column(Text, default="")
    dataset_id: Mapped[str] = mapped_column(Id)
    dataset_version_id: Mapped[str] = mapped_column(Id)
    target: Mapped[str | None] = mapped_column(Text)
    target_type: Mapped[str] = mapped_column(String(32))
    metric: Mapped[str | None] = mapped_column(String(32))
    positive_class_label: Mapped[str | None] = mapped_column(Text)
    class_labels: Mapped[list[str]] = mapped_column(Json)
    partitioning: Mapped[dict[str, Any]] = mapped_column(Json)
    partition_rows: Mapped[dict[str, int]] = mapped_column(Json)
    columns: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    """The dataset's columns in order: ``name``, ``weightFault`` (why it cannot weigh rows, or null) and, once they were
    written as a table, ``kind`` and of some texts ``spelling`` (``table_files.features``)."""
    row_count: Mapped[int] = mapped_column(BigInteger)
    table_digest: Mapped[str] = mapped_column(String(64), index=True)
    partition_digest: Mapped[str | None] = mapped_column(String(64), index=True)
    status: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(Text)
    model_count: Mapped[int] = mapped_column(default=0)


class LearningModel(OnNode, Base):
    """A chain of task versions that is, was or could not be trained on a project's data.

    Everything to repeat the training is here: the task versions and their parameters in ``tasks``, the workspace made
    of them, the image, and by its project the data and the parts.
    """

    __tablename__ = "learning_models"
    __table_args__ = (
        Index("ix_learning_models_newest", "project_id", "id"),
        Index("ix_learning_models_score", "project_id", "score", "id"),
        Index("ix_learning_models_open", "ended_at", "organization_id", "id"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    project_id: Mapped[str] = mapped_column(Id, ForeignKey("projects.id", ondelete="CASCADE"))
    organization_id: Mapped[str] = mapped_column(Id)
    created_by_id: Mapped[str] = mapped_column(Id)
    created_at: Mapped[datetime]
    name: Mapped[str] = mapped_column(String(512))
    tasks: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    """Wire form of ``schemas.ChainTask``."""
    row_weights_column: Mapped[str | None] = mapped_column(Text)
    calibrate: Mapped[bool]
    environment_id: Mapped[str] = mapped_column(Id)
    environment_version_id: Mapped[str] = mapped_column(Id, index=True)
    memory_bytes: Mapped[int] = mapped_column(BigInteger)
    workspace_id: Mapped[str] = mapped_column(Id, ForeignKey("workspaces.id"), index=True)
    trained_workspace_id: Mapped[str | None] = mapped_column(Id, ForeignKey("workspaces.id"), index=True)
    image_digest: Mapped[str | None] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(Text)
    operation_id: Mapped[str | None] = mapped_column(Id)
    workload_id: Mapped[str | None] = mapped_column(String(64))
    launches: Mapped[int] = mapped_column(default=0)
    steps_done: Mapped[int] = mapped_column(default=0)
    """Of a training that ended; ``progress`` reads those of one under way."""
    log_digest: Mapped[str | None] = mapped_column(String(64), index=True)
    log_first_offset: Mapped[int] = mapped_column(BigInteger, default=0)
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    training_seconds: Mapped[float | None]
    peak_memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    artifact_bytes: Mapped[int | None] = mapped_column(BigInteger)
    metrics: Mapped[dict[str, dict[str, float | None]]] = mapped_column(Json)
    folds: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    score_distribution: Mapped[dict[str, Any] | None] = mapped_column(Json)
    score: Mapped[float | None]
    """The project's metric on what was validated on, turned so that more is better; what the leaderboard ranks by."""
    custom_model_id: Mapped[str | None] = mapped_column(Id)
    """The custom model that it became when it was first deployed."""


class LearningPrediction(OnNode, Base):
    """A trained model's predictions for all rows of a dataset version, as a CSV."""

    __tablename__ = "learning_predictions"
    __table_args__ = (
        Index("ix_learning_predictions_newest", "model_id", "id"),
        Index("ix_learning_predictions_open", "ended_at", "workload_id"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    model_id: Mapped[str] = mapped_column(Id, ForeignKey("learning_models.id", ondelete="CASCADE"))
    created_by_id: Mapped[str] = mapped_column(Id)
    created_at: Mapped[datetime]
    dataset_id: Mapped[str] = mapped_column(Id)
    dataset_version_id: Mapped[str] = mapped_column(Id)
    table_digest: Mapped[str] = mapped_column(String(64), index=True)
    status: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(Text)
    operation_id: Mapped[str | None] = mapped_column(Id)
    workload_id: Mapped[str | None] = mapped_column(String(64))
    launches: Mapped[int] = mapped_column(default=0)
    ended_at: Mapped[datetime | None]
    row_count: Mapped[int | None] = mapped_column(BigInteger)
    result_digest: Mapped[str | None] = mapped_column(String(64), index=True)
    result_bytes: Mapped[int | None] = mapped_column(BigInteger)
