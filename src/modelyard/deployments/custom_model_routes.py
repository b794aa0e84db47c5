"""``/customModelDeployments/`` (seeds 001 and 004)."""

from sqlalchemy.orm import Session

from modelyard.deployments import custom_models
from modelyard.deployments.custom_model_schemas import (
    CustomModelDeploymentListQuery,
    CustomModelDeploymentResponse,
)
from modelyard.identity.caller import Caller
from modelyard.kernel.paging import Page
from modelyard.kernel.routing import PAGING, Answer, Download, RequestInfo, endpoint
from modelyard.models.testing.schemas import CustomModelAsyncOperationResponse
from modelyard.operations import service as operations

TAG = "CustomModelDeployments"


@endpoint("GET", "/customModelDeployments/", errors=(400,), tag=TAG, documented_as_required=PAGING)
def list_deployments(
    session: Session, caller: Caller, query: CustomModelDeploymentListQuery, request: RequestInfo
) -> Page[CustomModelDeploymentResponse]:
    """List the deployments of custom models, newest first."""
    return custom_models.list_deployments(session, caller, query, request)


@endpoint(
    "GET",
    "/customModelDeployments/{deploymentId}/logs/",
    errors=(404,),
    tag=TAG,
    download=True,
    media_types=("text/plain",),
)
def read_launch_log(session: Session, caller: Caller, deployment_id: str) -> Download:
    """Download the log of a deployment's last launch."""
    return custom_models.read_launch_log(session, caller, deployment_id)


@endpoint("POST", "/customModelDeployments/{deploymentId}/logs/", status=202, errors=(404, 422), tag=TAG, location=True)
def request_logs(
    session: Session, caller: Caller, deployment_id: str, request: RequestInfo
) -> CustomModelAsyncOperationResponse | Answer:
    """Ask for what a deployment's replicas wrote."""
    operation = custom_models.request_logs(session, caller, deployment_id)
    return operations.accepted(request, operation, CustomModelAsyncOperationResponse(status_id=operation.id))


@endpoint(
    "GET",
    "/customModelDeployments/{deploymentId}/logs/{logId}/",
    errors=(404,),
    tag=TAG,
    download=True,
    media_types=("text/plain",),
)
def read_runtime_log(session: Session, caller: Caller, deployment_id: str, log_id: str) -> Download:
    """Download what a deployment's replicas wrote until it was asked for."""
    return custom_models.read_runtime_log(session, caller, deployment_id, log_id)
