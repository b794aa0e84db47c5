"""Places: so many of an organization's pieces of work go on at once, the rest wait in the order they came."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from modelyard.kernel.database import upsert
from modelyard.operations import service as operations
from modelyard.operations.tables import PlaceQueue

COUNTED = 1000


def waited_for(before: int, noun: str) -> str:
    """What something in the queue waits for, where so many others wait longer (``COUNTED`` stands for all more)."""
    count = f"{before} or more" if before >= COUNTED else str(before)
    return f"a free place; {count} other {f'{noun} waits' if before == 1 else f'{noun}s wait'} longer"


@dataclass(frozen=True)
class Places:
    """Those for one kind of work.

    ``row`` is the table of what is worked on, with ``id``, ``organization_id``, ``operation_id`` and ``ended_at``; its
    column ``state`` is ``waiting``, then ``entered`` and others of ``taking``, which take a place.
    """

    kind: str
    row: Any
    state: InstrumentedAttribute[str]
    waiting: str
    entered: str
    taking: tuple[str, ...]

    def let_in(self, session: Session, count: int, organization_id: str) -> None:
        """Gives the free ones of ``count`` places to those who wait longest, and has their operations go on at once.

        To be called in the transaction that adds work or ends it: no place stays empty while somebody waits. Rows are
        locked in one order everywhere: the caller's own operation and row, the queue, then of each that waits the
        operation and the row. So whoever waits takes the queue before its own row (see ``lock``).
        """
        self.lock(session, organization_id)
        session.flush()
        taken = session.scalar(select(func.count()).where(*self._open(organization_id), self.state.in_(self.taking)))
        free = count - (taken or 0)
        if free <= 0:
            return
        next_ones = self.queue(organization_id).with_only_columns(self.row.id, self.row.operation_id).limit(free)
        for row_id, operation_id in session.execute(next_ones).all():
            if operation_id is not None:
                operations.wake(session, operation_id)
            entered = update(self.row).where(self.row.id == row_id).values({self.state: self.entered})
            session.execute(entered)

    def positions(self, session: Session, organization_id: str) -> dict[str, int]:
        """How many wait longer than each of those that wait; only for the first ``COUNTED``."""
        ids = session.scalars(self.queue(organization_id).with_only_columns(self.row.id).limit(COUNTED)).all()
        return {row_id: index for index, row_id in enumerate(ids)}

    def lock(self, session: Session, organization_id: str) -> None:
        """One at a time gives out an organization's places; SQLite has one writer anyway."""
        key = {"kind": self.kind, "organization_id": organization_id}
        if session.get(PlaceQueue, key, with_for_update=True) is None:
            session.execute(upsert(session, PlaceQueue).values(**key).on_conflict_do_nothing())
            session.get(PlaceQueue, key, with_for_update=True)

    def queue(self, organization_id: str) -> Select[Any]:
        """Those who wait, longest first."""
        waits = (*self._open(organization_id), self.state == self.waiting)
        return select(self.row).where(*waits).order_by(self.row.id)

    def _open(self, organization_id: str) -> tuple[Any, ...]:
        return self.row.organization_id == organization_id, self.row.ended_at.is_(None)
