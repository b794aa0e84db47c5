"""Versions whose files are pulled from a remote repository (seed 001, versions/fromRepository)."""

from typing import Any

import msgspec
from sqlalchemy.orm import Session

from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.kernel.errors import raise_all
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import UnsetType
from modelyard.models import versions
from modelyard.models.doors import DOORS, MODELS, Door
from modelyard.models.service import find_model
from modelyard.models.version_schemas import (
    CustomModelVersionCreate,
    CustomModelVersionCreateFromLatest,
    CustomModelVersionCreateFromRepository,
)
from modelyard.operations import service as operations
from modelyard.operations.tables import Operation
from modelyard.operations.work import Handler, Work
from modelyard.repositories import service as repositories
from modelyard.repositories import work as pulls
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces.references import References

PULL = "customModelVersion.pull"


def start_pull(
    session: Session,
    caller: Caller,
    settings: Settings,
    model_id: str,
    body: CustomModelVersionCreateFromRepository,
    *,
    on_latest: bool,
    door: Door = MODELS,
) -> Operation:
    """Puts the pull in line; its end makes the version, of the pulled files alone or on top of the latest one.

    Raises ``Invalid`` with every field that is wrong as far as can be told before the repository is asked.
    """
    find_model(session, caller, model_id, Permission.EDIT, hide_forbidden=True, door=door)
    faults = {}
    if "repository_id" not in body.unread:
        faults = repositories.pull_faults(session, caller, settings, body.repository_id, body.ref, body.source_path)
    fields = _fields(body)
    faults |= versions.check_version(session, caller, model_id, _form(fields, on_latest=on_latest), door)
    if faults.pop("baseEnvironmentVersionId", None) is not None:  # which this body does not have
        faults["baseEnvironmentId"] = "is required, because there is no version yet whose environment could be kept"
    raise_all(faults)
    return operations.start(
        session,
        caller,
        PULL,
        status_type=f"Custom{door.title}Version",
        payload={
            "model_id": model_id,
            "door": door.noun,
            "on_latest": on_latest,
            "fields": fields,
            "pull": pulls.pull(body.repository_id, body.ref, body.source_path),
        },
        resource_id=model_id,
        description="Pulling a version from a remote repository",
    )


def make(work: Work) -> None:
    """Makes the version of what was pulled, in one transaction with the note that it is made."""
    model_id, door = work.payload["model_id"], DOORS[work.payload["door"]]
    settings, references = work.parts.get(Settings), work.parts.get(References)
    blobs = work.parts.get(BlobStore)  # type: ignore[type-abstract]
    with work.unit() as session:
        operation = session.get_one(Operation, work.id)
        if operation.result_path is not None:
            return
        caller = pulls.acting_caller(session, work)
        body = _form(work.payload["fields"], on_latest=work.payload["on_latest"])
        files = pulls.pulled_files(work)
        made = versions.make_version(session, caller, settings, blobs, references, model_id, body, files, door)
        operation.result_path = door.version_path(made.version)


def handlers() -> list[Handler]:
    return [Handler(PULL, (*pulls.STEPS, make), on_failure=pulls.tidy, on_cancel=pulls.tidy)]


def _fields(body: CustomModelVersionCreateFromRepository) -> dict[str, Any]:
    """What the form of a version calls the same, for keeping."""
    fields: dict[str, Any] = {"isMajorUpdate": "true" if body.is_major_update is True else "false"}
    if isinstance(body.base_environment_id, str):
        fields["baseEnvironmentId"] = body.base_environment_id
    for name, value in (
        ("requiredMetadata", body.required_metadata),
        ("requiredMetadataValues", body.required_metadata_values),
    ):
        if not isinstance(value, UnsetType):
            fields[name] = msgspec.json.encode(value).decode()
    return fields


def _form(fields: dict[str, Any], *, on_latest: bool) -> CustomModelVersionCreate:
    return msgspec.convert(fields, CustomModelVersionCreateFromLatest if on_latest else CustomModelVersionCreate)
