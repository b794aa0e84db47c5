"""Changing who has which role on a resource, for ``accessControl/`` and ``sharedRoles/`` of every kind."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from modelyard.identity import audit, grant_counts
from modelyard.identity.caller import Caller
from modelyard.identity.roles import OWNING_ROLES, PERMISSIONS, ROLE_NAMES, Permission, exceeds
from modelyard.identity.sharing import require, spaced
from modelyard.identity.tables import Grant, Group, Organization, ResourceKind, SubjectKind, User
from modelyard.kernel.errors import Conflict, Forbidden, Invalid
from modelyard.kernel.settings import Settings

NO_ROLE = "NO_ROLE"
_TABLES = {SubjectKind.USER: User, SubjectKind.GROUP: Group, SubjectKind.ORGANIZATION: Organization}


@dataclass(frozen=True)
class Named:
    """How a client names a recipient: ``by`` is ``id``, or ``username`` (of a group or organization: its name)."""

    kind: SubjectKind
    by: str
    value: str


@dataclass(frozen=True)
class RoleChange:
    """A wish to set a recipient's role; role None or ``NO_ROLE`` takes it away. ``field`` is where it was asked."""

    field: str
    recipient: Named
    role: str | None
    can_share: bool | None = None

    @property
    def removes(self) -> bool:
        return self.role in {None, NO_ROLE}


@dataclass(frozen=True)
class _Recipient:
    id: str
    kind: SubjectKind
    is_active: bool = True


def change_roles(
    session: Session,
    caller: Caller,
    settings: Settings,
    kind: ResourceKind,
    resource_id: str,
    wanted: Sequence[RoleChange],
    *,
    faults: Mapping[str, str] | None = None,
) -> None:
    """Sets or takes away the roles of users, groups and organizations, all or none.

    Raises ``NotFound`` for who may not see the resource and ``Forbidden`` for who may not share it (but everybody
    may leave); ``Invalid``, naming every wrong line, for recipients that are unknown, repeated or of another
    organization and for roles above the caller's own, together with the ``faults`` that were found before;
    ``Conflict`` when no owner would be left.
    """
    _lock_owners(session, kind, resource_id)
    if faults or not _is_leaving(caller, wanted):
        own_role = require_sharing(session, caller, kind, resource_id)
    else:
        own_role = require(session, caller, kind, resource_id, Permission.SEE)
    found = _find_recipients(session, caller, settings, {change.recipient for change in wanted})
    lines = _lines(session, kind, resource_id, [recipient.id for recipient in found.values()])
    errors = {**(faults or {}), **_faults(wanted, found, lines, own_role)}
    if errors:
        raise Invalid("; ".join(f"{field}: {text}" for field, text in errors.items()), errors)
    _apply(session, kind, resource_id, [(found[change.recipient], change) for change in wanted], lines)
    _require_an_owner(session, kind, resource_id)
    detail = {change.recipient.value: change.role for change in wanted}
    audit.record(session, caller, "share", kind, resource_id, {"roles": detail})


def require_sharing(session: Session, caller: Caller, kind: ResourceKind, resource_id: str) -> str:
    """Return the caller's role on the resource; raise ``Forbidden`` unless it or a grant lets them share it."""
    role = require(session, caller, kind, resource_id, Permission.VIEW)
    if not _may_share(session, caller, kind, resource_id, role):
        raise Forbidden(f"Your role {role} on {spaced(kind.value)} {resource_id} does not allow you to share it.")
    return role


def _lock_owners(session: Session, kind: ResourceKind, resource_id: str) -> None:
    """Has two owners who take each other's role away at once do so one after the other, so that one stays."""
    session.execute(
        select(Grant.subject_id)
        .where(Grant.resource_kind == kind.value, Grant.resource_id == resource_id, Grant.role.in_(OWNING_ROLES))
        .order_by(Grant.subject_id)
        .with_for_update()
    ).all()


def _is_leaving(caller: Caller, wanted: Sequence[RoleChange]) -> bool:
    """Whether all that is wanted is to take the caller's own role away; wanting nothing is not leaving."""
    own_names = {Named(SubjectKind.USER, "username", caller.username), Named(SubjectKind.USER, "id", caller.user_id)}
    return bool(wanted) and all(change.removes and change.recipient in own_names for change in wanted)


def _may_share(session: Session, caller: Caller, kind: ResourceKind, resource_id: str, role: str) -> bool:
    if Permission.SHARE in PERMISSIONS[role]:
        return True
    lines = session.scalars(
        select(Grant.can_share).where(
            Grant.resource_kind == kind.value,
            Grant.resource_id == resource_id,
            Grant.subject_id.in_(caller.subject_ids),
        )
    )
    return any(lines)


def _find_recipients(
    session: Session, caller: Caller, settings: Settings, named: set[Named]
) -> dict[Named, _Recipient]:
    """The recipients that there are for the caller, in one query for each kind."""
    found: dict[Named, _Recipient] = {}
    everywhere = settings.allow_cross_organization_sharing
    for subject in SubjectKind:
        ids = [each.value for each in named if each.kind is subject and each.by == "id"]
        names = [each.value for each in named if each.kind is subject and each.by != "id"]
        if not ids and not names:
            continue
        table: Any = _TABLES[subject]
        name = table.name if subject is not SubjectKind.USER else table.username
        organization = table.id if subject is SubjectKind.ORGANIZATION else table.organization_id
        own = organization == caller.organization_id
        # Group names are unique within an organization only, so a name always means the caller's own group.
        by_name = name.in_(names) if everywhere and subject is not SubjectKind.GROUP else name.in_(names) & own
        by_id = table.id.in_(ids) if everywhere else table.id.in_(ids) & own
        for row in session.scalars(select(table).where(or_(by_id, by_name))):
            recipient = _Recipient(row.id, subject, getattr(row, "is_active", True))
            found[Named(subject, "id", row.id)] = recipient
            found[Named(subject, "username", getattr(row, name.key))] = recipient
    return {each: found[each] for each in named if each in found}


def _lines(session: Session, kind: ResourceKind, resource_id: str, subject_ids: Sequence[str]) -> dict[str, Grant]:
    """The present grants of several subjects, locked until the end of the transaction."""
    lines = session.scalars(
        select(Grant)
        .where(Grant.resource_kind == kind.value, Grant.resource_id == resource_id, Grant.subject_id.in_(subject_ids))
        .order_by(Grant.subject_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {line.subject_id: line for line in lines}


def _faults(
    wanted: Sequence[RoleChange],
    found: Mapping[Named, _Recipient],
    lines: Mapping[str, Grant],
    own_role: str,
) -> dict[str, str]:
    times = Counter(found[change.recipient].id for change in wanted if change.recipient in found)
    errors: dict[str, str] = {}
    for change in wanted:
        name = change.recipient
        recipient = found.get(name)
        if recipient is None or not (recipient.is_active or change.removes):
            errors[f"{change.field}.{name.by}"] = f"there is no {name.kind.value} {name.value!r} in your organization"
        elif times[recipient.id] > 1:
            errors[f"{change.field}.{name.by}"] = f"{name.value!r} stands in the list more than once"
        elif recipient.id in lines and exceeds(lines[recipient.id].role, own_role):
            held = lines[recipient.id].role
            errors[f"{change.field}.{name.by}"] = f"{name.value!r} has the role {held}, above your own role {own_role}"
        if change.role is None or change.role == NO_ROLE:
            continue
        if change.role not in ROLE_NAMES:
            errors[f"{change.field}.role"] = f"{change.role!r} is not one of {', '.join((*ROLE_NAMES, NO_ROLE))}"
        elif exceeds(change.role, own_role):
            errors[f"{change.field}.role"] = f"{change.role} allows more than your own role {own_role}"
    return errors


def _apply(
    session: Session,
    kind: ResourceKind,
    resource_id: str,
    wanted: Sequence[tuple[_Recipient, RoleChange]],
    lines: Mapping[str, Grant],
) -> None:
    now = datetime.now(UTC)
    more: dict[grant_counts.Held, int] = {}
    for recipient, change in wanted:
        line = lines.get(recipient.id)
        role = None if change.removes else change.role
        was_seen = line is not None and grant_counts.is_seen(line.role, kind.value)
        more[grant_counts.Held(recipient.id, kind.value)] = int(grant_counts.is_seen(role, kind.value)) - int(was_seen)
        if role is None:
            if line is not None:
                session.delete(line)
            continue
        if line is None:
            line = Grant(resource_kind=kind.value, resource_id=resource_id, subject_id=recipient.id)
            session.add(line)
        line.subject_kind = recipient.kind.value
        line.can_share = _can_share(line, role, change.can_share)
        line.role = role
        line.created_at = now
    grant_counts.change(session, more)


def _can_share(line: Grant, role: str, wanted: bool | None) -> bool:
    """Whether the recipient may share: always by a role that allows it, else as asked, else as before."""
    if Permission.SHARE in PERMISSIONS[role]:
        return True
    return bool(line.can_share and line.role == role) if wanted is None else wanted


def _require_an_owner(session: Session, kind: ResourceKind, resource_id: str) -> None:
    owners = session.scalar(
        select(func.count()).where(
            Grant.resource_kind == kind.value, Grant.resource_id == resource_id, Grant.role.in_(OWNING_ROLES)
        )
    )
    if not owners:
        raise Conflict(f"The last owner of {spaced(kind.value)} {resource_id} cannot leave: name another owner first.")
