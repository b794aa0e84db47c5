"""What a handler of an operation is given, and how handlers are registered."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from modelyard.kernel.database import Database
from modelyard.kernel.parts import Parts
from modelyard.kernel.wakeup import notify
from modelyard.operations.tables import Operation, OperationStatus


class Cancelled(Exception):  # noqa: N818 # it is a request, not an error
    """Somebody asked for this operation to stop."""


class LeaseLost(Exception):  # noqa: N818
    """Another controller has taken this operation over; whatever this one knows is no longer wanted."""


class OperationFailed(Exception):  # noqa: N818
    """The work cannot be done; ``message`` is for the user."""

    def __init__(self, message: str, *, code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class Waiting(Exception):  # noqa: N818
    """The step cannot go on now: give the thread back and call it again after ``delay_s`` (or after a cancel)."""

    def __init__(self, delay_s: float) -> None:
        super().__init__(f"waiting {delay_s} s")
        self.delay_s = delay_s


class Work:
    """One claimed operation, as its handler sees it.

    ``payload`` is what it was started with; ``state`` collects what its steps returned. A handler works outside any
    session and applies its results in ``unit()``, which commits only while the lease is still held.
    """

    def __init__(self, database: Database, parts: Parts, row: Operation, held_until: float) -> None:
        self.database = database
        self.parts = parts
        self.id = row.id
        self.kind = row.kind
        self.resource_id = row.resource_id
        self.created_by = row.created_by
        self.created_at = row.created_at
        self.payload: dict[str, Any] = dict(row.payload)
        self.state: dict[str, Any] = dict(row.state)
        self.steps_done = row.steps_done
        self.attempts = row.attempts
        self.crashes = row.crashes
        self.token = row.lease_token or ""
        self.cancel_wanted = row.cancel_requested_at is not None
        self._due_at = row.due_at
        self._held_until = held_until
        self._lost = False

    @contextmanager
    def unit(self, before: Callable[[Session], object] | None = None) -> Iterator[Session]:
        """One short transaction that holds only while this operation is still ours; raises ``LeaseLost`` otherwise.

        ``before`` locks what others lock before this operation's row.
        """
        with self.database.write() as session:
            if before is not None:
                before(session)
            self._require_lease(session)
            yield session
            notify(session)

    @property
    def lost(self) -> bool:
        """Whether to stop at once and leave no trace: the lease is another's, or ended, or this controller stops."""
        return self._lost or time.monotonic() > self._held_until

    def checkpoint(self) -> None:
        """Raises ``Cancelled`` or ``LeaseLost`` when it is so; cheap, to be called in every wait."""
        if self.lost:
            raise LeaseLost(self.id)
        if self.cancel_wanted:
            raise Cancelled(self.id)

    def holds(self, token: str | None) -> bool:
        """Whether ``token`` is still the one that this operation was claimed with."""
        return token == self.token

    def lose(self) -> None:
        """From now on the work is ``lost``."""
        self._lost = True

    def hold_until(self, moment: float) -> None:
        """The lease was extended to this moment of the monotonic clock."""
        self._held_until = moment

    def lease_left_s(self) -> float:
        return self._held_until - time.monotonic()

    def cancelled(self) -> bool:
        """Whether the work should stop, for callees that poll instead of raising."""
        return self.lost or self.cancel_wanted

    def pause(self, seconds: float) -> None:
        """Waits between two looks at something outside; raises like ``checkpoint`` only when the lease is lost."""
        time.sleep(seconds)
        if self.lost:
            raise LeaseLost(self.id)

    def say(self, message: str, description: str | None = None) -> None:
        """Shows ``message`` in ``/status/``: what is being done or waited for."""
        values: dict[str, Any] = {"message": message}
        if description is not None:
            values["description"] = description
        with self.unit() as session:
            session.execute(update(Operation).where(Operation.id == self.id).values(**values))

    def _require_lease(self, session: Session) -> None:
        held = session.scalar(
            select(Operation.id)
            .where(Operation.id == self.id, Operation.lease_token == self.token, Operation.finished_at.is_(None))
            .with_for_update()
        )
        if held is None:
            self.lose()
            raise LeaseLost(self.id)

    def finish_step(self, done: int, result: dict[str, Any] | None, *, is_last: bool = False) -> None:
        """Records that the first ``done`` steps are finished, with what the last one returned.

        The last step is recorded by ``finish``, in one transaction with the end.
        """
        self.state.update(result or {})
        if not is_last:
            with self.unit() as session:
                session.execute(update(Operation).where(Operation.id == self.id).values(**self._progress(done)))
        self.steps_done, self.attempts, self.crashes = done, 0, 0

    def _progress(self, done: int) -> dict[str, Any]:
        return {"steps_done": done, "state": dict(self.state), "attempts": 0, "crashes": 0}

    def postpone(self, delay_s: float, *, attempts: int, is_wakeable: bool = True) -> None:
        """Gives the operation back, to be claimed again after ``delay_s``, or at once when it is to be canceled or was
        woken in the meantime, unless it is not wakeable."""
        with self.unit() as session:
            row = session.get_one(Operation, self.id)
            is_wanted = row.cancel_requested_at is not None or row.due_at != self._due_at
            row.due_at = datetime.now(UTC) + timedelta(seconds=0 if is_wanted and is_wakeable else delay_s)
            row.lease_owner = row.lease_token = row.lease_expires_at = None
            row.attempts = attempts
            if attempts == 0:
                row.crashes = 0  # it came as far as waiting

    def finish(self, status: str, *, message: str, code: int = 0, result_path: str | None = None) -> None:
        """Ends the operation, in a final status."""
        values: dict[str, Any] = {"status": status, "message": message, "code": code, "finished_at": datetime.now(UTC)}
        if status == OperationStatus.COMPLETED.value:
            values |= self._progress(self.steps_done)
        if result_path is not None:
            values["result_path"] = result_path
        with self.unit() as session:
            session.execute(
                update(Operation)
                .where(Operation.id == self.id)
                .values(lease_owner=None, lease_token=None, lease_expires_at=None, **values)
            )


Step = Callable[[Work], "dict[str, Any] | None"]


@dataclass(frozen=True)
class Handler:
    """How operations of one kind are done: steps in order, each safe to run again when it did not finish.

    ``on_failure(work, message)`` and ``on_cancel(work)`` put the resource into its truthful end state, in case of an
    error, of running out of attempts, or of a cancel. Both may be called more than once.

    A step is tried ``max_attempts`` times when it raises, and is given up as well after as many controllers have ended
    in the middle of it: it may be what kills them.
    """

    kind: str
    steps: tuple[Step, ...]
    on_failure: Callable[[Work, str], None] | None = None
    on_cancel: Callable[[Work], None] | None = None
    max_attempts: int = 5
