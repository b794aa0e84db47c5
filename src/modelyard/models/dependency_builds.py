"""Building what a version's requirements.txt asks for, on top of its environment."""

from typing import Any

from sqlalchemy.orm import Session

from modelyard.environments import builds
from modelyard.environments import service as environments
from modelyard.environments.images.store import ImageStore
from modelyard.environments.tables import OPEN_BUILD, Build
from modelyard.identity import audit
from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.kernel.errors import invalid
from modelyard.kernel.routing import Download, RequestInfo
from modelyard.kernel.wire import moment, read_bool
from modelyard.models.build_schemas import BuildLogQuery, DependencyBuildResponse
from modelyard.models.doors import MODELS, Door
from modelyard.models.service import find_version
from modelyard.models.tables import CustomModelVersion
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces.tables import Workspace

SUBJECT = builds.MODEL_VERSION


def start_build(
    session: Session,
    caller: Caller,
    blobs: BlobStore,
    images: ImageStore,
    model_id: str,
    version_id: str,
    door: Door = MODELS,
) -> Build:
    """Has the dependencies of a version built; at once a success where an equal image is there.

    Raises ``Invalid`` (seed 000, dependencyBuild: 422) for a version without an environment or requirements.txt.
    """
    _, version = find_version(session, caller, version_id, Permission.EDIT, model_id=model_id, door=door)
    if version.base_environment_id is None:
        raise invalid(baseEnvironmentId=f"version {version.label} has no environment to build its dependencies on")
    requirements = builds.requirements_of(session, blobs, session.get_one(Workspace, version.workspace_id))
    if requirements is None:
        raise invalid(
            dependencyBuild=f"version {version.label} has no {builds.REQUIREMENTS_FILE}: there is nothing to build, "
            "it runs in its environment as it is"
        )
    base = environments.find_version(session, None, version.base_environment_id, version.base_environment_version_id)
    build = builds.start_build(
        session,
        caller,
        images,
        SUBJECT,
        version_id,
        base,
        requirements,
        result_path=f"{door.version_path(version)}dependencyBuild/",
    )
    audit.record(session, caller, "build", SUBJECT, version_id)
    return build


def read_build(
    session: Session, caller: Caller, model_id: str, version_id: str, door: Door = MODELS
) -> tuple[CustomModelVersion, Build]:
    _, version = find_version(session, caller, version_id, Permission.VIEW, model_id=model_id, door=door)
    return version, builds.read_build(session, SUBJECT, version_id)


def cancel_build(session: Session, caller: Caller, model_id: str, version_id: str, door: Door = MODELS) -> None:
    find_version(session, caller, version_id, Permission.EDIT, model_id=model_id, door=door)
    builds.cancel_build(session, SUBJECT, version_id)
    audit.record(session, caller, "cancel build", SUBJECT, version_id)


def read_build_log(
    session: Session,
    caller: Caller,
    model_id: str,
    version_id: str,
    query: BuildLogQuery,
    door: Door = MODELS,
) -> Download:
    _, version = find_version(session, caller, version_id, Permission.VIEW, model_id=model_id, door=door)
    in_progress = read_bool(query.in_progress, "inProgress")
    log = builds.read_build_log(session, SUBJECT, version_id, in_progress=in_progress)
    return Download(log, f"build-{version.label}.log", "text/plain")


def view(version: CustomModelVersion, build: Build, request: RequestInfo) -> DependencyBuildResponse:
    return DependencyBuildResponse(
        custom_model_id=version.model_id,
        custom_model_version_id=version.id,
        **fields(version, build, request, MODELS),
    )


def fields(version: CustomModelVersion, build: Build, request: RequestInfo, door: Door) -> dict[str, Any]:
    """What every view of a build has, whatever it calls its subject."""
    has_ended = build.status not in OPEN_BUILD
    log = f"{request.api_url}{door.version_path(version)}dependencyBuildLog/"
    return {
        "build_start": moment(build.started_at),
        "build_end": moment(build.ended_at) if build.ended_at else None,
        "build_log_location": log if has_ended else None,
        "build_status": build.status,
    }
