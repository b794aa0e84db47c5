"""The engine: runs the steps of claimed operations in threads, and the controller's loops beside them."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from modelyard.kernel.database import Database
from modelyard.kernel.errors import ModelyardError, Unavailable
from modelyard.kernel.outages import Outage, OutageLog, outage_of
from modelyard.kernel.parts import Parts
from modelyard.kernel.wakeup import Wakeup
from modelyard.operations import leases
from modelyard.operations.claims import Claims
from modelyard.operations.owners import lease_owner
from modelyard.operations.tables import OperationStatus
from modelyard.operations.work import Cancelled, Handler, LeaseLost, OperationFailed, Waiting, Work

log = logging.getLogger(__name__)

IDLE_POLL_S = 1.0
LOOK_S = 0.5
STOP_GRACE_S = 5.0
PAUSE_AFTER_ERROR_S = 1.0
OUTAGE_PAUSE_S = 2.0
PACE_S = 0.01
"""From one look at the database to the next, so that a burst of commits is one look."""


@dataclass(frozen=True)
class Loop:
    """Something the controller does again and again: at once after a commit, and every ``period_s`` at least.

    ``run`` may answer with how many seconds to wait this time instead.
    """

    name: str
    run: Callable[[], float | None]
    period_s: float
    on_commit: bool = True


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
        self._handlers = {handler.kind: handler for handler in handlers}
        self._loops = list(loops)
        self._workers = workers
        self._look_s = min(LOOK_S, lease_s / 6)
        self._owner = lease_owner()
        self._claims = Claims(database, parts, self._owner, self._handlers, lease_s)
        self._active: dict[str, Work] = {}
        self._waiting_out: set[str] = set()
        self._threads: set[threading.Thread] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._wakeup: Wakeup | None = None

    def stop(self) -> None:
        """Lets ``run()`` return soon. May be called from a signal handler."""
        self._stopping.set()
        if self._wakeup is not None:
            self._wakeup.wake()

    def run(self) -> None:
        """Works until ``stop()``."""
        self._wakeup = Wakeup(self._database)
        claiming = OutageLog(log, "operations cannot be claimed")
        loops = [_start(self._drive, loop, name=loop.name) for loop in self._loops]
        with self._heartbeat():
            while not self._stopping.is_set():
                looked_at = time.monotonic()
                try:
                    pause_s = self._start_due()
                    claiming.succeeded()
                except Exception as error:  # noqa: BLE001 # logged
                    claiming.failed(error)
                    pause_s = PAUSE_AFTER_ERROR_S
                self._wakeup.wait(pause_s, self._stopping)
                self._keep_pace(looked_at)
            self._leave(loops)
        self._wakeup.close()

    def run_until_idle(self) -> None:
        """Works in the calling thread until nothing is due: for tests and for single commands."""
        with self._heartbeat():
            while claimed := self._claim(1):
                self._execute(claimed[0])

    def _start_due(self) -> float:
        """Starts what is due, as far as there are free workers; the answer is when to look again, in seconds."""
        with self._lock:
            free = self._workers - len(self._threads)
        if free > 0:
            for work in self._claim(free):
                with self._lock:
                    self._threads.add(_start(self._work_off, work, name=f"operation {work.id}"))
        due_s = self._claims.next_due_s()
        return IDLE_POLL_S if due_s is None else min(IDLE_POLL_S, max(0.01, due_s))

    def _claim(self, count: int) -> list[Work]:
        with self._lock:
            active = dict(self._active)
        claimed = self._claims.claim(count, active)
        with self._lock:
            self._active.update({work.id: work for work in claimed})
        return claimed

    def _work_off(self, work: Work) -> None:
        try:
            self._execute(work)
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())
            if self._wakeup is not None and not self._stopping.is_set():
                self._wakeup.wake()

    def _execute(self, work: Work) -> None:
        try:
            self._run_steps(self._handlers[work.kind], work)
        except LeaseLost:
            log.info("operation %s (%s) is left to another controller", work.id, work.kind)
        except Exception:
            log.exception("operation %s (%s) could not be written back", work.id, work.kind)
        finally:
            with self._lock:
                if self._active.get(work.id) is work:  # it may have been given back and claimed again by now
                    del self._active[work.id]

    def _run_steps(self, handler: Handler, work: Work) -> None:
        try:
            self._run_to_end(handler, work)
        except Exception as error:
            outage = outage_of(error)
            if outage is None:
                raise
            self._wait_out(work, outage)
        else:
            if work.id in self._waiting_out:
                self._waiting_out.discard(work.id)
                log.warning("operation %s (%s) waits no longer", work.id, work.kind)

    def _wait_out(self, work: Work, outage: Outage) -> None:
        """Give the operation back until what it needs is there again: an outage says nothing about the work.

        Where even that is impossible, its lease ends by itself.
        """
        if work.id not in self._waiting_out:
            self._waiting_out.add(work.id)
            log.warning("operation %s (%s) waits: %s", work.id, work.kind, outage.message)
        with contextlib.suppress(SQLAlchemyError):
            work.say(outage.message)
            work.postpone(OUTAGE_PAUSE_S, attempts=work.attempts, is_wakeable=False)

    def _run_to_end(self, handler: Handler, work: Work) -> None:
        """Run its steps, or bring it to its bad end. Raises ``LeaseLost``, and whatever an outage does."""
        if work.crashes >= handler.max_attempts:
            self._fail(handler, work, f"Given up: {work.crashes} controllers ended in the middle of it.", 1)
            return
        try:
            for index, step in enumerate(handler.steps[work.steps_done :], start=work.steps_done + 1):
                work.checkpoint()
                work.finish_step(index, step(work), is_last=index == len(handler.steps))
            work.finish(OperationStatus.COMPLETED.value, message="", result_path=work.state.get("result_path"))
        except LeaseLost:
            raise
        except Waiting as waiting:
            work.postpone(waiting.delay_s, attempts=0)
        except Exception as error:
            if work.lost:  # what went wrong may come from stopping
                raise LeaseLost(work.id) from error
            if outage_of(error) is not None:
                raise
            self._end_badly(handler, work, error)

    def _end_badly(self, handler: Handler, work: Work, error: Exception) -> None:
        match error:
            case Cancelled():
                _put_right(work, handler.on_cancel, work)
                work.finish(OperationStatus.ABORTED.value, message="Canceled on request.")
            case OperationFailed():
                self._fail(handler, work, error.message, error.code)
            case Unavailable():
                self._retry_or_fail(handler, work, error.message)
            case ModelyardError():
                self._fail(handler, work, error.message, 1)
            case _:
                log.error("operation %s (%s), attempt %d", work.id, work.kind, work.attempts + 1, exc_info=error)
                self._retry_or_fail(handler, work, f"{type(error).__name__}: {error}")

    def _retry_or_fail(self, handler: Handler, work: Work, reason: str) -> None:
        attempts = work.attempts + 1
        if attempts >= handler.max_attempts:
            self._fail(handler, work, f"Failed {attempts} times; the last time: {reason}", 1)
        else:
            work.postpone(min(60.0, 0.5 * 2**attempts), attempts=attempts)

    def _fail(self, handler: Handler, work: Work, message: str, code: int) -> None:
        _put_right(work, handler.on_failure, work, message)
        work.finish(OperationStatus.ERROR.value, message=message, code=code)

    @contextmanager
    def _heartbeat(self) -> Iterator[None]:
        """While it lasts, leases are extended and cancels are seen. It goes on for threads that do not end."""
        over = threading.Event()
        thread = _start(self._beat, over, name="heartbeat")
        try:
            yield
        finally:
            over.set()
            if not self._active:
                thread.join()

    def _beat(self, over: threading.Event) -> None:
        looked_at = 0.0
        beating = OutageLog(log, "leases cannot be extended")
        while True:
            with self._lock:
                active = dict(self._active)
            if over.is_set() and not active:
                return
            try:
                if active:
                    self._claims.look(active)
                    self._claims.extend(active)
                if time.monotonic() - looked_at > IDLE_POLL_S:
                    looked_at = time.monotonic()
                    if self._claims.release_dead() and self._wakeup is not None:
                        self._wakeup.wake()
                beating.succeeded()
            except Exception as error:  # noqa: BLE001 # logged
                beating.failed(error)
            over.wait(self._look_s) if not over.is_set() else time.sleep(self._look_s)

    def _leave(self, loops: list[threading.Thread]) -> None:
        """Lets the threads end, and gives back what they had in hand. Who does not end in time keeps its lease."""
        with self._lock:
            active, threads = list(self._active.values()), [*self._threads, *loops]
        for work in active:
            work.lose()
        deadline = time.monotonic() + STOP_GRACE_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        with self._lock:
            busy = list(self._active)
        self._claims.give_back(except_ids=busy)
        if not any(thread.is_alive() for thread in loops):
            leases.give_back(self._database, self._owner)

    def _drive(self, loop: Loop) -> None:
        wakeup = Wakeup(self._database)
        running = OutageLog(log, f"the loop of {loop.name} cannot go on")
        while not self._stopping.is_set():
            looked_at = time.monotonic()
            try:
                pause_s = loop.run() or loop.period_s
                running.succeeded()
                if loop.on_commit:
                    wakeup.wait(pause_s, self._stopping)
                    self._keep_pace(looked_at)
                else:
                    self._stopping.wait(pause_s)
            except Exception as error:  # noqa: BLE001 # logged
                running.failed(error)
                self._stopping.wait(PAUSE_AFTER_ERROR_S)
        wakeup.close()

    def _keep_pace(self, looked_at: float) -> None:
        left_s = looked_at + PACE_S - time.monotonic()
        if left_s > 0:
            self._stopping.wait(left_s)


def _put_right(work: Work, callback: Callable[..., None] | None, *arguments: object) -> None:
    """Call what puts the resource into its end state, twice if need be; the operation ends even if that fails.

    During an outage it does not: what the outage raises is raised, so that it comes to the same end later.
    """
    if callback is None:
        return
    for _ in range(2):
        try:
            callback(*arguments)
        except LeaseLost:
            raise
        except Exception as error:
            if outage_of(error) is not None:
                raise
            log.exception("the end of operation %s (%s)", work.id, work.kind)
        else:
            return


def _start(run: Callable[..., None], *arguments: object, name: str) -> threading.Thread:
    thread = threading.Thread(target=run, args=arguments, name=name, daemon=True)
    thread.start()
    return thread
