"""Sharing: who may see a resource and what they may do to it. Grants are read here; role_changes.py changes them."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from sqlalchemy import ColumnElement, Select, exists, func, select, union
from sqlalchemy.orm import InstrumentedAttribute, Session

from modelyard.identity import grant_counts
from modelyard.identity.caller import Caller
from modelyard.identity.roles import PERMISSIONS, Permission, combined
from modelyard.identity.tables import Grant, ResourceKind, SubjectKind, User
from modelyard.kernel.errors import Forbidden, NotFound

VIEWING_ROLES = frozenset(role for role, allowed in PERMISSIONS.items() if Permission.VIEW in allowed)

Row = TypeVar("Row")


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
            Grant.subject_id == granting[0], Grant.resource_kind == kind.value, *grant_counts.listed(kind)
        )
    return statement.where(_is_granted(granting, kind, id_column))


def is_visible(
    session: Session, caller: Caller, kind: ResourceKind, id_column: InstrumentedAttribute[str]
) -> ColumnElement[bool]:
    """The condition of ``scoped`` by itself, for lists of which some rows are everybody's: the rows drive the query."""
    return _is_granted(_granting_subjects(session, caller, kind), kind, id_column)


def _is_granted(
    subjects: Sequence[str], kind: ResourceKind, id_column: InstrumentedAttribute[str]
) -> ColumnElement[bool]:
    return exists().where(
        Grant.resource_id == id_column,
        Grant.resource_kind == kind.value,
        Grant.subject_id.in_(subjects),
        *grant_counts.listed(kind),
    )


def visible_of(session: Session, caller: Caller, kinds: Iterable[ResourceKind]) -> Select[tuple[str]]:
    """``SELECT`` the ids of all resources of these kinds that the caller may view, each once."""
    names = {kind.value: _granting_subjects(session, caller, kind) for kind in kinds}
    subjects = sorted({subject for granting in names.values() for subject in granting})
    found = select(Grant.resource_id).where(
        Grant.subject_id.in_(subjects), Grant.resource_kind.in_(names), Grant.role.in_(VIEWING_ROLES)
    )
    return found if len(subjects) <= 1 else found.distinct()


def visible_ids(
    session: Session,
    caller: Caller,
    kind: ResourceKind,
    *,
    offset: int,
    limit: int,
    newest_first: bool = True,
    condition: ColumnElement[bool] | None = None,
) -> list[str]:
    """One page of the ids of the resources that the caller may view, by creation.

    Each subject's grants are read in the order of their index and no further than the page's end, so a page costs the
    same among a thousand resources and among a million. ``condition`` leaves some out, such as those that were deleted;
    it is an ``EXISTS`` that looks up ``Grant.resource_id``, and should hold for most.
    """
    kept = () if condition is None else (condition,)
    order = Grant.resource_id.desc() if newest_first else Grant.resource_id.asc()
    tops = [
        select(
            select(Grant.resource_id)
            .where(Grant.subject_id == subject, Grant.resource_kind == kind.value, *grant_counts.listed(kind), *kept)
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
        strongest[resource_id] = combined(strongest.get(resource_id, role), role)
    return strongest


def require(
    session: Session, caller: Caller, kind: ResourceKind, resource_id: str, permission: Permission, *, what: str = ""
) -> str:
    """The caller's role, if it allows ``permission``; ``NotFound`` when they may not see the resource at all."""
    role = role_of(session, caller, kind, resource_id)
    name = what or spaced(kind.value)
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
    was_seen = line is not None and grant_counts.is_seen(line.role, kind.value)
    if line is None:
        line = Grant(resource_kind=kind.value, resource_id=resource_id, subject_id=subject_id)
        session.add(line)
    line.subject_kind = subject_kind.value
    line.role = role
    line.can_share = can_share
    line.created_at = datetime.now(UTC)
    more = int(grant_counts.is_seen(role, kind.value)) - int(was_seen)
    grant_counts.change(session, {grant_counts.Held(subject_id, kind.value): more})


def forget(session: Session, kind: ResourceKind, resource_id: str) -> None:
    """Drops the whole access control list of a deleted resource."""
    grant_counts.remove(session, Grant.resource_kind == kind.value, Grant.resource_id == resource_id)


def count_grants_to(session: Session, subject_id: str) -> int:
    """On how many resources a user, a group or an organization has a role of its own."""
    return session.scalar(select(func.count()).where(Grant.subject_id == subject_id)) or 0


def copy_grants(
    session: Session,
    kind: ResourceKind,
    source_id: str,
    target_kind: ResourceKind,
    target_id: str,
    *,
    but_of: str | None = None,
) -> None:
    """Gives everyone who has a role on the source the same role on the target, but for the subject ``but_of``."""
    lines = select(Grant).where(Grant.resource_kind == kind.value, Grant.resource_id == source_id)
    for line in session.scalars(lines.where(Grant.subject_id != but_of) if but_of is not None else lines).all():
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


def spaced(camel: str) -> str:
    """A kind of resource in plain words: ``customJob`` is ``custom job``."""
    return "".join(" " + letter.lower() if letter.isupper() else letter for letter in camel)
