"""Deployments, their tags and their logs."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from modelyard.kernel.database import Base, Id, Json
from modelyard.kernel.ids import new_id


class DeploymentStatus(StrEnum):
    """Named as in the contract."""

    LAUNCHING = "launching"
    ACTIVE = "active"
    REPLACING_MODEL = "replacingModel"
    STOPPING = "stopping"
    INACTIVE = "inactive"
    ERRORED = "errored"
    ARCHIVED = "archived"


class Importance(StrEnum):
    """From the least to the most important."""

    LOW = "LOW"
    MODERATE = "MODERATE"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"


IMPORTANCE_RANKS = {importance.value: rank for rank, importance in enumerate(Importance)}


class Deployment(Base):
    """A package that is served under an address of its own; its id is also that of its service.

    The model columns are those of the model that answers now, or that failed to start. ``launch_generation`` is the
    generation of the service that ``launch_operation_id`` asked for. A deleted deployment keeps its row, without
    grants, until it is erased.
    """

    __tablename__ = "deployments"
    __table_args__ = (
        UniqueConstraint("organization_id", "user_provided_id"),
        Index("ix_deployments_deleted", "organization_id", "deleted_at"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    organization_id: Mapped[str] = mapped_column(Id)
    created_by_id: Mapped[str] = mapped_column(Id)
    created_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]
    label: Mapped[str] = mapped_column(String(512))
    description: Mapped[str | None] = mapped_column(Text)
    search_text: Mapped[str] = mapped_column(Text)
    """Label and description, case-folded."""
    importance_rank: Mapped[int] = mapped_column(index=True)
    user_provided_id: Mapped[str | None] = mapped_column(String(100))
    status: Mapped[str] = mapped_column(String(16))
    error: Mapped[str | None] = mapped_column(Text)
    prediction_environment_id: Mapped[str] = mapped_column(Id, ForeignKey("prediction_environments.id"), index=True)

    package_id: Mapped[str] = mapped_column(Id, index=True)
    custom_model_id: Mapped[str] = mapped_column(Id, index=True)
    custom_model_version_id: Mapped[str] = mapped_column(Id)
    environment_id: Mapped[str] = mapped_column(Id, index=True)
    environment_version_id: Mapped[str] = mapped_column(Id)
    target_type: Mapped[str] = mapped_column(String(32))
    target_name: Mapped[str | None] = mapped_column(String(500))
    build_environment_type: Mapped[str] = mapped_column(String(16))
    model_deployed_at: Mapped[datetime | None]

    settings: Mapped[dict[str, Any]] = mapped_column(Json)
    """What was set, in the wire's form; see ``deployments.settings``."""
    parameter_values: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    acts_for_id: Mapped[str] = mapped_column(Id)
    """Who chose the model and its parameters: credentials are opened on their behalf."""
    launch_operation_id: Mapped[str | None] = mapped_column(Id)
    launch_generation: Mapped[int | None]


class DeploymentModel(Base):
    """A package that a deployment runs or ran, from when it was first meant to answer."""

    __tablename__ = "deployment_models"

    deployment_id: Mapped[str] = mapped_column(Id, ForeignKey("deployments.id", ondelete="CASCADE"), primary_key=True)
    package_id: Mapped[str] = mapped_column(Id, primary_key=True)
    custom_model_version_id: Mapped[str] = mapped_column(Id)
    since: Mapped[datetime]


class DeploymentTag(Base):
    __tablename__ = "deployment_tags"
    __table_args__ = (Index("ix_deployment_tags_name", "name", "value"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    deployment_id: Mapped[str] = mapped_column(Id, ForeignKey("deployments.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(50))
    value: Mapped[str] = mapped_column(String(50))


class LogKind(StrEnum):
    """``launch``: how a deployment, replacement or start went; ``runtime``: what its replicas wrote."""

    LAUNCH = "launch"
    RUNTIME = "runtime"


class DeploymentLog(Base):
    """A log that is kept beyond the replicas it speaks of. Its id is that of the operation which wrote it."""

    __tablename__ = "deployment_logs"
    __table_args__ = (Index("ix_deployment_logs_deployment", "deployment_id", "kind", "id"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    deployment_id: Mapped[str] = mapped_column(Id, ForeignKey("deployments.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(16))
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
