"""Copies of custom models: metadata, versions and files (seed 000, fromCustomTask; seed 001, fromCustomModel)."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.identity import audit, sharing
from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.kernel.errors import NotFound
from modelyard.kernel.ids import new_id
from modelyard.models.doors import MODELS, Door
from modelyard.models.schemas import CustomModelCopy, CustomModelResponse
from modelyard.models.service import KIND, find_model
from modelyard.models.tables import CustomModel, CustomModelVersion
from modelyard.models.views import view_model
from modelyard.workspaces import service as workspaces


def copy_model(session: Session, caller: Caller, body: CustomModelCopy) -> CustomModelResponse:
    return view_model(session, add_copy(session, caller, body.custom_model_id))


def add_copy(session: Session, caller: Caller, model_id: str, door: Door = MODELS) -> CustomModel:
    """A model of the caller's own with the metadata, the versions and the files of another one."""
    try:
        source = find_model(session, caller, model_id, Permission.VIEW, door=door)
    except NotFound as error:
        raise NotFound(error.message, {door.id_field: error.message}) from None
    now = datetime.now(UTC)
    own = {"id": new_id(), "created_by_id": caller.user_id, "created_at": now, "updated_at": now}
    own |= {"user_provided_id": None, "latest_version_id": None, "organization_id": caller.organization_id}
    model = CustomModel(**(_columns(source) | own))
    session.add(model)
    session.flush()
    versions = session.scalars(
        select(CustomModelVersion).where(CustomModelVersion.model_id == source.id).order_by(CustomModelVersion.id)
    ).all()
    copied = workspaces.copy_trees(session, [version.workspace_id for version in versions])
    for version in versions:
        own = {"id": new_id(), "model_id": model.id, "workspace_id": copied[version.workspace_id]}
        own |= {"created_by_id": caller.user_id, "created_at": now, "frozen_at": None}
        session.add(CustomModelVersion(**(_columns(version) | own)))
        model.latest_version_id = str(own["id"])
    sharing.grant_owner(session, caller, KIND, model.id)
    audit.record(session, caller, "create", KIND, model.id, {"copyOf": source.id})
    session.flush()
    return model


def _columns(row: CustomModel | CustomModelVersion) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in row.__mapper__.column_attrs}
