"""Counts requests in memory and writes the sums in batches."""

import logging
import threading
import time
from datetime import UTC, datetime

from modelyard.gateway.routing_table import Target
from modelyard.kernel.database import Database
from modelyard.kernel.outages import OutageLog
from modelyard.kernel.wakeup import notify
from modelyard.monitoring.usage import Blame, Tally, add_usage

log = logging.getLogger(__name__)

FLUSH_S = 1.0


class UsageCounter:
    """The event loop counts; a thread takes what was counted away and stores it.

    A request counts for the hour in which it came, whenever that is stored.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._tallies: dict[tuple[str, str, int], tuple[Tally, float]] = {}
        self._kept: dict[tuple[str, str, datetime], Tally] = {}
        self._stop = threading.Event()
        self._storing = OutageLog(log, "usage cannot be stored, and is kept for the next time")

    def count(self, target: Target, blame: Blame, rows: int, response_ms: float, execution_ms: float) -> None:
        """Count one answered request of a deployment."""
        ended = time.time()
        key = (target.deployment_id, target.model_id, int((ended - response_ms / 1000) // 3600))
        with self._lock:
            found = self._tallies.get(key)
            tally = Tally() if found is None else found[0]
            self._tallies[key] = (tally, ended)
            tally.add(blame, rows, response_ms, execution_ms)

    def flush(self) -> None:
        """Store what was counted; it is kept for the next time when the database cannot be reached."""
        with self._lock:
            taken, self._tallies = self._tallies, {}
        for (deployment_id, model_id, hour), (tally, last_s) in taken.items():
            tally.last_at = datetime.fromtimestamp(last_s, UTC)
            key = (deployment_id, model_id, datetime.fromtimestamp(hour * 3600, UTC))
            if key in self._kept:
                _merge(self._kept[key], tally)
            else:
                self._kept[key] = tally
        if self._kept:
            with self._database.write() as session:
                add_usage(session, self._kept)
                notify(session)
            self._kept = {}

    def keep_flushing(self) -> None:
        """Flushes every second until ``stop()``, and once more then. Runs in a thread of its own."""
        while not self._stop.wait(FLUSH_S):
            self._flush_or_log()
        self._flush_or_log()

    def stop(self) -> None:
        self._stop.set()

    def _flush_or_log(self) -> None:
        try:
            self.flush()
            self._storing.succeeded()
        except Exception as error:  # noqa: BLE001 # logged
            self._storing.failed(error)


def _merge(into: Tally, more: Tally) -> None:
    into.requests += more.requests
    into.rows += more.rows
    into.user_errors += more.user_errors
    into.model_errors += more.model_errors
    into.server_errors += more.server_errors
    into.slow_requests += more.slow_requests
    into.response_ms += more.response_ms
    into.execution_ms += more.execution_ms
    into.last_at = max(into.last_at, more.last_at)
