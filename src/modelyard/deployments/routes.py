"""``/deployments/`` and ``/deletedDeployments/`` (seed 004; supporting-endpoints.md, A.12)."""

from sqlalchemy.orm import Session

from modelyard.deployments import changes, deleted, from_learning_model, listing, service
from modelyard.deployments.schemas import (
    DeletedDeploymentListQuery,
    DeletedDeploymentListResponse,
    DeploymentCreateFromLearningModel,
    DeploymentCreateResponse,
    DeploymentDeleteQuery,
    DeploymentFromModelPackage,
    DeploymentListQuery,
    DeploymentPermanentDelete,
    DeploymentRetrieveResponse,
    DeploymentUpdate,
    ModelReplacement,
    ModelValidation,
    ModelValidationResponse,
    RuntimeParameterChange,
    StatusChange,
)
from modelyard.deployments.settings import DeploymentSettings, DeploymentSettingsUpdate
from modelyard.identity.access_lists import AccessControlResponse, SharingUpdateOrRemoveWithGrant
from modelyard.identity.caller import Caller
from modelyard.identity.shared_roles import (
    AccessControlV2,
    SharedRolesQuery,
    SharedRolesUpdate,
    change_shared_roles,
    list_shared_roles,
)
from modelyard.identity.tables import ResourceKind
from modelyard.kernel.paging import Page, PageQuery
from modelyard.kernel.routing import PAGING, Answer, RequestInfo, endpoint
from modelyard.kernel.settings import Settings
from modelyard.operations import service as operations
from modelyard.workspaces.references import References
from modelyard.workspaces.runtime_parameters import RuntimeParameterUnified

TAG = "Deployments"


@endpoint("POST", "/deployments/fromModelPackage/", status=202, errors=(403, 422), tag=TAG, location=True)
def create_deployment(
    session: Session,
    caller: Caller,
    body: DeploymentFromModelPackage,
    settings: Settings,
    references: References,
    request: RequestInfo,
) -> DeploymentCreateResponse | Answer:
    """Deploy a model package."""
    row, operation = service.create_deployment(session, caller, settings, references, body)
    return operations.accepted(request, operation, DeploymentCreateResponse(id=row.id))


@endpoint("POST", "/deployments/fromLearningModel/", status=202, errors=(403, 422), tag=TAG, location=True)
def create_from_learning_model(
    session: Session,
    caller: Caller,
    body: DeploymentCreateFromLearningModel,
    settings: Settings,
    references: References,
    request: RequestInfo,
) -> DeploymentCreateResponse | Answer:
    """Deploy a model that was trained in a project."""
    row, operation = from_learning_model.create_deployment(session, caller, settings, references, body)
    return operations.accepted(request, operation, DeploymentCreateResponse(id=row.id))


@endpoint("GET", "/deployments/", tag=TAG, documented_as_required=PAGING)
def list_deployments(
    session: Session, caller: Caller, query: DeploymentListQuery, settings: Settings, request: RequestInfo
) -> Page[DeploymentRetrieveResponse]:
    """List deployments, those that predicted last first."""
    return listing.list_deployments(session, caller, settings, query, request)


@endpoint("GET", "/deployments/{deploymentId}/", errors=(404,), tag=TAG)
def read_deployment(
    session: Session, caller: Caller, deployment_id: str, settings: Settings, request: RequestInfo
) -> DeploymentRetrieveResponse:
    """Read a deployment."""
    return service.read_deployment(session, caller, deployment_id, settings.gateway_url(request.host_name))


@endpoint("PATCH", "/deployments/{deploymentId}/", status=204, errors=(403, 404, 422), tag=TAG)
def update_deployment(session: Session, caller: Caller, deployment_id: str, body: DeploymentUpdate) -> None:
    """Change a deployment's label, description or importance."""
    service.change_deployment(session, caller, deployment_id, body)


@endpoint("DELETE", "/deployments/{deploymentId}/", status=204, errors=(403, 404), tag=TAG)
def delete_deployment(
    session: Session,
    caller: Caller,
    deployment_id: str,
    query: DeploymentDeleteQuery,  # checked by its type; there is no agent to ignore
) -> None:
    """Delete a deployment: it stops, and nobody sees it any more."""
    service.delete_deployment(session, caller, deployment_id)


@endpoint("GET", "/deployments/{deploymentId}/settings/", errors=(403, 404), tag=TAG)
def read_settings(session: Session, caller: Caller, deployment_id: str) -> DeploymentSettings:
    """Read a deployment's settings."""
    return changes.read_deployment_settings(session, caller, deployment_id)


@endpoint(
    "PATCH",
    "/deployments/{deploymentId}/settings/",
    status=202,
    errors=(403, 404, 409, 422),
    tag=TAG,
    location=True,
)
def update_settings(
    session: Session,
    caller: Caller,
    deployment_id: str,
    body: DeploymentSettingsUpdate,
    settings: Settings,
    request: RequestInfo,
) -> Answer:
    """Change a deployment's settings."""
    return operations.accepted(request, changes.change_settings(session, caller, settings, deployment_id, body))


@endpoint("POST", "/deployments/{deploymentId}/model/validation/", errors=(403, 404, 422), tag=TAG)
def validate_model(
    session: Session, caller: Caller, deployment_id: str, body: ModelValidation, settings: Settings
) -> ModelValidationResponse:
    """Ask whether a model package may take the place of a deployment's model."""
    return changes.validate_model(session, caller, settings, deployment_id, body)


@endpoint(
    "PATCH",
    "/deployments/{deploymentId}/model/",
    status=202,
    errors=(403, 404, 409, 422),
    tag=TAG,
    location=True,
)
def replace_model(
    session: Session,
    caller: Caller,
    deployment_id: str,
    body: ModelReplacement,
    settings: Settings,
    references: References,
    request: RequestInfo,
) -> Answer:
    """Replace a deployment's model. The one before answers until the new one is ready."""
    operation = changes.replace_model(session, caller, settings, references, deployment_id, body)
    return operations.accepted(request, operation)


@endpoint(
    "PATCH",
    "/deployments/{deploymentId}/status/",
    status=202,
    errors=(403, 404, 409, 422),
    tag=TAG,
    location=True,
)
def change_status(
    session: Session, caller: Caller, deployment_id: str, body: StatusChange, settings: Settings, request: RequestInfo
) -> Answer:
    """Stop a deployment, or start it again."""
    return operations.accepted(request, changes.change_status(session, caller, settings, deployment_id, body))


@endpoint("GET", "/deployments/{deploymentId}/runtimeParameters/", errors=(403, 404), tag=TAG)
def list_parameters(
    session: Session, caller: Caller, deployment_id: str, query: PageQuery, request: RequestInfo
) -> Page[RuntimeParameterUnified]:
    """List the runtime parameters of a deployment's model, with their values."""
    return changes.list_parameters(session, caller, deployment_id, query, request)


@endpoint(
    "PUT",
    "/deployments/{deploymentId}/runtimeParameters/",
    status=202,
    errors=(403, 404, 409, 422),
    tag=TAG,
    location=True,
)
def change_parameters(
    session: Session,
    caller: Caller,
    deployment_id: str,
    body: RuntimeParameterChange,
    references: References,
    request: RequestInfo,
) -> Answer:
    """Set runtime parameters of a deployment's model; the one before answers until one with them is ready."""
    operation = changes.change_parameters(session, caller, references, deployment_id, body)
    return operations.accepted(request, operation)


@endpoint("GET", "/deployments/{deploymentId}/accessControl/", errors=(403, 404), tag=TAG)
def list_access(
    session: Session, caller: Caller, deployment_id: str, query: PageQuery, request: RequestInfo
) -> Page[AccessControlResponse]:
    """List the users that a deployment is shared with."""
    return service.list_access(session, caller, deployment_id, query, request)


@endpoint("PATCH", "/deployments/{deploymentId}/accessControl/", status=204, errors=(403, 404, 409, 422), tag=TAG)
def change_access(
    session: Session, caller: Caller, deployment_id: str, body: SharingUpdateOrRemoveWithGrant, settings: Settings
) -> None:
    """Share a deployment, or take it away again."""
    service.change_access(session, caller, settings, deployment_id, body)


@endpoint("GET", "/deployments/{deploymentId}/sharedRoles/", errors=(403, 404), tag=TAG, documented_as_required=PAGING)
def list_roles(
    session: Session, caller: Caller, deployment_id: str, query: SharedRolesQuery, request: RequestInfo
) -> Page[AccessControlV2]:
    """List the users, groups and organizations that a deployment is shared with."""
    return list_shared_roles(session, caller, ResourceKind.DEPLOYMENT, deployment_id, query, request)


@endpoint("PATCH", "/deployments/{deploymentId}/sharedRoles/", status=204, errors=(403, 404, 409, 422), tag=TAG)
def change_roles(
    session: Session, caller: Caller, deployment_id: str, body: SharedRolesUpdate, settings: Settings
) -> None:
    """Share a deployment with users, groups or organizations, or take it away again."""
    change_shared_roles(session, caller, settings, ResourceKind.DEPLOYMENT, deployment_id, body)


@endpoint("GET", "/deletedDeployments/", errors=(403,), tag=TAG, documented_as_required=PAGING)
def list_deleted(
    session: Session, caller: Caller, query: DeletedDeploymentListQuery, request: RequestInfo
) -> DeletedDeploymentListResponse:
    """List deleted deployments, the last deleted first (administrators)."""
    return deleted.list_deleted(session, caller, query, request)


@endpoint("PATCH", "/deletedDeployments/", status=202, errors=(403, 422), tag=TAG, location=True)
def erase_deleted(session: Session, caller: Caller, body: DeploymentPermanentDelete, request: RequestInfo) -> Answer:
    """Have everything erased that is kept of deleted deployments (administrators)."""
    return operations.accepted(request, deleted.erase_deleted(session, caller, body))
