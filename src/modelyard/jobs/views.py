"""Jobs as the wire shows them, whole pages at once: a constant number of queries for any page."""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy.orm import Session

from modelyard.environments.required_metadata import listed
from modelyard.identity.accounts import usernames
from modelyard.jobs.files import entry_point
from modelyard.jobs.schemas import CustomJobResources, CustomJobResponse, Subscription
from modelyard.jobs.tables import CustomJob, CustomJobRun
from modelyard.kernel.wire import moment
from modelyard.workspaces import service as workspaces
from modelyard.workspaces.items import items
from modelyard.workspaces.runtime_parameters import Definition, RuntimeParameterUnified, Value, views
from modelyard.workspaces.service import StoredFile

T = TypeVar("T")


def view_job(session: Session, job: CustomJob) -> CustomJobResponse:
    return view_jobs(session, [job])[0]


def view_jobs(session: Session, jobs: Sequence[CustomJob]) -> list[CustomJobResponse]:
    files = workspaces.files_by_id(session, [job.workspace_id for job in jobs])
    names = usernames(session, {job.created_by_id for job in jobs})
    return [_view(job, files[job.workspace_id], names.get(job.created_by_id, "")) for job in jobs]


def definitions_of(row: CustomJob | CustomJobRun) -> list[Definition]:
    return msgspec.convert(row.parameter_definitions or [], list[Definition])


def values_of(row: CustomJob | CustomJobRun) -> list[Value]:
    return msgspec.convert(row.parameter_values or [], list[Value])


def parameters_of(row: CustomJob | CustomJobRun) -> list[RuntimeParameterUnified]:
    return views(definitions_of(row), values_of(row))


def resources_of(row: CustomJob | CustomJobRun) -> CustomJobResources:
    policy: Any = row.egress_policy
    return CustomJobResources(egress_network_policy=policy, resource_bundle_id=row.resource_bundle_id)


def _view(job: CustomJob, files: Sequence[StoredFile], created_by: str) -> CustomJobResponse:
    runs = entry_point(files, job.entry_point_path)
    return CustomJobResponse(
        id=job.id,
        name=job.name,
        description=job.description,
        job_type=job.job_type,  # type: ignore[arg-type] # checked when it was stored
        created=moment(job.created_at),
        created_by=created_by,
        updated=moment(job.updated_at),
        entry_point=runs.id if runs else None,
        environment_id=job.environment_id,
        environment_version_id=job.environment_version_id,
        items=items(job.workspace_id, files),
        last_run=job.last_run_id,
        run_count=job.run_count,
        resources=resources_of(job),
        runtime_parameters=parameters_of(job),
        required_metadata_values=listed(job.required_metadata),
        timeout_seconds=job.timeout_s,
        max_retries=job.max_retries,
        template_id=job.template_id,
        tags=job.tags or [],
        subscription=msgspec.convert(job.subscription, Subscription) if job.subscription is not None else None,
    )
