"""What strangers may cost the gateway: how long, how many, how much memory. All of one process together."""

import asyncio
from typing import TYPE_CHECKING

from modelyard.kernel.settings import Settings

if TYPE_CHECKING:
    from modelyard.gateway.connection import ClientConnection

SWEEP_S = 0.5


class ConnectionLimits:
    """Clients' connections, those without a valid token apart; belongs to one event loop.

    Time-outs are looked after by one sweep for all connections, which costs a request nothing.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, settings: Settings) -> None:
        self.connections: set[ClientConnection] = set()
        self.now = loop.time()
        """The time of the last sweep: exact enough for time-outs of seconds."""
        self.header_timeout_s = settings.header_timeout_s
        self.body_timeout_s = settings.body_timeout_s
        self.idle_timeout_s = settings.idle_timeout_s
        self.buffered_bytes = 0
        self.max_buffered_bytes = settings.max_buffered_prediction_bytes
        self._max_anonymous = settings.max_anonymous_connections
        self._anonymous: dict[ClientConnection, None] = {}  # the oldest first
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Sweep now and then, until ``stop()``."""
        self._sweep()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def add(self, connection: "ClientConnection") -> None:
        """Note a new connection. If it is one too many without a token, the oldest of those is closed."""
        self.connections.add(connection)
        self.distrust(connection)

    def discard(self, connection: "ClientConnection") -> None:
        self.connections.discard(connection)
        self._anonymous.pop(connection, None)

    def trust(self, connection: "ClientConnection") -> None:
        """The connection has shown a valid token."""
        self._anonymous.pop(connection, None)

    def distrust(self, connection: "ClientConnection") -> None:
        """The connection has shown no valid token, or one that is no longer valid."""
        self._anonymous[connection] = None
        if len(self._anonymous) > self._max_anonymous:
            oldest = next((one for one in self._anonymous if not one.is_looked_up), connection)
            del self._anonymous[oldest]
            oldest.evict()

    def has_room(self, more_bytes: int) -> bool:
        return self.buffered_bytes + more_bytes <= self.max_buffered_bytes

    def _sweep(self) -> None:
        self.now = self._loop.time()
        for connection in list(self.connections):
            connection.check_time()
        self._timer = self._loop.call_later(SWEEP_S, self._sweep)
