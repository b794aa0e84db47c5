"""Publishing events, handing each to every consumer once, and listing them."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.orm import Session

from modelyard.events.schemas import Event, EventListQuery
from modelyard.events.tables import EventCount, EventCounter, EventCursor, EventRow
from modelyard.identity import sharing
from modelyard.identity.caller import Caller
from modelyard.identity.tables import Grant, ResourceKind
from modelyard.kernel.database import upsert
from modelyard.kernel.ids import new_id
from modelyard.kernel.paging import Page, of_items, page
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.wakeup import notify
from modelyard.kernel.wire import UNSET, moment

COUNTER = 1
FEW = 10_000
"""So many events are found by what they are about; of more, those that are not the caller's are passed over."""


def publish(session: Session, event: Event) -> Event:
    """Tells that something happened, in the transaction of the change: without that, there is no event either.

    Until the commit nobody else can publish, so it comes last in a transaction, and that is short. The answer is the
    event with its id and time.
    """
    kind, resource_id = _resource(event)
    session.flush()
    now = datetime.now(UTC)
    told = msgspec.structs.replace(event, id=new_id(), at=moment(now))
    session.add(
        EventRow(
            id=told.id,
            number=_next_number(session),
            at=now,
            type=told.type,
            resource_kind=kind.value,
            resource_id=resource_id,
            content=msgspec.to_builtins(told),
        )
    )
    counted = upsert(session, EventCount).values(resource_id=resource_id, type=told.type, number=1)
    more = {"number": EventCount.number + 1}
    session.execute(counted.on_conflict_do_update(index_elements=["resource_id", "type"], set_=more))
    notify(session)
    return told


def claim_unseen(session: Session, consumer: str, limit: int = 100) -> list[Event]:
    """The next events for ``consumer``, in the order in which they were published; they are never given to it again.

    The cursor moves in the caller's transaction: what that does about the events and their being seen are committed
    together, or neither is. Of several processes one at a time claims for a consumer, the others wait for its commit.
    A new consumer begins with the oldest event that is kept.
    """
    statement = upsert(session, EventCursor).values(consumer=consumer, number=0)
    session.execute(statement.on_conflict_do_nothing(index_elements=["consumer"]))
    cursor = session.get_one(EventCursor, consumer, with_for_update=True, populate_existing=True)
    rows = session.scalars(
        select(EventRow).where(EventRow.number > cursor.number).order_by(EventRow.number).limit(limit)
    ).all()
    if rows:
        cursor.number = rows[-1].number
        session.flush()
    return [_event(row) for row in rows]


def has_unseen(session: Session, consumer: str) -> bool:
    """Whether there is anything to claim; for a read-only session, so that looking costs no write."""
    cursor = session.get(EventCursor, consumer)
    seen = cursor.number if cursor is not None else 0
    return session.scalar(select(EventRow.number).where(EventRow.number > seen).limit(1)) is not None


def list_events(session: Session, caller: Caller, query: EventListQuery, request: RequestInfo) -> Page[Event]:
    """The events of deployments and jobs that the caller may view, newest first."""
    visible = sharing.visible_of(session, caller, (ResourceKind.DEPLOYMENT, ResourceKind.CUSTOM_JOB))
    for resource_id in (query.deployment_id, query.custom_job_id):
        if resource_id:
            visible = visible.where(Grant.resource_id == resource_id)
    filters = [EventRow.type.in_(query.type)] if query.type else []
    counts = [EventCount.type.in_(query.type)] if query.type else []
    named = visible.subquery()
    counted = select(func.sum(EventCount.number)).join(named, EventCount.resource_id == named.c.resource_id)
    total = session.scalar(counted.where(*counts)) or 0
    if total <= FEW:
        numbers = select(EventRow.number).where(EventRow.resource_id.in_(visible), *filters)
        shown = sorted(session.scalars(numbers), reverse=True)[query.offset : query.offset + query.limit]
        rows = session.scalars(select(EventRow).where(EventRow.number.in_(shown)).order_by(EventRow.number.desc()))
        return of_items([_event(row) for row in rows], total, query, request)
    statement = select(EventRow).where(*filters, exists(visible.where(Grant.resource_id == EventRow.resource_id)))
    statement = statement.order_by(EventRow.number.desc())
    return page(session, statement, query, request, lambda rows: [_event(row) for row in rows], total=total)


def forget_events(session: Session, resource_id: str) -> None:
    """Drops what is told of an erased deployment or job."""
    session.execute(delete(EventRow).where(EventRow.resource_id == resource_id))
    session.execute(delete(EventCount).where(EventCount.resource_id == resource_id))


def drop_older(session: Session, limit: datetime, at_most: int) -> int:
    """Drops some of the events that were told before ``limit``; the answer is how many."""
    found = session.scalars(select(EventRow.id).where(EventRow.at < limit).limit(at_most)).all()
    gone = session.execute(
        delete(EventRow).where(EventRow.id.in_(found)).returning(EventRow.resource_id, EventRow.type)
    ).all()
    dropped = Counter((str(row.resource_id), str(row.type)) for row in gone)
    for (resource_id, type_), number in sorted(dropped.items()):  # in one order, so that two never wait for each other
        row = (EventCount.resource_id == resource_id, EventCount.type == type_)
        session.execute(update(EventCount).where(*row).values(number=EventCount.number - number))
        session.execute(delete(EventCount).where(*row, EventCount.number <= 0))
    return len(found)


def _resource(event: Event) -> tuple[ResourceKind, str]:
    """Whose grants decide who sees the event."""
    is_of_job = event.type == "runFailed"
    resource_id: Any = event.custom_job_id if is_of_job else event.deployment_id
    if resource_id is UNSET:
        raise ValueError(f"{event.type} without the id of what it is about")
    return (ResourceKind.CUSTOM_JOB if is_of_job else ResourceKind.DEPLOYMENT), str(resource_id)


def _next_number(session: Session) -> int:
    statement = upsert(session, EventCounter).values(id=COUNTER, last=1)
    number = session.scalar(
        statement.on_conflict_do_update(index_elements=["id"], set_={"last": EventCounter.last + 1}).returning(
            EventCounter.last
        )
    )
    return int(number or 0)


def _event(row: EventRow) -> Event:
    return msgspec.convert(row.content, Event)
