"""``/customJobs/``, ``/deletedCustomJobs/``, ``/customJobsCleanup/`` and ``/customJobLimits/``."""

from sqlalchemy.orm import Session

from modelyard.identity.caller import Caller
from modelyard.identity.shared_roles import AccessControlV2, SharedRolesQuery, SharedRolesUpdate
from modelyard.jobs import service
from modelyard.jobs.schemas import (
    CreateCustomJob,
    CreateCustomJobFromTemplateGallery,
    CustomJobFileResponse,
    CustomJobLimitsResponse,
    CustomJobListQuery,
    CustomJobResponse,
    UpdateCustomJob,
)
from modelyard.kernel.form_input import FormInput
from modelyard.kernel.paging import Page, PageQuery
from modelyard.kernel.routing import PAGING, RequestInfo, endpoint
from modelyard.kernel.settings import Settings
from modelyard.storage.blobs import Blob, BlobStore
from modelyard.workspaces.references import References

TAG = "CustomJobs"
JOB = "/customJobs/{customJobId}/"


@endpoint("GET", "/customJobLimits/", errors=(403,), tag=TAG)
def read_limits(caller: Caller, settings: Settings) -> CustomJobLimitsResponse:
    """Read how many runs execute at once and for how long."""
    return service.read_limits(settings)


@endpoint("GET", "/customJobs/", errors=(403,), documented_as_required=PAGING, tag=TAG)
def list_jobs(
    session: Session, caller: Caller, query: CustomJobListQuery, request: RequestInfo
) -> Page[CustomJobResponse]:
    """List the custom jobs that you may see, newest first."""
    return service.list_jobs(session, caller, query, request)


@endpoint("POST", "/customJobs/", status=201, errors=(403, 422), tag=TAG, form=CreateCustomJob, json_form=True)
def create_job(
    session: Session,
    caller: Caller,
    form: FormInput[Blob],
    settings: Settings,
    blobs: BlobStore,
    references: References,
) -> CustomJobResponse:
    """Create a custom job, with its files or without."""
    return service.create_job(session, caller, settings, blobs, references, form)


@endpoint(
    "POST",
    "/customJobs/fromGalleryTemplate/",
    status=201,
    errors=(403, 422),
    tag=TAG,
    form=CreateCustomJobFromTemplateGallery,
    json_form=True,
)
def create_job_from_template(
    session: Session,
    caller: Caller,
    form: FormInput[Blob],
    settings: Settings,
    blobs: BlobStore,
    references: References,
) -> CustomJobResponse:
    """Create a custom job from a template of the gallery, with changes or as it is."""
    return service.create_job_from_template(session, caller, settings, blobs, references, form)


@endpoint("GET", JOB, errors=(403, 404), tag=TAG)
def read_job(session: Session, caller: Caller, custom_job_id: str) -> CustomJobResponse:
    """Read a custom job."""
    return service.read_job(session, caller, custom_job_id)


@endpoint("PATCH", JOB, status=201, errors=(403, 404, 422), tag=TAG, form=UpdateCustomJob, json_form=True)
def update_job(
    session: Session,
    caller: Caller,
    custom_job_id: str,
    form: FormInput[Blob],
    settings: Settings,
    blobs: BlobStore,
    references: References,
) -> CustomJobResponse:
    """Change a custom job's settings or files.

    Sent files are added or replace those at their path; sent parameter values are merged into those that are set, and
    null falls back to the default. Runs that were started before are not affected.
    """
    return service.update_job(session, caller, settings, blobs, references, custom_job_id, form)


@endpoint("DELETE", JOB, status=204, errors=(403, 404, 409), tag=TAG)
def delete_job(session: Session, caller: Caller, custom_job_id: str) -> None:
    """Put a custom job away; it can be read among the deleted ones until it is cleaned up."""
    service.delete_job(session, caller, custom_job_id)


@endpoint("GET", JOB + "items/{itemId}/", errors=(403, 404, 422), tag=TAG)
def read_item(
    session: Session, caller: Caller, custom_job_id: str, item_id: str, blobs: BlobStore
) -> CustomJobFileResponse:
    """Read one of a custom job's files as text."""
    return service.read_item(session, caller, blobs, custom_job_id, item_id)


@endpoint("GET", "/deletedCustomJobs/", errors=(403,), tag=TAG)
def list_deleted(session: Session, caller: Caller, query: PageQuery, request: RequestInfo) -> Page[CustomJobResponse]:
    """List the deleted custom jobs that you may see."""
    return service.list_deleted(session, caller, query, request)


@endpoint("POST", "/customJobsCleanup/{customJobId}/", status=204, errors=(401, 403, 404, 409), tag=TAG)
def clean_up_job(session: Session, caller: Caller, custom_job_id: str) -> None:
    """Erase a deleted custom job for good, with its runs, logs and files."""
    service.clean_up_job(session, caller, custom_job_id)


@endpoint("GET", JOB + "sharedRoles/", errors=(403, 404, 422), documented_as_required=PAGING, tag=TAG)
def list_roles(
    session: Session, caller: Caller, custom_job_id: str, query: SharedRolesQuery, request: RequestInfo
) -> Page[AccessControlV2]:
    """List the users, groups and organizations that a custom job is shared with."""
    return service.list_roles(session, caller, custom_job_id, query, request)


@endpoint("PATCH", JOB + "sharedRoles/", status=204, errors=(403, 404, 409, 422), tag=TAG)
def change_roles(
    session: Session, caller: Caller, custom_job_id: str, body: SharedRolesUpdate, settings: Settings
) -> None:
    """Share a custom job with users, groups or organizations, or take it away again."""
    service.change_roles(session, caller, settings, custom_job_id, body)
