"""Jobs made from templates of the gallery (seed 003, fromGalleryTemplate)."""

from contextlib import suppress
from typing import get_args

import msgspec
from sqlalchemy.orm import Session

from modelyard.environments import service as environments
from modelyard.identity.caller import Caller
from modelyard.jobs.files import METADATA_FILE
from modelyard.jobs.schemas import CreateCustomJobFromTemplateGallery, JobType
from modelyard.jobs.tables import CustomJob
from modelyard.kernel.errors import Forbidden, NotFound, invalid
from modelyard.kernel.wire import UNSET
from modelyard.storage.blobs import BlobStore, store_bytes
from modelyard.templates.schemas import TemplateMetadata
from modelyard.templates.service import find_template
from modelyard.templates.tables import CustomTemplate
from modelyard.workspaces import service as workspaces
from modelyard.workspaces.parameter_files import read_parameter_definitions
from modelyard.workspaces.service import NewFile
from modelyard.workspaces.tables import Workspace

TEMPLATE_TYPE = "customJob"
README = "README.md"
JOB_TYPES: tuple[str, ...] = get_args(JobType)


def job_template(session: Session, caller: Caller, template_id: str) -> CustomTemplate:
    """The template to make a job from; raises ``Invalid`` for one that is not there, not of jobs, or switched off."""
    try:
        template = find_template(session, caller, template_id)
    except (NotFound, Forbidden) as error:
        raise invalid(templateId=error.message) from error
    if template.template_type != TEMPLATE_TYPE:
        raise invalid(templateId=f"template {template.name!r} is of type {template.template_type}, not {TEMPLATE_TYPE}")
    if not template.is_enabled:
        raise invalid(templateId=f"template {template.name!r} is not enabled")
    return template


def job_type(template: CustomTemplate, body: CreateCustomJobFromTemplateGallery) -> str:
    """The one that was sent, else the template's sub-type."""
    if body.job_type is not UNSET:
        return body.job_type
    return template.template_sub_type if template.template_sub_type in JOB_TYPES else "default"


def fill(session: Session, caller: Caller, blobs: BlobStore, job: CustomJob, template: CustomTemplate) -> None:
    """Puts into a new job what the template has. Its readme comes as a file, unless there is one.

    An environment that the caller may not see stays out: whoever made the template may see more.
    """
    details = msgspec.convert(template.details, TemplateMetadata)
    workspace = workspaces.copy(session, session.get_one(Workspace, template.workspace_id))
    files = workspaces.files_in(session, workspace)
    if details.readme and all(file.path != README for file in files):
        readme = store_bytes(blobs, details.readme.encode())
        added = [NewFile(README, readme.digest, readme.size_bytes)]
        workspace, files = workspaces.derive(session, workspace, added, max_files=len(files) + 1)
    job.template_id = template.id
    job.workspace_id = workspace.id
    job.description = template.description
    with suppress(NotFound, Forbidden):
        job.environment_id = environments.find(session, caller, template.environment_id).id
        job.environment_version_id = template.environment_version_id
    job.resource_bundle_id = template.resource_bundle_id
    policy = details.template_type_specific_resources.egress_network_policy
    job.egress_policy = job.egress_policy if policy is UNSET else policy
    job.tags = details.tags
    found = next((file for file in files if file.path == METADATA_FILE), None)
    job.parameter_definitions = read_parameter_definitions(blobs, found, are_plain=True)
