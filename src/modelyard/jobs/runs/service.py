"""Starting, reading, changing and cancelling runs, and the files that are kept of them (seed 003)."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from modelyard.compute.bundles import require_givable
from modelyard.compute.isolation import require_enforceable
from modelyard.environments import service as environments
from modelyard.environments.required_metadata import settled
from modelyard.identity import audit
from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.jobs import files as job_files
from modelyard.jobs.changes import check_defined, stored
from modelyard.jobs.files import DEFAULT_ENTRY_POINTS, entry_point
from modelyard.jobs.runs import programs, queue
from modelyard.jobs.runs.schemas import CreateCustomJobRun, CustomJobRunListQuery, CustomJobRunResponse
from modelyard.jobs.runs.views import view_run, view_runs
from modelyard.jobs.runs.workloads import NETWORKS
from modelyard.jobs.schemas import CustomJobFileResponse
from modelyard.jobs.service import find_job
from modelyard.jobs.tables import CustomJob, CustomJobRun, Phase, RunLog, RunStatus
from modelyard.jobs.views import definitions_of, values_of
from modelyard.kernel.errors import Conflict, Invalid, NotFound, invalid
from modelyard.kernel.ids import is_id, new_id
from modelyard.kernel.paging import Page, page
from modelyard.kernel.problems import Problems
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import UNSET, changes
from modelyard.operations import service as operations
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces import service as workspaces
from modelyard.workspaces.parameter_variables import missing_names
from modelyard.workspaces.references import References
from modelyard.workspaces.runtime_parameters import (
    Definition,
    ReferenceFault,
    Value,
    check_values,
    merge,
    views,
    without_empty,
)
from modelyard.workspaces.service import StoredFile
from modelyard.workspaces.tables import Workspace

AUDIT_KIND = "customJobRun"
OPERATION_KIND = "customJob.run"
LOOK_AGAIN_S = 30.0
"""A run that waits is woken when its turn comes; so often it looks by itself, in case that was lost."""


def list_runs(
    session: Session, caller: Caller, job_id: str, query: CustomJobRunListQuery, request: RequestInfo
) -> Page[CustomJobRunResponse]:
    """The runs of a job, newest first."""
    job = find_job(session, caller, job_id, Permission.VIEW)
    statement = select(CustomJobRun).where(CustomJobRun.job_id == job.id)
    total = job.run_count
    if query.scheduled_job_id:
        statement = statement.where(CustomJobRun.schedule_id == query.scheduled_job_id)
    return page(
        session,
        statement.order_by(CustomJobRun.id.desc()),
        query,
        request,
        lambda rows: view_runs(session, rows),
        total=None if query.scheduled_job_id else total,
    )


def create_run(
    session: Session,
    caller: Caller,
    settings: Settings,
    blobs: BlobStore,
    references: References,
    job_id: str,
    body: CreateCustomJobRun,
) -> CustomJobRunResponse:
    """Starts a run of what the job is now."""
    job = find_job(session, caller, job_id, Permission.EDIT, lock=True)
    description = "" if body.description is UNSET else body.description
    run = start_run(session, caller, settings, blobs, references, job, body.values(), description=description)
    return view_run(session, run)


def start_run(
    session: Session,
    caller: Caller,
    settings: Settings,
    blobs: BlobStore,
    references: References,
    job: CustomJob,
    values: Sequence[Value],
    *,
    description: str = "",
    schedule_id: str | None = None,
    event: dict[str, Any] | None = None,
) -> CustomJobRun:
    """Puts a run of ``job`` (whose row is locked) in line on behalf of ``caller``, whose rights it will have.

    ``values`` go over the job's own. Raises ``Invalid`` with all that keeps the job from running, or because too many
    runs wait.
    """
    files = workspaces.files_in(session, session.get_one(Workspace, job.workspace_id))
    problems = Problems()
    with problems.collecting():
        require_enforceable(settings.sandbox, NETWORKS[job.egress_policy], "egressNetworkPolicy")
    with problems.collecting():
        require_givable(settings, job.resource_bundle_id, "resources.resourceBundleId")
    path = _program(blobs, files, job, problems)
    required: dict[str, str] = {}
    with problems.collecting():
        _check_environment(session, job)
        required = settled(session, job.environment_id, None, job.required_metadata)
    with problems.collecting():
        values = _checked(references.seen_by(session, caller), definitions_of(job), values_of(job), values)
    problems.raise_all()
    queue.require_room(session, settings, job)
    run = CustomJobRun(
        id=new_id(),
        job_id=job.id,
        organization_id=job.organization_id,
        created_by_id=caller.user_id,
        created_at=datetime.now(UTC),
        description=description,
        workspace_id=job.workspace_id,
        entry_point_path=path,
        environment_version_id=job.environment_version_id,
        egress_policy=job.egress_policy,
        resource_bundle_id=job.resource_bundle_id,
        parameter_definitions=job.parameter_definitions,
        parameter_values=stored(values),
        required_metadata=required,
        timeout_s=job.timeout_s or int(settings.job_timeout_s),
        max_retries=job.max_retries,
        schedule_id=schedule_id,
        event=event,
        status=RunStatus.RUNNING.value,
        phase=Phase.WAITING.value,
        attempt=0,
    )
    session.add(run)
    operation = operations.start(
        session,
        caller,
        OPERATION_KIND,
        status_type="CustomJobRun",
        payload={"run_id": run.id},
        resource_id=run.id,
        result_path=f"/customJobs/{job.id}/runs/{run.id}/",
        description=f"Running custom job {job.name}",
        due_at=datetime.now(UTC) + timedelta(seconds=LOOK_AGAIN_S),
    )
    run.operation_id = operation.id
    job.last_run_id = run.id
    job.run_count += 1
    audit.record(session, caller, "create", AUDIT_KIND, run.id, {"customJobId": job.id, "scheduleId": schedule_id})
    queue.let_in(session, settings, job.organization_id)
    return run


def read_run(session: Session, caller: Caller, job_id: str, run_id: str) -> CustomJobRunResponse:
    return view_run(session, find_run(session, caller, job_id, run_id, Permission.VIEW))


def update_run(
    session: Session, caller: Caller, references: References, job_id: str, run_id: str, body: CreateCustomJobRun
) -> CustomJobRunResponse:
    """Changes the description of a run that has not ended, or the parameters of one that has not begun."""
    run = find_run(session, caller, job_id, run_id, Permission.EDIT, lock=True)
    _refuse_ended(run, "changed")
    if body.description is not UNSET:
        run.description = body.description
    if body.runtime_parameter_values is not UNSET:
        if run.phase == Phase.EXECUTING.value or run.attempt:
            raise invalid(
                runtimeParameterValues=f"run {run_id} has begun already; cancel it and start another with new values"
            )
        wanted = body.values()
        base = merge(values_of(run), _values_of_job(session.get_one(CustomJob, job_id), run, wanted))
        run.parameter_values = stored(_checked(references.seen_by(session, caller), definitions_of(run), base, wanted))
    audit.record(session, caller, "update", AUDIT_KIND, run.id, {"fields": sorted(changes(body))})
    session.flush()
    return view_run(session, run)


def cancel_run(session: Session, caller: Caller, job_id: str, run_id: str) -> None:
    """Has a run stopped: asked to end, and after a grace period by force. ``Invalid`` when it has ended."""
    run = find_run(session, caller, job_id, run_id, Permission.EDIT)
    if run.operation_id is not None:
        operations.wake(session, run.operation_id)  # first, since whoever works on it locks them in this order, too
    session.refresh(run, with_for_update=True)
    _refuse_ended(run, "canceled")
    if run.status == RunStatus.CANCELING.value:
        return
    run.status = RunStatus.CANCELING.value
    audit.record(session, caller, "cancel", AUDIT_KIND, run.id, {"customJobId": run.job_id})


def read_item(
    session: Session, caller: Caller, blobs: BlobStore, job_id: str, run_id: str, item_id: str
) -> CustomJobFileResponse:
    run = find_run(session, caller, job_id, run_id, Permission.VIEW)
    return job_files.read_text(session, blobs, run.workspace_id, item_id)


def delete_logs(session: Session, caller: Caller, job_id: str, run_id: str) -> None:
    """Deletes what the run wrote. ``NotFound`` when that was done before, ``Conflict`` while the run goes on."""
    run = find_run(session, caller, job_id, run_id, Permission.EDIT, lock=True)
    require_logs(run)
    if run.ended_at is None:
        raise Conflict(f"Run {run_id} has not ended; its log can be deleted when it has.")
    run.logs_deleted_at = datetime.now(UTC)
    session.execute(delete(RunLog).where(RunLog.run_id == run.id))
    audit.record(session, caller, "deleteLogs", AUDIT_KIND, run.id, {"customJobId": run.job_id})


def require_logs(run: CustomJobRun) -> None:
    if run.logs_deleted_at is not None:
        raise NotFound(f"The logs of run {run.id} were deleted.")


def find_run(
    session: Session, caller: Caller, job_id: str, run_id: str, permission: Permission, *, lock: bool = False
) -> CustomJobRun:
    """The run of this job, if the caller's role on the job allows ``permission``."""
    find_job(session, caller, job_id, permission)
    run = session.get(CustomJobRun, run_id, with_for_update=lock, populate_existing=lock) if is_id(run_id) else None
    if run is None or run.job_id != job_id:
        raise NotFound(f"There is no run {run_id} of custom job {job_id}.")
    return run


def _refuse_ended(run: CustomJobRun, done: str) -> None:
    if run.ended_at is not None:
        text = f"run {run.id} has ended ({run.status}), so it cannot be {done}"
        raise Invalid(text[0].upper() + text[1:] + ".", {"status": text})


def _program(blobs: BlobStore, files: Sequence[StoredFile], job: CustomJob, problems: Problems) -> str:
    found = entry_point(files, job.entry_point_path)
    if found is None:
        problems.add(
            "entryPoint", f"the job has no entry point: choose an item, or add {' or '.join(DEFAULT_ENTRY_POINTS)}"
        )
        return ""
    with problems.collecting():
        programs.require_program(blobs, found)
    return found.path


def _check_environment(session: Session, job: CustomJob) -> None:
    """That the job's environment is there and built; that it may be used was checked when it was chosen."""
    if job.environment_id is None:
        raise invalid(environmentId="the job has no execution environment to run in; set one")
    try:
        environments.find_version(session, None, job.environment_id, job.environment_version_id)
    except Invalid as error:
        text = "; ".join(error.errors.values())
        raise invalid(environmentVersionId=text) from error


def _values_of_job(job: CustomJob, run: CustomJobRun, wanted: Sequence[Value]) -> list[Value]:
    """What the run falls back to for each null: the job's value, or None where the job has none of this type."""
    types = {definition.field_name: definition.type for definition in definitions_of(run)}
    of_job = {value.field_name: value for value in values_of(job) if types.get(value.field_name) == value.type}
    return [of_job.get(value.field_name, value) for value in wanted if value.value is None]


def _checked(
    reference_fault: ReferenceFault, definitions: Sequence[Definition], base: Sequence[Value], wanted: Sequence[Value]
) -> list[Value]:
    """``wanted`` over ``base``, a null keeping what is there; refuses the undefined, the unfitting and the missing."""
    field = "runtimeParameterValues"
    problems = Problems()
    with problems.collecting():
        check_defined(definitions, wanted, field)
    known = {definition.field_name for definition in definitions}
    inherited = [value for value in base if value.field_name in known]
    with problems.collecting():
        check_values(definitions, wanted, field, reference_fault, inherited=inherited, null_keeps=True)
    merged = merge(inherited, without_empty(wanted))
    if missing := missing_names(views(definitions, merged)):
        problems.add(field, f"{', '.join(missing)} must be set: there is no default, and allowEmpty is false")
    problems.raise_all()
    return merged
