"""Use cases of remote repositories, and whether something may be pulled from one."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session

from modelyard.credentials.service import find_credential
from modelyard.identity import audit, sharing
from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.identity.tables import ResourceKind
from modelyard.kernel.database import ignoring_case
from modelyard.kernel.errors import Forbidden, NotFound, raise_all
from modelyard.kernel.ids import is_id, new_id
from modelyard.kernel.paging import Page, page
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import UnsetType, changes, moment
from modelyard.repositories.locations import Location, LocationError, read_location
from modelyard.repositories.pulled import read_source_paths
from modelyard.repositories.schemas import (
    RemoteRepositoryCreate,
    RemoteRepositoryListQuery,
    RemoteRepositoryResponse,
    RemoteRepositoryUpdate,
)
from modelyard.repositories.tables import RemoteRepository
from modelyard.workspaces.references import no_such

KIND = ResourceKind.REPOSITORY
MAX_REF_CHARACTERS = 255  # as workspaces store it
ORDERS: dict[str, tuple[ColumnElement[Any], ...]] = {
    "name": (ignoring_case(RemoteRepository.name).asc(), RemoteRepository.id.asc()),
    "-name": (ignoring_case(RemoteRepository.name).desc(), RemoteRepository.id.desc()),
    "created": (RemoteRepository.created_at.asc(), RemoteRepository.id.asc()),
    "-created": (RemoteRepository.created_at.desc(), RemoteRepository.id.desc()),
}


def list_repositories(
    session: Session, caller: Caller, query: RemoteRepositoryListQuery, request: RequestInfo
) -> Page[RemoteRepositoryResponse]:
    """The repositories that the caller may view."""
    statement = sharing.scoped(session, caller, KIND, RemoteRepository, RemoteRepository.id)
    if query.search_for:
        statement = statement.where(RemoteRepository.search_text.contains(query.search_for.casefold(), autoescape=True))
    statement = statement.order_by(*ORDERS[query.order_by])
    return page(session, statement, query, request, lambda rows: [view(row) for row in rows])


def create_repository(
    session: Session, caller: Caller, settings: Settings, body: RemoteRepositoryCreate
) -> RemoteRepository:
    """A repository of the caller's own. Raises ``Invalid`` with every wrong field."""
    now = datetime.now(UTC)
    row = RemoteRepository(id=new_id(), created_by_id=caller.user_id, created_at=now, updated_at=now)
    row.description = row.credential_id = None
    raise_all(_take(session, caller, settings, row, body))
    session.add(row)
    sharing.grant_owner(session, caller, KIND, row.id)
    detail: dict[str, object] = {"name": row.name, "location": row.location}
    audit.record(session, caller, "create", KIND, row.id, detail)
    session.flush()
    return row


def find_repository(
    session: Session, caller: Caller, repository_id: str, permission: Permission = Permission.VIEW
) -> RemoteRepository:
    """The repository, if the caller's role allows ``permission``."""
    sharing.require(session, caller, KIND, repository_id, permission)
    return session.get_one(RemoteRepository, repository_id)


def change_repository(
    session: Session, caller: Caller, settings: Settings, repository_id: str, body: RemoteRepositoryUpdate
) -> RemoteRepository:
    """Changes what was sent. Whoever leaves a credential in place must be allowed to use it, too."""
    row = find_repository(session, caller, repository_id, Permission.EDIT)
    with session.no_autoflush:
        raise_all(_take(session, caller, settings, row, body))
    row.updated_at = datetime.now(UTC)
    audit.record(session, caller, "update", KIND, row.id, {"fields": sorted(changes(body))})
    session.flush()
    return row


def delete_repository(session: Session, caller: Caller, repository_id: str) -> None:
    """Deletes a repository; what was pulled from it stays."""
    row = find_repository(session, caller, repository_id, Permission.DELETE)
    session.delete(row)
    sharing.forget(session, KIND, repository_id)
    audit.record(session, caller, "delete", KIND, repository_id, {"name": row.name})


def pull_faults(
    session: Session,
    caller: Caller,
    settings: Settings,
    repository_id: str,
    ref: str | UnsetType,
    source_path: str | list[str] | UnsetType,
) -> dict[str, str]:
    """What is wrong with a wish to pull, by the fields of the ``fromRepository`` bodies, before anybody is asked."""
    faults = {}
    row = _find_usable(session, caller, repository_id)
    if row is None:
        faults["repositoryId"] = no_such("remoteRepository", repository_id)
    elif fault := _stored_fault(session, caller, settings, row):
        faults["repositoryId"] = fault
    if isinstance(ref, str) and ref and row is not None and row.source_type == "s3":
        faults["ref"] = "must be left out: a bucket has no branches, tags or commits"
    elif isinstance(ref, str) and (len(ref) > MAX_REF_CHARACTERS or not ref.isprintable()):
        faults["ref"] = f"must be the name of a branch, a tag or a commit, of at most {MAX_REF_CHARACTERS} characters"
    try:
        read_source_paths("" if isinstance(source_path, UnsetType) else source_path)
    except ValueError as error:
        faults["sourcePath"] = str(error)
    return faults


def view(row: RemoteRepository) -> RemoteRepositoryResponse:
    return RemoteRepositoryResponse(
        id=row.id,
        name=row.name,
        description=row.description,
        location=row.location,
        source_type=row.source_type,  # type: ignore[arg-type] # checked when it was stored
        credential_id=row.credential_id,
        created=moment(row.created_at),
        updated=moment(row.updated_at),
    )


def _take(
    session: Session,
    caller: Caller,
    settings: Settings,
    row: RemoteRepository,
    body: RemoteRepositoryCreate | RemoteRepositoryUpdate,
) -> dict[str, str]:
    """Puts into the row what was sent; what is wrong with it then, also together with what was there."""
    faults: dict[str, str] = {}
    sent = changes(body)
    for field, value in sent.items():
        setattr(row, field, value)
    if "name" in sent and not row.name.strip():
        faults["name"] = "must not be blank"
    if row.location is None or row.source_type is None:
        return faults
    location: Location | None = None
    if "location" in sent or "source_type" in sent:
        try:
            location = read_location(row.location, row.source_type, settings.allowed_private_hosts)
        except LocationError as error:
            faults["location"] = str(error)
    if row.credential_id is not None and (location is not None or "credential_id" in sent):
        fault = _credential_fault(session, caller, settings, row)
        faults |= {} if fault is None else {"credentialId": fault}
    row.search_text = f"{row.name}\n{row.description or ''}\n{row.location}".casefold()
    return faults


def _credential_fault(session: Session, caller: Caller, settings: Settings, row: RemoteRepository) -> str | None:
    """Why the caller may not use the repository's credential for it."""
    try:
        location = read_location(row.location, row.source_type, settings.allowed_private_hosts)
    except LocationError:
        return None  # the location is to blame
    credential_id = str(row.credential_id)
    try:
        credential = find_credential(session, caller, credential_id, Permission.USE) if is_id(credential_id) else None
    except (NotFound, Forbidden):
        credential = None
    if credential is None:
        return no_such("credential", credential_id)
    if credential.credential_type not in location.logins:
        kinds = " or ".join(location.logins)
        return (
            f"credential {credential.name!r} is of the type {credential.credential_type}; this location takes {kinds}"
        )
    return None


def _find_usable(session: Session, caller: Caller, repository_id: str) -> RemoteRepository | None:
    try:
        return find_repository(session, caller, repository_id) if is_id(repository_id) else None
    except NotFound:
        return None


def _stored_fault(session: Session, caller: Caller, settings: Settings, row: RemoteRepository) -> str | None:
    """Why nothing can be pulled from a repository that was stored once; settings and rights may have changed."""
    try:
        read_location(row.location, row.source_type, settings.allowed_private_hosts)
    except LocationError as error:
        return f"the location of {row.name!r}: {error}"
    return None if row.credential_id is None else _credential_fault(session, caller, settings, row)
