"""Executing runs: an operation that takes a run from phase to phase, and survives whoever does it."""

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy.orm import Session

from modelyard.compute.executor import Executor, Observation, State
from modelyard.compute.free_space import SPACE_PAUSE_S, WAITING
from modelyard.compute.log_keeping import keep_log
from modelyard.compute.nodes import observe
from modelyard.compute.watching import awaited
from modelyard.credentials.variables import open_variables
from modelyard.environments.builds import image_spec
from modelyard.environments.tables import EnvironmentVersion
from modelyard.environments.work import ensure_image
from modelyard.events.schemas import Event
from modelyard.events.service import publish
from modelyard.identity.accounts import lend_token, return_tokens
from modelyard.jobs.runs import queue
from modelyard.jobs.runs.outcome import Outcome, outcome_of
from modelyard.jobs.runs.programs import OUTPUT_FOLDER
from modelyard.jobs.runs.service import LOOK_AGAIN_S, OPERATION_KIND
from modelyard.jobs.runs.workloads import workload_of
from modelyard.jobs.tables import CustomJob, CustomJobRun, Phase, RunLog, RunStatus
from modelyard.jobs.views import parameters_of
from modelyard.kernel.errors import Conflict
from modelyard.kernel.ids import new_id
from modelyard.kernel.secret_box import SecretBox
from modelyard.kernel.settings import Settings
from modelyard.operations.work import Cancelled, Handler, OperationFailed, Waiting, Work
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces import service as workspaces
from modelyard.workspaces.checkout import Checkouts
from modelyard.workspaces.collecting import Limits, collect_files
from modelyard.workspaces.parameter_variables import credential_ids
from modelyard.workspaces.tables import Workspace

END_GRACE_S = 10.0
STOP_WAIT_S = 10.0
WATCH_S = 10.0
"""An executing run is looked at when its workload ends (see ``compute.watching``); so often in any case."""
RETRY_PAUSES_S = (1.0, 5.0, 15.0, 60.0)
TOKEN_SLACK_S = 600


def handlers() -> list[Handler]:
    return [Handler(OPERATION_KIND, (advance,), on_failure=_on_failure, on_cancel=_on_cancel)]


def executing(session: Session) -> Iterable[tuple[str, str]]:
    """The workloads of executing runs, with their operations (``compute.watching``)."""
    return awaited(session, CustomJobRun, CustomJobRun.phase == Phase.EXECUTING.value)


def advance(work: Work) -> None:
    """Takes the run through its phases; gives the thread back while there is nothing to do but wait."""
    while True:
        work.checkpoint()
        with work.database.read() as session:
            run = session.get(CustomJobRun, work.payload["run_id"])
        if run is None:
            raise OperationFailed("The run was erased.")
        if run.phase == Phase.FINISHED.value:
            _answer(run)
            return
        PHASES[Phase(run.phase)](work, run)


def _answer(run: CustomJobRun) -> None:
    """Ends the operation as the run ended."""
    if run.status == RunStatus.CANCELED.value:
        raise Cancelled(run.id)
    if run.status != RunStatus.SUCCEEDED.value:
        raise OperationFailed(f"The run {_how_it_ended(run)}")


def _wait_for_place(work: Work, run: CustomJobRun) -> None:
    settings = work.parts.get(Settings)
    with work.database.write() as session:  # not a unit, whose operation would be locked before the queue
        queue.let_in(session, settings, run.organization_id)
        row = _locked(session, run.id)
        if row.phase != Phase.WAITING.value:
            return
        if row.status == RunStatus.CANCELING.value:
            _finish(session, settings, row, Outcome(RunStatus.CANCELED, "canceled before it began"))
            return
    raise Waiting(LOOK_AGAIN_S)


def _launch(work: Work, run: CustomJobRun) -> None:
    """Makes image and files ready, and starts the next attempt. Its workload is written down before it is started."""
    settings, executor = work.parts.get(Settings), work.parts.get(Executor)  # type: ignore[type-abstract]
    blobs, checkouts = work.parts.get(BlobStore), work.parts.get(Checkouts)  # type: ignore[type-abstract]
    if run.status == RunStatus.CANCELING.value:
        _end_before_start(work, run, Outcome(RunStatus.CANCELED, "canceled"))
        return
    if run.retry_at is not None and (left_s := (run.retry_at - datetime.now(UTC)).total_seconds()) > 0:
        raise Waiting(left_s)
    if missing := executor.missing_space():
        with work.unit() as session:
            _locked(session, run.id).reason = missing
        raise Waiting(SPACE_PAUSE_S)
    with work.database.read() as session:
        workspace = session.get_one(Workspace, run.workspace_id)
        files = workspaces.files_in(session, workspace)
        spec = image_spec(session, blobs, session.get_one(EnvironmentVersion, run.environment_version_id), workspace)
    output: list[str] = []
    try:
        image = ensure_image(work, spec, work.say, output.append)
    except OperationFailed as error:
        _end_before_start(work, run, Outcome(RunStatus.FAILED, error.message), "".join(output))
        return
    code = checkouts.path(files)
    try:
        with work.database.read() as session:
            ids = credential_ids(parameters_of(run))
            opened = open_variables(session, work.parts.get(SecretBox), run.created_by_id, ids)
    except Conflict as error:
        _end_before_start(work, run, Outcome(RunStatus.FAILED, error.message))
        return
    with work.unit() as session:
        row = _locked(session, run.id)
        if row.status == RunStatus.CANCELING.value or row.parameter_values != run.parameter_values:
            return  # to be looked at anew
        row.phase = Phase.EXECUTING.value
        row.workload_id, row.node_id = row.workload_id or new_id(), executor.node_id
        row.started_at = row.started_at or datetime.now(UTC)
        row.attempt += 1
        row.retry_at = None
        if (row.reason or "").startswith(WAITING):
            row.reason = None
        token = _token(session, row)
        workload = workload_of(settings, blobs, row, files, image, code, token, opened)
    work.checkpoint()  # a controller that was away for long must not start what another has taken over
    executor.start(workload)


def _watch(work: Work, run: CustomJobRun) -> None:
    """Waits for the workload's end, stops it where that is asked, and concludes the attempt."""
    executor = work.parts.get(Executor)  # type: ignore[type-abstract]
    assert run.workload_id is not None  # noqa: S101 # written in the transaction that made the phase
    seen = observe(executor, run)
    if seen.is_alive:
        if run.status == RunStatus.CANCELING.value:
            executor.stop(run.workload_id, END_GRACE_S)
        raise Waiting(WATCH_S)
    if seen.state is State.ABSENT:
        _start_again(work, run)
        return
    executor.stop(run.workload_id, 0)  # kills what a lost one may have left
    _conclude(work, run, seen)


def _start_again(work: Work, run: CustomJobRun) -> None:
    """Whoever was to start the workload ended just before. It has the same id, so it cannot run twice."""
    with work.unit() as session:
        row = _locked(session, run.id)
        if row.phase == Phase.EXECUTING.value:
            row.phase = Phase.PREPARING.value
            row.attempt -= 1


def _conclude(work: Work, run: CustomJobRun, seen: Observation) -> None:
    """Keeps what the attempt wrote, and ends the run or begins the next attempt."""
    settings, executor = work.parts.get(Settings), work.parts.get(Executor)  # type: ignore[type-abstract]
    blobs = work.parts.get(BlobStore)  # type: ignore[type-abstract]
    workload_id = str(run.workload_id)
    is_canceled = run.status == RunStatus.CANCELING.value
    outcome = outcome_of(seen, is_canceled=is_canceled)
    retries = not is_canceled and outcome.status is not RunStatus.SUCCEEDED and run.attempt <= run.max_retries
    pause_s = RETRY_PAUSES_S[min(run.attempt, len(RETRY_PAUSES_S)) - 1]
    closing = outcome.last_line(seen, run.attempt, run.max_retries, pause_s if retries else None)
    log = keep_log(blobs, executor.logs(workload_id), closing)
    limits = Limits(settings.max_artifacts, settings.max_work_bytes)
    folder = executor.work(workload_id) / OUTPUT_FOLDER
    artifacts = [] if retries else collect_files(blobs, folder, limits, log.say, source="run")
    kept = log.finish()
    with work.unit() as session:
        row = _locked(session, run.id)
        if (row.workload_id, row.phase, row.status) != (workload_id, run.phase, run.status):
            return  # such as canceled in the meantime: look once more
        session.merge(RunLog(run_id=row.id, attempt=row.attempt, **kept))
        row.peak_memory_bytes = max(row.peak_memory_bytes or 0, seen.peak_memory_bytes or 0) or None
        row.workload_id = None
        row.exit_code = seen.exit_code
        if retries:
            row.phase, row.reason = Phase.PREPARING.value, outcome.reason
            row.retry_at = datetime.now(UTC) + timedelta(seconds=pause_s)
            return_tokens(session, row.id)  # the next attempt gets one of its own
        else:
            if artifacts:
                row.artifacts_workspace_id = workspaces.create(session, artifacts, max_files=settings.max_artifacts).id
            _finish(session, settings, row, outcome)
    executor.remove(workload_id)
    if retries:
        raise Waiting(pause_s)


def _end_before_start(work: Work, run: CustomJobRun, outcome: Outcome, output: str = "") -> None:
    """Ends a run of which no attempt is under way; ``output`` is what the build of its image said."""
    blobs = work.parts.get(BlobStore)  # type: ignore[type-abstract]
    log = keep_log(blobs, None, None)
    log.write(output)
    log.say(str(outcome.reason))
    kept = log.finish()
    with work.unit() as session:
        row = _locked(session, run.id)
        session.merge(RunLog(run_id=row.id, attempt=row.attempt + 1, **kept))
        _finish(session, work.parts.get(Settings), row, outcome)


def _finish(session: Session, settings: Settings, row: CustomJobRun, outcome: Outcome) -> None:
    """The end of the run, whose place is given to the next in the same transaction."""
    row.status, row.reason = outcome.status.value, outcome.reason
    row.phase = Phase.FINISHED.value
    row.ended_at = datetime.now(UTC)
    return_tokens(session, row.id)
    queue.let_in(session, settings, row.organization_id)
    if outcome.status in {RunStatus.FAILED, RunStatus.INTERRUPTED}:
        _tell(session, row)


def _tell(session: Session, row: CustomJobRun) -> None:
    """Publishes that the run failed; last in its transaction, as events are."""
    job = session.get_one(CustomJob, row.job_id)
    why = row.reason or f"exit code {row.exit_code}"
    publish(
        session,
        Event(
            type="runFailed",
            message=f"A run of {job.name} {_how_it_ended(row)}",
            organization_id=row.organization_id,
            reason=why,
            custom_job_id=job.id,
            custom_job_name=job.name,
            custom_job_run_id=row.id,
        ),
    )


def _how_it_ended(run: CustomJobRun) -> str:
    """The end of a sentence about a run that did not succeed."""
    why = run.reason or f"exit code {run.exit_code}"
    verb = "failed" if run.status == RunStatus.FAILED.value else f"was {run.status}"
    return f"{verb}: {why.removesuffix('.')}."


def _token(session: Session, row: CustomJobRun) -> str:
    expires_at = datetime.now(UTC) + timedelta(seconds=row.timeout_s + TOKEN_SLACK_S)
    return lend_token(session, row.created_by_id, row.id, f"custom job run {row.id}", expires_at=expires_at)


def _locked(session: Session, run_id: str) -> CustomJobRun:
    return session.get_one(CustomJobRun, run_id, with_for_update=True)


def _on_failure(work: Work, message: str) -> None:
    """Modelyard itself could not execute the run to its end. Whatever still runs is stopped, its output is kept."""
    executor, blobs = work.parts.get(Executor), work.parts.get(BlobStore)  # type: ignore[type-abstract]
    with work.database.read() as session:
        run = session.get(CustomJobRun, work.payload["run_id"])
    if run is None or run.ended_at is not None:
        return
    if run.workload_id is not None:
        _stop_now(work, executor, run.workload_id)
    log = keep_log(blobs, executor.logs(run.workload_id) if run.workload_id else None, message)
    kept = log.finish()
    with work.unit(partial(queue.PLACES.lock, organization_id=run.organization_id)) as session:  # it may still wait
        row = _locked(session, run.id)
        if row.ended_at is not None:
            return
        session.merge(RunLog(run_id=row.id, attempt=row.attempt if run.workload_id else row.attempt + 1, **kept))
        row.workload_id = None
        _finish(session, work.parts.get(Settings), row, Outcome(RunStatus.INTERRUPTED, message))
    if run.workload_id is not None and not executor.observe(run.workload_id).is_alive:
        executor.remove(run.workload_id)


def _stop_now(work: Work, executor: Executor, workload_id: str) -> None:
    """Ends a workload by force, and waits for that: the supervisor needs a moment to write the last lines."""
    executor.stop(workload_id, 0)
    deadline = time.monotonic() + STOP_WAIT_S
    while executor.observe(workload_id).is_alive and time.monotonic() < deadline:
        work.pause(0.02)


def _on_cancel(work: Work) -> None:
    """Nothing: a run is canceled by its own status, and its operation is ABORTED when that is done."""


PHASES: dict[Phase, Callable[[Work, CustomJobRun], None]] = {
    Phase.WAITING: _wait_for_place,
    Phase.PREPARING: _launch,
    Phase.EXECUTING: _watch,
}
