"""Who holds what, asked for whole pages of a list at once; and taking one holder's role away."""

from collections import defaultdict
from collections.abc import Collection, Iterable

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from modelyard.identity import grant_counts
from modelyard.identity.caller import Caller
from modelyard.identity.roles import OWNING_ROLES
from modelyard.identity.tables import Grant, ResourceKind, User


def owners_of(session: Session, kind: ResourceKind, resource_ids: Iterable[str]) -> dict[str, list[User]]:
    """The users that own each of several resources, the earliest first, in one query."""
    rows = session.execute(
        select(Grant.resource_id, User)
        .join(User, User.id == Grant.subject_id)
        .where(
            Grant.resource_kind == kind.value,
            Grant.resource_id.in_(list(resource_ids)),
            Grant.role.in_(OWNING_ROLES),
        )
        .order_by(Grant.created_at, Grant.subject_id)
    )
    owners: dict[str, list[User]] = defaultdict(list)
    for resource_id, user in rows:
        owners[resource_id].append(user)
    return owners


def holds_role(
    caller: Caller, kind: ResourceKind, id_column: InstrumentedAttribute[str], roles: Collection[str]
) -> ColumnElement[bool]:
    """The condition that the caller has one of ``roles`` on the resource, for the filters of a list."""
    held = aliased(Grant)  # the list that this is put on has the grants in it already
    return exists().where(
        held.resource_kind == kind.value,
        held.resource_id == id_column,
        held.subject_id.in_(caller.subject_ids),
        held.role.in_(list(roles)),
    )


def withdraw(session: Session, kind: ResourceKind, resource_id: str, subject_id: str) -> None:
    """Takes away the role of one user, group or organization."""
    grant_counts.remove(
        session, Grant.resource_kind == kind.value, Grant.resource_id == resource_id, Grant.subject_id == subject_id
    )
