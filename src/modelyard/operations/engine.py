"""The engine: claims operations under leases, runs their steps in threads, hands over what dead controllers left."""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psutil
from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from modelyard.kernel.database import Database
from modelyard.kernel.errors import ModelyardError
from modelyard.kernel.ids import new_id
from modelyard.kernel.parts import Parts
from modelyard.kernel.wakeup import Wakeup
from modelyard.operations.tables import Operation, OperationStatus
from modelyard.operations.work import Cancelled, Handler, LeaseLost, OperationFailed, Waiting, Work

log = logging.getLogger(__name__)

IDLE_POLL_S = 1.0


@dataclass(frozen=True)
class Loop:
    """Something the controller does again and again: at once after a commit, and every ``period_s`` at least.

    ``run`` may answer with how many seconds to wait this time instead.
    """

    name: str
    run: Callable[[], float | None]
    period_s: float
    on_commit: bool = True


def lease_owner() -> str:
    """This process, so that another one on the same machine can tell that it is gone."""
    return f"{socket.gethostname()}/{os.getpid()}/{psutil.Process().create_time():.2f}"


class Engine:
    """One controller's share of the work. ``run()`` returns after ``stop()``; unfinished work is left to others."""

    def __init__(
        self,
        database: Database,
        parts: Parts,
        handlers: Iterable[Handler],
        loops: Iterable[Loop] = (),
        *,
        workers: int = 8,
        lease_s: float = 30,
    ) -> None:
        self._database = database
        self._parts = parts
        self._handlers = {handler.kind: handler for handler in handlers}
        self._loops = list(loops)
        self._workers = workers
        self._lease = timedelta(seconds=lease_s)
        self._owner = lease_owner()
        self._active: dict[str, Work] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        """Works until ``stop()``."""
        self._release_dead_leases()
        beat = threading.Thread(target=self._heartbeat, name="heartbeat", daemon=True)
        beat.start()
        threads = [
            threading.Thread(target=self._drive, args=(loop,), name=loop.name, daemon=True) for loop in self._loops
        ]
        for thread in threads:
            thread.start()
        wakeup = Wakeup(self._database)
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="operation")
        try:
            while not self._stopping.is_set():
                self._claim_into(pool)
                wakeup.wait(self._next_poll_s(), self._stopping)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            self._abandon()
            wakeup.close()

    def run_until_idle(self) -> None:
        """Works in the calling thread until nothing is due: for tests and for single commands."""
        while claimed := self._claim(1):
            self._execute(claimed[0])

    def _claim_into(self, pool: ThreadPoolExecutor) -> None:
        with self._lock:
            free = self._workers - len(self._active)
        if free > 0:
            for work in self._claim(free):
                pool.submit(self._execute, work)

    def _claim(self, count: int) -> list[Work]:
        now = datetime.now(UTC)
        due = (
            select(Operation.id)
            .where(
                Operation.finished_at.is_(None),
                Operation.due_at <= now,
                or_(Operation.lease_token.is_(None), Operation.lease_expires_at < now),
                Operation.kind.in_(self._handlers),
            )
            .order_by(Operation.due_at)
            .limit(count)
        )
        with self._database.read() as session:
            if session.scalar(due) is None:
                return []
        claimed = []
        with self._database.write() as session:
            for operation_id in session.scalars(due.with_for_update(skip_locked=True)).all():
                row = session.get_one(Operation, operation_id)
                row.lease_owner = self._owner
                row.lease_token = new_id()
                row.lease_expires_at = now + self._lease
                row.status = OperationStatus.RUNNING.value
                row.started_at = row.started_at or now
                session.flush()
                claimed.append(Work(self._database, self._parts, row))
        with self._lock:
            for work in claimed:
                self._active[work.id] = work
        return claimed

    def _execute(self, work: Work) -> None:
        handler = self._handlers[work.kind]
        try:
            self._run_steps(handler, work)
        except LeaseLost:
            log.info("operation %s (%s) was taken over", work.id, work.kind)
        except Exception:
            log.exception("operation %s (%s) could not be written back", work.id, work.kind)
        finally:
            with self._lock:
                self._active.pop(work.id, None)

    def _run_steps(self, handler: Handler, work: Work) -> None:
        try:
            done = self._steps_done(work)
            for index, step in enumerate(handler.steps[done:], start=done + 1):
                work.checkpoint()
                work.finish_step(index, step(work))
            work.finish(OperationStatus.COMPLETED.value, message="", result_path=work.state.get("result_path"))
        except Waiting as waiting:
            self._postpone(work, waiting.delay_s)
        except Cancelled:
            if handler.on_cancel:
                handler.on_cancel(work)
            work.finish(OperationStatus.ABORTED.value, message="Canceled on request.")
        except (OperationFailed, ModelyardError) as failure:
            self._fail(handler, work, failure.message, getattr(failure, "code", 1))
        except LeaseLost:
            raise
        except Exception as error:
            log.exception("operation %s (%s), attempt %d", work.id, work.kind, work.attempt + 1)
            self._retry_or_fail(handler, work, error)

    def _steps_done(self, work: Work) -> int:
        with self._database.read() as session:
            return session.get_one(Operation, work.id).steps_done

    def _fail(self, handler: Handler, work: Work, message: str, code: int) -> None:
        if handler.on_failure:
            handler.on_failure(work, message)
        work.finish(OperationStatus.ERROR.value, message=message, code=code)

    def _retry_or_fail(self, handler: Handler, work: Work, error: Exception) -> None:
        attempts = work.attempt + 1
        if attempts >= handler.max_attempts:
            self._fail(handler, work, f"Failed {attempts} times; the last time: {type(error).__name__}: {error}", 1)
            return
        self._postpone(work, min(60.0, 0.5 * 2**attempts), attempts=attempts)

    def _postpone(self, work: Work, delay_s: float, attempts: int | None = None) -> None:
        with work.unit() as session:
            values = {} if attempts is None else {"attempts": attempts}
            session.execute(
                update(Operation)
                .where(Operation.id == work.id)
                .values(
                    due_at=datetime.now(UTC) + timedelta(seconds=delay_s),
                    lease_owner=None,
                    lease_token=None,
                    lease_expires_at=None,
                    **values,
                )
            )

    def _heartbeat(self) -> None:
        pause = self._lease.total_seconds() / 3
        look = min(0.5, pause)
        extended_at = 0.0
        while not self._stopping.wait(look):
            with self._lock:
                active = dict(self._active)
            if not active:
                continue
            try:
                self._look_for_cancels(active)
                if time.monotonic() - extended_at >= pause:
                    self._extend(active)
                    extended_at = time.monotonic()
            except Exception:
                log.exception("heartbeat")

    def _look_for_cancels(self, active: dict[str, Work]) -> None:
        with self._database.read() as session:
            rows = session.execute(
                select(Operation.id, Operation.lease_token, Operation.cancel_requested_at).where(
                    Operation.id.in_(list(active))
                )
            ).all()
        for operation_id, token, cancel_requested_at in rows:
            work = active[operation_id]
            work.cancel_wanted = work.cancel_wanted or cancel_requested_at is not None
            work.lost = work.lost or not work.holds(token)

    def _extend(self, active: dict[str, Work]) -> None:
        with self._database.write() as session:
            session.execute(
                update(Operation)
                .where(Operation.id.in_(list(active)), Operation.lease_owner == self._owner)
                .values(lease_expires_at=datetime.now(UTC) + self._lease)
            )

    def _release_dead_leases(self) -> None:
        """Frees what a dead controller of this machine held, without waiting for its leases to end."""
        with self._database.write() as session:
            owners = session.scalars(
                select(Operation.lease_owner).where(Operation.finished_at.is_(None), Operation.lease_owner.is_not(None))
            ).all()
            for owner in {owner for owner in owners if owner and is_dead(owner)}:
                release(session, owner)

    def _abandon(self) -> None:
        """Gives back what is still in hand, so that another controller takes it at once."""
        with self._database.write() as session:
            release(session, self._owner)

    def _next_poll_s(self) -> float:
        now = datetime.now(UTC)
        with self._database.read() as session:
            due = session.scalar(
                select(Operation.due_at)
                .where(Operation.finished_at.is_(None), Operation.due_at > now)
                .order_by(Operation.due_at)
                .limit(1)
            )
        return IDLE_POLL_S if due is None else min(IDLE_POLL_S, max(0.01, (due - now).total_seconds()))

    def _drive(self, loop: Loop) -> None:
        wakeup = Wakeup(self._database) if loop.on_commit else None
        while not self._stopping.is_set():
            pause_s = loop.period_s
            try:
                pause_s = loop.run() or pause_s
            except Exception:
                log.exception("loop %s", loop.name)
                self._stopping.wait(1.0)
            if wakeup is not None:
                wakeup.wait(pause_s, self._stopping)
            else:
                self._stopping.wait(pause_s)
        if wakeup is not None:
            wakeup.close()


def release(session: Session, owner: str) -> None:
    session.execute(
        update(Operation)
        .where(Operation.lease_owner == owner, Operation.finished_at.is_(None))
        .values(lease_owner=None, lease_token=None, lease_expires_at=None)
    )


def is_dead(owner: str) -> bool:
    """Whether ``owner`` was a process of this machine that no longer runs; False for other machines' processes."""
    host, _, rest = owner.rpartition("/")[0].rpartition("/")
    started = owner.rpartition("/")[2]
    if host != socket.gethostname():
        return False
    try:
        return f"{psutil.Process(int(rest)).create_time():.2f}" != started
    except psutil.NoSuchProcess:
        return True
