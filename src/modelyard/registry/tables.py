"""Registered models, their packages, and who uses a package."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from modelyard.kernel.database import Base, Id, Json
from modelyard.kernel.ids import new_id


class BuildState(StrEnum):
    """Whether the image that a package runs on is there. The wire's ``buildStatus``."""

    IN_PROGRESS = "inProgress"
    COMPLETE = "complete"
    FAILED = "failed"


class RegisteredModel(Base):
    """A line of packages that predict the same target.

    ``automatic_for``: the custom model whose packages it took because nobody named a registered model; a client that
    names it later makes it its own.
    """

    __tablename__ = "registered_models"
    __table_args__ = (UniqueConstraint("organization_id", "name"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    organization_id: Mapped[str] = mapped_column(Id)
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text)
    search_text: Mapped[str] = mapped_column(Text, default="")
    is_global: Mapped[bool] = mapped_column(default=False)
    automatic_for: Mapped[str | None] = mapped_column(Id, index=True)
    last_version_number: Mapped[int] = mapped_column(default=0)
    target_name: Mapped[str | None] = mapped_column(String(500))
    target_type: Mapped[str] = mapped_column(String(32))
    created_by_id: Mapped[str] = mapped_column(Id)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ModelPackage(Base):
    """One version of a registered model: a frozen version of a custom model with the target that it predicts."""

    __tablename__ = "model_packages"
    __table_args__ = (
        UniqueConstraint("registered_model_id", "number"),
        Index("ix_model_packages_version", "custom_model_version_id"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    registered_model_id: Mapped[str] = mapped_column(Id, ForeignKey("registered_models.id", ondelete="CASCADE"))
    number: Mapped[int]
    name: Mapped[str] = mapped_column(String(255))
    search_text: Mapped[str] = mapped_column(Text, default="")
    custom_model_id: Mapped[str] = mapped_column(Id)
    custom_model_name: Mapped[str] = mapped_column(String(255))
    custom_model_version_id: Mapped[str] = mapped_column(Id)
    custom_model_version_label: Mapped[str] = mapped_column(String(32))
    build_environment_type: Mapped[str] = mapped_column(String(16))
    target_name: Mapped[str | None] = mapped_column(String(500))
    target_type: Mapped[str] = mapped_column(String(32))
    class_labels: Mapped[list[str] | None] = mapped_column(Json)
    prediction_threshold: Mapped[float | None]
    prompt: Mapped[str | None] = mapped_column(Text)
    tags: Mapped[list[dict[str, str]]] = mapped_column(Json)
    build_state: Mapped[str] = mapped_column(String(16))
    build_error: Mapped[str | None] = mapped_column(Text)
    created_by_id: Mapped[str] = mapped_column(Id)
    created_at: Mapped[datetime]


class PackageRole(StrEnum):
    """What a package is to a deployment: ``model``, that it runs or is about to; ``challenger``, proposed for it."""

    MODEL = "model"
    CHALLENGER = "challenger"


class PackageUse(Base):
    """A deployment that holds a package."""

    __tablename__ = "package_uses"

    package_id: Mapped[str] = mapped_column(Id, ForeignKey("model_packages.id", ondelete="CASCADE"), primary_key=True)
    deployment_id: Mapped[str] = mapped_column(Id, primary_key=True, index=True)
    role: Mapped[str] = mapped_column(String(16), primary_key=True)
