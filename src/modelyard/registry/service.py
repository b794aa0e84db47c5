"""Registered models: finding, changing, sharing and deleting them. Packages are in ``packages``."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from modelyard.identity import access_lists, audit, sharing
from modelyard.identity.access_lists import AccessControlResponse, SharingUpdateOrRemoveWithGrant
from modelyard.identity.caller import Caller
from modelyard.identity.holders import withdraw
from modelyard.identity.roles import Permission
from modelyard.identity.tables import Organization, ResourceKind, SubjectKind
from modelyard.kernel.database import ignoring_case
from modelyard.kernel.errors import Conflict, invalid
from modelyard.kernel.ids import new_id
from modelyard.kernel.paging import Page, PageQuery, page
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import changes, read_bool
from modelyard.models import usage
from modelyard.models.tables import CustomModel
from modelyard.models.usage import UserKind
from modelyard.registry.schemas import (
    RegisteredModelListQuery,
    RegisteredModelResponse,
    RegisteredModelUpdate,
)
from modelyard.registry.tables import ModelPackage, PackageRole, PackageUse, RegisteredModel
from modelyard.registry.views import view_registered_models

KIND = ResourceKind.REGISTERED_MODEL
ORDERS: dict[str, ColumnElement[Any]] = {
    "name": ignoring_case(RegisteredModel.name).asc(),
    "-name": ignoring_case(RegisteredModel.name).desc(),
    "createdAt": RegisteredModel.created_at.asc(),
    "-createdAt": RegisteredModel.created_at.desc(),
    "modifiedAt": RegisteredModel.updated_at.asc(),
    "-modifiedAt": RegisteredModel.updated_at.desc(),
}


def list_registered_models(
    session: Session, caller: Caller, query: RegisteredModelListQuery, request: RequestInfo
) -> Page[RegisteredModelResponse]:
    """The registered models that the caller may view."""
    statement = sharing.scoped(session, caller, KIND, RegisteredModel, RegisteredModel.id)
    if query.search:
        statement = statement.where(RegisteredModel.search_text.contains(query.search.casefold(), autoescape=True))
    if query.is_global is not None:
        statement = statement.where(RegisteredModel.is_global == read_bool(query.is_global, "isGlobal"))
    statement = statement.order_by(ORDERS[query.order_by], RegisteredModel.id.desc())
    return page(session, statement, query, request, lambda rows: view_registered_models(session, rows))


def find_registered_model(
    session: Session, caller: Caller, model_id: str, permission: Permission = Permission.VIEW, *, lock: bool = False
) -> RegisteredModel:
    """The registered model, if the caller's role allows ``permission``."""
    sharing.require(session, caller, KIND, model_id, permission, what="registered model")
    return session.get_one(RegisteredModel, model_id, with_for_update=lock)


def read_registered_model(session: Session, caller: Caller, model_id: str) -> RegisteredModelResponse:
    return view_registered_models(session, [find_registered_model(session, caller, model_id)])[0]


def add_registered_model(
    session: Session, caller: Caller, name: str, description: str | None, model: CustomModel, *, is_automatic: bool
) -> RegisteredModel:
    """A new registered model of the caller's for what ``model`` predicts; ``Conflict`` when the name is taken."""
    refuse_taken(session, caller, name)
    now = datetime.now(UTC)
    row = RegisteredModel(
        id=new_id(),
        organization_id=caller.organization_id,
        name=name,
        description=description,
        search_text=_search_text(name, description),
        automatic_for=model.id if is_automatic else None,
        last_version_number=0,
        target_name=model.target_name,
        target_type=model.target_type,
        created_by_id=caller.user_id,
        created_at=now,
        updated_at=now,
    )
    session.add(row)
    session.flush()
    sharing.grant_owner(session, caller, KIND, row.id)
    audit.record(session, caller, "create", KIND, row.id, {"name": name})
    return row


def find_by_name(session: Session, caller: Caller, name: str, *, lock: bool = False) -> RegisteredModel | None:
    """The registered model of this name in the caller's organization, whether or not the caller may see it."""
    statement = select(RegisteredModel).where(
        RegisteredModel.organization_id == caller.organization_id, RegisteredModel.name == name
    )
    return session.scalar(statement.with_for_update() if lock else statement)


def refuse_taken(session: Session, caller: Caller, name: str) -> None:
    """Raises ``Conflict`` when a registered model of the caller's organization has this name.

    The organization is locked until the unit of work ends, so that of two who take a name at once one is refused.
    """
    session.get(Organization, caller.organization_id, with_for_update=True)
    if find_by_name(session, caller, name) is not None:
        text = f"the name {name!r} is already in use by another registered model"
        raise Conflict(f"name: {text}", {"name": text})


def change_registered_model(
    session: Session, caller: Caller, model_id: str, body: RegisteredModelUpdate
) -> RegisteredModelResponse:
    """Changes what was sent. ``isGlobal`` shows the model to the whole organization, or no longer."""
    row = find_registered_model(session, caller, model_id, Permission.EDIT, lock=True)
    wanted = changes(body)
    name = wanted.get("name", row.name)
    if not name.strip():
        raise invalid(name="must not be blank")
    if name != row.name:
        refuse_taken(session, caller, name)
    if wanted.get("is_global", row.is_global) != row.is_global:
        _set_global(session, caller, row, bool(wanted["is_global"]))
    row.name = name
    row.description = wanted.get("description", row.description)
    row.search_text = _search_text(row.name, row.description)
    row.automatic_for = None
    row.updated_at = datetime.now(UTC)
    audit.record(session, caller, "update", KIND, model_id, wanted)
    session.flush()
    return view_registered_models(session, [row])[0]


def _set_global(session: Session, caller: Caller, row: RegisteredModel, is_global: bool) -> None:  # the value itself
    sharing.require(session, caller, KIND, row.id, Permission.SHARE, what="registered model")
    row.is_global = is_global
    if is_global:
        sharing.grant(
            session,
            KIND,
            row.id,
            row.organization_id,
            "READ_ONLY",
            can_share=False,
            subject_kind=SubjectKind.ORGANIZATION,
        )
    else:
        withdraw(session, KIND, row.id, row.organization_id)


def delete_registered_model(session: Session, caller: Caller, request: RequestInfo, model_id: str) -> None:
    """Deletes the registered model with its packages; ``Conflict`` while one of them is deployed or a challenger."""
    row = find_registered_model(session, caller, model_id, Permission.DELETE, lock=True)
    packages = session.scalars(
        select(ModelPackage).where(ModelPackage.registered_model_id == model_id).with_for_update()
    ).all()
    _refuse_used(session, request, model_id, [package.id for package in packages])
    for package in packages:
        usage.remove(session, UserKind.MODEL_PACKAGE, package.id)
        session.delete(package)
    session.flush()
    session.delete(row)
    sharing.forget(session, KIND, model_id)
    audit.record(session, caller, "delete", KIND, model_id, {"name": row.name})


def _refuse_used(session: Session, request: RequestInfo, model_id: str, package_ids: list[str]) -> None:
    uses = session.execute(
        select(PackageUse.deployment_id, PackageUse.role).where(PackageUse.package_id.in_(package_ids)).distinct()
    ).all()
    deployments = [one for one, role in uses if role == PackageRole.MODEL.value]
    challenged = [one for one, role in uses if role == PackageRole.CHALLENGER.value]
    if deployments:
        links = [f"{request.api_url}/deployments/{one}/" for one in deployments]
        raise Conflict.with_links(
            f"Registered model {model_id} has existing deployments ({len(deployments)}) and cannot be deleted; "
            "delete them or replace their model first",
            links,
            deploymentIds=deployments,
        )
    if challenged:
        links = [f"{request.api_url}/deployments/{one}/challengers/" for one in challenged]
        raise Conflict.with_links(
            f"Registered model {model_id} has a challenger in deployments ({len(challenged)}) and cannot be deleted; "
            "withdraw it first",
            links,
            deploymentIds=challenged,
        )


def list_access(
    session: Session, caller: Caller, model_id: str, query: PageQuery, request: RequestInfo
) -> Page[AccessControlResponse]:
    """The users that the registered model is shared with."""
    find_registered_model(session, caller, model_id)
    return access_lists.list_access(session, KIND, model_id, query, request)


def change_access(
    session: Session, caller: Caller, settings: Settings, model_id: str, body: SharingUpdateOrRemoveWithGrant
) -> None:
    """Sets or takes away users' roles, all or none."""
    find_registered_model(session, caller, model_id)
    access_lists.change_access(session, caller, settings, KIND, model_id, body)


def _search_text(name: str, description: str | None) -> str:
    return f"{name}\n{description or ''}".casefold()
