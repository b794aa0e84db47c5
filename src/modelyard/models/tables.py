"""Custom models, their versions, and who uses them."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from modelyard.kernel.database import Base, Id, Json
from modelyard.kernel.ids import new_id


class CustomModel(Base):
    """What is predicted, and the defaults for running it. One of the type ``training`` is a custom task.

    A model that is deleted while packages still hold versions of it keeps its row, without grants, until the last
    package lets go (``models.usage``).
    """

    __tablename__ = "custom_models"
    __table_args__ = (
        UniqueConstraint("organization_id", "user_provided_id"),
        Index("ix_custom_models_updated", "updated_at", "id"),
        Index("ix_custom_models_type", "custom_model_type", "id"),
        Index("ix_custom_models_type_updated", "custom_model_type", "updated_at", "id"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    organization_id: Mapped[str] = mapped_column(Id)
    created_by_id: Mapped[str] = mapped_column(Id)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]
    latest_version_id: Mapped[str | None] = mapped_column(Id)

    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str] = mapped_column(Text, default="")
    language: Mapped[str] = mapped_column(String(500), default="")
    search_text: Mapped[str] = mapped_column(Text, default="")
    """Name, description and language, case-folded: what ``searchFor`` looks in."""
    user_provided_id: Mapped[str | None] = mapped_column(String(100))
    custom_model_type: Mapped[str] = mapped_column(String(16))
    target_type: Mapped[str] = mapped_column(String(32))
    target_name: Mapped[str | None] = mapped_column(String(500))
    positive_class_label: Mapped[str | None] = mapped_column(String(500))
    negative_class_label: Mapped[str | None] = mapped_column(String(500))
    class_labels: Mapped[list[str] | None] = mapped_column(Json)
    prediction_threshold: Mapped[float | None]
    calibrate_predictions: Mapped[bool | None]
    supports_binary_classification: Mapped[bool]
    supports_regression: Mapped[bool]
    is_unstructured_model_kind: Mapped[bool] = mapped_column(default=False)
    is_proxy_model: Mapped[bool] = mapped_column(default=False)
    is_training_data_for_versions_permanently_enabled: Mapped[bool] = mapped_column(default=False)
    playground_id: Mapped[str | None] = mapped_column(String(255))
    project_id: Mapped[str | None] = mapped_column(Id)
    project_name: Mapped[str | None] = mapped_column(String(255))
    """Where a model was trained that nobody pushed (``models.trained``)."""
    git_model_version: Mapped[dict[str, str | None] | None] = mapped_column(Json)
    external_mlops_stats_config: Mapped[dict[str, str | None] | None] = mapped_column(Json)
    tags: Mapped[list[dict[str, str]] | None] = mapped_column(Json)

    desired_memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    maximum_memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    replicas: Mapped[int | None]
    requires_ha: Mapped[bool | None]
    network_egress_policy: Mapped[str | None] = mapped_column(String(32))

    @property
    def is_task(self) -> bool:
        return self.custom_model_type == "training"


class CustomModelVersion(Base):
    """One workspace of a model's code, with what it runs on.

    ``frozen_at``: when it was first packaged, deployed or trained.
    """

    __tablename__ = "custom_model_versions"
    __table_args__ = (
        UniqueConstraint("model_id", "version_major", "version_minor"),
        Index("ix_custom_model_versions_newest", "model_id", "id"),
        Index("ix_custom_model_versions_commit", "model_id", "main_branch_commit_sha"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    model_id: Mapped[str] = mapped_column(Id, ForeignKey("custom_models.id", ondelete="CASCADE"))
    workspace_id: Mapped[str] = mapped_column(Id, ForeignKey("workspaces.id"), index=True)
    version_major: Mapped[int]
    version_minor: Mapped[int]
    created_by_id: Mapped[str] = mapped_column(Id)
    created_at: Mapped[datetime]
    frozen_at: Mapped[datetime | None]
    learning_model_id: Mapped[str | None] = mapped_column(Id)
    """The model of a project that it was made of (``models.trained``)."""
    description: Mapped[str | None] = mapped_column(Text)
    base_environment_id: Mapped[str | None] = mapped_column(Id, index=True)
    base_environment_version_id: Mapped[str | None] = mapped_column(Id, index=True)
    git_model_version: Mapped[dict[str, str | None] | None] = mapped_column(Json)
    main_branch_commit_sha: Mapped[str | None] = mapped_column(String(40))
    required_metadata: Mapped[dict[str, str] | None] = mapped_column(Json)
    dependencies: Mapped[list[dict[str, object]]] = mapped_column(Json)
    """Wire form of what requirements.txt asks for."""
    parameter_definitions: Mapped[list[dict[str, object]]] = mapped_column(Json)
    """The runtime parameters that model-metadata.yaml defines (``workspaces.runtime_parameters.Definition``)."""
    parameter_values: Mapped[list[dict[str, object]]] = mapped_column(Json)
    """What was set by clients (``workspaces.runtime_parameters.Value``)."""
    hyperparameters: Mapped[list[dict[str, Any]]] = mapped_column(Json, default=list)
    """What a training may set, by a task's model-metadata.yaml (``workspaces.hyperparameters.Hyperparameter``)."""
    type_schema: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """What a task takes and a transform gives, by its model-metadata.yaml (``workspaces.type_schema.TypeSchema``)."""

    desired_memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    maximum_memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    replicas: Mapped[int | None]
    requires_ha: Mapped[bool | None]
    network_egress_policy: Mapped[str | None] = mapped_column(String(32))
    resource_bundle_id: Mapped[str | None] = mapped_column(String(64))

    side_effects_passed: Mapped[bool | None]
    """What the last test of side effects showed: whether rows may be scored together with those of others."""

    @property
    def label(self) -> str:
        return f"{self.version_major}.{self.version_minor}"


class ModelUse(Base):
    """Something that uses a version: a deployment, a model package, a learning model or a test.

    Inactive uses are history.
    """

    __tablename__ = "model_uses"
    __table_args__ = (Index("ix_model_uses_model", "model_id", "user_kind", "is_active"),)

    user_kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    user_id: Mapped[str] = mapped_column(Id, primary_key=True)
    version_id: Mapped[str] = mapped_column(Id, primary_key=True, index=True)
    model_id: Mapped[str] = mapped_column(Id, ForeignKey("custom_models.id", ondelete="CASCADE"))
    parent_id: Mapped[str | None] = mapped_column(Id)
    """What the user is a part of, such as the project of a learning model."""
    is_active: Mapped[bool]
    created_at: Mapped[datetime]
