"""Custom jobs: making, reading, changing, deleting and cleaning them up (seed 003)."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Select, delete, exists, select, update
from sqlalchemy.orm import Session

from modelyard.events.service import forget_events
from modelyard.identity import audit, sharing
from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.identity.shared_roles import (
    AccessControlV2,
    SharedRolesQuery,
    SharedRolesUpdate,
    change_shared_roles,
    list_shared_roles,
)
from modelyard.identity.tables import Grant, ResourceKind
from modelyard.jobs import changes as parts
from modelyard.jobs import files as job_files
from modelyard.jobs import gallery
from modelyard.jobs.schedules.tables import CustomJobSchedule
from modelyard.jobs.schemas import (
    CreateCustomJob,
    CreateCustomJobFromTemplateGallery,
    CustomJobFileResponse,
    CustomJobLimitsResponse,
    CustomJobListQuery,
    CustomJobResponse,
    JobSettings,
    UpdateCustomJob,
)
from modelyard.jobs.tables import CustomJob, CustomJobRun, RunLog
from modelyard.jobs.views import view_job, view_jobs
from modelyard.kernel.errors import Conflict, NotFound, invalid
from modelyard.kernel.form_input import FormInput
from modelyard.kernel.ids import is_id, new_id
from modelyard.kernel.paging import Page, PageQuery, count_rows, of_items, page
from modelyard.kernel.problems import Problems
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import UNSET, changes, read_bool
from modelyard.operations import service as operations
from modelyard.storage.blobs import Blob, BlobStore
from modelyard.workspaces.erasing import erase
from modelyard.workspaces.references import References

KIND = ResourceKind.CUSTOM_JOB
BATCH = 500


def read_limits(settings: Settings) -> CustomJobLimitsResponse:
    return CustomJobLimitsResponse(
        max_custom_job_runs=settings.max_custom_job_runs, max_custom_job_timeout=int(settings.job_timeout_s)
    )


def list_jobs(
    session: Session, caller: Caller, query: CustomJobListQuery, request: RequestInfo
) -> Page[CustomJobResponse]:
    """The jobs that the caller may view and that are not deleted, newest first."""
    filters: list[ColumnElement[bool]] = []
    if query.only_running is not None and read_bool(query.only_running, "onlyRunning"):
        filters.append(exists().where(CustomJobRun.job_id == CustomJob.id, CustomJobRun.ended_at.is_(None)))
    if query.search:
        filters.append(CustomJob.search_text.contains(query.search.casefold(), autoescape=True))
    if query.job_type:
        filters.append(CustomJob.job_type.in_(query.job_type))
    if not filters:
        return _plain_page(session, caller, query, request)
    statement = sharing.scoped(session, caller, KIND, CustomJob, CustomJob.id).where(CustomJob.deleted_at.is_(None))
    statement = statement.where(*filters).order_by(CustomJob.id.desc())
    return page(session, statement, query, request, lambda rows: view_jobs(session, rows))


def _plain_page(
    session: Session, caller: Caller, query: CustomJobListQuery, request: RequestInfo
) -> Page[CustomJobResponse]:
    """A page of all, which neither counts nor sorts them."""
    total = sharing.count_visible(session, caller, KIND) - count_rows(
        session, _deleted(session, caller).with_only_columns(CustomJob.id)
    )
    ids = sharing.visible_ids(
        session,
        caller,
        KIND,
        offset=query.offset,
        limit=query.limit,
        condition=exists().where(CustomJob.id == Grant.resource_id, CustomJob.deleted_at.is_(None)),
    )
    rows = {row.id: row for row in session.scalars(select(CustomJob).where(CustomJob.id.in_(ids)))}
    return of_items(view_jobs(session, [rows[id_] for id_ in ids if id_ in rows]), total, query, request)


def list_deleted(session: Session, caller: Caller, query: PageQuery, request: RequestInfo) -> Page[CustomJobResponse]:
    """The deleted jobs that the caller may view, newest first."""
    statement = _deleted(session, caller).order_by(CustomJob.id.desc())
    return page(session, statement, query, request, lambda rows: view_jobs(session, rows))


def _deleted(session: Session, caller: Caller) -> Select[tuple[CustomJob]]:
    scoped = sharing.scoped(session, caller, KIND, CustomJob, CustomJob.id, by_row=True)
    return scoped.where(CustomJob.deleted_at.is_not(None))


def create_job(
    session: Session,
    caller: Caller,
    settings: Settings,
    blobs: BlobStore,
    references: References,
    form: FormInput[Blob],
) -> CustomJobResponse:
    """A new job of the caller's own."""
    body = parts.KINDS.read(form, CreateCustomJob)
    job = _new(caller, "", body.job_type)
    _apply(session, caller, settings, blobs, references, job, form, body, Problems())
    _require_room(session, settings, job)
    add(session, caller, job, {"name": job.name, "jobType": job.job_type})
    return view_job(session, job)


def create_job_from_template(
    session: Session,
    caller: Caller,
    settings: Settings,
    blobs: BlobStore,
    references: References,
    form: FormInput[Blob],
) -> CustomJobResponse:
    """A new job with what the template has: files, environment, resources, readme and tags; what was sent wins."""
    body = parts.KINDS.read(form, CreateCustomJobFromTemplateGallery)
    with _refusing_the_rest(session, caller, settings, body):
        template = gallery.job_template(session, caller, body.template_id)
    job = _new(caller, template.name, gallery.job_type(template, body))
    gallery.fill(session, caller, blobs, job, template)
    problems = Problems()
    if job.environment_id is None and body.environment_id is UNSET and body.environment_version_id is UNSET:
        problems.add("environmentId", "you may not see the template's execution environment; send one of your own")
    _apply(session, caller, settings, blobs, references, job, form, body, problems)
    _require_room(session, settings, job)
    add(session, caller, job, {"name": job.name, "jobType": job.job_type, "templateId": template.id})
    return view_job(session, job)


def read_job(session: Session, caller: Caller, job_id: str) -> CustomJobResponse:
    return view_job(session, find_job(session, caller, job_id, Permission.VIEW))


def update_job(
    session: Session,
    caller: Caller,
    settings: Settings,
    blobs: BlobStore,
    references: References,
    job_id: str,
    form: FormInput[Blob],
) -> CustomJobResponse:
    """Changes what was sent. Runs that were started before go on with what they were made of."""
    job = find_job(session, caller, job_id, Permission.EDIT, lock=True)
    body = parts.KINDS.read(form, UpdateCustomJob)
    before = job.workspace_id
    _apply(session, caller, settings, blobs, references, job, form, body, Problems())
    job.updated_at = datetime.now(UTC)
    audit.record(session, caller, "update", KIND, job.id, {"fields": sorted(changes(body))})
    parts.drop_unused_workspace(session, before, job)
    session.flush()
    return view_job(session, job)


def delete_job(session: Session, caller: Caller, job_id: str) -> None:
    """Puts the job away: it is listed among the deleted ones until it is cleaned up. ``Conflict`` while it runs.

    Its schedules stop.
    """
    job = find_job(session, caller, job_id, Permission.DELETE, lock=True)
    running = session.scalar(
        select(CustomJobRun.id).where(CustomJobRun.job_id == job.id, CustomJobRun.ended_at.is_(None)).limit(1)
    )
    if running is not None:
        raise Conflict(f"Run {running} of custom job {job.id} has not ended; cancel it before you delete the job.")
    job.deleted_at = datetime.now(UTC)
    session.execute(update(CustomJobSchedule).where(CustomJobSchedule.job_id == job.id).values(next_due_at=None))
    audit.record(session, caller, "delete", KIND, job.id, {"name": job.name})


def clean_up_job(session: Session, caller: Caller, job_id: str) -> None:
    """Erases a deleted job for good, with its runs, logs, artifacts, schedules and the files that nobody else uses."""
    job = find_job(session, caller, job_id, Permission.DELETE, lock=True, deleted=None)
    if job.deleted_at is None:
        raise Conflict(f"Custom job {job.id} is not deleted, so it cannot be erased; delete it first.")
    held = {job.workspace_id}
    of_job = CustomJobRun.job_id == job.id
    for run in session.execute(select(CustomJobRun.workspace_id, CustomJobRun.artifacts_workspace_id).where(of_job)):
        held.update(each for each in run if each is not None)
    logs = session.scalars(select(RunLog.digest).join(CustomJobRun, CustomJobRun.id == RunLog.run_id).where(of_job))
    digests = list(logs)
    operations.forget(session, session.scalars(select(CustomJobRun.id).where(of_job)), open_too=True)
    session.execute(delete(CustomJobRun).where(CustomJobRun.job_id == job.id))
    forget_events(session, job.id)
    session.execute(delete(CustomJobSchedule).where(CustomJobSchedule.job_id == job.id))
    sharing.forget(session, KIND, job.id)
    audit.record(session, caller, "erase", KIND, job.id, {"name": job.name})
    session.delete(job)
    session.flush()
    erase(session, sorted(held), digests)


def read_item(session: Session, caller: Caller, blobs: BlobStore, job_id: str, item_id: str) -> CustomJobFileResponse:
    job = find_job(session, caller, job_id, Permission.VIEW)
    return job_files.read_text(session, blobs, job.workspace_id, item_id)


def list_roles(
    session: Session, caller: Caller, job_id: str, query: SharedRolesQuery, request: RequestInfo
) -> Page[AccessControlV2]:
    """Whom the job is shared with."""
    find_job(session, caller, job_id, Permission.VIEW)
    return list_shared_roles(session, caller, KIND, job_id, query, request)


def change_roles(session: Session, caller: Caller, settings: Settings, job_id: str, body: SharedRolesUpdate) -> None:
    """Sets or takes away roles, all or none."""
    find_job(session, caller, job_id, Permission.VIEW)
    change_shared_roles(session, caller, settings, KIND, job_id, body)


def find_job(
    session: Session,
    caller: Caller,
    job_id: str,
    permission: Permission,
    *,
    lock: bool = False,
    deleted: bool | None = False,
) -> CustomJob:
    """The job, if the caller's role allows ``permission``; with ``deleted`` None also one that is deleted."""
    missing = NotFound(f"There is no custom job {job_id} that you may see.")
    if not is_id(job_id):
        raise missing
    sharing.require(session, caller, KIND, job_id, permission, what="custom job")
    job = session.get(CustomJob, job_id, with_for_update=lock, populate_existing=lock)
    if job is None:
        raise missing
    if deleted is False and job.deleted_at is not None:
        raise NotFound(f"Custom job {job_id} was deleted; deletedCustomJobs/ lists it until it is cleaned up.")
    return job


def add(session: Session, caller: Caller, job: CustomJob, detail: dict[str, object]) -> None:
    """Stores a job that was made, as the caller's own."""
    session.add(job)
    session.flush()
    sharing.grant_owner(session, caller, KIND, job.id)
    audit.record(session, caller, "create", KIND, job.id, detail)
    session.flush()


def _require_room(session: Session, settings: Settings, job: CustomJob) -> None:
    """One event may start all notification jobs of an organization, so these are limited. Raises ``Invalid``."""
    if job.job_type != parts.NOTIFICATION:
        return
    there = select(CustomJob.id).where(
        CustomJob.organization_id == job.organization_id,
        CustomJob.job_type == parts.NOTIFICATION,
        CustomJob.deleted_at.is_(None),
    )
    limit = settings.max_notification_jobs
    if count_rows(session, there.limit(limit)) == limit:
        raise invalid(
            jobType=f"the organization has {limit} jobs of type {parts.NOTIFICATION}, and no more may be: an event "
            "could start them all"
        )


@contextmanager
def _refusing_the_rest(session: Session, caller: Caller, settings: Settings, body: JobSettings) -> Iterator[None]:
    """An ``Invalid`` that is raised inside tells also what can be seen to be wrong without a template."""
    problems = Problems()
    with problems.collecting():
        yield
    if problems.errors:
        nothing = _new(caller, "", parts.NOTIFICATION)
        parts.set_environment(session, caller, nothing, body, problems)
        parts.set_limits(nothing, body, settings, problems)
    problems.raise_all()


def _new(caller: Caller, name: str, job_type: str) -> CustomJob:
    now = datetime.now(UTC)
    return CustomJob(
        id=new_id(),
        organization_id=caller.organization_id,
        created_by_id=caller.user_id,
        created_at=now,
        updated_at=now,
        name=name,
        description="",
        job_type=job_type,
        egress_policy="none",
        max_retries=0,
        run_count=0,
        parameter_values=[],
        tags=[],
    )


def _apply(
    session: Session,
    caller: Caller,
    settings: Settings,
    blobs: BlobStore,
    references: References,
    job: CustomJob,
    form: FormInput[Blob],
    body: JobSettings,
    problems: Problems,
) -> None:
    """Puts what was sent into the row; raises ``Invalid`` with all that is wrong."""
    given = changes(body)
    if "name" in given:
        job.name = given["name"]
        if not job.name.strip():
            problems.add("name", "must not be blank")
    if "description" in given:
        job.description = given["description"]
    job.search_text = f"{job.name}\n{job.description}".casefold()
    parts.set_environment(session, caller, job, body, problems)
    parts.set_required_metadata(session, job, body, problems)
    parts.set_limits(job, body, settings, problems)
    parts.set_subscription(job, body, references.seen_by(session, caller), problems)
    is_defined = parts.set_files(session, settings, blobs, job, form, body, problems)
    parts.set_parameters(job, body, references.seen_by(session, caller), problems, is_defined=is_defined)
    problems.raise_all()
