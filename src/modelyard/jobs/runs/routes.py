"""``/customJobs/{customJobId}/runs/`` and what is below it."""

from sqlalchemy.orm import Session

from modelyard.compute.executor import Executor
from modelyard.compute.log_reading import LogQuery
from modelyard.identity.caller import Caller
from modelyard.jobs.runs import artifacts, logs, service
from modelyard.jobs.runs.schemas import (
    ArtifactListQuery,
    ArtifactResponse,
    CreateCustomJobRun,
    CustomJobRunListQuery,
    CustomJobRunResponse,
)
from modelyard.jobs.schemas import CustomJobFileResponse
from modelyard.kernel.database import Database
from modelyard.kernel.paging import Page
from modelyard.kernel.routing import Download, RequestInfo, endpoint
from modelyard.kernel.settings import Settings
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces.references import References

TAG = "CustomJobs"
RUNS = "/customJobs/{customJobId}/runs/"
RUN = RUNS + "{customJobRunId}/"


@endpoint("GET", RUNS, errors=(403, 404), tag=TAG)
def list_runs(
    session: Session, caller: Caller, custom_job_id: str, query: CustomJobRunListQuery, request: RequestInfo
) -> Page[CustomJobRunResponse]:
    """List the runs of a custom job, newest first."""
    return service.list_runs(session, caller, custom_job_id, query, request)


@endpoint("POST", RUNS, status=201, errors=(403, 404, 422), tag=TAG)
def create_run(
    session: Session,
    caller: Caller,
    custom_job_id: str,
    body: CreateCustomJobRun,
    settings: Settings,
    blobs: BlobStore,
    references: References,
) -> CustomJobRunResponse:
    """Start a run of a custom job as it is now."""
    return service.create_run(session, caller, settings, blobs, references, custom_job_id, body)


@endpoint("GET", RUN, errors=(403, 404), tag=TAG)
def read_run(session: Session, caller: Caller, custom_job_id: str, custom_job_run_id: str) -> CustomJobRunResponse:
    """Read a run."""
    return service.read_run(session, caller, custom_job_id, custom_job_run_id)


@endpoint("PATCH", RUN, status=201, errors=(403, 404, 422), tag=TAG)
def update_run(
    session: Session,
    caller: Caller,
    custom_job_id: str,
    custom_job_run_id: str,
    body: CreateCustomJobRun,
    references: References,
) -> CustomJobRunResponse:
    """Change the description of a run, or its parameters before it executes."""
    return service.update_run(session, caller, references, custom_job_id, custom_job_run_id, body)


@endpoint("DELETE", RUN, status=204, errors=(403, 404, 422), tag=TAG)
def cancel_run(session: Session, caller: Caller, custom_job_id: str, custom_job_run_id: str) -> None:
    """Cancel a run that has not ended."""
    service.cancel_run(session, caller, custom_job_id, custom_job_run_id)


@endpoint("GET", RUN + "items/{itemId}/", errors=(403, 404, 422), tag=TAG)
def read_item(
    session: Session, caller: Caller, custom_job_id: str, custom_job_run_id: str, item_id: str, blobs: BlobStore
) -> CustomJobFileResponse:
    """Read one of the files that a run was made of as text."""
    return service.read_item(session, caller, blobs, custom_job_id, custom_job_run_id, item_id)


@endpoint(
    "GET",
    RUN + "logs/",
    errors=(404,),
    tag=TAG,
    download=True,
    media_types=("text/plain", "text/event-stream"),
    response_headers=("Content-Disposition",),
)
def read_log(
    session: Session,
    caller: Caller,
    custom_job_id: str,
    custom_job_run_id: str,
    query: LogQuery,
    database: Database,
    blobs: BlobStore,
    executor: Executor,
) -> Download:
    """Read what a run wrote, so far or while it comes.

    With ``follow`` the answer is a stream of server-sent events, one for each line, which ends with the run: the last
    event is named ``end`` and tells the status.
    """
    return logs.read_log(session, caller, database, blobs, executor, custom_job_id, custom_job_run_id, query)


@endpoint("DELETE", RUN + "logs/", status=204, errors=(403, 404, 409), tag=TAG)
def delete_logs(session: Session, caller: Caller, custom_job_id: str, custom_job_run_id: str) -> None:
    """Delete what a run wrote."""
    service.delete_logs(session, caller, custom_job_id, custom_job_run_id)


@endpoint("GET", RUN + "artifacts/", errors=(403, 404), tag=TAG)
def list_artifacts(
    session: Session,
    caller: Caller,
    custom_job_id: str,
    custom_job_run_id: str,
    query: ArtifactListQuery,
    request: RequestInfo,
) -> Page[ArtifactResponse]:
    """List the files that a run left in its output folder."""
    return artifacts.list_artifacts(session, caller, custom_job_id, custom_job_run_id, query, request)


@endpoint("GET", RUN + "artifacts/{artifactId}/", errors=(403, 404), tag=TAG, download=True)
def download_artifact(
    session: Session, caller: Caller, custom_job_id: str, custom_job_run_id: str, artifact_id: str, blobs: BlobStore
) -> Download:
    """Download one file that a run left."""
    return artifacts.download_artifact(session, caller, blobs, custom_job_id, custom_job_run_id, artifact_id)
