"""Custom jobs and their runs."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from modelyard.compute.nodes import OnNode
from modelyard.kernel.database import Base, Id, Json
from modelyard.kernel.ids import new_id


class RunStatus(StrEnum):
    """The documented states. A run that waits for a free place is ``running``; its ``phase`` says more."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    CANCELING = "canceling"
    CANCELED = "canceled"


ENDED = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.INTERRUPTED, RunStatus.CANCELED})


class Phase(StrEnum):
    """How far a run is. Only a run in ``preparing`` or ``executing`` takes a place of its organization's."""

    WAITING = "waiting"
    PREPARING = "preparing"
    EXECUTING = "executing"
    FINISHED = "finished"


OF_OPEN_RUNS: dict[str, Any] = {"sqlite_where": text("ended_at IS NULL"), "postgresql_where": text("ended_at IS NULL")}

OF_DELETED_JOBS: dict[str, Any] = {
    "sqlite_where": text("deleted_at IS NOT NULL"),
    "postgresql_where": text("deleted_at IS NOT NULL"),
}


class CustomJob(Base):
    """What runs, and the settings of its next run. A deleted job keeps everything until it is cleaned up."""

    __tablename__ = "custom_jobs"
    __table_args__ = (
        Index("ix_custom_jobs_type", "organization_id", "job_type", "id"),
        Index("ix_custom_jobs_deleted", "id", **OF_DELETED_JOBS),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    organization_id: Mapped[str] = mapped_column(Id)
    created_by_id: Mapped[str] = mapped_column(Id)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]

    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str] = mapped_column(Text, default="")
    search_text: Mapped[str] = mapped_column(Text, default="")
    """Name and description, case-folded: what ``search`` looks in."""
    job_type: Mapped[str] = mapped_column(String(32))
    subscription: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """What a notification job listens to, in the wire's form."""
    template_id: Mapped[str | None] = mapped_column(Id)
    tags: Mapped[list[str]] = mapped_column(Json, default=list)

    workspace_id: Mapped[str] = mapped_column(Id, ForeignKey("workspaces.id"))
    entry_point_path: Mapped[str | None] = mapped_column(String(1024))
    """The file that was chosen; None for ``run.sh``, or else ``main.py``."""
    environment_id: Mapped[str | None] = mapped_column(Id)
    environment_version_id: Mapped[str | None] = mapped_column(Id)
    egress_policy: Mapped[str] = mapped_column(String(16))
    resource_bundle_id: Mapped[str | None] = mapped_column(String(64))
    parameter_definitions: Mapped[list[dict[str, Any]]] = mapped_column(Json, default=list)
    parameter_values: Mapped[list[dict[str, Any]]] = mapped_column(Json, default=list)
    required_metadata: Mapped[dict[str, str]] = mapped_column(Json, default=dict)
    """Values of what the environment asks for (``environments.required_metadata``)."""
    timeout_s: Mapped[int | None]
    max_retries: Mapped[int] = mapped_column(default=0)
    last_run_id: Mapped[str | None] = mapped_column(Id)
    run_count: Mapped[int] = mapped_column(default=0)
    """Of all runs ever: the total of their list, without counting."""


class CustomJobRun(OnNode, Base):
    """One run: what it is made of, as it was when it was asked for, and how it went."""

    __tablename__ = "custom_job_runs"
    __table_args__ = (
        Index("ix_custom_job_runs_job", "job_id", "id"),
        Index("ix_custom_job_runs_schedule", "schedule_id", "id"),
        Index("ix_custom_job_runs_workspace", "workspace_id"),
        Index("ix_custom_job_runs_queue", "phase", "organization_id", "id", **OF_OPEN_RUNS),
        Index("ix_custom_job_runs_open", "job_id", "id", **OF_OPEN_RUNS),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    job_id: Mapped[str] = mapped_column(Id, ForeignKey("custom_jobs.id", ondelete="CASCADE"))
    organization_id: Mapped[str] = mapped_column(Id)
    created_by_id: Mapped[str] = mapped_column(Id)
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    description: Mapped[str] = mapped_column(Text, default="")

    workspace_id: Mapped[str] = mapped_column(Id, ForeignKey("workspaces.id"))
    entry_point_path: Mapped[str] = mapped_column(String(1024))
    """Empty only where the run never began: the job had nothing to run."""
    environment_version_id: Mapped[str | None] = mapped_column(Id)
    """None only where the run never began: the job had none."""
    egress_policy: Mapped[str] = mapped_column(String(16))
    resource_bundle_id: Mapped[str | None] = mapped_column(String(64))
    parameter_definitions: Mapped[list[dict[str, Any]]] = mapped_column(Json, default=list)
    parameter_values: Mapped[list[dict[str, Any]]] = mapped_column(Json, default=list)
    required_metadata: Mapped[dict[str, str]] = mapped_column(Json, default=dict)
    timeout_s: Mapped[int]
    max_retries: Mapped[int] = mapped_column(default=0)
    schedule_id: Mapped[str | None] = mapped_column(Id)
    event: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """What a notification job was fired by."""
    missed_events: Mapped[int] = mapped_column(default=0)
    """Of a run that stands for events that could not be told, one after the other: how many these are."""

    status: Mapped[str] = mapped_column(String(16))
    phase: Mapped[str] = mapped_column(String(16))
    operation_id: Mapped[str | None] = mapped_column(Id)
    attempt: Mapped[int] = mapped_column(default=0)
    retry_at: Mapped[datetime | None]
    """When the next attempt may begin, after one that failed."""
    workload_id: Mapped[str | None] = mapped_column(Id)
    """The workload of the attempt that is under way; written before it is started."""
    token_id: Mapped[str | None] = mapped_column(Id)
    exit_code: Mapped[int | None]
    reason: Mapped[str | None] = mapped_column(Text)
    peak_memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    logs_deleted_at: Mapped[datetime | None]
    artifacts_workspace_id: Mapped[str | None] = mapped_column(Id, ForeignKey("workspaces.id"))


class RunLog(Base):
    """The kept output of one ended attempt; ``digest`` names a blob of lines that begin with their time.

    Of an output over the limit the newest is kept: it begins at ``first_offset`` of all that was written.
    """

    __tablename__ = "custom_job_run_logs"

    run_id: Mapped[str] = mapped_column(Id, ForeignKey("custom_job_runs.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    first_offset: Mapped[int] = mapped_column(BigInteger)
