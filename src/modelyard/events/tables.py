"""Events in the order of their commits, and how far each consumer has read."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from modelyard.kernel.database import Base, Id, Json


class EventRow(Base):
    """One event. ``number`` follows the order of the commits, so that nothing appears behind a reader's back.

    ``resource_kind`` and ``resource_id`` say whose grants decide who sees it; ``content`` is the event as it is told.
    """

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_resource", "resource_id", "number", "type"),
        Index("ix_events_type", "type", "number"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, unique=True)
    at: Mapped[datetime] = mapped_column(index=True)
    type: Mapped[str] = mapped_column(String(32))
    resource_kind: Mapped[str] = mapped_column(String(32))
    resource_id: Mapped[str] = mapped_column(Id)
    content: Mapped[dict[str, Any]] = mapped_column(Json)


class EventCounter(Base):
    """One row: the last number given out. Who publishes holds it until the commit."""

    __tablename__ = "event_counters"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    last: Mapped[int] = mapped_column(BigInteger)


class EventCount(Base):
    """How many events of a type there are about a resource, so that lists need not count them."""

    __tablename__ = "event_counts"

    resource_id: Mapped[str] = mapped_column(Id, primary_key=True)
    type: Mapped[str] = mapped_column(String(32), primary_key=True)
    number: Mapped[int]


class EventCursor(Base):
    """The last event that a consumer was given."""

    __tablename__ = "event_cursors"

    consumer: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)
