"""Model packages: freezing a version of a custom model into something that can be deployed."""

from datetime import UTC, datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from modelyard.environments.tables import Environment
from modelyard.identity import audit, sharing
from modelyard.identity.caller import Caller
from modelyard.identity.roles import PERMISSIONS, Permission
from modelyard.kernel.errors import Forbidden, Invalid, NotFound, invalid
from modelyard.kernel.ids import new_id
from modelyard.kernel.paging import Page, page
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.wire import changes
from modelyard.models import service as models
from modelyard.models import usage
from modelyard.models.tables import CustomModel, CustomModelVersion
from modelyard.models.usage import UserKind
from modelyard.operations import service as operations
from modelyard.operations.tables import Operation
from modelyard.registry.schemas import (
    ModelPackageResponse,
    PackageFromCustomModelVersion,
    PackageListQuery,
    PackageUpdate,
    VersionListQuery,
)
from modelyard.registry.service import KIND, add_registered_model, find_by_name, find_registered_model
from modelyard.registry.tables import BuildState, ModelPackage, PackageRole, PackageUse, RegisteredModel
from modelyard.registry.views import view_packages
from modelyard.workspaces.references import no_such
from modelyard.workspaces.runtime_parameters import Definition

BUILD = "registry.buildPackage"
BUILD_ENVIRONMENT_TYPES = {"python": "Python", "r": "R", "java": "Java", "julia": "Julia", "legacy": "Legacy"}
MAX_NAME_LENGTH = 255


def create_package(
    session: Session, caller: Caller, body: PackageFromCustomModelVersion
) -> tuple[ModelPackage, Operation]:
    """Packages a version as the next version of a registered model, and has its image made ready.

    The registered model is the one of ``registeredModelId``, a new one named ``registeredModelName``, or else the one
    that was made for the custom model on its first such package.
    """
    model, version = _packaged_version(session, caller, body)
    registered = _registered_model(session, caller, body, model)
    registered.last_version_number += 1
    registered.updated_at = datetime.now(UTC)
    package = ModelPackage(
        id=new_id(),
        registered_model_id=registered.id,
        number=registered.last_version_number,
        name=body.name or f"{registered.name[:240]} (v{registered.last_version_number})",
        custom_model_id=model.id,
        custom_model_name=model.name,
        custom_model_version_id=version.id,
        custom_model_version_label=version.label,
        build_environment_type=_build_environment_type(session, version),
        target_name=model.target_name,
        target_type=model.target_type,
        class_labels=_class_labels(model),
        prediction_threshold=model.prediction_threshold,
        prompt=body.prompt,
        tags=[{"id": new_id(), "name": tag.name, "value": tag.value} for tag in body.tags or []],
        build_state=BuildState.IN_PROGRESS.value,
        created_by_id=caller.user_id,
        created_at=datetime.now(UTC),
    )
    package.search_text = package.name.casefold()
    session.add(package)
    session.flush()
    usage.add(session, version.id, UserKind.MODEL_PACKAGE, package.id)
    audit.record(
        session, caller, "add version", KIND, registered.id, {"packageId": package.id, "versionId": version.id}
    )
    operation = operations.start(
        session,
        caller,
        BUILD,
        status_type="ManagedImageBuild",
        payload={"package_id": package.id},
        resource_id=package.id,
        result_path=f"/modelPackages/{package.id}/",
        description=f"Making model package {package.name} ready",
    )
    return package, operation


def _packaged_version(
    session: Session, caller: Caller, body: PackageFromCustomModelVersion
) -> tuple[CustomModel, CustomModelVersion]:
    try:
        model, version = models.find_version(session, caller, body.custom_model_version_id, Permission.EDIT)
    except NotFound as error:
        raise invalid(customModelVersionId=error.message) from None
    if model.custom_model_type != "inference":
        raise invalid(customModelVersionId=f"model {model.id} is of the type {model.custom_model_type}, not inference")
    if version.base_environment_id is None:
        raise invalid(
            customModelVersionId=f"version {version.label} of {model.name!r} has no environment; give it a "
            "baseEnvironmentId in a new version"
        )
    return model, version


def _registered_model(
    session: Session, caller: Caller, body: PackageFromCustomModelVersion, model: CustomModel
) -> RegisteredModel:
    if body.registered_model_id and body.registered_model_name:
        text = "give either registeredModelId or registeredModelName, not both"
        raise Invalid(text, {"registeredModelId": text, "registeredModelName": text})
    if body.registered_model_id:
        try:
            found = find_registered_model(session, caller, body.registered_model_id, Permission.EDIT, lock=True)
        except NotFound as error:
            raise invalid(registeredModelId=error.message) from None
        _check_same_target(found, model)
        return found
    if body.registered_model_name is None:
        return _automatic(session, caller, model)
    if not body.registered_model_name.strip():
        raise invalid(registeredModelName="must not be blank")
    same = find_by_name(session, caller, body.registered_model_name, lock=True)
    if same is not None and same.automatic_for == model.id and _may_edit(session, caller, same):
        same.automatic_for = None
        return same
    return add_registered_model(
        session, caller, body.registered_model_name, body.registered_model_description, model, is_automatic=False
    )


def _automatic(session: Session, caller: Caller, model: CustomModel) -> RegisteredModel:
    found = session.scalars(
        select(RegisteredModel).where(RegisteredModel.automatic_for == model.id).with_for_update()
    ).all()
    for one in found:
        if _may_edit(session, caller, one) and _is_same_target(one, model):
            return one
    name = model.name
    if find_by_name(session, caller, name) is not None:
        name = f"{model.name[: MAX_NAME_LENGTH - 27]} ({new_id()})"
    return add_registered_model(session, caller, name, None, model, is_automatic=True)


def _may_edit(session: Session, caller: Caller, row: RegisteredModel) -> bool:
    role = sharing.role_of(session, caller, KIND, row.id)
    return role is not None and Permission.EDIT in PERMISSIONS[role]


def _is_same_target(registered: RegisteredModel, model: CustomModel) -> bool:
    return (registered.target_type, registered.target_name) == (model.target_type, model.target_name)


def _check_same_target(registered: RegisteredModel, model: CustomModel) -> None:
    if not _is_same_target(registered, model):
        raise invalid(
            registeredModelId=f"registered model {registered.name!r} predicts {registered.target_name!r} "
            f"({registered.target_type}), this version predicts {model.target_name!r} ({model.target_type})"
        )


def _class_labels(model: CustomModel) -> list[str] | None:
    if model.target_type == "Binary":
        return [str(model.positive_class_label), str(model.negative_class_label)]
    return list(model.class_labels) if model.class_labels else None


def _build_environment_type(session: Session, version: CustomModelVersion) -> str:
    environment = session.get(Environment, version.base_environment_id)
    return BUILD_ENVIRONMENT_TYPES.get(environment.programming_language if environment else "", "Other")


def list_packages(
    session: Session, caller: Caller, query: PackageListQuery, request: RequestInfo
) -> Page[ModelPackageResponse]:
    """The packages of registered models that the caller may view, newest first."""
    statement = sharing.scoped(session, caller, KIND, ModelPackage, ModelPackage.registered_model_id)
    if query.model_id:
        statement = statement.where(ModelPackage.custom_model_version_id == query.model_id)
    if query.registered_model_id:
        statement = statement.where(ModelPackage.registered_model_id == query.registered_model_id)
    if query.search:
        statement = statement.where(ModelPackage.search_text.contains(query.search.casefold(), autoescape=True))
    if query.prediction_threshold is not None:
        statement = statement.where(ModelPackage.prediction_threshold == query.prediction_threshold)
    if query.imported:
        statement = statement.where(ModelPackage.id.is_(None))  # none is imported: there is no import yet
    statement = statement.order_by(ModelPackage.id.desc())
    return page(session, statement, query, request, lambda rows: view_packages(session, rows))


def find_package(
    session: Session, caller: Caller, package_id: str, permission: Permission = Permission.VIEW, *, lock: bool = False
) -> ModelPackage:
    """The package, if the caller's role on its registered model allows ``permission``."""
    package = session.get(ModelPackage, package_id, with_for_update=lock)
    missing = f"There is no model package {package_id} that you may see."
    if package is None:
        raise NotFound(missing)
    if sharing.role_of(session, caller, KIND, package.registered_model_id) is None:
        raise NotFound(missing)
    sharing.require(session, caller, KIND, package.registered_model_id, permission, what="registered model")
    return package


def reference_fault(session: Session, caller: Caller, package_id: str, _definition: Definition | None) -> str | None:
    """Why the caller may not set this package as the value of a runtime parameter, or ``None``."""
    try:
        find_package(session, caller, package_id)
    except (NotFound, Forbidden):
        return no_such("modelPackage", package_id)
    return None


def read_package(session: Session, caller: Caller, package_id: str) -> ModelPackageResponse:
    return view_packages(session, [find_package(session, caller, package_id)])[0]


def list_versions(
    session: Session, caller: Caller, model_id: str, query: VersionListQuery, request: RequestInfo
) -> Page[ModelPackageResponse]:
    """The versions of a registered model, newest first."""
    find_registered_model(session, caller, model_id)
    statement = select(ModelPackage).where(ModelPackage.registered_model_id == model_id)
    if query.search:
        statement = statement.where(ModelPackage.search_text.contains(query.search.casefold(), autoescape=True))
    statement = statement.order_by(ModelPackage.number.desc())
    return page(session, statement, query, request, lambda rows: view_packages(session, rows))


def find_version(
    session: Session, caller: Caller, model_id: str, version_id: str, permission: Permission = Permission.VIEW
) -> ModelPackage:
    """A version of a registered model."""
    find_registered_model(session, caller, model_id, permission)
    package = session.get(ModelPackage, version_id)
    if package is None or package.registered_model_id != model_id:
        raise NotFound(f"Registered model {model_id} has no version {version_id}.")
    return package


def read_version(session: Session, caller: Caller, model_id: str, version_id: str) -> ModelPackageResponse:
    return view_packages(session, [find_version(session, caller, model_id, version_id)])[0]


def change_version(
    session: Session, caller: Caller, model_id: str, version_id: str, body: PackageUpdate
) -> ModelPackageResponse:
    """Renames a version, or changes the threshold that its next deployment uses."""
    package = find_version(session, caller, model_id, version_id, Permission.EDIT)
    wanted = changes(body)
    if "prediction_threshold" in wanted and package.target_type != "Binary":
        raise invalid(predictionThreshold=f"is for Binary targets only; this one is {package.target_type}")
    for name, value in wanted.items():
        setattr(package, name, value)
    package.search_text = package.name.casefold()
    audit.record(session, caller, "update version", KIND, model_id, {"versionId": version_id, **wanted})
    session.flush()
    return view_packages(session, [package])[0]


def hold(session: Session, package_id: str, deployment_id: str, role: PackageRole) -> None:
    """Notes that a deployment has the package as its model or as a challenger, which keeps it from being deleted."""
    session.merge(PackageUse(package_id=package_id, deployment_id=deployment_id, role=role.value))
    session.flush()


def release(session: Session, deployment_id: str, package_id: str, role: PackageRole) -> None:
    """Notes that a deployment no longer has the package in this role."""
    session.execute(
        delete(PackageUse).where(
            PackageUse.deployment_id == deployment_id,
            PackageUse.package_id == package_id,
            PackageUse.role == role.value,
        )
    )


def release_all(session: Session, deployment_id: str) -> None:
    """Notes that a deployment no longer has any package."""
    session.execute(delete(PackageUse).where(PackageUse.deployment_id == deployment_id))
