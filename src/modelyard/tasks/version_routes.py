"""``/customTasks/{customTaskId}/versions/``."""

from sqlalchemy.orm import Session

from modelyard.environments.images.store import ImageStore
from modelyard.identity.caller import Caller
from modelyard.kernel.form_input import FormInput
from modelyard.kernel.paging import Page
from modelyard.kernel.routing import PAGING, Answer, Download, RequestInfo, endpoint
from modelyard.kernel.settings import Settings
from modelyard.models import dependency_builds, downloads
from modelyard.models.build_schemas import BuildLogQuery
from modelyard.models.doors import TASKS
from modelyard.models.schemas import DownloadQuery
from modelyard.operations.service import accepted
from modelyard.storage.blobs import Blob, BlobStore
from modelyard.tasks import service
from modelyard.tasks.version_schemas import (
    CustomTaskVersionCreate,
    CustomTaskVersionCreateFromLatest,
    CustomTaskVersionCreateFromRepository,
    CustomTaskVersionDependencyBuildMetadataResponse,
    CustomTaskVersionListQuery,
    CustomTaskVersionMetadataUpdate,
    CustomTaskVersionResponse,
)
from modelyard.workspaces.references import References

TAG = "CustomTasks"
PATH = "/customTasks/{customTaskId}/versions/"
VERSION = PATH + "{customTaskVersionId}/"


@endpoint("GET", PATH, errors=(400, 404), tag=TAG, documented_as_required=PAGING)
def list_task_versions(
    session: Session, caller: Caller, custom_task_id: str, query: CustomTaskVersionListQuery, request: RequestInfo
) -> Page[CustomTaskVersionResponse]:
    """List the versions of a custom task, newest first."""
    return service.list_versions(session, caller, custom_task_id, query, request)


@endpoint("POST", PATH, status=201, errors=(403, 404, 413, 422), tag=TAG, form=CustomTaskVersionCreate, json_form=True)
def create_task_version(
    session: Session,
    caller: Caller,
    custom_task_id: str,
    form: FormInput[Blob],
    settings: Settings,
    blobs: BlobStore,
    references: References,
) -> CustomTaskVersionResponse:
    """Create a version from the uploaded files alone."""
    return service.create_version(session, caller, settings, blobs, references, custom_task_id, form)


@endpoint(
    "PATCH",
    PATH,
    status=201,
    errors=(403, 404, 413, 422),
    tag=TAG,
    form=CustomTaskVersionCreateFromLatest,
    json_form=True,
)
def derive_task_version(
    session: Session,
    caller: Caller,
    custom_task_id: str,
    form: FormInput[Blob],
    settings: Settings,
    blobs: BlobStore,
    references: References,
) -> CustomTaskVersionResponse:
    """Create a version on top of the latest one, with files added, replaced or deleted."""
    return service.derive_version(session, caller, settings, blobs, references, custom_task_id, form)


@endpoint("POST", PATH + "fromRepository/", status=202, errors=(403, 404, 422), tag=TAG, location=True)
def create_task_version_from_repository(
    session: Session,
    caller: Caller,
    custom_task_id: str,
    body: CustomTaskVersionCreateFromRepository,
    settings: Settings,
    request: RequestInfo,
) -> Answer:
    """Create a version from the files of a remote repository alone."""
    return accepted(request, service.start_pull(session, caller, settings, custom_task_id, body, on_latest=False))


@endpoint("PATCH", PATH + "fromRepository/", status=202, errors=(403, 404, 422), tag=TAG, location=True)
def derive_task_version_from_repository(
    session: Session,
    caller: Caller,
    custom_task_id: str,
    body: CustomTaskVersionCreateFromRepository,
    settings: Settings,
    request: RequestInfo,
) -> Answer:
    """Create a version on top of the latest one, with files of a remote repository added or replaced."""
    return accepted(request, service.start_pull(session, caller, settings, custom_task_id, body, on_latest=True))


@endpoint("GET", VERSION, errors=(404,), tag=TAG)
def read_task_version(
    session: Session, caller: Caller, custom_task_id: str, custom_task_version_id: str
) -> CustomTaskVersionResponse:
    """Read a version with its files."""
    return service.read_version(session, caller, custom_task_id, custom_task_version_id)


@endpoint("PATCH", VERSION, errors=(404, 422), tag=TAG)
def update_task_version(
    session: Session,
    caller: Caller,
    custom_task_id: str,
    custom_task_version_id: str,
    body: CustomTaskVersionMetadataUpdate,
) -> CustomTaskVersionResponse:
    """Change the description of a version."""
    return service.update_version(session, caller, custom_task_id, custom_task_version_id, body)


@endpoint(
    "GET",
    VERSION + "download/",
    errors=(404,),
    tag=TAG,
    download=True,
    media_types=("application/zip",),
    response_headers=("Content-Disposition",),
)
def download_task_version(
    session: Session, caller: Caller, custom_task_id: str, custom_task_version_id: str, blobs: BlobStore
) -> Download:
    """Download the files of a version as a zip."""
    query = DownloadQuery()
    return downloads.download_version(session, caller, blobs, custom_task_id, custom_task_version_id, query, TASKS)


@endpoint("GET", VERSION + "dependencyBuild/", errors=(404, 422), tag=TAG)
def read_task_dependency_build(
    session: Session,
    caller: Caller,
    custom_task_id: str,
    custom_task_version_id: str,
    blobs: BlobStore,
    images: ImageStore,
    request: RequestInfo,
) -> CustomTaskVersionDependencyBuildMetadataResponse:
    """Read how the build of a version's dependencies is doing."""
    return service.read_build(session, caller, blobs, images, custom_task_id, custom_task_version_id, request)


@endpoint("POST", VERSION + "dependencyBuild/", status=202, errors=(403, 404, 422), tag=TAG)
def start_task_dependency_build(
    session: Session,
    caller: Caller,
    custom_task_id: str,
    custom_task_version_id: str,
    blobs: BlobStore,
    images: ImageStore,
    request: RequestInfo,
) -> CustomTaskVersionDependencyBuildMetadataResponse:
    """Build what a version's requirements.txt asks for, on top of its environment."""
    return service.start_build(session, caller, blobs, images, custom_task_id, custom_task_version_id, request)


@endpoint("DELETE", VERSION + "dependencyBuild/", status=204, errors=(403, 404, 409, 422), tag=TAG)
def cancel_task_dependency_build(
    session: Session, caller: Caller, custom_task_id: str, custom_task_version_id: str
) -> None:
    """Cancel the build of a version's dependencies."""
    dependency_builds.cancel_build(session, caller, custom_task_id, custom_task_version_id, TASKS)


@endpoint(
    "GET", VERSION + "dependencyBuildLog/", errors=(404, 422), tag=TAG, download=True, media_types=("text/plain",)
)
def read_task_dependency_build_log(
    session: Session,
    caller: Caller,
    custom_task_id: str,
    custom_task_version_id: str,
    blobs: BlobStore,
    images: ImageStore,
    query: BuildLogQuery,
) -> Download:
    """Read the log of a build of dependencies that has ended; of one in progress too, where the query asks for it."""
    return dependency_builds.read_build_log(
        session, caller, blobs, images, custom_task_id, custom_task_version_id, query, TASKS
    )
