"""Building what a version's requirements.txt asks for, on top of its environment."""

from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from modelyard.environments import builds
from modelyard.environments import service as environments
from modelyard.environments.images.store import ImageStore
from modelyard.environments.requirements import RequirementsError
from modelyard.environments.tables import OPEN_BUILD, Build, BuildStatus, EnvironmentVersion
from modelyard.identity import audit
from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.kernel.errors import invalid
from modelyard.kernel.routing import Download, RequestInfo
from modelyard.kernel.wire import moment, read_bool
from modelyard.models import usage
from modelyard.models.build_schemas import BuildLogQuery, DependencyBuildResponse
from modelyard.models.doors import MODELS, Door
from modelyard.models.service import find_version
from modelyard.models.tables import CustomModelVersion
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces import service as workspaces
from modelyard.workspaces.packed import packed_code
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
        files = workspaces.files_by_id(session, [version.workspace_id])[version.workspace_id]
        note = packed_code(blobs, files)
        raise invalid(
            dependencyBuild=f"version {version.label} has no {builds.REQUIREMENTS_FILE}: there is nothing to build, "
            f"it runs in its environment as it is{'' if note is None else f'. {note}'}"
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
    session: Session,
    caller: Caller,
    blobs: BlobStore,
    images: ImageStore,
    model_id: str,
    version_id: str,
    door: Door = MODELS,
) -> tuple[CustomModelVersion, Build]:
    """The version and its newest build: the one that was asked for, or that a test, training or package needed."""
    _, version = find_version(session, caller, version_id, Permission.VIEW, model_id=model_id, door=door)
    return version, _made_on_the_way(session, blobs, images, version) or builds.read_build(session, SUBJECT, version_id)


def _made_on_the_way(
    session: Session, blobs: BlobStore, images: ImageStore, version: CustomModelVersion
) -> Build | None:
    """The build of an image that nobody asked for by itself, if there is such an image; not a row."""
    asked = builds.find_build(session, SUBJECT, version.id)
    if asked is not None and asked.status != BuildStatus.FAILED.value:
        return None
    if version.base_environment_id is None or not usage.is_or_was_used(session, version.id):
        return None
    requirements = builds.requirements_of(session, blobs, session.get_one(Workspace, version.workspace_id))
    base = session.get(EnvironmentVersion, version.base_environment_version_id)
    if requirements is None or base is None:
        return None
    try:
        image = images.info(images.digest(builds.spec_of(base, requirements)))
    except RequirementsError:
        return None
    if image is None:
        return None
    return Build(
        subject_kind=SUBJECT,
        subject_id=version.id,
        status=BuildStatus.SUCCESS.value,
        started_at=image.built_at - timedelta(seconds=image.duration_s),
        ended_at=image.built_at,
        log="The image was built when the version was tested, trained or packaged.\n",
    )


def cancel_build(session: Session, caller: Caller, model_id: str, version_id: str, door: Door = MODELS) -> None:
    find_version(session, caller, version_id, Permission.EDIT, model_id=model_id, door=door)
    builds.cancel_build(session, SUBJECT, version_id)
    audit.record(session, caller, "cancel build", SUBJECT, version_id)


def read_build_log(
    session: Session,
    caller: Caller,
    blobs: BlobStore,
    images: ImageStore,
    model_id: str,
    version_id: str,
    query: BuildLogQuery,
    door: Door = MODELS,
) -> Download:
    _, version = find_version(session, caller, version_id, Permission.VIEW, model_id=model_id, door=door)
    in_progress = read_bool(query.in_progress, "inProgress")
    made = _made_on_the_way(session, blobs, images, version)
    log = made.log if made else builds.read_build_log(session, SUBJECT, version_id, in_progress=in_progress)
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
