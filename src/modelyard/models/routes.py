"""``/customModels/`` and ``/customModelLimits/``."""

from sqlalchemy.orm import Session

from modelyard.identity.access_lists import AccessControlResponse, SharingUpdateOrRemoveWithGrant
from modelyard.identity.caller import Caller
from modelyard.kernel.paging import Page, PageQuery
from modelyard.kernel.routing import PAGING, Answer, Download, RequestInfo, endpoint
from modelyard.kernel.settings import Settings
from modelyard.models import copying, downloads, listing, service
from modelyard.models.schemas import (
    CustomModelCopy,
    CustomModelCreate,
    CustomModelListQuery,
    CustomModelResourceLimits,
    CustomModelResponse,
    CustomModelUpdate,
    DownloadQuery,
)
from modelyard.storage.blobs import BlobStore

TAG = "CustomModels"


@endpoint("GET", "/customModelLimits/", tag=TAG)
def read_limits(caller: Caller, settings: Settings) -> CustomModelResourceLimits:
    """Read the resource limits for custom models."""
    return service.read_limits(settings)


@endpoint("GET", "/customModels/", documented_as_required=PAGING, tag=TAG)
def list_models(
    session: Session, caller: Caller, query: CustomModelListQuery, request: RequestInfo
) -> Page[CustomModelResponse]:
    """List the custom models that you may see."""
    return listing.list_models(session, caller, query, request)


@endpoint("POST", "/customModels/", status=201, errors=(403, 422), tag=TAG)
def create_model(session: Session, caller: Caller, body: CustomModelCreate, settings: Settings) -> CustomModelResponse:
    """Create a custom model."""
    return service.create_model(session, caller, settings, body)


@endpoint("POST", "/customModels/fromCustomModel/", status=201, errors=(404,), tag=TAG)
def copy_model(session: Session, caller: Caller, body: CustomModelCopy) -> CustomModelResponse:
    """Copy a custom model with its versions and files."""
    return copying.copy_model(session, caller, body)


@endpoint("GET", "/customModels/{customModelId}/", errors=(404,), tag=TAG)
def read_model(session: Session, caller: Caller, custom_model_id: str) -> CustomModelResponse:
    """Read a custom model."""
    return service.read_model(session, caller, custom_model_id)


@endpoint(
    "PATCH",
    "/customModels/{customModelId}/",
    status=201,
    optional_statuses=(200,),
    errors=(403, 404, 409, 422),
    tag=TAG,
)
def update_model(
    session: Session, caller: Caller, custom_model_id: str, body: CustomModelUpdate, settings: Settings
) -> CustomModelResponse | Answer:
    """Change a custom model.

    Answers 201 as documented, or 200 where the installation sets ``compat_patch_status`` for older clients.
    """
    changed = service.update_model(session, caller, settings, custom_model_id, body)
    return Answer(changed, 200) if settings.compat_patch_status else changed


@endpoint("DELETE", "/customModels/{customModelId}/", status=204, errors=(403, 404, 409), tag=TAG)
def delete_model(session: Session, caller: Caller, custom_model_id: str, request: RequestInfo) -> None:
    """Delete a custom model that is neither deployed nor under test."""
    service.delete_model(session, caller, request, custom_model_id)


@endpoint(
    "GET", "/customModels/{customModelId}/accessControl/", errors=(400, 404), documented_as_required=PAGING, tag=TAG
)
def list_access(
    session: Session, caller: Caller, custom_model_id: str, query: PageQuery, request: RequestInfo
) -> Page[AccessControlResponse]:
    """List who has which role on a custom model."""
    return service.list_access(session, caller, custom_model_id, query, request)


@endpoint("PATCH", "/customModels/{customModelId}/accessControl/", status=204, errors=(403, 404, 409, 422), tag=TAG)
def change_access(
    session: Session, caller: Caller, custom_model_id: str, body: SharingUpdateOrRemoveWithGrant, settings: Settings
) -> None:
    """Set or take away users' roles on a custom model."""
    service.change_access(session, caller, settings, custom_model_id, body)


@endpoint(
    "GET",
    "/customModels/{customModelId}/download/",
    errors=(404,),
    tag=TAG,
    download=True,
    media_types=("application/zip",),
    response_headers=("Content-Disposition",),
)
def download_latest(
    session: Session, caller: Caller, custom_model_id: str, query: DownloadQuery, blobs: BlobStore
) -> Download:
    """Download the files of the latest version as a zip."""
    return downloads.download_latest(session, caller, blobs, custom_model_id, query)
