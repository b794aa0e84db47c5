"""``/predictionEnvironments/`` (supporting-endpoints.md, A.11) and ``/predictionServers/`` (D.1)."""

from sqlalchemy.orm import Session

from modelyard.deployments.prediction_environments import service
from modelyard.deployments.prediction_environments.schemas import (
    PredictionEnvironmentCreate,
    PredictionEnvironmentListQuery,
    PredictionEnvironmentResponse,
    PredictionEnvironmentUpdate,
    PredictionServerResponse,
)
from modelyard.identity.access_lists import AccessControlResponse, SharingUpdateOrRemoveWithGrant
from modelyard.identity.caller import Caller
from modelyard.kernel.paging import Page, PageQuery, slice_page
from modelyard.kernel.routing import RequestInfo, endpoint
from modelyard.kernel.settings import Settings

TAG = "PredictionEnvironments"


@endpoint("GET", "/predictionEnvironments/", tag=TAG)
def list_environments(
    session: Session, caller: Caller, query: PredictionEnvironmentListQuery, request: RequestInfo
) -> Page[PredictionEnvironmentResponse]:
    """List prediction environments, the one of this installation first."""
    return service.list_environments(session, caller, query, request)


@endpoint("POST", "/predictionEnvironments/", status=201, errors=(422,), tag=TAG)
def create_environment(
    session: Session, caller: Caller, body: PredictionEnvironmentCreate
) -> PredictionEnvironmentResponse:
    """Create a prediction environment."""
    return service.create_environment(session, caller, body)


@endpoint("GET", "/predictionEnvironments/{predictionEnvironmentId}/", errors=(404,), tag=TAG)
def read_environment(session: Session, caller: Caller, prediction_environment_id: str) -> PredictionEnvironmentResponse:
    """Read a prediction environment."""
    row = service.find_environment(session, caller, prediction_environment_id)
    return service.view(session, caller, [row])[0]


@endpoint("PATCH", "/predictionEnvironments/{predictionEnvironmentId}/", errors=(403, 404, 409, 422), tag=TAG)
def update_environment(
    session: Session, caller: Caller, prediction_environment_id: str, body: PredictionEnvironmentUpdate
) -> PredictionEnvironmentResponse:
    """Change a prediction environment."""
    return service.change_environment(session, caller, prediction_environment_id, body)


@endpoint("DELETE", "/predictionEnvironments/{predictionEnvironmentId}/", status=204, errors=(403, 404, 409), tag=TAG)
def delete_environment(session: Session, caller: Caller, prediction_environment_id: str) -> None:
    """Delete a prediction environment that no deployment is on."""
    service.delete_environment(session, caller, prediction_environment_id)


@endpoint("GET", "/predictionEnvironments/{predictionEnvironmentId}/accessControl/", errors=(403, 404), tag=TAG)
def list_access(
    session: Session, caller: Caller, prediction_environment_id: str, query: PageQuery, request: RequestInfo
) -> Page[AccessControlResponse]:
    """List the users that a prediction environment is shared with."""
    return service.list_access(session, caller, prediction_environment_id, query, request)


@endpoint(
    "PATCH",
    "/predictionEnvironments/{predictionEnvironmentId}/accessControl/",
    status=204,
    errors=(403, 404, 409, 422),
    tag=TAG,
)
def change_access(
    session: Session,
    caller: Caller,
    prediction_environment_id: str,
    body: SharingUpdateOrRemoveWithGrant,
    settings: Settings,
) -> None:
    """Share a prediction environment, or take it away again."""
    service.change_access(session, caller, settings, prediction_environment_id, body)


@endpoint("GET", "/predictionServers/", tag=TAG)
def list_servers(
    caller: Caller,  # naming it asks for a token
    query: PageQuery,
    settings: Settings,
    request: RequestInfo,
) -> Page[PredictionServerResponse]:
    """List the servers that answer predictions: the gateway."""
    return slice_page([service.prediction_server(settings.gateway_url(request.host_name))], query, request)
