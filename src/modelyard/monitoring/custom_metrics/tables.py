"""Custom metrics and what was reported for them, added up by the hour."""

from datetime import datetime
from typing import Any

from sqlalchemy import Float, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from modelyard.kernel.database import Base, Id, Json
from modelyard.kernel.ids import new_id


class CustomMetric(Base):
    """``columns`` says, in the wire's form, in which columns of a table a program finds the metric's values."""

    __tablename__ = "custom_metrics"
    __table_args__ = (
        Index("ix_custom_metrics_deployment", "deployment_id", "id"),
        Index("ix_custom_metrics_name", "deployment_id", "name"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    deployment_id: Mapped[str] = mapped_column(Id, ForeignKey("deployments.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str] = mapped_column(Text)
    search_text: Mapped[str] = mapped_column(Text)
    """Name and description, case-folded."""
    units: Mapped[str] = mapped_column(String(255))
    directionality: Mapped[str] = mapped_column(String(16))
    type: Mapped[str] = mapped_column(String(16))
    is_model_specific: Mapped[bool]
    time_step: Mapped[str] = mapped_column(String(8))
    baseline_values: Mapped[list[float]] = mapped_column(Json)
    columns: Mapped[dict[str, Any]] = mapped_column(Json)
    created_by_id: Mapped[str] = mapped_column(Id)
    created_at: Mapped[datetime]


class CustomMetricValue(Base):
    """All that was reported for one metric and model within one hour (UTC): one row, however many reports there were.

    ``package_id`` is empty for a metric of the deployment as a whole. ``weighted_total`` is the sum of the values, each
    times its sample size. Samples are a float because it never overflows.
    """

    __tablename__ = "custom_metric_values"

    metric_id: Mapped[str] = mapped_column(Id, ForeignKey("custom_metrics.id", ondelete="CASCADE"), primary_key=True)
    package_id: Mapped[str] = mapped_column(String(24), primary_key=True)
    hour: Mapped[datetime] = mapped_column(primary_key=True)
    total: Mapped[float] = mapped_column(Float)
    weighted_total: Mapped[float] = mapped_column(Float)
    samples: Mapped[float] = mapped_column(Float)
    last_value: Mapped[float] = mapped_column(Float)
    last_at: Mapped[datetime]


class CustomMetricReport(Base):
    """A report that its sender gave a key, so that it is added once however often it is sent."""

    __tablename__ = "custom_metric_reports"

    metric_id: Mapped[str] = mapped_column(Id, ForeignKey("custom_metrics.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    content_digest: Mapped[str] = mapped_column(String(32))
    """Of what was reported, to tell a repetition from another report under the same key."""
    at: Mapped[datetime] = mapped_column(index=True)
