"""How many resources each subject's grants show them, kept beside the grants, so that lists need not count them.

Whoever changes grants says so here, in the same transaction. A count that is missing is made from the grants.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, delete, exists, func, select, text, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session, aliased

from modelyard.identity.tables import Grant, GrantCount, ResourceKind

UNSEEN_ROLE = "CONSUMER"
LISTED_FOR_USERS = frozenset({ResourceKind.DEPLOYMENT.value})
"""Kinds whose lists hold also what the caller may only use."""
_ADD = text(
    "INSERT INTO grant_counts (subject_id, resource_kind, visible) VALUES (:subject_id, :resource_kind, :counted) "
    "ON CONFLICT (subject_id, resource_kind) DO UPDATE SET visible = grant_counts.visible + :more"
)


class Held(NamedTuple):
    """A subject, and a kind of resources that something was granted on."""

    subject_id: str
    resource_kind: str


def is_seen(role: str | None, kind: str) -> bool:
    """Whether a role puts its resource, which is of this kind, into the lists of who holds it."""
    return role is not None and (role != UNSEEN_ROLE or kind in LISTED_FOR_USERS)


def listed(kind: ResourceKind, grant: type[Grant] = Grant) -> list[ColumnElement[bool]]:
    """The same as conditions on the grants of one kind."""
    return [] if kind.value in LISTED_FOR_USERS else [grant.role != UNSEEN_ROLE]


def change(session: Session, differences: Mapping[Held, int]) -> None:
    """Adds to counts; the grants that the differences are about were changed before."""
    session.flush()
    for held, more in sorted(differences.items()):  # in one order, so that two of them never wait for each other
        if more == 0:
            continue
        changed: CursorResult[Any] = session.execute(  # type: ignore[assignment] # an UPDATE has a count of rows
            update(GrantCount)
            .where(GrantCount.subject_id == held.subject_id, GrantCount.resource_kind == held.resource_kind)
            .values(visible=GrantCount.visible + more)
        )
        if changed.rowcount == 0:
            counted = session.scalar(
                select(func.count())
                .select_from(Grant)
                .where(
                    Grant.subject_id == held.subject_id,
                    Grant.resource_kind == held.resource_kind,
                    *listed(ResourceKind(held.resource_kind)),
                )
            )
            session.execute(_ADD, {**held._asdict(), "counted": counted, "more": more})


def remove(session: Session, *conditions: ColumnElement[bool]) -> None:
    """Deletes the grants that meet the conditions."""
    gone = session.execute(
        delete(Grant).where(*conditions).returning(Grant.subject_id, Grant.resource_kind, Grant.role)
    ).all()
    lost = Counter(Held(subject_id, kind) for subject_id, kind, role in gone if is_seen(role, kind))
    change(session, {held: -number for held, number in lost.items()})


def count(session: Session, subject_ids: Sequence[str], kind: ResourceKind) -> int:
    """How many different resources of ``kind`` the grants of these subjects show.

    The subject with most of them counts as it is kept; only what the others have beside it is looked for.
    """
    kept = dict(
        session.execute(
            select(GrantCount.subject_id, GrantCount.visible).where(
                GrantCount.subject_id.in_(subject_ids), GrantCount.resource_kind == kind.value
            )
        )
        .tuples()
        .all()
    )
    if not kept:
        return 0
    most = max(kept, key=kept.__getitem__)
    others = [subject for subject, visible in kept.items() if visible and subject != most]
    if not others:
        return kept[most]
    first = aliased(Grant)
    beside = select(func.count(func.distinct(Grant.resource_id))).where(
        Grant.subject_id.in_(others),
        Grant.resource_kind == kind.value,
        *listed(kind),
        ~exists().where(
            first.resource_kind == kind.value,
            first.resource_id == Grant.resource_id,
            first.subject_id == most,
            *listed(kind, first),
        ),
    )
    return kept[most] + (session.scalar(beside) or 0)
