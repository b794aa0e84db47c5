"""``/executionEnvironments/``: what user code runs in."""

from typing import Any

from sqlalchemy.orm import Session

from modelyard.environments import service
from modelyard.environments.images.store import ImageStore
from modelyard.environments.schemas import (
    BuildLogResponse,
    EnvironmentCreate,
    EnvironmentListQuery,
    EnvironmentResponse,
    EnvironmentUpdate,
    EnvironmentVersionForm,
    EnvironmentVersionResponse,
    PreparationResponse,
)
from modelyard.identity import access_lists
from modelyard.identity.access_lists import AccessControlResponse, SharingUpdateOrRemoveWithGrant
from modelyard.identity.caller import Caller
from modelyard.kernel.form_input import FormInput
from modelyard.kernel.paging import Page, PageQuery
from modelyard.kernel.routing import Answer, Download, RequestInfo, endpoint
from modelyard.kernel.settings import Settings
from modelyard.storage.blobs import BlobStore

TAG = "ExecutionEnvironments"


@endpoint("GET", "/executionEnvironments/", tag=TAG)
def list_environments(
    session: Session, caller: Caller, query: EnvironmentListQuery, request: RequestInfo
) -> Page[EnvironmentResponse]:
    """List public environments and those you may see, newest first."""
    return service.list_environments(session, caller, query, request)


@endpoint("POST", "/executionEnvironments/", status=201, tag=TAG, errors=(422,))
def create_environment(session: Session, caller: Caller, body: EnvironmentCreate) -> EnvironmentResponse:
    """Create an environment; a version then brings its context."""
    return service.view(session, [service.create(session, caller, body)])[0]


@endpoint("GET", "/executionEnvironments/{environmentId}/", tag=TAG, errors=(404,))
def read_environment(session: Session, caller: Caller, environment_id: str) -> EnvironmentResponse:
    """Read an environment."""
    return service.view(session, [service.find(session, caller, environment_id)])[0]


@endpoint("PATCH", "/executionEnvironments/{environmentId}/", tag=TAG, errors=(403, 404, 422))
def update_environment(
    session: Session, caller: Caller, environment_id: str, body: EnvironmentUpdate
) -> EnvironmentResponse:
    """Rename an environment, or change its description or use cases."""
    return service.view(session, [service.change(session, caller, environment_id, body)])[0]


@endpoint("DELETE", "/executionEnvironments/{environmentId}/", status=204, tag=TAG, errors=(403, 404))
def delete_environment(session: Session, caller: Caller, environment_id: str) -> None:
    """Delete an environment. What was made on it goes on working."""
    service.remove(session, caller, environment_id)


@endpoint("GET", "/executionEnvironments/{environmentId}/accessControl/", tag=TAG, errors=(404,))
def list_access(
    session: Session, caller: Caller, environment_id: str, query: PageQuery, request: RequestInfo
) -> Page[AccessControlResponse]:
    """List the users that an environment is shared with."""
    service.find(session, caller, environment_id)
    return access_lists.list_access(session, service.KIND, environment_id, query, request)


@endpoint(
    "PATCH", "/executionEnvironments/{environmentId}/accessControl/", status=204, tag=TAG, errors=(403, 404, 409, 422)
)
def change_access(
    session: Session, caller: Caller, environment_id: str, body: SharingUpdateOrRemoveWithGrant, settings: Settings
) -> None:
    """Share an environment, or take a user's role away."""
    access_lists.change_access(session, caller, settings, service.KIND, environment_id, body)


@endpoint("GET", "/executionEnvironments/{environmentId}/versions/", tag=TAG, errors=(404,))
def list_versions(
    session: Session, caller: Caller, environment_id: str, query: PageQuery, request: RequestInfo
) -> Page[EnvironmentVersionResponse]:
    """List the versions of an environment, newest first."""
    return service.list_versions(session, caller, environment_id, query, request)


@endpoint(
    "POST",
    "/executionEnvironments/{environmentId}/versions/",
    status=202,
    tag=TAG,
    errors=(403, 404, 413, 422),
    location=True,
    form=EnvironmentVersionForm,
    files=("docker_context",),
)
def create_version(
    session: Session, caller: Caller, environment_id: str, form: FormInput[Any], blobs: BlobStore, request: RequestInfo
) -> EnvironmentVersionResponse | Answer:
    """Add a version, and build it.

    ``docker_context`` is a zip, tar or tar.gz of a folder with ``requirements.txt``, ``start_server.sh`` or both.
    """
    fields = form.read(EnvironmentVersionForm)
    version, build = service.create_version(session, caller, blobs, environment_id, fields, form.form)
    location = f"{request.api_url}/status/{build.operation_id}/"
    return Answer(service.view_version(version), 202, {"Location": location})


@endpoint("GET", "/executionEnvironments/{environmentId}/versions/{versionId}/", tag=TAG, errors=(404,))
def read_version(session: Session, caller: Caller, environment_id: str, version_id: str) -> EnvironmentVersionResponse:
    """Read a version of an environment."""
    return service.view_version(service.read_version(session, caller, environment_id, version_id))


@endpoint("GET", "/executionEnvironments/{environmentId}/versions/{versionId}/buildLog/", tag=TAG, errors=(404,))
def read_build_log(session: Session, caller: Caller, environment_id: str, version_id: str) -> BuildLogResponse:
    """Read the build log of a version, also while it is being built."""
    error, log = service.read_build_log(session, caller, environment_id, version_id)
    return BuildLogResponse(error=error, log=log)


@endpoint(
    "GET",
    "/executionEnvironments/{environmentId}/versions/{versionId}/download/",
    tag=TAG,
    errors=(404, 409, 422),
    download=True,
    media_types=("application/zip",),
)
def download_version(
    session: Session, caller: Caller, environment_id: str, version_id: str, blobs: BlobStore
) -> Download:
    """Download the context of a version as a zip."""
    return service.download_version(session, caller, blobs, environment_id, version_id)


@endpoint(
    "POST",
    "/executionEnvironments/{environmentId}/versions/{versionId}/prepare/",
    status=202,
    tag=TAG,
    errors=(404, 409),
    location=True,
)
def prepare_version(
    session: Session, caller: Caller, environment_id: str, version_id: str, images: ImageStore, request: RequestInfo
) -> PreparationResponse | Answer:
    """Make the image of a version now, instead of when something first needs it.

    The Location leads to the build; to the version itself where the image is there already, or where somebody else
    has it made just now.
    """
    build = service.prepare_version(session, caller, images, environment_id, version_id)
    done = f"{request.api_url}/executionEnvironments/{environment_id}/versions/{version_id}/"
    status_id = build.operation_id if build.created_by == caller.user_id else None
    location = f"{request.api_url}/status/{status_id}/" if status_id else done
    body = PreparationResponse(status_id=status_id, build_status=build.status)  # type: ignore[arg-type]
    return Answer(body, 202, {"Location": location})
