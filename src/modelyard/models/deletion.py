"""What is left of a deleted model while packages still hold versions of it."""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from modelyard.environments import builds
from modelyard.models.tables import CustomModel, CustomModelVersion, ModelUse
from modelyard.models.testing.tables import CustomModelTest
from modelyard.operations import service as operations
from modelyard.workspaces.erasing import erase

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
    logs: list[str | None] = []
    for start in range(0, len(gone), 500):
        some = [version_id for version_id, _ in gone[start : start + 500]]
        builds.remove_builds(session, builds.MODEL_VERSION, some)
        tests = session.execute(
            select(CustomModelTest.id, CustomModelTest.log_digest).where(CustomModelTest.version_id.in_(some))
        ).all()
        logs += [digest for _, digest in tests]
        operations.forget(session, [*some, *(test_id for test_id, _ in tests)])
        session.execute(delete(ModelUse).where(ModelUse.version_id.in_(some)))
        session.execute(delete(CustomModelVersion).where(CustomModelVersion.id.in_(some)))
    erase(session, [workspace_id for _, workspace_id in gone], logs)
    model.latest_version_id = None
    if not held:
        operations.forget(session, [model.id])
        session.delete(model)
    session.flush()
