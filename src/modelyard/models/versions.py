"""Versions of a custom model: made from scratch or on top of the latest, read, listed, described (seed 001)."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.environments.required_metadata import settled
from modelyard.identity import audit
from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.kernel.errors import Invalid
from modelyard.kernel.form_input import FormInput
from modelyard.kernel.ids import new_id
from modelyard.kernel.paging import Page, page
from modelyard.kernel.problems import Problems
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import UNSET, changes, read_bool
from modelyard.models.code_files import read_code_files
from modelyard.models.doors import MODELS, Door
from modelyard.models.service import find_model, find_version
from modelyard.models.tables import CustomModel, CustomModelVersion
from modelyard.models.version_forms import (
    changed_required_metadata,
    read_version_form,
    required_metadata_field,
)
from modelyard.models.version_schemas import (
    CustomModelVersionCreate,
    CustomModelVersionCreateFromLatest,
    CustomModelVersionListQuery,
    CustomModelVersionMetadataUpdate,
    CustomModelVersionResponse,
)
from modelyard.models.version_settings import (
    set_commit,
    set_environment,
    set_parameters,
    set_required_metadata,
    set_resources,
)
from modelyard.models.views import VersionView, view_each, view_version, view_versions
from modelyard.storage.blobs import Blob, BlobStore
from modelyard.workspaces import service as workspaces
from modelyard.workspaces.references import References
from modelyard.workspaces.service import NewFile, StoredFile
from modelyard.workspaces.tables import Workspace
from modelyard.workspaces.uploads import ids_to_delete, uploaded_files

T = TypeVar("T")

AUDIT_KIND = "customModelVersion"
NO_TRAINING_DATA = "training data of versions are not supported yet; leave the field out"


class Made(NamedTuple):
    """A new version, which is its model's latest, with its files."""

    version: CustomModelVersion
    files: list[StoredFile]

    def view(self) -> CustomModelVersionResponse:
        return view_version(self.version, self.files, is_latest=True)


def create_version(
    session: Session,
    caller: Caller,
    settings: Settings,
    blobs: BlobStore,
    references: References,
    model_id: str,
    form: FormInput[Blob],
) -> CustomModelVersionResponse:
    """A version from scratch: only the uploaded files, and only the settings that were sent."""
    return add_version(session, caller, settings, blobs, references, model_id, form, _read_creation).view()


def derive_version(
    session: Session,
    caller: Caller,
    settings: Settings,
    blobs: BlobStore,
    references: References,
    model_id: str,
    form: FormInput[Blob],
) -> CustomModelVersionResponse:
    """A version on top of the latest one: its files and settings, with what was sent put over them.

    Where there is no version yet, it is the first one; then nothing is required, not even an environment (existing
    clients begin so, supporting-endpoints A.7).
    """
    return add_version(session, caller, settings, blobs, references, model_id, form, _read_derivation).view()


def add_version(
    session: Session,
    caller: Caller,
    settings: Settings,
    blobs: BlobStore,
    references: References,
    model_id: str,
    form: FormInput[Blob],
    read: Callable[[FormInput[Blob]], CustomModelVersionCreate],
    door: Door = MODELS,
) -> Made:
    """A version of what was uploaded: on top of the latest one where ``read`` makes the form one of that kind."""
    model = find_model(session, caller, model_id, Permission.EDIT, lock=True, hide_forbidden=True, door=door)
    body, read_files = read(form), partial(uploaded_files, form)
    return _make(session, caller, settings, blobs, references, model, read_files, body)


def make_version(
    session: Session,
    caller: Caller,
    settings: Settings,
    blobs: BlobStore,
    references: References,
    model_id: str,
    body: CustomModelVersionCreate,
    files: Sequence[NewFile],
    door: Door = MODELS,
) -> Made:
    """A version of files that are stored already: on top of the latest one where ``body`` is of that kind."""
    model = find_model(session, caller, model_id, Permission.EDIT, lock=True, hide_forbidden=True, door=door)
    return _make(session, caller, settings, blobs, references, model, lambda: files, body)


def check_version(
    session: Session, caller: Caller, model_id: str, body: CustomModelVersionCreate, door: Door = MODELS
) -> dict[str, str]:
    """What is wrong with ``body`` as far as it can be told before the files are there."""
    model = find_model(session, caller, model_id, Permission.EDIT, hide_forbidden=True, door=door)
    problems = Problems()
    latest = _latest(session, model)
    version = CustomModelVersion()
    set_environment(session, caller, version, body, latest, problems, is_task=model.is_task)
    base = latest if isinstance(body, CustomModelVersionCreateFromLatest) else None
    set_required_metadata(session, version, body, base, problems)
    return problems.errors


def list_versions(
    session: Session, caller: Caller, model_id: str, query: CustomModelVersionListQuery, request: RequestInfo
) -> Page[CustomModelVersionResponse]:
    """The versions of a model, newest first."""
    return list_viewed(session, caller, model_id, query, request, view_version)


def list_viewed(
    session: Session,
    caller: Caller,
    model_id: str,
    query: CustomModelVersionListQuery,
    request: RequestInfo,
    view: VersionView[T],
    door: Door = MODELS,
) -> Page[T]:
    """``list_versions`` with each one shown by ``view``."""
    model = find_model(session, caller, model_id, Permission.VIEW, door=door)
    statement = select(CustomModelVersion).where(CustomModelVersion.model_id == model_id)
    if query.main_branch_commit_sha is not None:
        statement = statement.where(CustomModelVersion.main_branch_commit_sha == query.main_branch_commit_sha)
    return page(
        session,
        statement.order_by(CustomModelVersion.id.desc()),
        query,
        request,
        lambda rows: view_each(session, rows, [model.latest_version_id], view),
    )


def read_version(session: Session, caller: Caller, model_id: str, version_id: str) -> CustomModelVersionResponse:
    model, version = find_version(session, caller, version_id, Permission.VIEW, model_id=model_id)
    return view_versions(session, [version], [model.latest_version_id])[0]


def update_version(
    session: Session, caller: Caller, model_id: str, version_id: str, body: CustomModelVersionMetadataUpdate
) -> CustomModelVersionResponse:
    model, version = change_version(session, caller, model_id, version_id, body)
    return view_versions(session, [version], [model.latest_version_id])[0]


def change_version(
    session: Session,
    caller: Caller,
    model_id: str,
    version_id: str,
    body: CustomModelVersionMetadataUpdate,
    door: Door = MODELS,
) -> tuple[CustomModel, CustomModelVersion]:
    """Changes what a version is called and where it came from; its files and settings never change."""
    model, version = find_version(
        session, caller, version_id, Permission.EDIT, model_id=model_id, hide_forbidden=True, door=door
    )
    required = changed_required_metadata(body)
    if required is not None and version.required_metadata and required != version.required_metadata:
        text = "was set already and cannot be changed; make a new version"
        raise Invalid(f"requiredMetadata: {text}", {"requiredMetadata": text})
    if required is not None:
        field = required_metadata_field(body)
        version.required_metadata = settled(session, version.base_environment_id, required, field=field)
    if body.description is not UNSET:
        version.description = body.description
    if body.git_model_version is not UNSET:
        set_commit(version, body.git_model_version)
    audit.record(session, caller, "update", AUDIT_KIND, version_id, {"fields": sorted(changes(body))})
    session.flush()
    return model, version


def _read_creation(form: FormInput[Blob]) -> CustomModelVersionCreate:
    return read_version_form(form, CustomModelVersionCreate)


def _read_derivation(form: FormInput[Blob]) -> CustomModelVersionCreate:
    return read_version_form(form, CustomModelVersionCreateFromLatest, is_major_by_default="false")


def _latest(session: Session, model: CustomModel) -> CustomModelVersion | None:
    return session.get_one(CustomModelVersion, model.latest_version_id) if model.latest_version_id else None


def _make(
    session: Session,
    caller: Caller,
    settings: Settings,
    blobs: BlobStore,
    references: References,
    model: CustomModel,
    read_files: Callable[[], Sequence[NewFile]],
    body: CustomModelVersionCreate,
) -> Made:
    latest = _latest(session, model)
    base = latest if isinstance(body, CustomModelVersionCreateFromLatest) else None
    problems = Problems()
    version = CustomModelVersion(
        id=new_id(), model_id=model.id, created_by_id=caller.user_id, created_at=datetime.now(UTC)
    )
    with problems.collecting():
        is_major_update = read_bool(body.is_major_update, "isMajorUpdate")
        version.version_major, version.version_minor = next_number(latest, is_major_update=is_major_update)
    set_environment(session, caller, version, body, latest, problems, is_task=model.is_task)
    set_resources(version, body, base, settings, problems)
    for field, value in (("trainingData", body.training_data), ("holdoutData", body.holdout_data)):
        if value is not UNSET and value is not None:
            problems.add(field, NO_TRAINING_DATA)
    set_required_metadata(session, version, body, base, problems)
    set_commit(version, None if body.git_model_version is UNSET else body.git_model_version)
    files: list[StoredFile] = []
    with problems.collecting():
        uploaded = read_files()
        workspace, files = _workspace(session, settings, body, base, uploaded)
        version.workspace_id = workspace.id
        read_code_files(version, model, blobs, base, files, {file.path for file in uploaded}, problems)
    with problems.collecting():
        set_parameters(version, body, base, references.seen_by(session, caller))
    problems.raise_all()
    session.add(version)
    model.latest_version_id = version.id
    model.updated_at = version.created_at
    detail: dict[str, object] = {"customModelId": model.id, "label": version.label, "files": len(files)}
    audit.record(session, caller, "create", AUDIT_KIND, version.id, detail)
    session.flush()
    return Made(version, files)


def next_number(latest: CustomModelVersion | None, *, is_major_update: bool) -> tuple[int, int]:
    """Major and minor of the version that follows ``latest``: the first is 1.0, whatever was asked for.

    After a packaged or deployed version comes a major one; otherwise ``isMajorUpdate`` decides.
    """
    if latest is None:
        return 1, 0
    if is_major_update or latest.frozen_at is not None:
        return latest.version_major + 1, 0
    return latest.version_major, latest.version_minor + 1


def _workspace(
    session: Session,
    settings: Settings,
    body: CustomModelVersionCreate,
    base: CustomModelVersion | None,
    uploaded: Sequence[NewFile],
) -> tuple[Workspace, list[StoredFile]]:
    removed: list[str] = []
    if isinstance(body, CustomModelVersionCreateFromLatest) and body.files_to_delete is not UNSET:
        removed = ids_to_delete(body.files_to_delete)
    if base is not None:
        present = session.get_one(Workspace, base.workspace_id)
        return workspaces.derive(session, present, uploaded, removed, max_files=settings.max_files_per_version)
    if removed:
        text = f"there is no version yet, so these files are not in it: {', '.join(removed[:20])}"
        raise Invalid(f"filesToDelete: {text}", {"filesToDelete": text})
    made = workspaces.create(session, uploaded, max_files=settings.max_files_per_version)
    return made, workspaces.files_in(session, made)
