"""Schedules of custom jobs, and the due times that were dealt with."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from modelyard.kernel.database import Base, Id, Json
from modelyard.kernel.ids import new_id

_DUE: dict[str, Any] = {
    "sqlite_where": text("next_due_at IS NOT NULL"),
    "postgresql_where": text("next_due_at IS NOT NULL"),
}


class CustomJobSchedule(Base):
    """When a job runs by itself. ``next_due_at`` is None while the schedule is paused or its job deleted."""

    __tablename__ = "custom_job_schedules"
    __table_args__ = (
        Index("ix_custom_job_schedules_job", "job_id", "id"),
        Index("ix_custom_job_schedules_due", "next_due_at", **_DUE),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    job_id: Mapped[str] = mapped_column(Id, ForeignKey("custom_jobs.id", ondelete="CASCADE"))
    created_by_id: Mapped[str] = mapped_column(Id)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    fields: Mapped[dict[str, Any]] = mapped_column(Json)
    """The cron fields as they were sent."""
    time_zone: Mapped[str] = mapped_column(String(64))
    is_enabled: Mapped[bool]
    catch_up: Mapped[str] = mapped_column(String(8))
    parameter_overrides: Mapped[list[dict[str, Any]]] = mapped_column(Json, default=list)

    next_due_at: Mapped[datetime | None]
    last_run_at: Mapped[datetime | None]
    last_run_id: Mapped[str | None] = mapped_column(Id)
    last_error: Mapped[str | None] = mapped_column(Text)
    last_error_at: Mapped[datetime | None]


class ScheduleFiring(Base):
    """One due time that was dealt with: by a run, or by the error that kept it from starting."""

    __tablename__ = "custom_job_schedule_firings"
    __table_args__ = (UniqueConstraint("schedule_id", "due_at"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    schedule_id: Mapped[str] = mapped_column(Id, ForeignKey("custom_job_schedules.id", ondelete="CASCADE"))
    due_at: Mapped[datetime]
    fired_at: Mapped[datetime]
    run_id: Mapped[str | None] = mapped_column(Id)
    error: Mapped[str | None] = mapped_column(Text)
