"""Runs as the wire shows them, whole pages at once: a constant number of queries for any page."""

from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec import UNSET
from sqlalchemy.orm import Session

from modelyard.compute.free_space import WAITING
from modelyard.environments.required_metadata import listed
from modelyard.identity.accounts import usernames
from modelyard.jobs.runs.queue import PLACES
from modelyard.jobs.runs.schemas import CustomJobRunResponse
from modelyard.jobs.tables import CustomJobRun, Phase
from modelyard.jobs.views import parameters_of, resources_of
from modelyard.kernel.wire import moment
from modelyard.operations.places import COUNTED, waited_for
from modelyard.workspaces import service as workspaces
from modelyard.workspaces.items import WorkspaceItemResponse, items


def view_run(session: Session, run: CustomJobRun) -> CustomJobRunResponse:
    return view_runs(session, [run])[0]


def view_runs(session: Session, runs: Sequence[CustomJobRun]) -> list[CustomJobRunResponse]:
    files = workspaces.files_by_id(session, [run.workspace_id for run in runs])
    shown = {workspace_id: items(workspace_id, found) for workspace_id, found in files.items()}
    names = usernames(session, {run.created_by_id for run in runs})
    waiting = {run.organization_id for run in runs if run.phase == Phase.WAITING.value}
    before = {run_id: index for one in waiting for run_id, index in PLACES.positions(session, one).items()}
    return [
        _view(run, shown[run.workspace_id], names.get(run.created_by_id, ""), before.get(run.id, COUNTED))
        for run in runs
    ]


def duration_s(run: CustomJobRun) -> float:
    """How long the run has executed; 0 before it began."""
    if run.started_at is None:
        return 0.0
    return round(((run.ended_at or datetime.now(UTC)) - run.started_at).total_seconds(), 3)


def _waiting_for(run: CustomJobRun, before: int) -> str | None:
    if run.phase == Phase.WAITING.value:
        return waited_for(before, "run")
    if run.phase == Phase.PREPARING.value and (run.reason or "").startswith(WAITING):
        return "disk space"
    if run.phase == Phase.PREPARING.value:
        return "its environment and files" if run.attempt == 0 else f"attempt {run.attempt + 1} to begin"
    return None


def _view(run: CustomJobRun, shown: list[WorkspaceItemResponse], created_by: str, before: int) -> CustomJobRunResponse:
    entry = next((item.id for item in shown if item.file_path == run.entry_point_path), UNSET)
    return CustomJobRunResponse(
        id=run.id,
        custom_job_id=run.job_id,
        created=moment(run.created_at),
        description=run.description,
        duration=duration_s(run),
        entry_point=entry,
        items=shown,
        job_status_id=run.operation_id,
        resources=resources_of(run),
        runtime_parameters=parameters_of(run),
        status=run.status,  # type: ignore[arg-type] # checked when it was stored
        phase=run.phase,  # type: ignore[arg-type] # checked when it was stored
        waiting_for=_waiting_for(run, before),
        started_at=moment(run.started_at) if run.started_at else None,
        ended_at=moment(run.ended_at) if run.ended_at else None,
        exit_code=run.exit_code,
        reason=run.reason,
        attempt=run.attempt,
        max_retries=run.max_retries,
        timeout_seconds=run.timeout_s,
        environment_version_id=run.environment_version_id,
        required_metadata_values=listed(run.required_metadata),
        scheduled_job_id=run.schedule_id,
        missed_events=run.missed_events,
        created_by=created_by,
        peak_memory_bytes=run.peak_memory_bytes,
    )
