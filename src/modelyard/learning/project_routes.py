"""``/projects/``: what is to be learned of which data."""

from sqlalchemy.orm import Session

from modelyard.identity.access_lists import AccessControlResponse, SharingUpdateOrRemoveWithGrant
from modelyard.identity.caller import Caller
from modelyard.kernel.paging import Page, PageQuery
from modelyard.kernel.routing import Answer, RequestInfo, endpoint
from modelyard.kernel.settings import Settings
from modelyard.learning import projects
from modelyard.learning.schemas import ProjectCreate, ProjectListQuery, ProjectResponse, ProjectUpdate
from modelyard.operations.service import accepted

TAG = "Projects"
PROJECT = "/projects/{projectId}/"


@endpoint("GET", "/projects/", tag=TAG)
def list_projects(
    session: Session, caller: Caller, query: ProjectListQuery, request: RequestInfo
) -> Page[ProjectResponse]:
    """List the projects that you may see."""
    return projects.list_projects(session, caller, query, request)


@endpoint("POST", "/projects/", status=202, errors=(422,), tag=TAG, location=True)
def create_project(
    session: Session, caller: Caller, body: ProjectCreate, request: RequestInfo
) -> ProjectResponse | Answer:
    """Start a project: choose what is to be learned of a dataset, and how its rows are divided.

    The target's type is inferred where it is not given; without a target the project finds anomalies.
    """
    project, operation = projects.create_project(session, caller, body)
    return accepted(request, operation, projects.view(project))


@endpoint("GET", PROJECT, errors=(404,), tag=TAG)
def read_project(session: Session, caller: Caller, project_id: str) -> ProjectResponse:
    """Read a project."""
    return projects.view(projects.find_project(session, caller, project_id))


@endpoint("PATCH", PROJECT, errors=(403, 404, 422), tag=TAG)
def update_project(session: Session, caller: Caller, project_id: str, body: ProjectUpdate) -> ProjectResponse:
    """Rename a project, or rank its models by another metric."""
    return projects.change_project(session, caller, project_id, body)


@endpoint("DELETE", PROJECT, status=204, errors=(403, 404, 409), tag=TAG)
def delete_project(session: Session, caller: Caller, project_id: str, request: RequestInfo) -> None:
    """Delete a project with its models; what was deployed stays."""
    projects.delete_project(session, caller, request, project_id)


@endpoint("GET", PROJECT + "accessControl/", errors=(404,), tag=TAG)
def list_access(
    session: Session, caller: Caller, project_id: str, query: PageQuery, request: RequestInfo
) -> Page[AccessControlResponse]:
    """List who has which role on a project."""
    return projects.list_access(session, caller, project_id, query, request)


@endpoint("PATCH", PROJECT + "accessControl/", status=204, errors=(403, 404, 409, 422), tag=TAG)
def change_access(
    session: Session, caller: Caller, project_id: str, body: SharingUpdateOrRemoveWithGrant, settings: Settings
) -> None:
    """Set or take away users' roles on a project."""
    projects.change_access(session, caller, settings, project_id, body)
