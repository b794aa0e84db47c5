"""``/status/``: what came of a 202."""

from sqlalchemy.orm import Session

from modelyard.identity.caller import Caller
from modelyard.kernel.paging import Page
from modelyard.kernel.routing import Answer, RequestInfo, endpoint
from modelyard.operations import service
from modelyard.operations.schemas import StatusListQuery, StatusResponse
from modelyard.operations.tables import OperationStatus

TAG = "Status"


@endpoint("GET", "/status/", tag=TAG)
def list_statuses(
    session: Session, caller: Caller, query: StatusListQuery, request: RequestInfo
) -> Page[StatusResponse]:
    """List your operations, newest first."""
    return service.list_statuses(session, caller, query, request)


@endpoint("GET", "/status/{statusId}/", tag=TAG, errors=(404,), optional_statuses=(303,))
def read_status(session: Session, caller: Caller, status_id: str, request: RequestInfo) -> StatusResponse | Answer:
    """Read how an operation is doing: 200 until it is done, then 303 to what it made."""
    row = service.read_status(session, caller, status_id)
    status = service.view(row)
    if row.status == OperationStatus.COMPLETED.value and row.result_path:
        return Answer(status, 303, {"Location": f"{request.api_url}{row.result_path}"})
    return status


@endpoint("DELETE", "/status/{statusId}/", status=204, tag=TAG, errors=(404, 409))
def delete_status(session: Session, caller: Caller, status_id: str) -> None:
    """Forget a finished operation."""
    service.delete_status(session, caller, status_id)
