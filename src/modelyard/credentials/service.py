"""Use cases of credentials. Their secret fields are opened in two places only: to change some of them, and to start a
workload (``open_credential``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from modelyard.credentials.schemas import (
    CredentialCreate,
    CredentialFields,
    CredentialListQuery,
    CredentialResponse,
    CredentialUpdate,
)
from modelyard.credentials.tables import Credential
from modelyard.credentials.types import field_faults, type_name
from modelyard.identity import access_lists, audit, sharing
from modelyard.identity.access_lists import AccessControlResponse, SharingUpdateOrRemoveWithGrant
from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.identity.tables import ResourceKind
from modelyard.kernel.database import ignoring_case
from modelyard.kernel.errors import Conflict, Forbidden, NotFound, raise_all
from modelyard.kernel.ids import is_id, new_id
from modelyard.kernel.paging import Page, PageQuery, page
from modelyard.kernel.problems import Problems
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.secret_box import FINGERPRINT_LENGTH, SecretBox
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import NOT_JSON, UNSET, UnsetType, changes, decode_json, moment
from modelyard.workspaces.references import no_such
from modelyard.workspaces.runtime_parameters import Definition

KIND = ResourceKind.CREDENTIAL
ORDERS: dict[str, tuple[ColumnElement[Any], ...]] = {
    "name": (ignoring_case(Credential.name).asc(), Credential.id.asc()),
    "-name": (ignoring_case(Credential.name).desc(), Credential.id.desc()),
    "creationDate": (Credential.created_at.asc(), Credential.id.asc()),
    "-creationDate": (Credential.created_at.desc(), Credential.id.desc()),
}
_WIRE_NAMES = {info.name: info.encode_name for info in msgspec.structs.fields(CredentialFields)}
_SEALED_WITH: ColumnElement[str] = func.substr(Credential.sealed_fields, 1, FINGERPRINT_LENGTH)
_AT_ONCE = 500


class CredentialGone(NotFound):
    """There is no such credential any more, or the one who opens it may not use it."""


@dataclass(frozen=True)
class OpenCredential:
    """A credential in plain. ``fields`` are those of its type by their wire names; nothing shows them by accident."""

    id: str
    name: str
    description: str | None
    credential_type: str
    fields: Mapping[str, Any] = field(repr=False)

    def payload(self) -> dict[str, Any]:
        """The object that code is given (supporting-endpoints.md, C.7)."""
        head = {"credentialType": self.credential_type, "name": self.name, "description": self.description or ""}
        return head | dict(self.fields)


def list_credentials(
    session: Session, caller: Caller, query: CredentialListQuery, request: RequestInfo
) -> Page[CredentialResponse]:
    """The credentials that the caller may view."""
    statement = sharing.scoped(session, caller, KIND, Credential, Credential.id)
    if query.types:
        statement = statement.where(Credential.credential_type.in_({type_name(one) for one in query.types}))
    if query.search:
        statement = statement.where(Credential.search_text.contains(query.search.casefold(), autoescape=True))
    statement = statement.order_by(*ORDERS[query.order_by])
    return page(session, statement, query, request, lambda rows: [view(row) for row in rows])


def create_credential(session: Session, caller: Caller, box: SecretBox, body: CredentialCreate) -> Credential:
    """A credential of the caller's own. Raises ``Invalid`` with every wrong field, ``Conflict`` for a taken name."""
    problems = Problems()
    with problems.collecting():
        fields, faults = _read_fields(body)
        problems.update(faults | field_faults(type_name(body.credential_type), fields))
    with problems.collecting():
        if not body.name.strip():
            problems.add("name", "must not be blank")
    problems.raise_all()
    row = Credential(
        id=new_id(),
        created_by_id=caller.user_id,
        created_at=datetime.now(UTC),
        name=body.name,
        description=None if body.description is UNSET else body.description,
        credential_type=type_name(body.credential_type),
    )
    _seal(box, row, fields)
    session.add(row)
    _store(session, row)
    sharing.grant_owner(session, caller, KIND, row.id)
    detail: dict[str, object] = {"name": row.name, "credentialType": row.credential_type}
    audit.record(session, caller, "create", KIND, row.id, detail)
    return row


def find_credential(
    session: Session,
    caller: Caller,
    credential_id: str,
    permission: Permission = Permission.VIEW,
    *,
    lock: bool = False,
) -> Credential:
    """The credential, if the caller's role allows ``permission``; its secrets stay closed."""
    sharing.require(session, caller, KIND, credential_id, permission)
    return session.get_one(Credential, credential_id, with_for_update=lock)


def change_credential(
    session: Session, caller: Caller, box: SecretBox, credential_id: str, body: CredentialUpdate
) -> Credential:
    """Changes what was sent; null takes an optional field away. What runs already keeps what it was started with.

    A credential whose key was lost is set anew where all required fields are sent; otherwise it is a ``Conflict``.
    """
    row = find_credential(session, caller, credential_id, Permission.EDIT, lock=True)
    given, faults = _read_fields(body)
    if not isinstance(body.credential_type, UnsetType) and type_name(body.credential_type) != row.credential_type:
        faults["credentialType"] = f"is {row.credential_type} and cannot change; make another credential"
    if isinstance(body.name, str) and not body.name.strip():
        faults["name"] = "must not be blank"
    alone = field_faults(row.credential_type, given)
    wrong = {name: text for name, text in alone.items() if name in given}
    raise_all(faults | wrong)  # what is wrong whatever was stored
    if given:
        fields = _stored_fields(box, row, may_be_lost=not alone) | given
        raise_all(field_faults(row.credential_type, fields))
        _seal(box, row, fields)
    row.name = row.name if body.name is UNSET else str(body.name)
    if not isinstance(body.description, UnsetType):
        row.description = body.description
    _store(session, row)
    sent = sorted(_WIRE_NAMES.get(name, name) for name in changes(body))
    audit.record(session, caller, "update", KIND, row.id, {"fields": sent})
    return row


def delete_credential(session: Session, caller: Caller, credential_id: str) -> None:
    """Deletes a credential for good. What refers to it is left as it is, and says so when it is started next."""
    row = find_credential(session, caller, credential_id, Permission.DELETE, lock=True)
    session.delete(row)
    sharing.forget(session, KIND, credential_id)
    audit.record(session, caller, "delete", KIND, credential_id, {"name": row.name})


def list_access(
    session: Session, caller: Caller, credential_id: str, query: PageQuery, request: RequestInfo
) -> Page[AccessControlResponse]:
    """The users that the credential is shared with."""
    find_credential(session, caller, credential_id)
    return access_lists.list_access(session, KIND, credential_id, query, request)


def change_access(
    session: Session, caller: Caller, settings: Settings, credential_id: str, body: SharingUpdateOrRemoveWithGrant
) -> None:
    """Sets or takes away users' roles, all or none."""
    find_credential(session, caller, credential_id, Permission.USE)
    access_lists.change_access(session, caller, settings, KIND, credential_id, body)


def open_credential(session: Session, caller: Caller, box: SecretBox, credential_id: str) -> OpenCredential:
    """The credential in plain, for starting a workload on behalf of ``caller``, who needs the permission to use it.

    Only for what is put into the environment of a process, or sent to the system that the credential is for: never
    for an answer, a log or a row. Raises ``CredentialGone`` and, where this server lacks the key, ``Conflict``.
    """
    try:
        row = find_credential(session, caller, credential_id, Permission.USE)
    except (NotFound, Forbidden) as error:
        raise CredentialGone(error.message) from None
    return OpenCredential(row.id, row.name, row.description, row.credential_type, _fields_of(box, row))


def reference_fault(session: Session, caller: Caller, credential_id: str, definition: Definition | None) -> str | None:
    """Why the caller may not set this credential as the value of a runtime parameter, or ``None``."""
    try:
        row = find_credential(session, caller, credential_id, Permission.USE) if is_id(credential_id) else None
    except (NotFound, Forbidden):
        row = None
    if row is None:
        return no_such("credential", credential_id)
    wanted = definition.credential_type if definition else None
    if wanted is not None and row.credential_type != wanted:
        return f"credential {row.name!r} is of the type {row.credential_type}; the parameter takes {wanted}"
    return None


def unreadable(session: Session, box: SecretBox) -> dict[str, int]:
    """How many credentials are sealed with each key (by its fingerprint) that this server lacks. For operators."""
    counts = session.execute(select(_SEALED_WITH, func.count()).group_by(_SEALED_WITH))
    return {fingerprint: count for fingerprint, count in counts if fingerprint not in box.fingerprints}


def reseal(session: Session, box: SecretBox) -> int:
    """Seals with the first key what another one sealed, so that the other can go; how many. For operators.

    Raises ``Conflict`` for what no key of ``box`` opens.
    """
    count = 0
    old = select(Credential).where(_SEALED_WITH.not_in(box.fingerprints[:1])).limit(_AT_ONCE).with_for_update()
    while rows := session.scalars(old).all():
        for row in rows:
            _seal(box, row, _fields_of(box, row))
        session.flush()
        count += len(rows)
    return count


def view(row: Credential) -> CredentialResponse:
    return CredentialResponse(
        credential_id=row.id,
        name=row.name,
        description=row.description,
        credential_type=row.credential_type,  # type: ignore[arg-type] # checked when it was stored
        creation_date=moment(row.created_at),
    )


def _read_fields(body: CredentialFields) -> tuple[dict[str, Any], dict[str, str]]:
    """The fields that were sent by their wire names, null ones too, and what is wrong with the form of any."""
    fields = {
        wire: value for name, wire in _WIRE_NAMES.items() if not isinstance(value := getattr(body, name), UnsetType)
    }
    if not isinstance(fields.get("gcpKey"), str):
        return fields, {}
    try:
        fields["gcpKey"] = decode_json(fields["gcpKey"], dict[str, Any])
    except (*NOT_JSON, UnicodeEncodeError):
        return fields, {"gcpKey": "must be the JSON object that a service account's key file holds"}
    return fields, {}


def _fields_of(box: SecretBox, row: Credential) -> dict[str, Any]:
    plain = box.open(row.id, row.sealed_fields, f"Credential {row.name!r} ({row.id})")
    found: dict[str, Any] = msgspec.json.decode(plain)
    return found


def _stored_fields(box: SecretBox, row: Credential, *, may_be_lost: bool) -> dict[str, Any]:
    try:
        return _fields_of(box, row)
    except Conflict:
        if may_be_lost:
            return {}
        raise


def _seal(box: SecretBox, row: Credential, fields: Mapping[str, Any]) -> None:
    kept = {name: value for name, value in fields.items() if value is not None}
    row.sealed_fields = box.seal(row.id, msgspec.json.encode(kept))


def _store(session: Session, row: Credential) -> None:
    row.search_text = f"{row.name}\n{row.description or ''}".casefold()
    name = row.name
    taken = select(Credential.id).where(
        Credential.created_by_id == row.created_by_id, Credential.name == name, Credential.id != row.id
    )
    conflict = Conflict(f"There is a credential named {name!r} already; choose another name, or change that one.")
    with session.no_autoflush:
        if session.scalar(taken) is not None:
            raise conflict
    try:
        session.flush()
    except IntegrityError:  # somebody took the name in this very moment
        raise conflict from None
