"""Claims: which operations this controller works on, kept in the lease columns of their rows."""

import time
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from sqlalchemy import Select, Update, and_, or_, select, update

from modelyard.kernel.database import Database
from modelyard.kernel.ids import new_id
from modelyard.kernel.parts import Parts
from modelyard.operations.owners import is_dead
from modelyard.operations.tables import Operation, OperationStatus
from modelyard.operations.work import Work

FREE = {"lease_owner": None, "lease_token": None, "lease_expires_at": None}


class Claims:
    """One controller's leases. Times are compared between controllers: their clocks must agree to within a third of
    ``lease_s``."""

    def __init__(self, database: Database, parts: Parts, owner: str, kinds: Collection[str], lease_s: float) -> None:
        self._database = database
        self._parts = parts
        self._owner = owner
        self._kinds = list(kinds)
        self._lease_s = lease_s

    def claim(self, count: int, active: dict[str, Work]) -> list[Work]:
        """Takes up to ``count`` operations that are due and that nobody holds, the longest waiting first.

        A lease that has ended without a word is a crash of its holder, and is counted. What this process still works
        on is not taken again, even if it could not extend its lease in time.
        """
        due = self._due(count, [work.token for work in active.values()])
        with self._database.read() as session:
            if session.scalar(due.with_only_columns(Operation.id)) is None:
                return []
        claimed = []
        with self._database.write() as session:
            rows = session.scalars(due.with_for_update(skip_locked=True)).all()
            held_from, now = time.monotonic(), datetime.now(UTC)
            for row in rows:
                row.crashes += row.lease_token is not None
                row.lease_owner = self._owner
                row.lease_token = new_id()
                row.lease_expires_at = now + timedelta(seconds=self._lease_s)
                row.status = OperationStatus.RUNNING.value
                row.started_at = row.started_at or now
                claimed.append(Work(self._database, self._parts, row, held_from + self._lease_s))
        return claimed

    def look(self, active: dict[str, Work]) -> None:
        """Tells the active works who of them is to stop, and who has lost its lease."""
        with self._database.read() as session:
            rows = session.execute(
                select(Operation.id, Operation.lease_token, Operation.cancel_requested_at).where(
                    Operation.id.in_(list(active))
                )
            ).all()
        found = {row.id: row for row in rows}
        for operation_id, work in active.items():
            row = found.get(operation_id)
            if row is None or not work.holds(row.lease_token):
                work.lose()
            elif row.cancel_requested_at is not None:
                work.cancel_wanted = True

    def extend(self, active: dict[str, Work]) -> None:
        """Extends the leases that have used up a third of their time. One whose row is locked waits for its turn."""
        ending = [operation_id for operation_id, work in active.items() if work.lease_left_s() < self._lease_s * 2 / 3]
        if not ending:
            return
        with self._database.write() as session:
            rows = session.execute(
                select(Operation.id, Operation.lease_token)
                .where(Operation.id.in_(ending), Operation.lease_owner == self._owner)
                .with_for_update(skip_locked=True)
            ).all()
            held_from, now = time.monotonic(), datetime.now(UTC)
            held = [row.id for row in rows if active[row.id].holds(row.lease_token)]
            session.execute(
                update(Operation)
                .where(Operation.id.in_(held))
                .values(lease_expires_at=now + timedelta(seconds=self._lease_s))
            )
        for operation_id in held:
            active[operation_id].hold_until(held_from + self._lease_s)

    def release_dead(self) -> bool:
        """Frees what dead controllers of this machine held, without waiting for their leases to end."""
        held = select(Operation.lease_owner).where(
            Operation.finished_at.is_(None), Operation.lease_owner.is_not(None), Operation.lease_owner != self._owner
        )
        with self._database.read() as session:
            dead = [owner for owner in session.scalars(held.distinct()) if owner and is_dead(owner)]
        for owner in dead:
            with self._database.write() as session:
                session.execute(_held_by(owner).values(crashes=Operation.crashes + 1, **FREE))
        return bool(dead)

    def give_back(self, except_ids: Collection[str]) -> None:
        """Frees all that this controller holds, except what its threads still work on."""
        with self._database.write() as session:
            session.execute(_held_by(self._owner).where(Operation.id.not_in(list(except_ids))).values(**FREE))

    def next_due_s(self) -> float | None:
        """In how many seconds something will be due that is not due yet."""
        now = datetime.now(UTC)
        with self._database.read() as session:
            due_at = session.scalar(
                select(Operation.due_at)
                .where(Operation.finished_at.is_(None), Operation.due_at > now)
                .order_by(Operation.due_at)
                .limit(1)
            )
        return None if due_at is None else max(0.0, (due_at - now).total_seconds())

    def _due(self, count: int, active_tokens: list[str]) -> Select[tuple[Operation]]:
        now = datetime.now(UTC)
        ended = and_(Operation.lease_expires_at < now, Operation.lease_token.not_in(active_tokens))
        return (
            select(Operation)
            .where(
                Operation.finished_at.is_(None),
                Operation.due_at <= now,
                or_(Operation.lease_token.is_(None), ended),
                Operation.kind.in_(self._kinds),
            )
            .order_by(Operation.due_at)
            .limit(count)
        )


def _held_by(owner: str) -> Update:
    return update(Operation).where(Operation.lease_owner == owner, Operation.finished_at.is_(None))
