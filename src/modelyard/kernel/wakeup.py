"""Waking up when somebody committed: LISTEN/NOTIFY on PostgreSQL, the data version on SQLite."""

import contextlib
import os
import selectors
import threading
import time

import psycopg
from sqlalchemy import text
from sqlalchemy.orm import Session

from modelyard.kernel.database import Database

CHANNEL = "modelyard"
SQLITE_POLL_S = 0.02
STOP_LOOK_S = 0.2
RECONNECT_S = 1.0


def notify(session: Session) -> None:
    """Wakes every waiting process when ``session`` commits. SQLite needs nothing: each commit is seen."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"NOTIFY {CHANNEL}"))


class Wakeup:
    """Waits for commits of other connections. One instance belongs to one thread; any may call ``wake``.

    What was committed since the instance was made, or since the last ``wait``, ends the next ``wait`` at once.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reading_end, self._writing_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._is_closed = False
        self._closing = threading.RLock()  # a signal handler may find it held by the very thread that it interrupts
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._reading_end, selectors.EVENT_READ)
        self._sqlite = database.engine.raw_connection() if database.is_sqlite else None
        self._postgres: psycopg.Connection[tuple[object, ...]] | None = None
        if self._sqlite is None:
            self._listen()
        else:
            self._seen = self._version()

    def wait(self, timeout_s: float, stop: threading.Event | None = None) -> bool:
        """Returns as soon as something was committed or ``wake`` was called (True), ``stop`` is set, or after
        ``timeout_s`` (False)."""
        deadline = time.monotonic() + timeout_s
        if self._sqlite is not None:
            return self._wait_sqlite(deadline, stop)
        try:
            return self._wait_postgres(deadline, stop)
        except (psycopg.OperationalError, OSError):
            self._hang_up()
            return False

    def wake(self) -> None:
        """Ends the ``wait`` that is going on, or the next one. May be called from a signal handler."""
        with self._closing, contextlib.suppress(BlockingIOError):  # full: it is awake already
            if not self._is_closed:
                os.write(self._writing_end, b"!")

    def close(self) -> None:
        if self._sqlite is not None:
            self._sqlite.close()
        self._hang_up()
        self._selector.close()
        with self._closing:
            self._is_closed = True
            os.close(self._reading_end)
            os.close(self._writing_end)

    def _version(self) -> int:
        assert self._sqlite is not None  # noqa: S101
        cursor = self._sqlite.cursor()
        try:
            return int(cursor.execute("PRAGMA data_version").fetchone()[0])
        finally:
            cursor.close()

    def _wait_sqlite(self, deadline: float, stop: threading.Event | None) -> bool:
        while True:
            version = self._version()
            if version != self._seen:
                self._seen = version
                return True
            left = deadline - time.monotonic()
            if left <= 0 or (stop is not None and stop.is_set()):
                return False
            if self._is_woken(min(SQLITE_POLL_S, left)):
                return True

    def _wait_postgres(self, deadline: float, stop: threading.Event | None) -> bool:
        if self._postgres is None:
            if self._listen():
                return True  # something may have been committed while nobody listened
            deadline = min(deadline, time.monotonic() + RECONNECT_S)
        while (left := deadline - time.monotonic()) > 0 and not (stop is not None and stop.is_set()):
            woken = self._is_woken(min(left, STOP_LOOK_S))
            if self._has_notifications() or woken:
                return True
        return False

    def _is_woken(self, timeout_s: float) -> bool:
        """Waits for ``wake`` and for whatever else the selector looks at; True after ``wake``."""
        if not any(key.fd == self._reading_end for key, _ in self._selector.select(timeout_s)):
            return False
        os.read(self._reading_end, 4096)
        return True

    def _listen(self) -> bool:
        url = self._database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        try:
            self._postgres = psycopg.connect(url, autocommit=True, connect_timeout=5)
            self._postgres.execute(f"LISTEN {CHANNEL}".encode())
            self._selector.register(self._postgres.fileno(), selectors.EVENT_READ)
        except psycopg.OperationalError:
            self._hang_up()
            return False
        return True

    def _has_notifications(self) -> bool:
        """Takes all notifications that have come, so that a hundred commits are one awakening."""
        if self._postgres is None:
            return False
        self._postgres.pgconn.consume_input()
        found = False
        while self._postgres.pgconn.notifies() is not None:
            found = True
        return found

    def _hang_up(self) -> None:
        if self._postgres is None:
            return
        for key in list(self._selector.get_map().values()):
            if key.fd != self._reading_end:
                self._selector.unregister(key.fd)
        self._postgres.close()
        self._postgres = None
