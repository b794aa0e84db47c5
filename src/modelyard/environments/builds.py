"""Builds: from an environment version and a subject's own requirements to an image, with a log.

A subject is whatever needs an image of its own: an environment version, a version of a model, task or job. Its newest
build is one row. Equal requirements have equal digests, so what is built already is never built again.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from modelyard.environments.images.spec import ImageSpec, RequirementsFile
from modelyard.environments.images.store import ImageStore
from modelyard.environments.requirements import RequirementsError
from modelyard.environments.tables import OPEN_BUILD, Build, BuildStatus, Environment, EnvironmentVersion
from modelyard.identity.caller import Caller
from modelyard.kernel.errors import Conflict, NotFound, invalid
from modelyard.kernel.texts import decoded
from modelyard.operations import service as operations
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces import service as workspaces
from modelyard.workspaces.tables import Workspace

KIND = "environment.build"
ENVIRONMENT_VERSION = "environmentVersion"
MODEL_VERSION = "customModelVersion"
REQUIREMENTS_FILE = "requirements.txt"


def requirements_of(session: Session, blobs: BlobStore, workspace: Workspace) -> str | None:
    """The text of a workspace's ``requirements.txt``; None without one. Raises ``Invalid`` for what is no text."""
    file = workspaces.find_file(session, workspace, REQUIREMENTS_FILE)
    if file is None:
        return None
    try:
        return decoded(blobs.read(file.digest))
    except UnicodeDecodeError as error:
        raise invalid(requirements=f"{REQUIREMENTS_FILE} is no text in UTF-8 or UTF-16: {error}") from error


def spec_of(version: EnvironmentVersion, requirements: str | None) -> ImageSpec:
    """What the image of an environment version is made of, with a subject's own requirements on top."""
    files = []
    if version.requirements is not None:
        files.append(RequirementsFile(f"{REQUIREMENTS_FILE} of the environment", version.requirements))
    if requirements is not None:
        files.append(RequirementsFile(REQUIREMENTS_FILE, requirements))
    return ImageSpec(tuple(files), version.lock, version.python_version)


def image_spec(
    session: Session, blobs: BlobStore, version: EnvironmentVersion, workspace: Workspace | None
) -> ImageSpec:
    """``spec_of`` for a workspace's requirements.txt, if it has one."""
    return spec_of(version, requirements_of(session, blobs, workspace) if workspace else None)


def start_build(
    session: Session,
    caller: Caller | None,
    images: ImageStore,
    subject_kind: str,
    subject_id: str,
    version: EnvironmentVersion,
    requirements: str | None,
    *,
    result_path: str | None = None,
) -> Build:
    """Has the image of a subject built. What is built already is a success at once, with no operation.

    A build that runs is left to run; one that is done is taken up again. Raises ``Invalid`` with every line of the
    requirements that does not parse.
    """
    found = find_build(session, subject_kind, subject_id)
    if found is not None and found.status in OPEN_BUILD:
        return found
    digest = _digest(images, spec_of(version, requirements))
    now = datetime.now(UTC)
    build = found or Build(subject_kind=subject_kind, subject_id=subject_id, created_at=now)
    build.environment_version_id = version.id
    build.requirements = requirements
    build.image_digest = digest
    build.created_by = caller.user_id if caller else None
    build.started_at, build.ended_at, build.error = now, None, None
    if images.find(digest) is not None:
        build.status, build.ended_at = BuildStatus.SUCCESS.value, now
        build.log = "The image with these requirements is built already.\n"
        build.operation_id = None
    else:
        build.status, build.log = BuildStatus.SUBMITTED.value, ""
    session.add(build)
    session.flush()
    if build.status == BuildStatus.SUBMITTED.value:
        start_operation(session, caller, build, result_path=result_path)
    return build


def start_operation(session: Session, caller: Caller | None, build: Build, *, result_path: str | None = None) -> None:
    """Puts the work of a build in line."""
    operation = operations.start(
        session,
        caller,
        KIND,
        status_type="ManagedImageBuild",
        payload={"build_id": build.id},
        resource_id=build.subject_id,
        result_path=result_path,
        description="Building an environment",
    )
    build.operation_id = operation.id


def _digest(images: ImageStore, spec: ImageSpec) -> str:
    try:
        return images.digest(spec)
    except RequirementsError as error:
        raise invalid(requirements=f"{REQUIREMENTS_FILE}: {error}") from error


def find_build(session: Session, subject_kind: str, subject_id: str) -> Build | None:
    """The newest build of a subject."""
    return session.scalar(select(Build).where(Build.subject_kind == subject_kind, Build.subject_id == subject_id))


def read_build(session: Session, subject_kind: str, subject_id: str) -> Build:
    """The newest build of a subject; ``Invalid`` (seed 000, dependencyBuild: 422) before the first was started."""
    build = find_build(session, subject_kind, subject_id)
    if build is None:
        raise invalid(dependencyBuild="the dependency build has not been started; start it with POST dependencyBuild/")
    return build


def read_build_log(session: Session, subject_kind: str, subject_id: str, *, in_progress: bool = False) -> str:
    """The log of a finished build; ``NotFound`` (seed 000, dependencyBuildLog: 404) while it runs.

    With ``in_progress`` the log so far of one that runs, too.
    """
    build = read_build(session, subject_kind, subject_id)
    if build.status in OPEN_BUILD and not in_progress:
        raise NotFound("The dependency build is in progress; its log is there when it has ended.")
    return log_of(session, build)


def log_of(session: Session, build: Build) -> str:
    """The log so far."""
    return session.scalar(select(Build.log).where(Build.id == build.id)) or ""


def cancel_build(session: Session, subject_kind: str, subject_id: str) -> Build:
    """Stops a build that runs: it is failed at once. Raises ``Conflict`` for one that has ended."""
    build = read_build(session, subject_kind, subject_id)
    session.refresh(build, with_for_update=True)
    if build.status not in OPEN_BUILD:
        raise Conflict(f"The build has ended ({build.status}); there is nothing to cancel.")
    if build.operation_id is not None:
        operations.request_cancel(session, build.operation_id)
    end_build(session, build, BuildStatus.FAILED, error="The build was canceled.")
    return build


def remove_builds(session: Session, subject_kind: str, subject_ids: Iterable[str]) -> None:
    """Forgets the builds of deleted subjects; those that run are stopped."""
    mine = (Build.subject_kind == subject_kind, Build.subject_id.in_(list(subject_ids)))
    for operation_id in session.scalars(select(Build.operation_id).where(*mine, Build.status.in_(OPEN_BUILD))):
        if operation_id is not None:
            operations.request_cancel(session, operation_id)
    session.execute(delete(Build).where(*mine))


def end_build(
    session: Session, build: Build, status: BuildStatus, *, error: str | None = None, libraries: list[str] | None = None
) -> None:
    """Ends a build and, where its subject is an environment version, settles that."""
    build.status, build.error, build.ended_at = status.value, error, datetime.now(UTC)
    if build.subject_kind != ENVIRONMENT_VERSION:
        return
    version = session.get(EnvironmentVersion, build.subject_id)
    if version is None:
        return
    if status is BuildStatus.SUCCESS:
        version.image_digest, version.libraries = build.image_digest, libraries
        version.build_status = status.value
        newest = Environment.latest_successful_version_id
        session.execute(
            update(Environment)
            .where(Environment.id == version.environment_id, newest.is_(None) | (newest < version.id))
            .values(latest_successful_version_id=version.id)
        )
    elif version.build_status in OPEN_BUILD:  # one that was built before stays built: it can be prepared again
        version.build_status = status.value
