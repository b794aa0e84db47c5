"""Custom tasks: the use cases of models, for those of the type ``training`` (seed 000).

Nothing is decided here: what a task may be and do is said once, in ``models``, for both doors to the same rows.
"""

from typing import Final

from sqlalchemy.orm import Session

from modelyard.environments.images.store import ImageStore
from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.kernel.form_input import FormInput
from modelyard.kernel.paging import Page
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import recast
from modelyard.models import copying, dependency_builds, from_repository, listing, versions
from modelyard.models import service as models
from modelyard.models.doors import TASKS
from modelyard.models.schemas import CustomModelCreate, CustomModelListQuery, CustomModelUpdate
from modelyard.models.version_forms import read_version_form
from modelyard.models.version_schemas import (
    CustomModelVersionCreate,
    CustomModelVersionCreateFromLatest,
    CustomModelVersionCreateFromRepository,
    CustomModelVersionListQuery,
    CustomModelVersionMetadataUpdate,
)
from modelyard.operations.tables import Operation
from modelyard.storage.blobs import Blob, BlobStore
from modelyard.tasks.schemas import (
    CustomTaskCopy,
    CustomTaskCreate,
    CustomTaskListQuery,
    CustomTaskResponse,
    CustomTaskUpdate,
)
from modelyard.tasks.version_schemas import (
    CustomTaskVersionCreate,
    CustomTaskVersionCreateFromLatest,
    CustomTaskVersionCreateFromRepository,
    CustomTaskVersionDependencyBuildMetadataResponse,
    CustomTaskVersionListQuery,
    CustomTaskVersionMetadataUpdate,
    CustomTaskVersionResponse,
)
from modelyard.tasks.views import view_task, view_task_version, view_tasks, view_version_of
from modelyard.workspaces.references import References

TRAINING: Final = "training"


def list_tasks(
    session: Session, caller: Caller, query: CustomTaskListQuery, request: RequestInfo
) -> Page[CustomTaskResponse]:
    """The tasks that the caller may view, newest first unless ``orderBy`` says otherwise."""
    wanted = CustomModelListQuery(
        offset=query.offset,
        limit=query.limit,
        custom_model_type=TRAINING,
        order_by=query.order_by,
        search_for=query.search_for,
    )
    return listing.list_viewed(session, caller, wanted, request, view_tasks)


def create_task(session: Session, caller: Caller, settings: Settings, body: CustomTaskCreate) -> CustomTaskResponse:
    """A new task of the caller's own."""
    task = models.add_model(session, caller, settings, recast(body, CustomModelCreate, custom_model_type=TRAINING))
    return view_task(session, task)


def copy_task(session: Session, caller: Caller, body: CustomTaskCopy) -> CustomTaskResponse:
    return view_task(session, copying.add_copy(session, caller, body.custom_task_id, TASKS))


def read_task(session: Session, caller: Caller, task_id: str) -> CustomTaskResponse:
    return view_task(session, models.find_model(session, caller, task_id, Permission.VIEW, door=TASKS))


def update_task(
    session: Session, caller: Caller, settings: Settings, task_id: str, body: CustomTaskUpdate
) -> CustomTaskResponse:
    changed = models.change_model(session, caller, settings, task_id, recast(body, CustomModelUpdate), TASKS)
    return view_task(session, changed)


def list_versions(
    session: Session, caller: Caller, task_id: str, query: CustomTaskVersionListQuery, request: RequestInfo
) -> Page[CustomTaskVersionResponse]:
    """The versions of a task, newest first."""
    wanted = CustomModelVersionListQuery(offset=query.offset, limit=query.limit)
    return versions.list_viewed(session, caller, task_id, wanted, request, view_task_version, TASKS)


def create_version(
    session: Session,
    caller: Caller,
    settings: Settings,
    blobs: BlobStore,
    references: References,
    task_id: str,
    form: FormInput[Blob],
) -> CustomTaskVersionResponse:
    """A version from scratch: only the uploaded files, and only the settings that were sent."""
    made = versions.add_version(session, caller, settings, blobs, references, task_id, form, _read_creation, TASKS)
    return view_task_version(made.version, made.files, is_latest=True)


def derive_version(
    session: Session,
    caller: Caller,
    settings: Settings,
    blobs: BlobStore,
    references: References,
    task_id: str,
    form: FormInput[Blob],
) -> CustomTaskVersionResponse:
    """A version on top of the latest one, or the first one: its files and settings, with what was sent put over them.

    The environment is always sent, as documented; it is not taken from the latest version as a model's is.
    """
    made = versions.add_version(session, caller, settings, blobs, references, task_id, form, _read_derivation, TASKS)
    return view_task_version(made.version, made.files, is_latest=True)


def start_pull(
    session: Session,
    caller: Caller,
    settings: Settings,
    task_id: str,
    body: CustomTaskVersionCreateFromRepository,
    *,
    on_latest: bool,
) -> Operation:
    """Puts in line the making of a version from the files of a remote repository."""
    wanted = recast(body, CustomModelVersionCreateFromRepository)
    return from_repository.start_pull(session, caller, settings, task_id, wanted, on_latest=on_latest, door=TASKS)


def read_version(session: Session, caller: Caller, task_id: str, version_id: str) -> CustomTaskVersionResponse:
    found = models.find_version(session, caller, version_id, Permission.VIEW, model_id=task_id, door=TASKS)
    return view_version_of(session, *found)


def update_version(
    session: Session, caller: Caller, task_id: str, version_id: str, body: CustomTaskVersionMetadataUpdate
) -> CustomTaskVersionResponse:
    """Changes what a version is called; its files and settings never change."""
    wanted = recast(body, CustomModelVersionMetadataUpdate)
    return view_version_of(session, *versions.change_version(session, caller, task_id, version_id, wanted, TASKS))


def start_build(
    session: Session,
    caller: Caller,
    blobs: BlobStore,
    images: ImageStore,
    task_id: str,
    version_id: str,
    request: RequestInfo,
) -> CustomTaskVersionDependencyBuildMetadataResponse:
    """Has the dependencies of a version built; at once a success where an equal image is there."""
    dependency_builds.start_build(session, caller, blobs, images, task_id, version_id, TASKS)
    return read_build(session, caller, blobs, images, task_id, version_id, request)


def read_build(
    session: Session,
    caller: Caller,
    blobs: BlobStore,
    images: ImageStore,
    task_id: str,
    version_id: str,
    request: RequestInfo,
) -> CustomTaskVersionDependencyBuildMetadataResponse:
    version, build = dependency_builds.read_build(session, caller, blobs, images, task_id, version_id, TASKS)
    return CustomTaskVersionDependencyBuildMetadataResponse(
        custom_task_id=task_id,
        custom_task_version_id=version_id,
        **dependency_builds.fields(version, build, request, TASKS),
    )


def _read_creation(form: FormInput[Blob]) -> CustomModelVersionCreate:
    return recast(read_version_form(form, CustomTaskVersionCreate), CustomModelVersionCreate)


def _read_derivation(form: FormInput[Blob]) -> CustomModelVersionCreate:
    return recast(read_version_form(form, CustomTaskVersionCreateFromLatest), CustomModelVersionCreateFromLatest)
