"""``/customTemplates/`` (seed 002; the files of one: supporting-endpoints.md A.15)."""

from sqlalchemy.orm import Session

from modelyard.identity.caller import Caller
from modelyard.kernel.form_input import FormInput
from modelyard.kernel.paging import Page
from modelyard.kernel.routing import RequestInfo, endpoint
from modelyard.kernel.settings import Settings
from modelyard.storage.blobs import Blob, BlobStore
from modelyard.templates import service
from modelyard.templates.schemas import (
    CustomTemplateCreatePayload,
    CustomTemplateEntity,
    CustomTemplateFileContent,
    CustomTemplateListQuery,
    CustomTemplateUpdatePayload,
)

TAG = "CustomTemplates"
PATH = "/customTemplates/{customTemplateId}/"


@endpoint("GET", "/customTemplates/", errors=(403,), tag=TAG)
def list_templates(
    session: Session, caller: Caller, query: CustomTemplateListQuery, request: RequestInfo
) -> Page[CustomTemplateEntity]:
    """List shipped templates and those of your organization, newest first."""
    return service.list_templates(session, caller, query, request)


@endpoint(
    "POST",
    "/customTemplates/",
    status=201,
    errors=(403, 413, 422),
    tag=TAG,
    form=CustomTemplateCreatePayload,
    json_form=True,
    files_required=True,
)
def create_template(
    session: Session, caller: Caller, form: FormInput[Blob], settings: Settings, blobs: BlobStore
) -> CustomTemplateEntity:
    """Create a template from a zip of its files."""
    return service.create_template(session, caller, settings, blobs, form)


@endpoint("GET", PATH, errors=(403, 404), tag=TAG)
def read_template(session: Session, caller: Caller, custom_template_id: str) -> CustomTemplateEntity:
    """Read a template."""
    return service.read_template(session, caller, custom_template_id)


@endpoint("PATCH", PATH, errors=(403, 404, 413, 422), tag=TAG, form=CustomTemplateUpdatePayload, json_form=True)
def update_template(
    session: Session,
    caller: Caller,
    custom_template_id: str,
    form: FormInput[Blob],
    settings: Settings,
    blobs: BlobStore,
) -> CustomTemplateEntity:
    """Change a template; a zip takes the place of all of its files."""
    return service.update_template(session, caller, settings, blobs, custom_template_id, form)


@endpoint("DELETE", PATH, status=204, errors=(403, 404), tag=TAG)
def delete_template(session: Session, caller: Caller, custom_template_id: str) -> None:
    """Delete a template. What was made from it stays."""
    service.delete_template(session, caller, custom_template_id)


@endpoint("GET", PATH + "files/{fileId}/", errors=(403, 404, 422), tag=TAG)
def read_file(
    session: Session, caller: Caller, custom_template_id: str, file_id: str, blobs: BlobStore
) -> CustomTemplateFileContent:
    """Read the text of one file of a template."""
    return service.read_file(session, caller, blobs, custom_template_id, file_id)
