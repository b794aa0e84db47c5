"""Waking up when somebody committed: LISTEN/NOTIFY on PostgreSQL, the data version on SQLite."""

import threading
import time

import psycopg
from sqlalchemy import text
from sqlalchemy.orm import Session

from modelyard.kernel.database import Database

CHANNEL = "modelyard"
SQLITE_POLL_S = 0.02


def notify(session: Session) -> None:
    """Wakes every waiting process when ``session`` commits. SQLite needs nothing: each commit is seen."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"NOTIFY {CHANNEL}"))


class Wakeup:
    """Waits for commits of other connections. One instance belongs to one thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen = -1
        self._sqlite = database.engine.raw_connection() if database.is_sqlite else None
        self._postgres: psycopg.Connection[tuple[object, ...]] | None = None
        if self._sqlite is not None:
            self._seen = self._version()

    def wait(self, timeout_s: float, stop: threading.Event | None = None) -> bool:
        """Returns as soon as something was committed (True), ``stop`` is set, or after ``timeout_s`` (False)."""
        return self._wait_sqlite(timeout_s, stop) if self._sqlite is not None else self._wait_postgres(timeout_s, stop)

    def close(self) -> None:
        if self._sqlite is not None:
            self._sqlite.close()
        if self._postgres is not None:
            self._postgres.close()

    def _version(self) -> int:
        assert self._sqlite is not None  # noqa: S101
        cursor = self._sqlite.cursor()
        try:
            return int(cursor.execute("PRAGMA data_version").fetchone()[0])
        finally:
            cursor.close()

    def _wait_sqlite(self, timeout_s: float, stop: threading.Event | None) -> bool:
        deadline = time.monotonic() + timeout_s
        while True:
            version = self._version()
            if version != self._seen:
                self._seen = version
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            pause = min(SQLITE_POLL_S, left)
            if stop is not None:
                if stop.wait(pause):
                    return False
            else:
                time.sleep(pause)

    def _wait_postgres(self, timeout_s: float, stop: threading.Event | None) -> bool:
        deadline = time.monotonic() + timeout_s
        try:
            if self._postgres is None or self._postgres.closed:
                url = self._database.engine.url.set(drivername="postgresql")
                self._postgres = psycopg.connect(url.render_as_string(hide_password=False), autocommit=True)
                self._postgres.execute(f"LISTEN {CHANNEL}".encode())
            while (left := deadline - time.monotonic()) > 0 and not (stop is not None and stop.is_set()):
                for _ in self._postgres.notifies(timeout=min(left, 0.5), stop_after=1):
                    return True
        except psycopg.OperationalError:
            self._postgres = None
            (stop or threading.Event()).wait(min(1.0, max(0.0, deadline - time.monotonic())))
        return False
