"""Custom models: making, reading, changing, sharing and deleting them (seed 001).

Custom tasks (seed 000) are the models of the type ``training``; which of the two a caller means is the ``door``.
"""

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
from modelyard.kernel.paging import Page, PageQuery
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import changes
from modelyard.models import usage
from modelyard.models.deletion import purge
from modelyard.models.doors import MODELS, Door
from modelyard.models.holders import refuse_held
from modelyard.models.rules import (
    MEMORY,
    MODEL_RESOURCES,
    Target,
    default_memory_bytes,
    resource_errors,
    target_errors,
    target_type_of,
    with_defaults,
)
from modelyard.models.schemas import (
    CustomModelCreate,
    CustomModelResourceLimits,
    CustomModelResponse,
    CustomModelUpdate,
)
from modelyard.models.tables import CustomModel, CustomModelVersion
from modelyard.models.usage import UserKind
from modelyard.models.views import view_model

KIND = ResourceKind.CUSTOM_MODEL
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
WIRE_NAMES = {
    info.name: info.encode_name for info in msgspec.structs.fields(CustomModelUpdate) if info.name in MODEL_RESOURCES
}
ID_IS_TAKEN = "Cannot create a custom model with a user provided ID {!r}: one with that ID exists already"
FLAGS = ("is_unstructured_model_kind", "is_proxy_model", "is_training_data_for_versions_permanently_enabled")


def create_model(session: Session, caller: Caller, settings: Settings, body: CustomModelCreate) -> CustomModelResponse:
    return view_model(session, add_model(session, caller, settings, body))


def add_model(session: Session, caller: Caller, settings: Settings, body: CustomModelCreate) -> CustomModel:
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
    if custom_model_type == "training" and given.get("is_unstructured_model_kind"):
        errors["isUnstructuredModelKind"] = "cannot be true for a model of the type training"
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
        calibrate_predictions=given.get("calibrate_predictions", _is_calibrated(custom_model_type, target_type)),
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
    return model


def read_model(session: Session, caller: Caller, model_id: str) -> CustomModelResponse:
    return view_model(session, find_model(session, caller, model_id, Permission.VIEW))


def update_model(
    session: Session, caller: Caller, settings: Settings, model_id: str, body: CustomModelUpdate
) -> CustomModelResponse:
    return view_model(session, change_model(session, caller, settings, model_id, body))


def change_model(
    session: Session, caller: Caller, settings: Settings, model_id: str, body: CustomModelUpdate, door: Door = MODELS
) -> CustomModel:
    """Changes what the client sent, and nothing else.

    Raises ``Conflict`` while a test runs, and for the target of a model that is deployed.
    """
    model = find_model(session, caller, model_id, Permission.EDIT, lock=True, door=door)
    given = changes(body)
    tests = usage.users_of(session, model_id, UserKind.TEST)
    if tests:
        raise Conflict(f"{door.title} {model_id} is being tested (test {tests[0]}); change it when the test is over.")
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
    _refuse_frozen(session, model, given)
    _apply(model, given, target)
    model.updated_at = datetime.now(UTC)
    audit.record(session, caller, "update", KIND, model.id, {"fields": sorted(given)})
    session.flush()
    return model


def delete_model(session: Session, caller: Caller, request: RequestInfo, model_id: str, door: Door = MODELS) -> None:
    """Deletes the model and its versions; ``Conflict`` while something holds it (``models.holders``).

    Versions that a model package holds stay, out of sight, until the package lets go of them (``models.deletion``).
    """
    model = find_model(session, caller, model_id, Permission.DELETE, lock=True, door=door)
    refuse_held(session, request, model, door)
    sharing.forget(session, KIND, model_id)
    audit.record(session, caller, "delete", KIND, model_id, {"name": model.name})
    model.deleted_at = datetime.now(UTC)
    model.user_provided_id = None
    session.flush()
    purge(session, model)


def list_access(
    session: Session, caller: Caller, model_id: str, query: PageQuery, request: RequestInfo, door: Door = MODELS
) -> Page[AccessControlResponse]:
    """The users that the model is shared with."""
    find_model(session, caller, model_id, Permission.VIEW, door=door)
    return access_lists.list_access(session, KIND, model_id, query, request)


def change_access(
    session: Session,
    caller: Caller,
    settings: Settings,
    model_id: str,
    body: SharingUpdateOrRemoveWithGrant,
    door: Door = MODELS,
) -> None:
    """Sets or takes away users' roles, all or none."""
    find_model(session, caller, model_id, Permission.VIEW, door=door)
    access_lists.change_access(session, caller, settings, KIND, model_id, body)


def read_limits(settings: Settings) -> CustomModelResourceLimits:
    return CustomModelResourceLimits(
        desired_custom_model_container_size=default_memory_bytes(settings),
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
    door: Door = MODELS,
) -> CustomModel:
    """The model, if the caller's role allows ``permission`` and it is behind ``door``.

    ``hide_forbidden`` answers ``NotFound`` for a missing right where the operation documents it so. ``lock`` keeps
    others from changing the model before this unit of work ends.
    """
    missing = NotFound(f"There is no custom {door.noun} {model_id} that you may see.")
    model = session.get(CustomModel, model_id) if is_id(model_id) else None
    if model is None or not door.leads_to(model):
        raise missing
    try:
        sharing.require(session, caller, KIND, model_id, permission, what=f"custom {door.noun}")
    except Forbidden as error:
        if hide_forbidden:
            raise NotFound(error.message) from None
        raise
    if lock:
        model = session.get(CustomModel, model_id, with_for_update=True, populate_existing=True)
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
    door: Door = MODELS,
) -> tuple[CustomModel, CustomModelVersion]:
    """The version and its model; ``caller`` ``None`` is the system, which may do anything.

    With ``model_id`` the version must be of that model. Raises ``NotFound`` and ``Forbidden``.
    """
    if caller is not None and model_id is not None:
        find_model(session, caller, model_id, permission, hide_forbidden=hide_forbidden, door=door)
    version = session.get(CustomModelVersion, version_id) if is_id(version_id) else None
    if version is None or (model_id is not None and version.model_id != model_id):
        where = f"of {door.noun} {model_id}" if model_id else "that you may see"
        raise NotFound(f"There is no custom {door.noun} version {version_id} {where}.")
    if caller is None:
        return session.get_one(CustomModel, version.model_id), version
    try:
        model = find_model(session, caller, version.model_id, permission, hide_forbidden=hide_forbidden, door=door)
    except NotFound:
        raise NotFound(f"There is no custom {door.noun} version {version_id} that you may see.") from None
    return model, version


def freeze(session: Session, version: CustomModelVersion) -> None:
    """Marks a version as packaged, deployed or trained: the next one is a major one. ``usage.add`` does so itself."""
    if version.frozen_at is None:
        version.frozen_at = datetime.now(UTC)
        session.flush()


def _is_calibrated(custom_model_type: str, target_type: str) -> bool | None:
    """Whether predictions are calibrated where nothing is said of it: those of tasks that detect anomalies."""
    return True if custom_model_type == "training" and target_type == "Anomaly" else None


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


def _refuse_frozen(session: Session, model: CustomModel, given: dict[str, Any]) -> None:
    """Raises ``Conflict`` for resources that a deployed version takes from the model, since it has none of its own."""
    changed = [
        field for field, column in MODEL_RESOURCES.items() if field in given and given[field] != getattr(model, column)
    ]
    for version in usage.versions_of(session, model.id, UserKind.DEPLOYMENT) if changed else []:
        inherited = {
            WIRE_NAMES[field]: f"version {version.label}, which is deployed, has it from the model: make a new version"
            for field in changed
            if getattr(version, MODEL_RESOURCES[field]) is None
            and not (field in MEMORY and version.resource_bundle_id is not None)
        }
        if inherited:
            text = f"Model {model.id} is deployed, so what its version runs with is fixed: {', '.join(inherited)}."
            raise Conflict(text, inherited)


def _apply(model: CustomModel, given: dict[str, Any], target: Target) -> None:
    for field in ("name", "description", "language", "replicas", "requires_ha", "network_egress_policy", *FLAGS):
        if field in given:
            setattr(model, field, given[field])
    for field, column in MEMORY.items():
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
