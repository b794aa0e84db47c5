"""Deployments: making, reading, changing, sharing and deleting them. Their model and status change in ``changes``."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.compute.services.service import remove_service
from modelyard.deployments import operations as kinds
from modelyard.deployments.challengers import rows as challengers
from modelyard.deployments.prediction_environments import service as prediction_environments
from modelyard.deployments.prediction_environments.service import OWN_PLATFORMS, SERVER_ID
from modelyard.deployments.prediction_environments.tables import PredictionEnvironment
from modelyard.deployments.schemas import (
    DeploymentFromModelPackage,
    DeploymentRetrieveResponse,
    DeploymentUpdate,
)
from modelyard.deployments.tables import (
    IMPORTANCE_RANKS,
    Deployment,
    DeploymentModel,
    DeploymentStatus,
    DeploymentTag,
)
from modelyard.deployments.views import KIND, view_deployments
from modelyard.identity import access_lists, audit, sharing
from modelyard.identity.access_lists import AccessControlResponse, SharingUpdateOrRemoveWithGrant
from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.identity.tables import Organization
from modelyard.kernel.errors import Forbidden, Invalid, NotFound, invalid
from modelyard.kernel.ids import new_id
from modelyard.kernel.paging import Page, PageQuery
from modelyard.kernel.problems import Problems
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import changes
from modelyard.models import usage
from modelyard.models.serving import Servable, check_parameters, load_servable, require_resources
from modelyard.models.usage import UserKind
from modelyard.operations import service as operations
from modelyard.operations.tables import Operation
from modelyard.registry import packages
from modelyard.registry.tables import BuildState, ModelPackage, PackageRole
from modelyard.workspaces.references import References, no_such
from modelyard.workspaces.runtime_parameters import (
    Definition,
    ReferenceFault,
    Value,
    check_values,
    merge,
    read_values,
)


def find_deployment(
    session: Session,
    caller: Caller,
    deployment_id: str,
    permission: Permission = Permission.VIEW,
    *,
    lock: bool = False,
) -> Deployment:
    """The deployment, if the caller's role allows ``permission``.

    ``lock`` keeps others from changing it before this unit of work ends, and waits for those who do.
    """
    sharing.require(session, caller, KIND, deployment_id, permission)
    row = session.get_one(Deployment, deployment_id, with_for_update=lock)
    if row.deleted_at is not None:  # while this unit of work waited for the lock
        raise NotFound(f"There is no deployment {deployment_id} that you may see.")
    return row


def read_deployment(
    session: Session, caller: Caller, deployment_id: str, gateway_url: str
) -> DeploymentRetrieveResponse:
    """One deployment, for whoever may look at it or predict with it."""
    row = find_deployment(session, caller, deployment_id, Permission.SEE)
    return view_deployments(session, caller, gateway_url, [row], datetime.now(UTC))[0]


def create_deployment(
    session: Session,
    caller: Caller,
    settings: Settings,
    references: References,
    body: DeploymentFromModelPackage,
    *,
    is_active: bool = True,
) -> tuple[Deployment, Operation]:
    """A deployment of the caller's that is being launched, or one that is inactive until it is started."""
    problems = Problems()
    with problems.collecting():
        package = usable_package(session, caller, body.model_package_id)
        servable = deployable(session, settings, package)
        values = read_parameters(servable, [], body.runtime_parameter_values, references.seen_by(session, caller))
    with problems.collecting():
        prediction_environment = _prediction_environment(session, caller, body)
    with problems.collecting():
        _refuse_taken(session, caller, body.user_provided_id)
    problems.raise_all()
    row = Deployment(
        id=new_id(),
        organization_id=caller.organization_id,
        created_by_id=caller.user_id,
        created_at=datetime.now(UTC),
        label=body.label,
        description=body.description,
        search_text=_search_text(body.label, body.description),
        importance_rank=IMPORTANCE_RANKS[body.importance or "LOW"],
        user_provided_id=body.user_provided_id,
        status=(DeploymentStatus.LAUNCHING if is_active else DeploymentStatus.INACTIVE).value,
        prediction_environment_id=prediction_environment.id,
        settings={},
        parameter_values=msgspec.to_builtins(values),
        acts_for_id=caller.user_id,
    )
    set_model(row, package, servable)
    session.add(row)
    session.flush()
    remember_model(session, row)
    for tag in body.tags or []:
        session.add(DeploymentTag(deployment_id=row.id, name=tag.name, value=tag.value))
    sharing.grant_owner(session, caller, KIND, row.id)
    hold_model(session, row.id, package)
    audit.record(session, caller, "create", KIND, row.id, {"label": row.label, "packageId": package.id})
    if not is_active:
        return row, _note_made(session, caller, row)
    operation = start_operation(
        session, caller, row, kinds.DEPLOY, f"Deploying {row.label}", {"package_id": package.id}
    )
    return row, operation


def reference_fault(session: Session, caller: Caller, deployment_id: str, _definition: Definition | None) -> str | None:
    """Why the caller may not set this deployment as the value of a runtime parameter, or ``None``."""
    try:
        find_deployment(session, caller, deployment_id)
    except (NotFound, Forbidden):
        return no_such("deployment", deployment_id)
    return None


def _note_made(session: Session, caller: Caller, row: Deployment) -> Operation:
    return operations.record_done(
        session,
        caller,
        kinds.DEPLOY,
        status_type="LongRunningServiceControllerOperation",
        resource_id=row.id,
        result_path=f"/deployments/{row.id}/",
        description=f"Made {row.label}, which is inactive",
    )


def start_operation(
    session: Session, caller: Caller, row: Deployment, kind: str, description: str, payload: dict[str, Any]
) -> Operation:
    """Puts the work of a change of a deployment in line."""
    return operations.start(
        session,
        caller,
        kind,
        status_type="LongRunningServiceControllerOperation",
        payload={"deployment_id": row.id, **payload},
        resource_id=row.id,
        result_path=f"/deployments/{row.id}/",
        description=description,
    )


def usable_package(session: Session, caller: Caller, package_id: str) -> ModelPackage:
    """The package to deploy; raises ``Invalid`` for one that is not the caller's or could not be built."""
    try:
        package = packages.find_package(session, caller, package_id, lock=True)
    except (NotFound, Forbidden) as error:
        raise invalid(modelPackageId=error.message) from None
    if package.build_state == BuildState.FAILED.value:
        raise invalid(modelPackageId=f"model package {package.name!r} could not be built: {package.build_error}")
    return package


def deployable(session: Session, settings: Settings, package: ModelPackage, bundle_id: str | None = None) -> Servable:
    """What the package is served from; raises ``Invalid`` where it cannot run here, such as for want of a GPU."""
    servable = load_servable(session, package.custom_model_version_id)
    try:
        require_resources(settings, servable, bundle_id)
    except Invalid as error:
        raise invalid(modelPackageId="; ".join(error.errors.values())) from error
    return servable


def target_mismatch(session: Session, row: Deployment, package: ModelPackage) -> str | None:
    """Why a package cannot stand in for the deployment's model: it predicts something else. None where it can."""
    if (package.target_type, package.target_name) != (row.target_type, row.target_name):
        return (
            f"The deployment predicts {row.target_name!r} ({row.target_type}), model package {package.name!r} "
            f"predicts {package.target_name!r} ({package.target_type})."
        )
    current = session.get(ModelPackage, row.package_id)
    if current is not None and sorted(current.class_labels or []) != sorted(package.class_labels or []):
        return (
            f"The deployment's classes are {current.class_labels}, those of model package {package.name!r} are "
            f"{package.class_labels}."
        )
    return None


def read_parameters(
    servable: Servable, current: list[Value], text: str | None, reference_fault: ReferenceFault
) -> list[Value]:
    """A deployment's own values of runtime parameters; raises ``Invalid`` for wrong and for missing ones.

    The deployment will act for the caller, so they must be allowed to use all that the model is given.
    """
    field = "runtimeParameterValues"
    wanted = read_values(text, field) if text else []
    definitions = msgspec.convert(servable.version.parameter_definitions, list[Definition])
    beneath = msgspec.convert(servable.version.parameter_values, list[Value])
    check_values(definitions, wanted, field, reference_fault, inherited=current, beneath=beneath)
    values = merge(current, wanted)
    check_parameters(servable.parameters(values))
    return values


def set_model(row: Deployment, package: ModelPackage, servable: Servable) -> None:
    """Makes ``package`` the model that the deployment speaks of."""
    row.package_id = package.id
    row.custom_model_id = package.custom_model_id
    row.custom_model_version_id = package.custom_model_version_id
    row.environment_id = servable.environment.environment_id
    row.environment_version_id = servable.environment.id
    row.target_type = package.target_type
    row.target_name = package.target_name
    row.build_environment_type = package.build_environment_type


def remember_model(session: Session, row: Deployment) -> None:
    """Notes that the deployment's present model is one of its models, for as long as the deployment is kept."""
    if session.get(DeploymentModel, (row.id, row.package_id)) is None:
        session.add(
            DeploymentModel(
                deployment_id=row.id,
                package_id=row.package_id,
                custom_model_version_id=row.custom_model_version_id,
                since=datetime.now(UTC),
            )
        )


def models_of(session: Session, deployment_id: str) -> list[DeploymentModel]:
    """The present and past models of a deployment, the newest first."""
    statement = select(DeploymentModel).where(DeploymentModel.deployment_id == deployment_id)
    return list(session.scalars(statement.order_by(DeploymentModel.since.desc(), DeploymentModel.package_id.desc())))


def hold_model(session: Session, deployment_id: str, package: ModelPackage) -> None:
    """Keeps the package and its version from being deleted while the deployment runs it."""
    packages.hold(session, package.id, deployment_id, PackageRole.MODEL)
    usage.add(session, package.custom_model_version_id, UserKind.DEPLOYMENT, deployment_id)


def release_model(session: Session, deployment_id: str, package: ModelPackage, kept_version_id: str | None) -> None:
    """Lets go of a package; its version too, unless the deployment still runs it by another package."""
    packages.release(session, deployment_id, package.id, PackageRole.MODEL)
    if package.custom_model_version_id != kept_version_id:
        usage.remove(session, UserKind.DEPLOYMENT, deployment_id, package.custom_model_version_id)


def _prediction_environment(
    session: Session, caller: Caller, body: DeploymentFromModelPackage
) -> PredictionEnvironment:
    check_prediction_server(body.default_prediction_server_id)
    if body.prediction_environment_id is None:
        return session.scalars(select(PredictionEnvironment).where(PredictionEnvironment.is_default)).one()
    return usable_environment(session, caller, body.prediction_environment_id)


def check_prediction_server(server_id: str | None) -> None:
    """Raises ``Invalid`` for the id of a prediction server that is not there."""
    if server_id not in {None, SERVER_ID}:
        raise invalid(defaultPredictionServerId=f"there is one prediction server, {SERVER_ID}")


def usable_environment(session: Session, caller: Caller, environment_id: str) -> PredictionEnvironment:
    """The prediction environment to deploy to; raises ``Invalid`` for one where models of this kind cannot run."""
    field = "predictionEnvironmentId"
    try:
        row = prediction_environments.find_environment(session, caller, environment_id, Permission.USE)
    except (NotFound, Forbidden) as error:
        raise invalid(**{field: error.message}) from None
    if "customModel" not in row.supported_model_formats:
        formats = ", ".join(row.supported_model_formats)
        raise invalid(**{field: f"{row.name!r} takes no custom models; its supportedModelFormats are {formats}"})
    if row.platform not in OWN_PLATFORMS:
        raise invalid(
            **{field: f"{row.name!r} is on {row.platform}; models run here, on a datarobotServerless environment"}
        )
    return row


def _refuse_taken(session: Session, caller: Caller, user_provided_id: str | None) -> None:
    if user_provided_id is None:
        return
    session.get(Organization, caller.organization_id, with_for_update=True)  # of two at once one is refused
    taken = session.scalar(
        select(Deployment.id).where(
            Deployment.organization_id == caller.organization_id, Deployment.user_provided_id == user_provided_id
        )
    )
    if taken is not None:
        raise invalid(userProvidedId=f"{user_provided_id!r} is already in use by another deployment")


def change_deployment(session: Session, caller: Caller, deployment_id: str, body: DeploymentUpdate) -> None:
    """Change label, description or importance."""
    row = find_deployment(session, caller, deployment_id, Permission.EDIT, lock=True)
    wanted = changes(body)
    if not wanted.get("label", "unsent"):
        raise invalid(label="must not be empty: a deployment always has a label; leave the field out to keep it")
    row.label = wanted.get("label", row.label)
    row.description = wanted.get("description", row.description)
    if "importance" in wanted:
        row.importance_rank = IMPORTANCE_RANKS[wanted["importance"]]
    row.search_text = _search_text(row.label, row.description)
    audit.record(session, caller, "update", KIND, deployment_id, wanted)


def delete_deployment(session: Session, caller: Caller, deployment_id: str) -> None:
    """Stops the deployment and takes it away from everybody; what it did is kept until it is erased."""
    row = find_deployment(session, caller, deployment_id, Permission.DELETE, lock=True)
    for operation in operations.open_operations(session, deployment_id):
        operations.request_cancel(session, operation.id)
    remove_service(session, deployment_id)
    usage.remove(session, UserKind.DEPLOYMENT, deployment_id)
    challengers.remove_all(session, deployment_id)
    packages.release_all(session, deployment_id)
    sharing.forget(session, KIND, deployment_id)
    row.deleted_at = datetime.now(UTC)
    row.user_provided_id = None
    row.status = DeploymentStatus.ARCHIVED.value
    audit.record(session, caller, "delete", KIND, deployment_id, {"label": row.label})


def list_access(
    session: Session, caller: Caller, deployment_id: str, query: PageQuery, request: RequestInfo
) -> Page[AccessControlResponse]:
    """The users that the deployment is shared with."""
    find_deployment(session, caller, deployment_id)
    return access_lists.list_access(session, KIND, deployment_id, query, request)


def change_access(
    session: Session, caller: Caller, settings: Settings, deployment_id: str, body: SharingUpdateOrRemoveWithGrant
) -> None:
    """Sets or takes away users' roles, all or none."""
    find_deployment(session, caller, deployment_id, Permission.SEE)
    access_lists.change_access(session, caller, settings, KIND, deployment_id, body)


def _search_text(label: str, description: str | None) -> str:
    return f"{label}\n{description or ''}".casefold()
