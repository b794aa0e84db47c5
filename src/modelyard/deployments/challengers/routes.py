"""``/deployments/{deploymentId}/challengers/`` (supporting-endpoints.md, A.12 and E.11)."""

from sqlalchemy.orm import Session

from modelyard.deployments.challengers import service
from modelyard.deployments.challengers.schemas import ChallengerCreate, ChallengerResponse, ChallengerUpdate
from modelyard.identity.caller import Caller
from modelyard.kernel.paging import Page, PageQuery
from modelyard.kernel.routing import Answer, RequestInfo, endpoint
from modelyard.operations import service as operations

TAG = "Deployments"


@endpoint("GET", "/deployments/{deploymentId}/challengers/", errors=(403, 404), tag=TAG)
def list_challengers(
    session: Session, caller: Caller, deployment_id: str, query: PageQuery, request: RequestInfo
) -> Page[ChallengerResponse]:
    """List a deployment's challengers: first the champion, where challengers are enabled, then the oldest."""
    return service.list_challengers(session, caller, deployment_id, query, request)


@endpoint(
    "POST",
    "/deployments/{deploymentId}/challengers/",
    status=202,
    errors=(403, 404, 409, 422),
    tag=TAG,
    location=True,
)
def add_challenger(
    session: Session, caller: Caller, deployment_id: str, body: ChallengerCreate, request: RequestInfo
) -> Answer:
    """Propose a model package to take the place of a deployment's model."""
    return operations.accepted(request, service.add_challenger(session, caller, deployment_id, body))


@endpoint("GET", "/deployments/{deploymentId}/challengers/{challengerId}/", errors=(403, 404), tag=TAG)
def read_challenger(session: Session, caller: Caller, deployment_id: str, challenger_id: str) -> ChallengerResponse:
    """Read a challenger."""
    return service.read_challenger(session, caller, deployment_id, challenger_id)


@endpoint("PATCH", "/deployments/{deploymentId}/challengers/{challengerId}/", errors=(403, 404, 409, 422), tag=TAG)
def rename_challenger(
    session: Session, caller: Caller, deployment_id: str, challenger_id: str, body: ChallengerUpdate
) -> ChallengerResponse:
    """Give a challenger another name."""
    return service.rename_challenger(session, caller, deployment_id, challenger_id, body)


@endpoint(
    "DELETE", "/deployments/{deploymentId}/challengers/{challengerId}/", status=204, errors=(403, 404, 409), tag=TAG
)
def withdraw_challenger(session: Session, caller: Caller, deployment_id: str, challenger_id: str) -> None:
    """Withdraw a challenger."""
    service.withdraw_challenger(session, caller, deployment_id, challenger_id)
