"""Sharing: who may see a resource and what they may do to it. The only place that reads or writes grants."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Select, exists, func, select, union
from sqlalchemy.orm import InstrumentedAttribute, Session

from modelyard.identity import grant_counts
from modelyard.identity.caller import Caller
from modelyard.identity.roles import OWNING_ROLES, PERMISSIONS, ROLE_NAMES, Permission, rank
from modelyard.identity.tables import Grant, ResourceKind, SubjectKind, User
from modelyard.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from modelyard.kernel.settings import Settings

Row = TypeVar("Row")


@dataclass(frozen=True)
class RoleChange:
    """A wish to set ``username``'s role on a resource; role None takes it away."""

    username: str
    role: str | None
    can_share: bool | None = None


def scoped(
    session: Session,
    caller: Caller,
    kind: ResourceKind,
    row: type[Row],
    id_column: InstrumentedAttribute[str],
    *,
    by_row: bool = False,
) -> Select[tuple[Row]]:
    """``SELECT row`` limited to the resources of ``kind`` that the caller may view: where every list begins.

    With one subject that grants anything (the usual case) the access control list drives the query through its
    covering index. ``by_row`` has the rows drive it instead: better for a page in an order that the rows have an
    index for, when most of them are visible. A plain list by creation begins with ``visible_ids``.
    """
    statement = select(row)
    granting = _granting_subjects(session, caller, kind)
    if len(granting) == 1 and not by_row:
        return statement.join(Grant, Grant.resource_id == id_column).where(
            Grant.subject_id == granting[0], Grant.resource_kind == kind.value, Grant.role != "CONSUMER"
        )
    return statement.where(
        exists().where(
            Grant.resource_id == id_column,
            Grant.resource_kind == kind.value,
            Grant.subject_id.in_(granting),
            Grant.role != "CONSUMER",
        )
    )


def scoped_by_kind(
    caller: Caller,
    row: type[Row],
    kind_column: InstrumentedAttribute[str],
    id_column: InstrumentedAttribute[str],
) -> Select[tuple[Row]]:
    """``scoped`` for rows that speak of resources of several kinds: each names its own. The rows drive the query."""
    return select(row).where(
        exists().where(
            Grant.resource_kind == kind_column,
            Grant.resource_id == id_column,
            Grant.subject_id.in_(caller.subject_ids),
            Grant.role != "CONSUMER",
        )
    )


def visible_ids(
    session: Session, caller: Caller, kind: ResourceKind, *, offset: int, limit: int, newest_first: bool = True
) -> list[str]:
    """One page of the ids of the resources that the caller may view, by creation.

    Each subject's grants are read in the order of their index and no further than the page's end, so a page costs the
    same among a thousand resources and among a million.
    """
    order = Grant.resource_id.desc() if newest_first else Grant.resource_id.asc()
    tops = [
        select(
            select(Grant.resource_id)
            .where(Grant.subject_id == subject, Grant.resource_kind == kind.value, Grant.role != "CONSUMER")
            .order_by(order)
            .limit(offset + limit)
            .subquery()
        )
        for subject in caller.subject_ids
    ]
    ids = union(*tops).subquery().c.resource_id
    return list(session.scalars(select(ids).order_by(ids.desc() if newest_first else ids).offset(offset).limit(limit)))


def count_visible(session: Session, caller: Caller, kind: ResourceKind) -> int:
    """How many resources of ``kind`` the caller may view, without counting them."""
    return grant_counts.count(session, caller.subject_ids, kind)


def _granting_subjects(session: Session, caller: Caller, kind: ResourceKind) -> list[str]:
    """The caller's subjects that have any grant. Ordered, so that the index is used whatever statistics say."""
    firsts = [
        select(Grant.resource_id)
        .where(Grant.subject_id == subject, Grant.resource_kind == kind.value)
        .order_by(Grant.resource_id)
        .limit(1)
        .scalar_subquery()
        .label(f"first{index}")
        for index, subject in enumerate(caller.subject_ids)
    ]
    found = session.execute(select(*firsts)).one()
    return [subject for subject, first in zip(caller.subject_ids, found, strict=True) if first is not None]


def role_of(session: Session, caller: Caller, kind: ResourceKind, resource_id: str) -> str | None:
    """The caller's strongest role on a resource."""
    return roles_of(session, caller, kind, [resource_id]).get(resource_id)


def roles_of(session: Session, caller: Caller, kind: ResourceKind, resource_ids: Iterable[str]) -> dict[str, str]:
    """The caller's strongest role on each of the resources, without those that they have none on."""
    rows = session.execute(
        select(Grant.resource_id, Grant.role).where(
            Grant.resource_kind == kind.value,
            Grant.resource_id.in_(list(resource_ids)),
            Grant.subject_id.in_(caller.subject_ids),
        )
    ).all()
    strongest: dict[str, str] = {}
    for resource_id, role in rows:
        if resource_id not in strongest or rank(role) > rank(strongest[resource_id]):
            strongest[resource_id] = role
    return strongest


def require(
    session: Session, caller: Caller, kind: ResourceKind, resource_id: str, permission: Permission, *, what: str = ""
) -> str:
    """The caller's role, if it allows ``permission``; ``NotFound`` when they may not see the resource at all."""
    role = role_of(session, caller, kind, resource_id)
    name = what or _spaced(kind.value)
    if role is None:
        raise NotFound(f"There is no {name} {resource_id} that you may see.")
    if permission not in PERMISSIONS[role]:
        raise Forbidden(f"Your role {role} on {name} {resource_id} does not allow you to {permission.value} it.")
    return role


def grant_owner(session: Session, caller: Caller, kind: ResourceKind, resource_id: str) -> None:
    """Makes the caller the first owner of a new resource."""
    grant(session, kind, resource_id, caller.user_id, "OWNER", can_share=True)


def grant(
    session: Session,
    kind: ResourceKind,
    resource_id: str,
    subject_id: str,
    role: str,
    *,
    can_share: bool,
    subject_kind: SubjectKind = SubjectKind.USER,
) -> None:
    """Sets the role of one subject on one resource."""
    key = (kind.value, resource_id, subject_id)
    line = session.get(Grant, key, with_for_update=True)
    was_seen = line is not None and grant_counts.is_seen(line.role)
    if line is None:
        line = Grant(resource_kind=kind.value, resource_id=resource_id, subject_id=subject_id)
        session.add(line)
    line.subject_kind = subject_kind.value
    line.role = role
    line.can_share = can_share
    line.created_at = datetime.now(UTC)
    more = int(grant_counts.is_seen(role)) - int(was_seen)
    grant_counts.change(session, {grant_counts.Held(subject_id, kind.value): more})


def forget(session: Session, kind: ResourceKind, resource_id: str) -> None:
    """Drops the whole access control list of a deleted resource."""
    grant_counts.remove(session, Grant.resource_kind == kind.value, Grant.resource_id == resource_id)


def count_grants_to(session: Session, subject_id: str) -> int:
    """On how many resources a user, a group or an organization has a role of its own."""
    return session.scalar(select(func.count()).where(Grant.subject_id == subject_id)) or 0


def copy_grants(
    session: Session, kind: ResourceKind, source_id: str, target_kind: ResourceKind, target_id: str
) -> None:
    """Gives everyone who has a role on the source the same role on the target."""
    for line in session.scalars(select(Grant).where(Grant.resource_kind == kind.value, Grant.resource_id == source_id)):
        grant(
            session,
            target_kind,
            target_id,
            line.subject_id,
            line.role,
            can_share=line.can_share,
            subject_kind=SubjectKind(line.subject_kind),
        )


def user_grants(session: Session, kind: ResourceKind, resource_id: str) -> Sequence[tuple[Grant, User]]:
    """The users that a resource is shared with directly, oldest grant first."""
    statement = (
        select(Grant, User)
        .join(User, User.id == Grant.subject_id)
        .where(Grant.resource_kind == kind.value, Grant.resource_id == resource_id)
        .order_by(Grant.created_at, Grant.subject_id)
    )
    return [(line, user) for line, user in session.execute(statement).all()]


def change_user_roles(
    session: Session,
    caller: Caller,
    settings: Settings,
    kind: ResourceKind,
    resource_id: str,
    wanted: Sequence[RoleChange],
) -> None:
    """Sets or takes away users' roles, all or none.

    Raises ``Forbidden`` for a caller who may not share, ``Invalid`` for unknown users, repeated users, users of
    another organization and roles above the caller's own, ``Conflict`` when no owner would be left.
    """
    own_role = require(session, caller, kind, resource_id, Permission.VIEW)
    users = _users_named(session, caller, settings, [change.username for change in wanted])
    errors: dict[str, str] = {}
    for index, change in enumerate(wanted):
        if change.username not in users:
            errors[f"data[{index}].username"] = f"there is no user {change.username!r} in your organization"
        elif sum(other.username == change.username for other in wanted) > 1:
            errors[f"data[{index}].username"] = f"{change.username!r} stands in the list more than once"
        if change.role not in {None, "NO_ROLE", *ROLE_NAMES}:
            errors[f"data[{index}].role"] = f"{change.role!r} is not one of {', '.join(ROLE_NAMES)}"
        elif change.role in ROLE_NAMES and rank(change.role) > rank(own_role):
            errors[f"data[{index}].role"] = f"{change.role} allows more than your own role {own_role}"
    if errors:
        raise Invalid("; ".join(f"{field}: {text}" for field, text in errors.items()), errors)
    leaving = all(users[change.username].id == caller.user_id and change.role in {None, "NO_ROLE"} for change in wanted)
    if not leaving and not _may_share(session, caller, kind, resource_id, own_role):
        raise Forbidden(f"Your role {own_role} on {_spaced(kind.value)} {resource_id} does not allow you to share it.")
    for change in wanted:
        user = users[change.username]
        if change.role in {None, "NO_ROLE"}:
            grant_counts.remove(session, *_line(kind, resource_id, user.id))
        else:
            role = str(change.role)
            can_share = Permission.SHARE in PERMISSIONS[role] if change.can_share is None else change.can_share
            grant(session, kind, resource_id, user.id, role, can_share=can_share)
    session.flush()
    _require_an_owner(session, kind, resource_id)


def _users_named(session: Session, caller: Caller, settings: Settings, names: list[str]) -> dict[str, User]:
    statement = select(User).where(User.username.in_(names), User.is_active)
    if not settings.allow_cross_organization_sharing:
        statement = statement.where(User.organization_id == caller.organization_id)
    return {user.username: user for user in session.scalars(statement)}


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


def _require_an_owner(session: Session, kind: ResourceKind, resource_id: str) -> None:
    owners = session.scalar(
        select(func.count()).where(
            Grant.resource_kind == kind.value, Grant.resource_id == resource_id, Grant.role.in_(OWNING_ROLES)
        )
    )
    if not owners:
        raise Conflict(f"The last owner of {_spaced(kind.value)} {resource_id} cannot leave: name another owner first.")


def _line(kind: ResourceKind, resource_id: str, subject_id: str) -> tuple[Any, ...]:
    return (Grant.resource_kind == kind.value, Grant.resource_id == resource_id, Grant.subject_id == subject_id)


def _spaced(camel: str) -> str:
    return "".join(" " + letter.lower() if letter.isupper() else letter for letter in camel)
