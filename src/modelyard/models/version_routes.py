"""``/customModels/{customModelId}/versions/``."""

from sqlalchemy.orm import Session

from modelyard.identity.caller import Caller
from modelyard.kernel.form_input import FormInput
from modelyard.kernel.paging import Page
from modelyard.kernel.routing import PAGING, Answer, Download, RequestInfo, endpoint
from modelyard.kernel.settings import Settings
from modelyard.models import downloads, from_repository, versions
from modelyard.models.schemas import DownloadQuery
from modelyard.models.version_schemas import (
    CustomModelVersionCreate,
    CustomModelVersionCreateFromLatest,
    CustomModelVersionCreateFromRepository,
    CustomModelVersionListQuery,
    CustomModelVersionMetadataUpdate,
    CustomModelVersionResponse,
)
from modelyard.operations.service import accepted
from modelyard.storage.blobs import Blob, BlobStore
from modelyard.workspaces.references import References

TAG = "CustomModels"
PATH = "/customModels/{customModelId}/versions/"


@endpoint("GET", PATH, errors=(400, 404, 422), tag=TAG, documented_as_required=PAGING)
def list_versions(
    session: Session, caller: Caller, custom_model_id: str, query: CustomModelVersionListQuery, request: RequestInfo
) -> Page[CustomModelVersionResponse]:
    """List the versions of a custom model, newest first."""
    return versions.list_versions(session, caller, custom_model_id, query, request)


@endpoint("POST", PATH, status=201, errors=(403, 404, 413, 422), tag=TAG, form=CustomModelVersionCreate, json_form=True)
def create_version(
    session: Session,
    caller: Caller,
    custom_model_id: str,
    form: FormInput[Blob],
    settings: Settings,
    blobs: BlobStore,
    references: References,
) -> CustomModelVersionResponse:
    """Create a version from the uploaded files alone."""
    return versions.create_version(session, caller, settings, blobs, references, custom_model_id, form)


@endpoint(
    "PATCH",
    PATH,
    status=201,
    errors=(403, 404, 413, 422),
    tag=TAG,
    form=CustomModelVersionCreateFromLatest,
    json_form=True,
)
def derive_version(
    session: Session,
    caller: Caller,
    custom_model_id: str,
    form: FormInput[Blob],
    settings: Settings,
    blobs: BlobStore,
    references: References,
) -> CustomModelVersionResponse:
    """Create a version on top of the latest one, with files added, replaced or deleted."""
    return versions.derive_version(session, caller, settings, blobs, references, custom_model_id, form)


@endpoint("POST", PATH + "fromRepository/", status=202, errors=(403, 404, 422), tag=TAG, location=True)
def create_version_from_repository(
    session: Session,
    caller: Caller,
    custom_model_id: str,
    body: CustomModelVersionCreateFromRepository,
    settings: Settings,
    request: RequestInfo,
) -> Answer:
    """Create a version from the files of a remote repository alone."""
    operation = from_repository.start_pull(session, caller, settings, custom_model_id, body, on_latest=False)
    return accepted(request, operation)


@endpoint("PATCH", PATH + "fromRepository/", status=202, errors=(403, 404, 422), tag=TAG, location=True)
def derive_version_from_repository(
    session: Session,
    caller: Caller,
    custom_model_id: str,
    body: CustomModelVersionCreateFromRepository,
    settings: Settings,
    request: RequestInfo,
) -> Answer:
    """Create a version on top of the latest one, with files of a remote repository added or replaced."""
    operation = from_repository.start_pull(session, caller, settings, custom_model_id, body, on_latest=True)
    return accepted(request, operation)


@endpoint("GET", PATH + "{customModelVersionId}/", errors=(404,), tag=TAG)
def read_version(
    session: Session, caller: Caller, custom_model_id: str, custom_model_version_id: str
) -> CustomModelVersionResponse:
    """Read a version with its files."""
    return versions.read_version(session, caller, custom_model_id, custom_model_version_id)


@endpoint("PATCH", PATH + "{customModelVersionId}/", errors=(404, 422), tag=TAG)
def update_version(
    session: Session,
    caller: Caller,
    custom_model_id: str,
    custom_model_version_id: str,
    body: CustomModelVersionMetadataUpdate,
) -> CustomModelVersionResponse:
    """Change the description of a version or the commit that it came from."""
    return versions.update_version(session, caller, custom_model_id, custom_model_version_id, body)


@endpoint(
    "GET",
    PATH + "{customModelVersionId}/download/",
    errors=(404,),
    tag=TAG,
    download=True,
    media_types=("application/zip",),
    response_headers=("Content-Disposition",),
)
def download_version(
    session: Session,
    caller: Caller,
    custom_model_id: str,
    custom_model_version_id: str,
    query: DownloadQuery,
    blobs: BlobStore,
) -> Download:
    """Download the files of a version as a zip."""
    return downloads.download_version(session, caller, blobs, custom_model_id, custom_model_version_id, query)
