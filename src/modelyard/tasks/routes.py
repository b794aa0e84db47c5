"""``/customTasks/``."""

from sqlalchemy.orm import Session

from modelyard.identity.access_lists import AccessControlResponse, SharingUpdateOrRemoveWithGrant
from modelyard.identity.caller import Caller
from modelyard.kernel.paging import Page, PageQuery
from modelyard.kernel.routing import PAGING, Answer, Download, RequestInfo, endpoint
from modelyard.kernel.settings import Settings
from modelyard.models import downloads
from modelyard.models import service as models
from modelyard.models.doors import TASKS
from modelyard.models.schemas import DownloadQuery
from modelyard.storage.blobs import BlobStore
from modelyard.tasks import service
from modelyard.tasks.schemas import (
    CustomTaskCopy,
    CustomTaskCreate,
    CustomTaskListQuery,
    CustomTaskResponse,
    CustomTaskUpdate,
)

TAG = "CustomTasks"


@endpoint("GET", "/customTasks/", documented_as_required=PAGING, tag=TAG)
def list_tasks(
    session: Session, caller: Caller, query: CustomTaskListQuery, request: RequestInfo
) -> Page[CustomTaskResponse]:
    """List the custom tasks that you may see."""
    return service.list_tasks(session, caller, query, request)


@endpoint("POST", "/customTasks/", status=201, errors=(403, 422), tag=TAG)
def create_task(session: Session, caller: Caller, body: CustomTaskCreate, settings: Settings) -> CustomTaskResponse:
    """Create a custom task."""
    return service.create_task(session, caller, settings, body)


@endpoint("POST", "/customTasks/fromCustomTask/", status=201, errors=(404,), tag=TAG)
def copy_task(session: Session, caller: Caller, body: CustomTaskCopy) -> CustomTaskResponse:
    """Copy a custom task with its versions and files."""
    return service.copy_task(session, caller, body)


@endpoint("GET", "/customTasks/{customTaskId}/", errors=(404,), tag=TAG)
def read_task(session: Session, caller: Caller, custom_task_id: str) -> CustomTaskResponse:
    """Read a custom task."""
    return service.read_task(session, caller, custom_task_id)


@endpoint(
    "PATCH", "/customTasks/{customTaskId}/", status=201, optional_statuses=(200,), errors=(403, 404, 409, 422), tag=TAG
)
def update_task(
    session: Session, caller: Caller, custom_task_id: str, body: CustomTaskUpdate, settings: Settings
) -> CustomTaskResponse | Answer:
    """Change a custom task.

    Answers 201 as documented, or 200 where the installation sets ``compat_patch_status`` for older clients.
    """
    changed = service.update_task(session, caller, settings, custom_task_id, body)
    return Answer(changed, 200) if settings.compat_patch_status else changed


@endpoint("DELETE", "/customTasks/{customTaskId}/", status=204, errors=(403, 404, 409), tag=TAG)
def delete_task(session: Session, caller: Caller, custom_task_id: str, request: RequestInfo) -> None:
    """Delete a custom task that is neither deployed nor trained."""
    models.delete_model(session, caller, request, custom_task_id, TASKS)


@endpoint(
    "GET", "/customTasks/{customTaskId}/accessControl/", errors=(400, 404), documented_as_required=PAGING, tag=TAG
)
def list_task_access(
    session: Session, caller: Caller, custom_task_id: str, query: PageQuery, request: RequestInfo
) -> Page[AccessControlResponse]:
    """List who has which role on a custom task."""
    return models.list_access(session, caller, custom_task_id, query, request, TASKS)


@endpoint("PATCH", "/customTasks/{customTaskId}/accessControl/", status=204, errors=(403, 404, 409, 422), tag=TAG)
def change_task_access(
    session: Session, caller: Caller, custom_task_id: str, body: SharingUpdateOrRemoveWithGrant, settings: Settings
) -> None:
    """Set or take away users' roles on a custom task."""
    models.change_access(session, caller, settings, custom_task_id, body, TASKS)


@endpoint(
    "GET",
    "/customTasks/{customTaskId}/download/",
    errors=(404,),
    tag=TAG,
    download=True,
    media_types=("application/zip",),
    response_headers=("Content-Disposition",),
)
def download_latest_task(session: Session, caller: Caller, custom_task_id: str, blobs: BlobStore) -> Download:
    """Download the files of the latest version as a zip."""
    return downloads.download_latest(session, caller, blobs, custom_task_id, DownloadQuery(), TASKS)
