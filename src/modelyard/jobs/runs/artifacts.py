"""The files that a run left in its output folder: listed, and downloaded one by one."""

from sqlalchemy.orm import Session

from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.jobs.runs.schemas import ArtifactListQuery, ArtifactResponse
from modelyard.jobs.runs.service import find_run
from modelyard.kernel.errors import NotFound
from modelyard.kernel.paging import Page, slice_page
from modelyard.kernel.routing import Download, RequestInfo
from modelyard.kernel.wire import moment
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces import service as workspaces
from modelyard.workspaces.service import StoredFile
from modelyard.workspaces.tables import Workspace


def list_artifacts(
    session: Session, caller: Caller, job_id: str, run_id: str, query: ArtifactListQuery, request: RequestInfo
) -> Page[ArtifactResponse]:
    """What the run left, by path; nothing before it has ended."""
    return slice_page([_view(file) for file in _files(session, caller, job_id, run_id)], query, request)


def download_artifact(
    session: Session, caller: Caller, blobs: BlobStore, job_id: str, run_id: str, artifact_id: str
) -> Download:
    for file in _files(session, caller, job_id, run_id):
        if file.id == artifact_id:
            headers = {"Content-Length": str(file.size_bytes)}
            return Download(blobs.iter_chunks(file.digest), file.path.rpartition("/")[2], headers=headers)
    raise NotFound(f"Run {run_id} left no artifact {artifact_id}.")


def _files(session: Session, caller: Caller, job_id: str, run_id: str) -> list[StoredFile]:
    run = find_run(session, caller, job_id, run_id, Permission.VIEW)
    if run.artifacts_workspace_id is None:
        return []
    return workspaces.files_in(session, session.get_one(Workspace, run.artifacts_workspace_id))


def _view(file: StoredFile) -> ArtifactResponse:
    return ArtifactResponse(
        id=file.id,
        file_name=file.path.rpartition("/")[2],
        file_path=file.path,
        size_bytes=file.size_bytes,
        created=moment(file.created_at),
    )
