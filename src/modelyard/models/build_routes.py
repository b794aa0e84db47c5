"""``/customModels/{customModelId}/versions/{customModelVersionId}/dependencyBuild/``."""

from sqlalchemy.orm import Session

from modelyard.environments.images.store import ImageStore
from modelyard.identity.caller import Caller
from modelyard.kernel.routing import Download, RequestInfo, endpoint
from modelyard.models import dependency_builds
from modelyard.models.build_schemas import BuildLogQuery, DependencyBuildResponse
from modelyard.storage.blobs import BlobStore

TAG = "CustomModels"
PATH = "/customModels/{customModelId}/versions/{customModelVersionId}/"


@endpoint("GET", PATH + "dependencyBuild/", errors=(404, 422), tag=TAG)
def read_dependency_build(
    session: Session,
    caller: Caller,
    custom_model_id: str,
    custom_model_version_id: str,
    blobs: BlobStore,
    images: ImageStore,
    request: RequestInfo,
) -> DependencyBuildResponse:
    """Read how the build of a version's dependencies is doing."""
    version, build = dependency_builds.read_build(
        session, caller, blobs, images, custom_model_id, custom_model_version_id
    )
    return dependency_builds.view(version, build, request)


@endpoint("POST", PATH + "dependencyBuild/", status=202, errors=(403, 404, 422), tag=TAG)
def start_dependency_build(
    session: Session,
    caller: Caller,
    custom_model_id: str,
    custom_model_version_id: str,
    blobs: BlobStore,
    images: ImageStore,
    request: RequestInfo,
) -> DependencyBuildResponse:
    """Build what a version's requirements.txt asks for, on top of its environment."""
    dependency_builds.start_build(session, caller, blobs, images, custom_model_id, custom_model_version_id)
    version, build = dependency_builds.read_build(
        session, caller, blobs, images, custom_model_id, custom_model_version_id
    )
    return dependency_builds.view(version, build, request)


@endpoint("DELETE", PATH + "dependencyBuild/", status=204, errors=(403, 404, 409, 422), tag=TAG)
def cancel_dependency_build(
    session: Session, caller: Caller, custom_model_id: str, custom_model_version_id: str
) -> None:
    """Cancel the build of a version's dependencies."""
    dependency_builds.cancel_build(session, caller, custom_model_id, custom_model_version_id)


@endpoint("GET", PATH + "dependencyBuildLog/", errors=(404, 422), tag=TAG, download=True, media_types=("text/plain",))
def read_dependency_build_log(
    session: Session,
    caller: Caller,
    custom_model_id: str,
    custom_model_version_id: str,
    blobs: BlobStore,
    images: ImageStore,
    query: BuildLogQuery,
) -> Download:
    """Read the log of a build of dependencies that has ended; of one in progress too, where the query asks for it."""
    return dependency_builds.read_build_log(
        session, caller, blobs, images, custom_model_id, custom_model_version_id, query
    )
