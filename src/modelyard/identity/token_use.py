"""When tokens were last used: noted in memory by whoever authenticates, written once a minute.

A request that only reads has a read-only session, and no request should wait for a write that nobody asked for; so
each process collects what it saw and writes it in one short transaction. A killed process loses at most a minute of
these times, and nothing else depends on them.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from sqlalchemy import or_, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from modelyard.identity.caller import Caller
from modelyard.identity.tables import ApiToken
from modelyard.kernel.database import Database
from modelyard.kernel.outages import OutageLog

log = logging.getLogger(__name__)

PERIOD_S = 60.0


class TokenUse:
    """Collects the uses of tokens in this process and writes them every ``period_s``."""

    def __init__(self, database: Database, period_s: float = PERIOD_S) -> None:
        self._database = database
        self._period_s = period_s
        self._seen: dict[str, datetime] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def noting(
        self, authenticate: Callable[[Session, Mapping[str, str]], Caller]
    ) -> Callable[[Session, Mapping[str, str]], Caller]:
        """``authenticate``, noting the token of every caller that it finds."""

        def authenticate_and_note(session: Session, headers: Mapping[str, str]) -> Caller:
            caller = authenticate(session, headers)
            if caller.token_id is not None:
                self.note(caller.token_id)
            return caller

        return authenticate_and_note

    def note(self, token_id: str) -> None:
        with self._lock:
            self._seen[token_id] = datetime.now(UTC)

    def write(self) -> None:
        """Writes what was noted since the last time."""
        with self._lock:
            seen, self._seen = self._seen, {}
        if not seen:
            return
        with self._database.write() as session:
            for token_id, at in sorted(seen.items()):
                session.execute(
                    update(ApiToken)
                    .where(ApiToken.id == token_id)
                    .where(or_(ApiToken.last_used_at.is_(None), ApiToken.last_used_at < at))
                    .values(last_used_at=at)
                )

    def start(self) -> None:
        self._thread = threading.Thread(target=self._keep_writing, name="token use", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Writes what is left, and ends the writing."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _keep_writing(self) -> None:
        writing = OutageLog(log, "the last use of tokens cannot be written")
        while True:
            ending = self._stopping.wait(self._period_s)
            try:
                self.write()
                writing.succeeded()
            except SQLAlchemyError as error:
                writing.failed(error)
            if ending:
                return
