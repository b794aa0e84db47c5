"""Use cases of execution environments and their versions."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import String, cast, or_, select
from sqlalchemy.orm import Session

from modelyard.environments import builds
from modelyard.environments.context import Context, refuse_what_needs_containers, survey_context
from modelyard.environments.images.store import ImageStore
from modelyard.environments.required_metadata import check_keys, keys_of, stored_keys
from modelyard.environments.requirements import RequirementsError, parse_requirements
from modelyard.environments.schemas import (
    EnvironmentCreate,
    EnvironmentListQuery,
    EnvironmentResponse,
    EnvironmentUpdate,
    EnvironmentVersionForm,
    EnvironmentVersionResponse,
)
from modelyard.environments.tables import Build, BuildStatus, Environment, EnvironmentVersion
from modelyard.identity import audit
from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.identity.sharing import forget, grant_owner, require, role_of, scoped
from modelyard.identity.tables import ResourceKind
from modelyard.kernel.errors import Conflict, Forbidden, Invalid, NotFound, invalid
from modelyard.kernel.ids import new_id
from modelyard.kernel.multipart import Form
from modelyard.kernel.paging import Page, PageQuery, page
from modelyard.kernel.routing import Download, RequestInfo
from modelyard.kernel.texts import decoded
from modelyard.kernel.wire import UNSET, changes, moment
from modelyard.storage.archive_checks import ArchiveLimits
from modelyard.storage.blobs import Blob, BlobStore
from modelyard.storage.zip_stream import ZipEntry, stream_zip
from modelyard.workspaces import service as workspaces
from modelyard.workspaces.tables import Workspace

KIND = ResourceKind.ENVIRONMENT
EXECUTOR = "process"
LOOKING = frozenset({Permission.USE, Permission.VIEW})
MAX_CONTEXT_BYTES = 256 << 20
CONTEXT_LIMITS = ArchiveLimits(total_bytes=MAX_CONTEXT_BYTES)
CONTAINER_EXECUTOR = "takes the container executor (Docker or Podman); this server runs the process executor"


def list_environments(
    session: Session, caller: Caller, query: EnvironmentListQuery, request: RequestInfo
) -> Page[EnvironmentResponse]:
    """Public environments and those that the caller may view, newest first."""
    mine = scoped(session, caller, KIND, Environment, Environment.id).with_only_columns(Environment.id)
    statement = select(Environment).where(
        Environment.deleted_at.is_(None), or_(Environment.is_public, Environment.id.in_(mine))
    )
    if query.use_cases:
        statement = statement.where(cast(Environment.use_cases, String).contains(f'"{query.use_cases}"'))
    if query.search_for:
        found = (
            column.icontains(query.search_for, autoescape=True)
            for column in (Environment.name, Environment.description)
        )
        statement = statement.where(or_(*found))
    return page(session, statement.order_by(Environment.id.desc()), query, request, lambda rows: view(session, rows))


def create(session: Session, caller: Caller, body: EnvironmentCreate) -> Environment:
    check_keys(body.required_metadata_keys)
    environment = Environment(
        id=new_id(),
        name=body.name,
        description=body.description or "",
        programming_language=body.programming_language,
        use_cases=list(dict.fromkeys(body.use_cases)),
        required_metadata_keys=stored_keys(body.required_metadata_keys),
        created_by=caller.user_id,
        created_at=datetime.now(UTC),
    )
    session.add(environment)
    session.flush()
    grant_owner(session, caller, KIND, environment.id)
    audit.record(session, caller, "create", KIND, environment.id, {"name": body.name})
    return environment


def find(
    session: Session, caller: Caller, environment_id: str, permission: Permission = Permission.VIEW
) -> Environment:
    """An environment that the caller may look at (everybody at a public one), or change."""
    environment = session.get(Environment, environment_id)
    if environment is None or environment.deleted_at is not None:
        raise NotFound(f"There is no execution environment {environment_id} that you may see.")
    if environment.is_public and permission in LOOKING:
        return environment
    if environment.is_public and role_of(session, caller, KIND, environment_id) is None:
        raise Forbidden(f"Execution environment {environment_id} is public: you may use it, not {permission.value} it.")
    require(session, caller, KIND, environment_id, permission)
    return environment


def change(session: Session, caller: Caller, environment_id: str, body: EnvironmentUpdate) -> Environment:
    """What was made on it before keeps its values, whatever it asks for now."""
    environment = find(session, caller, environment_id, Permission.EDIT)
    wanted = changes(body)
    if body.required_metadata_keys is not UNSET:
        check_keys(body.required_metadata_keys)
        wanted["required_metadata_keys"] = stored_keys(body.required_metadata_keys)
    for name, value in wanted.items():
        setattr(environment, name, value)
    audit.record(session, caller, "update", KIND, environment_id, wanted)
    return environment


def remove(session: Session, caller: Caller, environment_id: str) -> None:
    """Takes an environment away from everybody. Model versions that were made on it go on working."""
    environment = find(session, caller, environment_id, Permission.DELETE)
    ids = session.scalars(
        select(EnvironmentVersion.id).where(EnvironmentVersion.environment_id == environment_id)
    ).all()
    builds.remove_builds(session, builds.ENVIRONMENT_VERSION, ids)
    forget(session, KIND, environment_id)
    environment.deleted_at = datetime.now(UTC)
    audit.record(session, caller, "delete", KIND, environment_id, {"name": environment.name})


def create_version(
    session: Session,
    caller: Caller,
    blobs: BlobStore,
    environment_id: str,
    fields: EnvironmentVersionForm,
    form: Form[Blob],
) -> tuple[EnvironmentVersion, Build]:
    """A new version from the archive ``docker_context``; its build unpacks the archive and makes the image."""
    environment = find(session, caller, environment_id, Permission.EDIT)
    blob = _context_archive(fields, form)
    with blobs.open(blob.digest) as file:
        context = survey_context(file, CONTEXT_LIMITS)
    refuse_what_needs_containers(context, EXECUTOR)
    requirements = _checked_requirements(context)
    now = datetime.now(UTC)
    number = len(_versions(session, environment_id)) + 1
    version = EnvironmentVersion(
        id=new_id(),
        environment_id=environment_id,
        number=number,
        label=fields.label or f"v{number}",
        description=fields.description or "",
        requirements=requirements,
        has_start_script=context.has_start_script,
        context_digest=blob.digest,
        build_status=BuildStatus.SUBMITTED.value,
        created_by=caller.user_id,
        created_at=now,
    )
    build = Build(
        subject_kind=builds.ENVIRONMENT_VERSION,
        subject_id=version.id,
        environment_version_id=version.id,
        status=BuildStatus.SUBMITTED.value,
        created_by=caller.user_id,
        created_at=now,
        started_at=now,
    )
    session.add_all([version, build])
    environment.latest_version_id = version.id
    session.flush()
    builds.start_operation(session, caller, build, result_path=path_of(version))
    audit.record(session, caller, "add version", KIND, environment_id, {"versionId": version.id})
    return version, build


def path_of(version: EnvironmentVersion) -> str:
    return f"/executionEnvironments/{version.environment_id}/versions/{version.id}/"


def _context_archive(fields: EnvironmentVersionForm, form: Form[Blob]) -> Blob:
    errors: dict[str, str] = {}
    if form.files_of("docker_image"):
        errors["docker_image"] = f"an image {CONTAINER_EXECUTOR}; send a docker_context"
    if fields.docker_image_uri:
        errors["dockerImageUri"] = f"an image of a registry {CONTAINER_EXECUTOR}; send a docker_context"
    contexts = form.files_of("docker_context")
    if len(contexts) != 1 and not errors:
        errors["docker_context"] = f"one archive (zip, tar or tar.gz) is needed, there are {len(contexts)}"
    if errors:
        raise invalid(**errors)
    return contexts[0].stored


def _checked_requirements(context: Context) -> str | None:
    if context.requirements is None:
        return None
    try:
        parse_requirements(context.requirements)
    except RequirementsError as error:
        raise invalid(docker_context=f"{builds.REQUIREMENTS_FILE}: {error}") from error
    return decoded(context.requirements)


def _versions(session: Session, environment_id: str) -> Sequence[str]:
    return session.scalars(
        select(EnvironmentVersion.id).where(EnvironmentVersion.environment_id == environment_id)
    ).all()


def list_versions(
    session: Session, caller: Caller, environment_id: str, query: PageQuery, request: RequestInfo
) -> Page[EnvironmentVersionResponse]:
    """The versions of an environment, newest first."""
    find(session, caller, environment_id)
    statement = (
        select(EnvironmentVersion)
        .where(EnvironmentVersion.environment_id == environment_id)
        .order_by(EnvironmentVersion.id.desc())
    )
    return page(session, statement, query, request, lambda rows: [view_version(row) for row in rows])


def read_version(
    session: Session, caller: Caller, environment_id: str, version_id: str, permission: Permission = Permission.VIEW
) -> EnvironmentVersion:
    find(session, caller, environment_id, permission)
    version = session.get(EnvironmentVersion, version_id)
    if version is None or version.environment_id != environment_id:
        raise NotFound(f"Execution environment {environment_id} has no version {version_id}.")
    return version


def find_version(
    session: Session, caller: Caller | None, environment_id: str, version_id: str | None = None
) -> EnvironmentVersion:
    """The version to make something on: the named one, or the newest that was built.

    Without a caller, permission was checked before, and a deleted environment still serves what was made on it.
    Raises ``Invalid`` (for ``baseEnvironmentId`` or ``baseEnvironmentVersionId``) for an environment that does not
    exist or is not the caller's, and for a version that was not built.
    """
    environment = session.get(Environment, environment_id)
    if caller is not None:
        try:
            environment = find(session, caller, environment_id)
        except (NotFound, Forbidden) as error:
            raise invalid(baseEnvironmentId=error.message) from error
    if environment is None:
        raise invalid(baseEnvironmentId=f"there is no execution environment {environment_id}")
    wanted = version_id or environment.latest_successful_version_id
    if wanted is None:
        raise invalid(baseEnvironmentId=f"execution environment {environment_id} has no version that was built")
    version = session.get(EnvironmentVersion, wanted)
    if version is None or version.environment_id != environment_id:
        raise invalid(baseEnvironmentVersionId=f"execution environment {environment_id} has no version {wanted}")
    if version.build_status != BuildStatus.SUCCESS.value:
        raise invalid(
            baseEnvironmentVersionId=f"version {wanted} is not built: its build status is {version.build_status}"
        )
    return version


def prepare_version(
    session: Session, caller: Caller, images: ImageStore, environment_id: str, version_id: str
) -> Build:
    """Has the image of a version made now, instead of when something first needs it."""
    version = read_version(session, caller, environment_id, version_id)
    if version.context_digest is not None and version.workspace_id is None:
        found = builds.find_build(session, builds.ENVIRONMENT_VERSION, version_id)
        if found is not None and found.status != BuildStatus.FAILED.value:
            return found
        raise Conflict(f"Version {version_id} could not be unpacked; send a new version.")
    audit.record(session, caller, "build version", KIND, environment_id, {"versionId": version_id})
    return builds.start_build(
        session,
        caller,
        images,
        builds.ENVIRONMENT_VERSION,
        version_id,
        version,
        None,
        result_path=path_of(version),
    )


def read_build_log(session: Session, caller: Caller, environment_id: str, version_id: str) -> tuple[str | None, str]:
    """What went wrong, if anything, and the log so far."""
    read_version(session, caller, environment_id, version_id)
    build = builds.find_build(session, builds.ENVIRONMENT_VERSION, version_id)
    return (None, "") if build is None else (build.error, builds.log_of(session, build))


def download_version(
    session: Session, caller: Caller, blobs: BlobStore, environment_id: str, version_id: str
) -> Download:
    """The context of a version as a zip."""
    version = read_version(session, caller, environment_id, version_id)
    name = f"environment-{version.label}.zip"
    if version.workspace_id is not None:
        files = workspaces.files_in(session, session.get_one(Workspace, version.workspace_id))
        entries = [_entry(blobs, file) for file in files]
        return Download(stream_zip(entries), name, "application/zip")
    if version.context_digest is not None:
        raise Conflict(f"Version {version_id} is not unpacked (its build is {version.build_status}).")
    raise Invalid(f"Version {version_id} is built in; its definition ships with Modelyard.")


def _entry(blobs: BlobStore, file: Any) -> ZipEntry:
    return ZipEntry(file.path, file.size_bytes, lambda: blobs.open(file.digest))


def view(session: Session, environments: Sequence[Environment]) -> list[EnvironmentResponse]:
    """Environments with their newest versions, in two queries however many they are."""
    ids = {row.latest_version_id for row in environments} | {row.latest_successful_version_id for row in environments}
    rows = session.scalars(select(EnvironmentVersion).where(EnvironmentVersion.id.in_(ids - {None})))
    versions: dict[str | None, EnvironmentVersionResponse] = {row.id: view_version(row) for row in rows}
    return [
        EnvironmentResponse(
            id=row.id,
            name=row.name,
            description=row.description,
            programming_language=row.programming_language,  # type: ignore[arg-type]
            use_cases=row.use_cases,  # type: ignore[arg-type]
            required_metadata_keys=keys_of(row),
            is_public=row.is_public,
            is_built_in=row.builtin_key is not None,
            latest_version=versions.get(row.latest_version_id),
            latest_successful_version=versions.get(row.latest_successful_version_id),
            created=moment(row.created_at),
            created_by=row.created_by,
        )
        for row in environments
    ]


def view_version(version: EnvironmentVersion) -> EnvironmentVersionResponse:
    return EnvironmentVersionResponse(
        id=version.id,
        label=version.label,
        environment_id=version.environment_id,
        image_id=version.image_digest,
        description=version.description,
        build_status=version.build_status,  # type: ignore[arg-type]
        libraries=version.libraries,
        created=moment(version.created_at),
    )
