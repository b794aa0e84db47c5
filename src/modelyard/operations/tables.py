"""Operations and their leases."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from modelyard.kernel.database import Base, Id, Json
from modelyard.kernel.ids import new_id


class OperationStatus(StrEnum):
    INITIALIZED = "INITIALIZED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    ERROR = "ERROR"
    ABORTED = "ABORTED"
    EXPIRED = "EXPIRED"


FINAL = frozenset({OperationStatus.COMPLETED, OperationStatus.ERROR, OperationStatus.ABORTED, OperationStatus.EXPIRED})


class PlaceQueue(Base):
    """One row for each organization and kind of work, locked by whoever gives out places (``operations.places``)."""

    __tablename__ = "place_queues"

    kind: Mapped[str] = mapped_column(String(64), primary_key=True)
    organization_id: Mapped[str] = mapped_column(Id, primary_key=True)


class Operation(Base):
    """One piece of asynchronous work.

    ``state`` holds what finished steps returned; ``steps_done`` counts them. ``result_path`` is the address below
    ``/api/v2`` of what the work made. The lease columns are null when nobody works on it. Within one step, ``attempts``
    counts the errors in a row and ``crashes`` the controllers that ended while they were at it.
    """

    __tablename__ = "operations"
    __table_args__ = (
        Index("ix_operations_open", "finished_at", "due_at"),
        Index("ix_operations_resource", "resource_id", "kind"),
        Index("ix_operations_creator", "created_by", "id"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    kind: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16), default=OperationStatus.INITIALIZED.value)
    status_type: Mapped[str] = mapped_column(String(64))
    message: Mapped[str] = mapped_column(Text, default="")
    description: Mapped[str] = mapped_column(Text, default="")
    code: Mapped[int] = mapped_column(default=0)
    resource_id: Mapped[str | None] = mapped_column(Id)
    result_path: Mapped[str | None] = mapped_column(String(512))
    payload: Mapped[dict[str, Any]] = mapped_column(Json)
    state: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    steps_done: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    crashes: Mapped[int] = mapped_column(default=0)
    created_by: Mapped[str | None] = mapped_column(Id)
    created_at: Mapped[datetime]
    due_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
    lease_owner: Mapped[str | None] = mapped_column(String(160))
    lease_token: Mapped[str | None] = mapped_column(Id)
    lease_expires_at: Mapped[datetime | None]
