"""Custom models that are not pushed but made of what a training left."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from modelyard.environments.tables import EnvironmentVersion
from modelyard.identity import audit, sharing
from modelyard.identity.caller import Caller
from modelyard.kernel.errors import Invalid
from modelyard.kernel.ids import new_id
from modelyard.models.rules import Target, target_errors, with_defaults
from modelyard.models.service import KIND
from modelyard.models.tables import CustomModel, CustomModelVersion
from modelyard.workspaces.tables import Workspace

MAX_NAME_LENGTH = 255
MAX_LABEL_LENGTH = 500


@dataclass(frozen=True)
class Trained:
    """What a training made. ``labels``: of two classes the positive one first."""

    name: str
    target_type: str
    target_name: str | None
    labels: list[str]
    project_id: str
    project_name: str
    learning_model_id: str
    memory_bytes: int
    parameter_definitions: list[dict[str, Any]]
    parameter_values: list[dict[str, Any]]
    required_metadata: dict[str, str]


def add_trained_model(
    session: Session, caller: Caller, trained: Trained, workspace: Workspace, environment: EnvironmentVersion
) -> CustomModelVersion:
    """A model of the caller's own with one version, ready to be packaged.

    Raises ``Invalid`` where the target of a project cannot be one of a custom model, such as with too long a label.
    """
    is_binary = trained.target_type == "Binary"
    target = Target(
        "inference",
        trained.target_type,
        trained.target_name,
        trained.labels[0] if is_binary else None,
        trained.labels[1] if is_binary else None,
        trained.labels if trained.target_type == "Multiclass" else None,
        None,
    )
    errors = list(target_errors(target).values())
    if any(len(text) > MAX_LABEL_LENGTH for text in [*trained.labels, trained.target_name or ""]):
        errors.append(f"the target's name and its class labels may have {MAX_LABEL_LENGTH} characters")
    if errors:
        text = f"the model cannot be deployed: {'; '.join(errors)}"
        raise Invalid(text, {"modelId": text})
    with_defaults(target)
    now = datetime.now(UTC)
    model = CustomModel(
        id=new_id(),
        organization_id=caller.organization_id,
        created_by_id=caller.user_id,
        created_at=now,
        updated_at=now,
        name=trained.name[:MAX_NAME_LENGTH],
        description=f"Trained in project {trained.project_name}.",
        search_text=f"{trained.name}\n{trained.project_name}".casefold(),
        custom_model_type="inference",
        target_type=trained.target_type,
        target_name=trained.target_name,
        positive_class_label=target.positive_class_label,
        negative_class_label=target.negative_class_label,
        class_labels=list(target.class_labels) if target.class_labels else None,
        prediction_threshold=target.prediction_threshold,
        supports_binary_classification=is_binary,
        supports_regression=trained.target_type == "Regression",
        language="Python",
        project_id=trained.project_id,
        project_name=trained.project_name,
        maximum_memory_bytes=trained.memory_bytes,
    )
    session.add(model)
    session.flush()
    sharing.grant_owner(session, caller, KIND, model.id)
    version = CustomModelVersion(
        id=new_id(),
        model_id=model.id,
        workspace_id=workspace.id,
        version_major=1,
        version_minor=0,
        created_by_id=caller.user_id,
        created_at=now,
        learning_model_id=trained.learning_model_id,
        base_environment_id=environment.environment_id,
        base_environment_version_id=environment.id,
        dependencies=[],
        required_metadata=trained.required_metadata,
        parameter_definitions=trained.parameter_definitions,
        parameter_values=trained.parameter_values,
    )
    session.add(version)
    model.latest_version_id = version.id
    audit.record(session, caller, "create", KIND, model.id, {"name": model.name, "projectId": trained.project_id})
    session.flush()
    return version
