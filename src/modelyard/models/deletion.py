"""What is left of a deleted model while packages still hold versions of it."""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from modelyard.environments import builds
from modelyard.models.tables import CustomModel, CustomModelVersion, ModelUse
from modelyard.workspaces import service as workspaces

HOLDING_KIND = "modelPackage"


def purge(session: Session, model: CustomModel) -> None:
    """Drops what nobody holds any more of a deleted model: its versions, at last the model itself."""
    held = set(
        session.scalars(
            select(ModelUse.version_id).where(
                ModelUse.model_id == model.id, ModelUse.user_kind == HOLDING_KIND, ModelUse.is_active
            )
        )
    )
    rows = session.execute(
        select(CustomModelVersion.id, CustomModelVersion.workspace_id).where(CustomModelVersion.model_id == model.id)
    ).all()
    gone = [(version_id, workspace_id) for version_id, workspace_id in rows if version_id not in held]
    for start in range(0, len(gone), 500):
        some = [version_id for version_id, _ in gone[start : start + 500]]
        builds.remove_builds(session, builds.MODEL_VERSION, some)
        session.execute(delete(ModelUse).where(ModelUse.version_id.in_(some)))
        session.execute(delete(CustomModelVersion).where(CustomModelVersion.id.in_(some)))
    workspaces.remove(session, [workspace_id for _, workspace_id in gone])
    model.latest_version_id = None
    if not held:
        session.delete(model)
    session.flush()
