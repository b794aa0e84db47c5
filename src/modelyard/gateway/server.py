"""The gateway's process: listens, keeps its tables fresh, and ends without losing a request."""

import asyncio
import contextlib
import logging
import resource
import signal
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import uvloop
from prometheus_client import CollectorRegistry
from sqlalchemy.exc import SQLAlchemyError

from modelyard.gateway.connection import ClientConnection
from modelyard.gateway.counting import UsageCounter
from modelyard.gateway.grants import Grants
from modelyard.gateway.limits import ConnectionLimits
from modelyard.gateway.lookups import STALLED_S, Lookups
from modelyard.gateway.routing_table import RoutingTable
from modelyard.identity.token_use import TokenUse
from modelyard.kernel.database import Database
from modelyard.kernel.metrics import PredictionMetrics
from modelyard.kernel.settings import Settings

log = logging.getLogger(__name__)

BACKLOG = 1024
DRAIN_S = 30.0
REFRESH_PAUSE_S = 0.1


class Gateway:
    """What all connections of one process share. Belongs to one event loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settings: Settings,
        table: RoutingTable,
        grants: Grants,
        usage: UsageCounter,
    ) -> None:
        self.loop = loop
        self.table = table
        self.grants = grants
        self.lookups = Lookups(grants)
        self.limits = ConnectionLimits(loop, settings)
        self.usage = usage
        self.registry = CollectorRegistry()
        self.metrics = PredictionMetrics(self.registry)
        self.metrics_access = settings.metrics
        self.timeout_s = settings.prediction_timeout_s
        self.max_body_bytes = settings.max_prediction_bytes
        self._refresher = ThreadPoolExecutor(1, thread_name_prefix="routes on request")
        self._tasks: set[asyncio.Task[None]] = set()
        self._refresh: asyncio.Task[None] | None = None
        self._refreshed_at = 0.0

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs a short piece of work that nobody waits for."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def refresh_soon(self) -> None:
        """Read the routes anew; however many ask at once, it is done once at a time and not all the time.

        Where the database cannot be asked, they stay as they were.
        """
        if self._refresh is None or self._refresh.done():
            self._refresh = self.loop.create_task(self._refresh_once())
        await asyncio.wait({self._refresh}, timeout=STALLED_S)

    async def _refresh_once(self) -> None:
        await asyncio.sleep(max(0.0, self._refreshed_at + REFRESH_PAUSE_S - self.loop.time()))
        with contextlib.suppress(SQLAlchemyError):  # the loop that keeps the table fresh says so
            await self.loop.run_in_executor(self._refresher, self.table.refresh)
        self._refreshed_at = self.loop.time()

    async def drain(self) -> None:
        """Lets every request in hand be answered, for half a minute at most."""
        for connection in list(self.limits.connections):
            connection.drain()
        deadline = self.loop.time() + DRAIN_S
        while self.limits.connections and self.loop.time() < deadline:
            await asyncio.sleep(0.02)


def run(settings: Settings, database: Database, on_ready: Callable[[], None] = lambda: None) -> None:
    """Serves until SIGTERM or SIGINT."""
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    uvloop.run(_serve(settings, database, on_ready))


async def _serve(settings: Settings, database: Database, on_ready: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    token_use = TokenUse(database)
    table, grants, usage = RoutingTable(database), Grants(database, token_use.note), UsageCounter(database)
    await loop.run_in_executor(None, table.refresh)
    gateway = Gateway(loop, settings, table, grants, usage)
    gateway.limits.start()
    threads = [
        threading.Thread(target=work, name=name, daemon=True)
        for name, work in (
            ("routes", table.keep_fresh),
            ("grants", grants.keep_fresh),
            ("usage", usage.keep_flushing),
        )
    ]
    for thread in threads:
        thread.start()
    token_use.start()
    server = await loop.create_server(
        lambda: ClientConnection(gateway), settings.host, settings.gateway_port, backlog=BACKLOG, reuse_port=False
    )
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    log.info("gateway listens on %s:%d", settings.host, settings.gateway_port)
    on_ready()
    await ended.wait()
    server.close()
    await gateway.drain()
    gateway.limits.stop()
    table.stop()
    grants.stop()
    usage.stop()
    await loop.run_in_executor(None, token_use.stop)
    for thread in threads:
        await loop.run_in_executor(None, thread.join, 5.0)
