"""``/remoteRepositories/``: where files can be pulled from."""

from sqlalchemy.orm import Session

from modelyard.identity.caller import Caller
from modelyard.kernel.paging import Page
from modelyard.kernel.routing import RequestInfo, endpoint
from modelyard.kernel.settings import Settings
from modelyard.repositories import service
from modelyard.repositories.schemas import (
    RemoteRepositoryCreate,
    RemoteRepositoryListQuery,
    RemoteRepositoryResponse,
    RemoteRepositoryUpdate,
)

TAG = "RemoteRepositories"
PATH = "/remoteRepositories/{remoteRepositoryId}/"


@endpoint("GET", "/remoteRepositories/", tag=TAG)
def list_remote_repositories(
    session: Session, caller: Caller, query: RemoteRepositoryListQuery, request: RequestInfo
) -> Page[RemoteRepositoryResponse]:
    """List the remote repositories that you may see."""
    return service.list_repositories(session, caller, query, request)


@endpoint("POST", "/remoteRepositories/", status=201, errors=(422,), tag=TAG)
def create_remote_repository(
    session: Session, caller: Caller, body: RemoteRepositoryCreate, settings: Settings
) -> RemoteRepositoryResponse:
    """Name a place that files can be pulled from: a Git repository or an S3 bucket."""
    return service.view(service.create_repository(session, caller, settings, body))


@endpoint("GET", PATH, errors=(403, 404), tag=TAG)
def read_remote_repository(session: Session, caller: Caller, remote_repository_id: str) -> RemoteRepositoryResponse:
    """Read a remote repository."""
    return service.view(service.find_repository(session, caller, remote_repository_id))


@endpoint("PATCH", PATH, errors=(403, 404, 422), tag=TAG)
def update_remote_repository(
    session: Session, caller: Caller, remote_repository_id: str, body: RemoteRepositoryUpdate, settings: Settings
) -> RemoteRepositoryResponse:
    """Change a remote repository; a field that is absent stays."""
    return service.view(service.change_repository(session, caller, settings, remote_repository_id, body))


@endpoint("DELETE", PATH, status=204, errors=(403, 404), tag=TAG)
def delete_remote_repository(session: Session, caller: Caller, remote_repository_id: str) -> None:
    """Delete a remote repository; what was pulled from it stays."""
    service.delete_repository(session, caller, remote_repository_id)
