"""``/modelPackages/`` and ``/registeredModels/`` (supporting-endpoints.md, A.10)."""

from sqlalchemy.orm import Session

from modelyard.identity.access_lists import AccessControlResponse, SharingUpdateOrRemoveWithGrant
from modelyard.identity.caller import Caller
from modelyard.kernel.paging import Page, PageQuery
from modelyard.kernel.routing import Answer, RequestInfo, endpoint
from modelyard.kernel.settings import Settings
from modelyard.operations import service as operations
from modelyard.registry import packages, service
from modelyard.registry.schemas import (
    ModelPackageResponse,
    PackageFromCustomModelVersion,
    PackageListQuery,
    PackageUpdate,
    RegisteredModelListQuery,
    RegisteredModelResponse,
    RegisteredModelUpdate,
    VersionListQuery,
)
from modelyard.registry.views import view_packages

PACKAGES = "ModelPackages"
REGISTERED_MODELS = "RegisteredModels"


@endpoint(
    "POST",
    "/modelPackages/fromCustomModelVersion/",
    status=201,
    errors=(403, 409, 422),
    tag=PACKAGES,
    location=True,
)
def create_package(
    session: Session, caller: Caller, body: PackageFromCustomModelVersion, request: RequestInfo
) -> ModelPackageResponse | Answer:
    """Package a version of a custom model, as a version of a registered model.

    Freezes the version. ``Location`` tells how the making of its image goes on; ``buildStatus`` is ``complete`` when
    the image is there.
    """
    package, operation = packages.create_package(session, caller, body)
    view = view_packages(session, [package])[0]
    return Answer(view, 201, {"Location": operations.location(request, operation)})


@endpoint("GET", "/modelPackages/", tag=PACKAGES)
def list_packages(
    session: Session, caller: Caller, query: PackageListQuery, request: RequestInfo
) -> Page[ModelPackageResponse]:
    """List model packages, newest first."""
    return packages.list_packages(session, caller, query, request)


@endpoint("GET", "/modelPackages/{modelPackageId}/", errors=(404,), tag=PACKAGES)
def read_package(session: Session, caller: Caller, model_package_id: str) -> ModelPackageResponse:
    """Read a model package."""
    return packages.read_package(session, caller, model_package_id)


@endpoint("GET", "/registeredModels/", tag=REGISTERED_MODELS)
def list_registered_models(
    session: Session, caller: Caller, query: RegisteredModelListQuery, request: RequestInfo
) -> Page[RegisteredModelResponse]:
    """List registered models, the last changed first."""
    return service.list_registered_models(session, caller, query, request)


@endpoint("GET", "/registeredModels/{registeredModelId}/", errors=(404,), tag=REGISTERED_MODELS)
def read_registered_model(session: Session, caller: Caller, registered_model_id: str) -> RegisteredModelResponse:
    """Read a registered model."""
    return service.read_registered_model(session, caller, registered_model_id)


@endpoint("PATCH", "/registeredModels/{registeredModelId}/", errors=(403, 404, 409, 422), tag=REGISTERED_MODELS)
def update_registered_model(
    session: Session, caller: Caller, registered_model_id: str, body: RegisteredModelUpdate
) -> RegisteredModelResponse:
    """Rename a registered model, describe it, or show it to the whole organization."""
    return service.change_registered_model(session, caller, registered_model_id, body)


@endpoint("DELETE", "/registeredModels/{registeredModelId}/", status=204, errors=(403, 404, 409), tag=REGISTERED_MODELS)
def delete_registered_model(session: Session, caller: Caller, registered_model_id: str, request: RequestInfo) -> None:
    """Delete a registered model with all its versions; not while one is deployed."""
    service.delete_registered_model(session, caller, request, registered_model_id)


@endpoint("GET", "/registeredModels/{registeredModelId}/versions/", errors=(404,), tag=REGISTERED_MODELS)
def list_versions(
    session: Session, caller: Caller, registered_model_id: str, query: VersionListQuery, request: RequestInfo
) -> Page[ModelPackageResponse]:
    """List the versions of a registered model, newest first."""
    return packages.list_versions(session, caller, registered_model_id, query, request)


@endpoint("GET", "/registeredModels/{registeredModelId}/versions/{versionId}/", errors=(404,), tag=REGISTERED_MODELS)
def read_version(session: Session, caller: Caller, registered_model_id: str, version_id: str) -> ModelPackageResponse:
    """Read a version of a registered model."""
    return packages.read_version(session, caller, registered_model_id, version_id)


@endpoint(
    "PATCH",
    "/registeredModels/{registeredModelId}/versions/{versionId}/",
    errors=(403, 404, 422),
    tag=REGISTERED_MODELS,
)
def update_version(
    session: Session, caller: Caller, registered_model_id: str, version_id: str, body: PackageUpdate
) -> ModelPackageResponse:
    """Rename a version or change its prediction threshold."""
    return packages.change_version(session, caller, registered_model_id, version_id, body)


@endpoint("GET", "/registeredModels/{registeredModelId}/accessControl/", errors=(404,), tag=REGISTERED_MODELS)
def list_access(
    session: Session, caller: Caller, registered_model_id: str, query: PageQuery, request: RequestInfo
) -> Page[AccessControlResponse]:
    """List the users that a registered model is shared with."""
    return service.list_access(session, caller, registered_model_id, query, request)


@endpoint(
    "PATCH",
    "/registeredModels/{registeredModelId}/accessControl/",
    status=204,
    errors=(403, 404, 409, 422),
    tag=REGISTERED_MODELS,
)
def change_access(
    session: Session, caller: Caller, registered_model_id: str, body: SharingUpdateOrRemoveWithGrant, settings: Settings
) -> None:
    """Share a registered model, or take it away again."""
    service.change_access(session, caller, settings, registered_model_id, body)
