"""Custom models: making, reading, changing, copying, sharing and deleting them (seed 001)."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import exists, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from modelyard.identity import access_lists, audit, sharing
from modelyard.identity.access_lists import AccessControlResponse, SharingUpdateOrRemoveWithGrant
from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.identity.tables import ResourceKind
from modelyard.kernel.errors import Conflict, Forbidden, NotFound, invalid, raise_all
from modelyard.kernel.ids import is_id, new_id
from modelyard.kernel.paging import Page, PageQuery, of_items, page
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import changes, read_bool
from modelyard.models import usage
from modelyard.models.deletion import purge
from modelyard.models.rules import Target, resource_errors, target_errors, target_type_of, with_defaults
from modelyard.models.schemas import (
    CustomModelCopy,
    CustomModelCreate,
    CustomModelListQuery,
    CustomModelResourceLimits,
    CustomModelResponse,
    CustomModelUpdate,
)
from modelyard.models.tables import CustomModel, CustomModelVersion
from modelyard.models.usage import UserKind
from modelyard.models.views import view_model, view_models
from modelyard.workspaces import service as workspaces

KIND = ResourceKind.CUSTOM_MODEL
ORDERS = {
    None: (CustomModel.id.desc(),),
    "created": (CustomModel.id.asc(),),
    "-created": (CustomModel.id.desc(),),
    "updated": (CustomModel.updated_at.asc(), CustomModel.id.asc()),
    "-updated": (CustomModel.updated_at.desc(), CustomModel.id.desc()),
}
UPDATED_ORDERS = frozenset({"updated", "-updated"})
MANY = 2000
"""From so many visible models on, walking the index of ``updated_at`` beats sorting what is visible."""
TARGET_FIELDS = (
    "target_name",
    "positive_class_label",
    "negative_class_label",
    "class_labels",
    "prediction_threshold",
)
TYPE_FIELDS = frozenset({"custom_model_type", "target_type", "supports_binary_classification", "supports_regression"})
"""What says of which type a model and its target are, on which most other rules depend."""
LOCKED_WHEN_DEPLOYED = {
    "target_name": "targetName",
    "positive_class_label": "positiveClassLabel",
    "negative_class_label": "negativeClassLabel",
    "class_labels": "classLabels",
}
COLUMNS = {"desired_memory": "desired_memory_bytes", "maximum_memory": "maximum_memory_bytes"}
ID_IS_TAKEN = "Cannot create a custom model with a user provided ID {!r}: one with that ID exists already"
FLAGS = ("is_unstructured_model_kind", "is_proxy_model", "is_training_data_for_versions_permanently_enabled")


def list_models(
    session: Session, caller: Caller, query: CustomModelListQuery, request: RequestInfo
) -> Page[CustomModelResponse]:
    """The models that the caller may view, newest first unless ``orderBy`` says otherwise."""
    filters = []
    are_few = False
    if query.custom_model_type is not None:
        filters.append(CustomModel.custom_model_type == query.custom_model_type)
    if query.is_deployed is not None:
        deployed = usage.is_deployed()
        are_few = read_bool(query.is_deployed, "isDeployed")
        filters.append(deployed if are_few else ~deployed)
    if query.search_for:
        filters.append(CustomModel.search_text.contains(query.search_for.casefold(), autoescape=True))
    visible = sharing.count_visible(session, caller, KIND)
    if not filters and query.order_by in {None, "created", "-created"}:
        newest_first = query.order_by != "created"
        ids = sharing.visible_ids(
            session, caller, KIND, offset=query.offset, limit=query.limit, newest_first=newest_first
        )
        rows = {row.id: row for row in session.scalars(select(CustomModel).where(CustomModel.id.in_(ids)))}
        return of_items(view_models(session, [rows[id_] for id_ in ids if id_ in rows]), visible, query, request)
    by_row = are_few or (visible > MANY and query.order_by in UPDATED_ORDERS)
    statement = sharing.scoped(session, caller, KIND, CustomModel, CustomModel.id, by_row=by_row)
    return page(
        session,
        statement.where(*filters).order_by(*ORDERS[query.order_by]),
        query,
        request,
        lambda rows: view_models(session, rows),
        total=None if filters else visible,
    )


def create_model(session: Session, caller: Caller, settings: Settings, body: CustomModelCreate) -> CustomModelResponse:
    """A new model of the caller's own. Every contradiction is named in one ``Invalid``."""
    given = changes(body)
    custom_model_type = given.get("custom_model_type", "")
    target_type, errors = target_type_of(
        given.get("target_type"),
        given.get("supports_binary_classification"),
        given.get("supports_regression"),
        is_inference=custom_model_type == "inference",
    )
    target = Target(custom_model_type, target_type, **{field: given.get(field) for field in TARGET_FIELDS})
    unknown = body.unread & TYPE_FIELDS
    if unknown - {"custom_model_type"}:
        errors = {}
    errors |= resource_errors(given, settings) | ({} if unknown else target_errors(target))
    if not given.get("name", "unread").strip():
        errors["name"] = "must not be blank"
    if _is_taken(session, caller, given.get("user_provided_id")):
        errors["userProvidedId"] = ID_IS_TAKEN.format(body.user_provided_id)
    raise_all(errors)
    with_defaults(target)
    now = datetime.now(UTC)
    model = CustomModel(
        id=new_id(),
        organization_id=caller.organization_id,
        created_by_id=caller.user_id,
        created_at=now,
        updated_at=now,
        custom_model_type=body.custom_model_type,
        name=body.name,
        target_type=target_type,
        supports_binary_classification=bool(given.get("supports_binary_classification", target_type == "Binary")),
        supports_regression=bool(given.get("supports_regression", target_type == "Regression")),
        user_provided_id=given.get("user_provided_id"),
        playground_id=given.get("playground_id"),
        calibrate_predictions=given.get("calibrate_predictions"),
        description="",
        language="",
    )
    _apply(model, given, target)
    session.add(model)
    try:
        session.flush()
    except IntegrityError:  # somebody took the ID in this very moment
        raise invalid(userProvidedId=ID_IS_TAKEN.format(body.user_provided_id)) from None
    sharing.grant_owner(session, caller, KIND, model.id)
    audit.record(session, caller, "create", KIND, model.id, {"name": model.name})
    session.flush()
    return view_model(session, model)


def read_model(session: Session, caller: Caller, model_id: str) -> CustomModelResponse:
    return view_model(session, find_model(session, caller, model_id, Permission.VIEW))


def update_model(
    session: Session, caller: Caller, settings: Settings, model_id: str, body: CustomModelUpdate
) -> CustomModelResponse:
    """Changes what the client sent, and nothing else.

    Raises ``Conflict`` while a test runs, and for the target of a model that is deployed.
    """
    model = find_model(session, caller, model_id, Permission.EDIT, lock=True)
    given = changes(body)
    tests = usage.users_of(session, model_id, UserKind.TEST)
    if tests:
        raise Conflict(f"Model {model_id} is being tested (test {tests[0]}); change it when the test is over.")
    target = Target(
        model.custom_model_type,
        model.target_type,
        **{field: given.get(field, getattr(model, field)) for field in TARGET_FIELDS},
    )
    resources = {name: value for name, value in (_resources(model) | given).items() if name not in body.unread}
    errors = target_errors(target) | resource_errors(resources, settings)
    if ("positive_class_label" in given) != ("negative_class_label" in given):
        missing = "negativeClassLabel" if "positive_class_label" in given else "positiveClassLabel"
        errors = {field: text for field, text in errors.items() if not field.endswith("ClassLabel")}
        errors[missing] = "is required, because the two class labels are set together"
    if "name" in given and not given["name"].strip():
        errors["name"] = "must not be blank"
    if (
        model.is_training_data_for_versions_permanently_enabled
        and given.get("is_training_data_for_versions_permanently_enabled") is False
    ):
        errors["isTrainingDataForVersionsPermanentlyEnabled"] = "cannot be switched off once it is on"
    raise_all(errors)
    with_defaults(target)
    _refuse_locked(session, model, target)
    _apply(model, given, target)
    model.updated_at = datetime.now(UTC)
    audit.record(session, caller, "update", KIND, model.id, {"fields": sorted(given)})
    session.flush()
    return view_model(session, model)


def delete_model(session: Session, caller: Caller, request: RequestInfo, model_id: str) -> None:
    """Deletes the model and its versions; ``Conflict`` while it is deployed, a challenger or tested.

    Versions that a model package holds stay, out of sight, until the package lets go of them (``models.deletion``).
    """
    model = find_model(session, caller, model_id, Permission.DELETE, lock=True)
    deployments = usage.users_of(session, model_id, UserKind.DEPLOYMENT)
    if deployments:
        link = f"{request.api_url}/customModelDeployments/?customModelIds={model_id}"
        raise Conflict(
            f"Model {model_id} has existing deployments ({len(deployments)}) and cannot be deleted; "
            f"delete them first: {link}",
            extra={"link": link, "deploymentIds": deployments},
        )
    challenged = usage.users_of(session, model_id, UserKind.CHALLENGER)
    if challenged:
        links = ", ".join(f"{request.api_url}/deployments/{one}/challengers/" for one in challenged[:5])
        raise Conflict(
            f"Model {model_id} is a challenger in deployments ({len(challenged)}) and cannot be deleted; "
            f"withdraw it first: {links}",
            extra={"deploymentIds": challenged},
        )
    tests = usage.users_of(session, model_id, UserKind.TEST)
    if tests:
        raise Conflict(f"Model {model_id} is being tested (test {tests[0]}); cancel the test or wait for its end.")
    sharing.forget(session, KIND, model_id)
    audit.record(session, caller, "delete", KIND, model_id, {"name": model.name})
    model.deleted_at = datetime.now(UTC)
    model.user_provided_id = None
    session.flush()
    purge(session, model)


def copy_model(session: Session, caller: Caller, body: CustomModelCopy) -> CustomModelResponse:
    """A model of the caller's own with the metadata, the versions and the files of another one."""
    try:
        source = find_model(session, caller, body.custom_model_id, Permission.VIEW)
    except NotFound as error:
        raise NotFound(error.message, {"customModelId": error.message}) from None
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
    return view_model(session, model)


def list_access(
    session: Session, caller: Caller, model_id: str, query: PageQuery, request: RequestInfo
) -> Page[AccessControlResponse]:
    """The users that the model is shared with."""
    find_model(session, caller, model_id, Permission.VIEW)
    return access_lists.list_access(session, KIND, model_id, query, request)


def change_access(
    session: Session, caller: Caller, settings: Settings, model_id: str, body: SharingUpdateOrRemoveWithGrant
) -> None:
    """Sets or takes away users' roles, all or none."""
    find_model(session, caller, model_id, Permission.VIEW)
    access_lists.change_access(session, caller, settings, KIND, model_id, body)


def read_limits(settings: Settings) -> CustomModelResourceLimits:
    return CustomModelResourceLimits(
        desired_custom_model_container_size=settings.default_model_memory_bytes,
        max_custom_model_container_size=settings.max_model_memory_bytes,
        max_custom_model_replicas_per_deployment=settings.max_model_replicas,
        max_custom_model_testing_parallel_users=settings.max_testing_parallel_users,
    )


def find_model(
    session: Session,
    caller: Caller,
    model_id: str,
    permission: Permission,
    *,
    lock: bool = False,
    hide_forbidden: bool = False,
) -> CustomModel:
    """The model, if the caller's role allows ``permission``.

    ``hide_forbidden`` answers ``NotFound`` for a missing right where the operation documents it so. ``lock`` keeps
    others from changing the model before this unit of work ends.
    """
    missing = NotFound(f"There is no custom model {model_id} that you may see.")
    if not is_id(model_id):
        raise missing
    try:
        sharing.require(session, caller, KIND, model_id, permission, what="custom model")
    except Forbidden as error:
        if hide_forbidden:
            raise NotFound(error.message) from None
        raise
    model = session.get(CustomModel, model_id, with_for_update=lock, populate_existing=lock)
    if model is None:
        raise missing
    return model


def find_version(
    session: Session,
    caller: Caller | None,
    version_id: str,
    permission: Permission,
    *,
    model_id: str | None = None,
    hide_forbidden: bool = False,
) -> tuple[CustomModel, CustomModelVersion]:
    """The version and its model; ``caller`` ``None`` is the system, which may do anything.

    With ``model_id`` the version must be of that model. Raises ``NotFound`` and ``Forbidden``.
    """
    if caller is not None and model_id is not None:
        find_model(session, caller, model_id, permission, hide_forbidden=hide_forbidden)
    version = session.get(CustomModelVersion, version_id) if is_id(version_id) else None
    if version is None or (model_id is not None and version.model_id != model_id):
        where = f"of model {model_id}" if model_id else "that you may see"
        raise NotFound(f"There is no custom model version {version_id} {where}.")
    if caller is None:
        return session.get_one(CustomModel, version.model_id), version
    try:
        model = find_model(session, caller, version.model_id, permission, hide_forbidden=hide_forbidden)
    except NotFound:
        raise NotFound(f"There is no custom model version {version_id} that you may see.") from None
    return model, version


def freeze(session: Session, version: CustomModelVersion) -> None:
    """Marks a version as packaged or deployed: the next one is a major one. ``usage.add`` does so by itself."""
    if version.frozen_at is None:
        version.frozen_at = datetime.now(UTC)
        session.flush()


def _is_taken(session: Session, caller: Caller, user_provided_id: str | None) -> bool:
    return user_provided_id is not None and bool(
        session.scalar(
            select(
                exists().where(
                    CustomModel.organization_id == caller.organization_id,
                    CustomModel.user_provided_id == user_provided_id,
                )
            )
        )
    )


def _resources(model: CustomModel) -> dict[str, Any]:
    return {
        "desired_memory": model.desired_memory_bytes,
        "maximum_memory": model.maximum_memory_bytes,
        "replicas": model.replicas,
    }


def _refuse_locked(session: Session, model: CustomModel, target: Target) -> None:
    changed = {
        wire: f"cannot be changed from {getattr(model, field)!r} to {getattr(target, field)!r}"
        for field, wire in LOCKED_WHEN_DEPLOYED.items()
        if getattr(model, field) != getattr(target, field)
    }
    deployments = usage.users_of(session, model.id, UserKind.DEPLOYMENT) if changed else []
    if deployments:
        raise Conflict(f"Model {model.id} is deployed, so its target is fixed: {', '.join(changed)}.", changed)


def _apply(model: CustomModel, given: dict[str, Any], target: Target) -> None:
    for field in ("name", "description", "language", "replicas", "requires_ha", "network_egress_policy", *FLAGS):
        if field in given:
            setattr(model, field, given[field])
    for field, column in COLUMNS.items():
        if field in given:
            setattr(model, column, given[field])
    for field in TARGET_FIELDS:
        setattr(model, field, getattr(target, field))
    if model.target_type != "Multiclass":
        model.class_labels = None
    for field in ("git_model_version", "external_mlops_stats_config", "tags"):
        if field in given:
            setattr(model, field, msgspec.to_builtins(given[field]))
    model.search_text = "\n".join((model.name, model.description or "", model.language or "")).casefold()


def _columns(row: CustomModel | CustomModelVersion) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in row.__mapper__.column_attrs}
