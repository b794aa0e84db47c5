"""Changes of a running deployment: its model, its status and its settings. Each is an operation."""

from typing import Any

import msgspec
from sqlalchemy.orm import Session

from modelyard.compute.bundles import require_givable, usable_bundle
from modelyard.compute.services.service import stop_service
from modelyard.deployments import operations as kinds
from modelyard.deployments.schemas import (
    ModelReplacement,
    ModelValidation,
    ModelValidationResponse,
    RuntimeParameterChange,
    StatusChange,
)
from modelyard.deployments.service import (
    deployable,
    find_deployment,
    hold_model,
    read_parameters,
    start_operation,
    target_mismatch,
    usable_package,
)
from modelyard.deployments.settings import (
    DeploymentSettings,
    DeploymentSettingsUpdate,
    changes_service,
    merge_settings,
    read_settings,
)
from modelyard.deployments.tables import Deployment, DeploymentStatus
from modelyard.deployments.views import KIND
from modelyard.identity import audit
from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.kernel.errors import Conflict, Invalid, invalid
from modelyard.kernel.paging import Page, PageQuery, slice_page
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.settings import Settings
from modelyard.models.serving import is_unstructured, load_servable, require_resources
from modelyard.models.tables import CustomModel
from modelyard.operations import service as operations
from modelyard.operations.tables import Operation
from modelyard.registry.tables import ModelPackage
from modelyard.workspaces.references import References
from modelyard.workspaces.runtime_parameters import RuntimeParameterUnified, Value

BUSY = frozenset(
    {DeploymentStatus.LAUNCHING.value, DeploymentStatus.REPLACING_MODEL.value, DeploymentStatus.STOPPING.value}
)
REPLACEABLE = frozenset({DeploymentStatus.ACTIVE.value, DeploymentStatus.ERRORED.value})


def validate_model(
    session: Session, caller: Caller, settings: Settings, deployment_id: str, body: ModelValidation
) -> ModelValidationResponse:
    """Whether a package may take the place of the deployment's model."""
    row = find_deployment(session, caller, deployment_id)
    try:
        package = usable_package(session, caller, body.model_package_id)
        deployable(session, settings, package, _bundle_of(row))
    except Invalid as error:
        return ModelValidationResponse(status="failing", message=error.message)
    fault = _mismatch(session, row, package)
    if fault is not None:
        return ModelValidationResponse(status="failing", message=fault)
    return ModelValidationResponse(status="passing", message="Model package can take the place of the current one.")


def _bundle_of(row: Deployment) -> str | None:
    return read_settings(row.settings).predictions_settings.resource_bundle_id


def _mismatch(session: Session, row: Deployment, package: ModelPackage) -> str | None:
    if package.id == row.package_id and row.status != DeploymentStatus.ERRORED.value:
        return f"Model package {package.name!r} is what the deployment runs already."
    return target_mismatch(session, row, package)


def replace_model(
    session: Session,
    caller: Caller,
    settings: Settings,
    references: References,
    deployment_id: str,
    body: ModelReplacement,
) -> Operation:
    """Has another package answer; the one before answers until it is ready, and goes on when it does not start."""
    row = find_deployment(session, caller, deployment_id, Permission.EDIT, lock=True)
    _refuse_busy(row)
    if row.status not in REPLACEABLE:
        raise Conflict(f"Deployment {row.id} is {row.status}; start it before its model is replaced.")
    package = usable_package(session, caller, body.model_package_id)
    fault = _mismatch(session, row, package)
    if fault is not None:
        raise invalid(modelPackageId=fault)
    servable = deployable(session, settings, package, _bundle_of(row))
    current = msgspec.convert(row.parameter_values, list[Value])
    reference_fault = references.seen_by(session, caller)
    values = read_parameters(servable, current, body.runtime_parameter_values, reference_fault)
    hold_model(session, row.id, package)
    was_active = row.status == DeploymentStatus.ACTIVE.value
    row.status = (DeploymentStatus.REPLACING_MODEL if was_active else DeploymentStatus.LAUNCHING).value
    row.error = None
    audit.record(session, caller, "replace model", KIND, row.id, {"packageId": package.id, "reason": body.reason})
    payload = {
        "package_id": package.id,
        "parameter_values": msgspec.to_builtins(values),
        "acts_for_id": caller.user_id,
        "reason": body.reason,
    }
    return start_operation(session, caller, row, kinds.REPLACE_MODEL, f"Replacing the model of {row.label}", payload)


def change_status(
    session: Session, caller: Caller, settings: Settings, deployment_id: str, body: StatusChange
) -> Operation:
    """Stops a deployment, also one that is being launched, or starts it again. What is so already is no error."""
    row = find_deployment(session, caller, deployment_id, Permission.EDIT, lock=True)
    status = body.status
    audit.record(session, caller, "change status", KIND, row.id, {"status": status})
    if status == DeploymentStatus.INACTIVE.value:
        return _stop(session, caller, row)
    _refuse_busy(row)
    restarts = row.status != DeploymentStatus.ACTIVE.value
    if restarts:
        require_resources(settings, load_servable(session, row.custom_model_version_id), _bundle_of(row))
        row.status = DeploymentStatus.LAUNCHING.value
        row.error = None
    payload = {"package_id": row.package_id, "restarts": restarts}
    return start_operation(session, caller, row, kinds.START, f"Starting {row.label}", payload)


def _stop(session: Session, caller: Caller, row: Deployment) -> Operation:
    if row.status == DeploymentStatus.LAUNCHING.value:
        for operation in operations.open_operations(session, row.id):
            operations.request_cancel(session, operation.id)
    else:
        _refuse_busy(row)
    if row.status != DeploymentStatus.INACTIVE.value:
        row.status = DeploymentStatus.STOPPING.value
        stop_service(session, row.id)
    return start_operation(session, caller, row, kinds.STOP, f"Stopping {row.label}", {})


def list_parameters(
    session: Session, caller: Caller, deployment_id: str, query: PageQuery, request: RequestInfo
) -> Page[RuntimeParameterUnified]:
    """The runtime parameters with the values that the deployment's model is given."""
    row = find_deployment(session, caller, deployment_id)
    servable = load_servable(session, row.custom_model_version_id)
    values = msgspec.convert(row.parameter_values, list[Value])
    return slice_page(servable.parameters(values), query, request)


def change_parameters(
    session: Session, caller: Caller, references: References, deployment_id: str, body: RuntimeParameterChange
) -> Operation:
    """Sets runtime parameters; null clears one. A deployment that is active gets replicas that have them."""
    row = find_deployment(session, caller, deployment_id, Permission.EDIT, lock=True)
    _refuse_busy(row)
    servable = load_servable(session, row.custom_model_version_id)
    current = msgspec.convert(row.parameter_values, list[Value])
    values = read_parameters(servable, current, body.runtime_parameter_values, references.seen_by(session, caller))
    restarts = row.status == DeploymentStatus.ACTIVE.value
    if restarts:
        row.status = DeploymentStatus.REPLACING_MODEL.value
    else:
        row.parameter_values = msgspec.to_builtins(values)
        row.acts_for_id = caller.user_id
    audit.record(session, caller, "set parameters", KIND, row.id, {"names": [value.field_name for value in values]})
    payload = {
        "package_id": row.package_id,
        "parameter_values": msgspec.to_builtins(values),
        "acts_for_id": caller.user_id,
        "restarts": restarts,
    }
    return start_operation(session, caller, row, kinds.SET_PARAMETERS, f"Setting parameters of {row.label}", payload)


def read_deployment_settings(session: Session, caller: Caller, deployment_id: str) -> DeploymentSettings:
    """All settings, with the defaults of what was not set."""
    return read_settings(find_deployment(session, caller, deployment_id).settings)


def change_settings(
    session: Session, caller: Caller, settings: Settings, deployment_id: str, body: DeploymentSettingsUpdate
) -> Operation:
    """Changes settings. Where they concern the service, it is replaced by one that has them."""
    row = find_deployment(session, caller, deployment_id, Permission.EDIT, lock=True)
    before: dict[str, Any] = dict(row.settings)
    after = merge_settings(before, body)
    bundle_id = read_settings(after).predictions_settings.resource_bundle_id
    association = read_settings(after).association_id
    wants_ids = association.required_in_prediction_requests or association.auto_generate_id
    if wants_ids and is_unstructured(session.get_one(CustomModel, row.custom_model_id)):
        raise invalid(associationId="an unstructured model is sent no columns: no id can be required or made up")
    if bundle_id is not None:
        usable_bundle(settings, bundle_id, "customModel", "predictionsSettings")
        require_givable(settings, bundle_id, "predictionsSettings")
    if changes_service(before, after):
        _refuse_busy(row)
    restarts = row.status == DeploymentStatus.ACTIVE.value and changes_service(before, after)
    if restarts:
        row.status = DeploymentStatus.REPLACING_MODEL.value
    row.settings = after
    audit.record(session, caller, "change settings", KIND, row.id, {"sections": sorted(after)})
    payload = {"package_id": row.package_id, "restarts": restarts, "settings_before": before}
    return start_operation(session, caller, row, kinds.APPLY_SETTINGS, f"Applying settings of {row.label}", payload)


def _refuse_busy(row: Deployment) -> None:
    if row.status in BUSY:
        raise Conflict(f"Deployment {row.id} is {row.status}; wait until it is done.")
