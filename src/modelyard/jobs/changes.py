"""What creating and changing a job have in common: each part of the request put into the row, all faults at once."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from modelyard.compute.bundles import usable_bundle
from modelyard.environments.choosing import Chosen, Names, choose
from modelyard.environments.required_metadata import VALUES_FIELD, RequiredMetadataValue, one_of_both, settled
from modelyard.identity.caller import Caller
from modelyard.jobs.files import METADATA_FILE, chosen_entry_point
from modelyard.jobs.schemas import JobSettings, UpdateCustomJob
from modelyard.jobs.tables import CustomJob, CustomJobRun
from modelyard.jobs.views import definitions_of, values_of
from modelyard.kernel.errors import Invalid
from modelyard.kernel.form_fields import FieldKinds
from modelyard.kernel.form_input import FormInput
from modelyard.kernel.problems import Problems
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import UnsetType, changes, read_json_text
from modelyard.storage.blobs import Blob, BlobStore
from modelyard.workspaces import service as workspaces
from modelyard.workspaces.parameter_files import read_parameter_definitions
from modelyard.workspaces.runtime_parameters import (
    Definition,
    ReferenceFault,
    Value,
    check_values,
    merge,
    read_wanted,
    without_empty,
)
from modelyard.workspaces.service import StoredFile
from modelyard.workspaces.tables import Workspace
from modelyard.workspaces.uploads import ids_to_delete, uploaded_files

KINDS = FieldKinds(
    nullable=frozenset({"subscription", "timeoutSeconds"}),
    json_text=frozenset({"requiredMetadataValues", "runtimeParameterValues", "runtimeParameters"}),
    objects=frozenset({"resources", "subscription", "tags"}),
    left_out_when_empty=frozenset(
        {
            "environmentId",
            "environmentVersionId",
            "filesToDelete",
            "jobType",
            "maxRetries",
            "requiredMetadataValues",
            "resources",
            "runtimeParameterValues",
            "runtimeParameters",
            "tags",
        }
    ),
)

NOTIFICATION = "notification"
ENVIRONMENT_FIELDS = {Names.environment, Names.version}
HARMLESS = frozenset({"name", "description", "tags", "subscription", "timeout_seconds", "max_retries"})
"""Fields that do not change what is run, nor with what."""


def set_environment(session: Session, caller: Caller, job: CustomJob, body: JobSettings, problems: Problems) -> None:
    """A version alone is one of a job's environment; an environment alone stands for its newest good build."""
    if "environment_id" in body.unread:
        return
    wanted = Chosen(_sent(body.environment_id), _sent(body.environment_version_id))
    current = Chosen(job.environment_id, job.environment_version_id)
    if wanted.environment_id is not None:
        current = Chosen()
    elif isinstance(body, UpdateCustomJob) and wanted.version_id is not None and current.environment_id is not None:
        wanted = Chosen(current.environment_id, wanted.version_id)
    with problems.collecting():
        chosen = choose(session, caller, wanted, current, names=Names())
        job.environment_id, job.environment_version_id = chosen.environment_id, chosen.version_id


def set_required_metadata(session: Session, job: CustomJob, body: JobSettings, problems: Problems) -> None:
    """The values that the job's environment asks for: looked at when either of them is sent, and when a job is made."""
    with problems.collecting():
        sent = None
        if body.required_metadata_values is not UNSET:
            text = body.required_metadata_values
            sent = one_of_both(UNSET, read_json_text(text, list[RequiredMetadataValue], VALUES_FIELD))
        is_known = "environment_id" not in body.unread and not problems.errors.keys() & ENVIRONMENT_FIELDS
        is_moved = _sent(body.environment_id) or _sent(body.environment_version_id)
        if is_known and (sent is not None or is_moved or job.required_metadata is None):
            job.required_metadata = settled(session, job.environment_id, sent, job.required_metadata)


def set_limits(job: CustomJob, body: JobSettings, settings: Settings, problems: Problems) -> None:
    """Resources, time limit, retries and tags."""
    if body.resources is not UNSET:
        job.egress_policy = body.resources.egress_network_policy
        if body.resources.resource_bundle_id is not UNSET:
            job.resource_bundle_id = body.resources.resource_bundle_id or None
            if job.resource_bundle_id is not None:
                with problems.collecting():
                    usable_bundle(settings, job.resource_bundle_id, "customJob", "resources.resourceBundleId")
    if body.timeout_seconds is not UNSET:
        job.timeout_s = body.timeout_seconds
        if job.timeout_s is not None and job.timeout_s > settings.job_timeout_s:
            problems.add("timeoutSeconds", f"at most {settings.job_timeout_s:g} s are allowed, not {job.timeout_s}")
    if body.max_retries is not UNSET:
        job.max_retries = body.max_retries
    if body.tags is not UNSET:
        job.tags = list(dict.fromkeys(body.tags))


def set_subscription(job: CustomJob, body: JobSettings, reference_fault: ReferenceFault, problems: Problems) -> None:
    """What a notification job listens to; other jobs listen to nothing."""
    if body.subscription is UNSET:
        return
    if body.subscription is None:
        job.subscription = None
        return
    if job.job_type != NOTIFICATION and "job_type" not in body.unread:
        problems.add("subscription", f"is for jobs of type {NOTIFICATION}; this one is of type {job.job_type}")
    for deployment_id in body.subscription.deployment_ids or ():
        if fault := reference_fault("deployment", deployment_id, None):
            problems.add("subscription.deploymentIds", fault)
    job.subscription = msgspec.to_builtins(body.subscription)


def set_files(
    session: Session,
    settings: Settings,
    blobs: BlobStore,
    job: CustomJob,
    form: FormInput[Blob],
    body: JobSettings,
    problems: Problems,
) -> bool:
    """Puts the sent files over the job's own, and reads what they define; false where that could not be read."""
    files: list[StoredFile] = []
    is_defined = False
    with problems.collecting():
        uploaded = uploaded_files(form)
        removed = (
            ids_to_delete(body.files_to_delete) if isinstance(body, UpdateCustomJob) and body.files_to_delete else []
        )
        before = session.get_one(Workspace, job.workspace_id) if job.workspace_id else None
        changed = {file.path for file in uploaded}
        if before is not None:
            files = workspaces.files_in(session, before)
            is_defined = METADATA_FILE not in changed
        if before is None:
            made = workspaces.create(session, uploaded, max_files=settings.max_files_per_version)
            files = workspaces.files_in(session, made)
        elif uploaded or removed:
            made, files = workspaces.derive(
                session, before, uploaded, removed, max_files=settings.max_files_per_version
            )
        else:
            made = before
        job.workspace_id = made.id
        if METADATA_FILE in changed or removed or job.parameter_definitions is None:
            found = next((file for file in files if file.path == METADATA_FILE), None)
            job.parameter_definitions = read_parameter_definitions(blobs, found, are_plain=True)
        is_defined = True
    if isinstance(body, UpdateCustomJob) and body.entry_point is not UNSET:
        with problems.collecting():
            job.entry_point_path = chosen_entry_point(files, body.entry_point)
    return is_defined


def drop_unused_workspace(session: Session, workspace_id: str | None, job: CustomJob) -> None:
    """Removes the files that the job had before, unless a run was made of them."""
    if workspace_id is None or workspace_id == job.workspace_id:
        return
    session.flush()
    if not session.scalar(select(exists().where(CustomJobRun.workspace_id == workspace_id))):
        workspaces.remove(session, [workspace_id])


def set_parameters(
    job: CustomJob, body: JobSettings, reference_fault: ReferenceFault, problems: Problems, *, is_defined: bool
) -> None:
    """The job's values with those sent merged into them; null falls back to the default.

    Who changes what a job runs must be allowed to use all that its parameters name, also what was set before. Where
    what the files define could not be read, the sent values are looked at by themselves.
    """
    with problems.collecting():
        field, wanted, replaces = read_wanted(_sent(body.runtime_parameter_values), _sent(body.runtime_parameters))
        if not is_defined:
            check_values((), wanted, field, reference_fault)
            return
        definitions = definitions_of(job)
        with problems.collecting():
            check_defined(definitions, wanted, field)
        known = {definition.field_name for definition in definitions}
        before = [] if replaces else [value for value in values_of(job) if value.field_name in known]
        if changes(body).keys() - HARMLESS:
            check_values(definitions, wanted, field, reference_fault, inherited=before)
        job.parameter_values = stored(merge(before, wanted))


def check_defined(definitions: Sequence[Definition], values: Sequence[Value], field: str) -> None:
    """Refuses values of parameters that the metadata file does not define."""
    known = [definition.field_name for definition in definitions]
    unknown = [value.field_name for value in values if value.field_name not in known]
    if unknown:
        there = f"it defines {', '.join(known)}" if known else "it defines none"
        text = f"{METADATA_FILE} does not define {', '.join(map(repr, unknown[:20]))}; {there}"
        raise Invalid(f"{field}: {text}", {field: text})


def stored(values: Sequence[Value]) -> list[dict[str, Any]]:
    built: list[dict[str, Any]] = msgspec.to_builtins(without_empty(values))
    return built


def _sent(value: str | UnsetType) -> str | None:
    return None if isinstance(value, UnsetType) or not value else value
