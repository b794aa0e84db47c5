"""Execution environments, their versions, the builds that were asked for and the images that were used."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from modelyard.kernel.database import Base, Id, Json
from modelyard.kernel.ids import new_id


class BuildStatus(StrEnum):
    SUBMITTED = "submitted"
    PROCESSING = "processing"
    SUCCESS = "success"
    FAILED = "failed"


OPEN_BUILD = frozenset({BuildStatus.SUBMITTED.value, BuildStatus.PROCESSING.value})


class Environment(Base):
    """``builtin_key`` names the definition that a built-in one came from.

    A deleted environment keeps its row and versions, without grants: what was made on it goes on working.
    """

    __tablename__ = "environments"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str] = mapped_column(Text, default="")
    programming_language: Mapped[str] = mapped_column(String(16))
    use_cases: Mapped[list[str]] = mapped_column(Json)
    required_metadata_keys: Mapped[list[dict[str, str]]] = mapped_column(Json, default=list)
    """What everything that is made on it must have a value for, in the wire's form."""
    is_public: Mapped[bool] = mapped_column(default=False, index=True)
    builtin_key: Mapped[str | None] = mapped_column(String(64), unique=True)
    latest_version_id: Mapped[str | None] = mapped_column(Id)
    latest_successful_version_id: Mapped[str | None] = mapped_column(Id)
    created_by: Mapped[str | None] = mapped_column(Id)
    created_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]


class EnvironmentVersion(Base):
    """``requirements`` and ``lock`` are what its image is made of; the other files of its context are a workspace.

    ``context_digest`` is the archive as it was sent, kept until its files are in the workspace.
    """

    __tablename__ = "environment_versions"
    __table_args__ = (Index("ix_environment_versions_environment", "environment_id", "id"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    environment_id: Mapped[str] = mapped_column(Id, ForeignKey("environments.id", ondelete="CASCADE"))
    number: Mapped[int]
    label: Mapped[str] = mapped_column(String(255))
    description: Mapped[str] = mapped_column(Text, default="")
    requirements: Mapped[str | None] = mapped_column(Text)
    lock: Mapped[str | None] = mapped_column(Text)
    python_version: Mapped[str | None] = mapped_column(String(16))
    has_start_script: Mapped[bool] = mapped_column(default=False)
    context_digest: Mapped[str | None] = mapped_column(String(64), index=True)
    workspace_id: Mapped[str | None] = mapped_column(Id, ForeignKey("workspaces.id"), index=True)
    build_status: Mapped[str] = mapped_column(String(16))
    image_digest: Mapped[str | None] = mapped_column(String(64))
    libraries: Mapped[list[str] | None] = mapped_column(Json)
    created_by: Mapped[str | None] = mapped_column(Id)
    created_at: Mapped[datetime]


class Build(Base):
    """The newest build of one subject: an environment version, or a version of a model, task or job.

    ``requirements`` is the subject's own requirements.txt as it was when the build was asked for. ``log`` grows while
    the build runs.
    """

    __tablename__ = "builds"
    __table_args__ = (UniqueConstraint("subject_kind", "subject_id"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    subject_kind: Mapped[str] = mapped_column(String(32))
    subject_id: Mapped[str] = mapped_column(Id)
    environment_version_id: Mapped[str] = mapped_column(Id, index=True)
    requirements: Mapped[str | None] = mapped_column(Text)
    image_digest: Mapped[str | None] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    error: Mapped[str | None] = mapped_column(Text)
    log: Mapped[str] = mapped_column(Text, default="", deferred=True)
    operation_id: Mapped[str | None] = mapped_column(Id)
    created_by: Mapped[str | None] = mapped_column(Id)
    created_at: Mapped[datetime]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class ImageUse(Base):
    """When an image was last asked for: one that was used lately is not collected."""

    __tablename__ = "image_uses"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    used_at: Mapped[datetime]
