"""``/customModelTests/`` (seed 001)."""

from sqlalchemy.orm import Session

from modelyard.compute.executor import Executor
from modelyard.identity.caller import Caller
from modelyard.kernel.paging import Page
from modelyard.kernel.routing import PAGING, Answer, Download, RequestInfo, endpoint
from modelyard.kernel.settings import Settings
from modelyard.models.testing import service
from modelyard.models.testing.schemas import (
    CustomModelTests,
    CustomModelTestsListQuery,
    CustomModelTestsLogTailResponse,
    CustomModelTestsResponse,
    CustomModelTestStartedResponse,
    TailQuery,
)
from modelyard.operations import service as operations
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces.references import References

TAG = "CustomModelTests"


@endpoint("GET", "/customModelTests/", errors=(404,), tag=TAG, documented_as_required=PAGING)
def list_tests(
    session: Session, caller: Caller, query: CustomModelTestsListQuery, request: RequestInfo
) -> Page[CustomModelTestsResponse]:
    """List the tests of a custom model, newest first."""
    return service.list_tests(session, caller, query, request)


@endpoint("POST", "/customModelTests/", status=202, errors=(403, 404, 422), tag=TAG, location=True)
def start_test(
    session: Session,
    caller: Caller,
    body: CustomModelTests,
    settings: Settings,
    references: References,
    request: RequestInfo,
) -> CustomModelTestStartedResponse | Answer:
    """Test a version of a custom model."""
    test, operation = service.start_test(session, caller, settings, references, body)
    started = CustomModelTestStartedResponse(status_id=operation.id, custom_model_test_id=test.id)
    return operations.accepted(request, operation, started)


@endpoint("GET", "/customModelTests/{customModelTestId}/", errors=(404,), tag=TAG)
def read_test(session: Session, caller: Caller, custom_model_test_id: str) -> CustomModelTestsResponse:
    """Read a test: its checks are shown as they go."""
    return service.read_test(session, caller, custom_model_test_id)


@endpoint("DELETE", "/customModelTests/{customModelTestId}/", status=204, errors=(404, 409), tag=TAG)
def cancel_test(session: Session, caller: Caller, custom_model_test_id: str) -> None:
    """Cancel a test that has not ended."""
    service.cancel_test(session, caller, custom_model_test_id)


@endpoint(
    "GET",
    "/customModelTests/{customModelTestId}/log/",
    errors=(404,),
    tag=TAG,
    download=True,
    media_types=("text/plain",),
)
def download_log(
    session: Session, caller: Caller, custom_model_test_id: str, blobs: BlobStore, executor: Executor
) -> Download:
    """Download the log of a test, as far as it goes."""
    text = service.read_log(session, caller, blobs, executor, custom_model_test_id)
    return Download(text, f"testing-{custom_model_test_id}.log", "text/plain")


@endpoint(
    "GET",
    "/customModelTests/{customModelTestId}/tail/",
    errors=(400, 404),
    tag=TAG,
    documented_as_required=("lines",),
)
def read_tail(
    session: Session,
    caller: Caller,
    custom_model_test_id: str,
    query: TailQuery,
    blobs: BlobStore,
    executor: Executor,
) -> CustomModelTestsLogTailResponse:
    """Read the last lines of a test's log."""
    text = service.read_tail(session, caller, blobs, executor, custom_model_test_id, query.lines)
    return CustomModelTestsLogTailResponse(log=text)
