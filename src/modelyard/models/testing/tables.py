"""Tests and what they found."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from modelyard.compute.nodes import OnNode
from modelyard.kernel.database import Base, Id, Json
from modelyard.kernel.ids import new_id


class Check(StrEnum):
    """The checks, in the order in which they run."""

    LONG_RUNNING_SERVICE = "longRunningService"
    ERROR_CHECK = "errorCheck"
    NULL_VALUE_IMPUTATION = "nullValueImputation"
    SIDE_EFFECTS = "sideEffects"
    PREDICTION_VERIFICATION = "predictionVerificationCheck"
    PERFORMANCE = "performanceCheck"
    STABILITY = "stabilityCheck"


class TestStatus(StrEnum):
    NOT_TESTED = "not_tested"
    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    WARNING = "warning"
    SKIPPED = "skipped"
    CANCELED = "canceled"
    ABORTED = "aborted"


OPEN = frozenset({TestStatus.NOT_TESTED, TestStatus.QUEUED, TestStatus.IN_PROGRESS})


class CustomModelTest(OnNode, Base):
    """One run of the checks on one version. ``statuses`` maps a check to its status and message."""

    __tablename__ = "custom_model_tests"
    __table_args__ = (
        Index("ix_custom_model_tests_model", "model_id", "id"),
        Index("ix_custom_model_tests_version", "version_id", "id"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    model_id: Mapped[str] = mapped_column(Id, ForeignKey("custom_models.id", ondelete="CASCADE"))
    version_id: Mapped[str] = mapped_column(Id, ForeignKey("custom_model_versions.id", ondelete="CASCADE"))
    environment_id: Mapped[str] = mapped_column(Id)
    environment_version_id: Mapped[str] = mapped_column(Id)
    dataset_id: Mapped[str | None] = mapped_column(Id)
    dataset_version_id: Mapped[str | None] = mapped_column(Id)
    configuration: Mapped[dict[str, str]] = mapped_column(Json)
    parameters: Mapped[dict[str, dict[str, Any]]] = mapped_column(Json)
    resources: Mapped[dict[str, Any]] = mapped_column(Json)
    overall_status: Mapped[str] = mapped_column(String(16))
    statuses: Mapped[dict[str, dict[str, str]]] = mapped_column(Json)
    created_by_id: Mapped[str] = mapped_column(Id)
    created_at: Mapped[datetime]
    completed_at: Mapped[datetime | None]
    operation_id: Mapped[str | None] = mapped_column(Id)
    workload_id: Mapped[str | None] = mapped_column(Id)
    """The newest workload that serves the model for this test."""
    log_digest: Mapped[str | None] = mapped_column(String(64), index=True)
    """The blob of the whole log, once the test has ended."""


class TestLogLine(Base):
    """A line that the test itself wrote, while it runs."""

    __tablename__ = "custom_model_test_log_lines"

    test_id: Mapped[str] = mapped_column(Id, ForeignKey("custom_model_tests.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    at: Mapped[datetime]
    text: Mapped[str] = mapped_column(Text)
