"""What the gateway itself answers at paths for which there is no route: pings, probes, metrics, errors."""

import re
from typing import TYPE_CHECKING

from modelyard.gateway.errors import Refusal, error_bytes, ok_bytes
from modelyard.kernel.metrics import CONTENT_TYPE, NOT_ALLOWED, exposition, may_read
from modelyard.kernel.outages import RETRY_AFTER_S

if TYPE_CHECKING:
    from modelyard.gateway.connection import ClientConnection

PING = re.compile(rb"/(?:predApi/v1\.0/|api/v2/)?ping/?")
LIVENESS = frozenset({b"/health", b"/health/", b"/livez", b"/livez/"})
READINESS = frozenset({b"/readyz", b"/readyz/"})
METRICS = b"/metrics"


def own_answer(client: "ClientConnection", path: bytes, refusal: Refusal) -> bytes:
    """Return the whole response to a client's request for which there is no route; ``refusal`` is the last resort."""
    gateway, keep_alive = client.gateway, client.keep_alive
    if PING.fullmatch(path):
        return ok_bytes(b'{"response":"pong"}', keep_alive=keep_alive)
    if path in LIVENESS:
        return ok_bytes(b'{"status":"ok"}', keep_alive=keep_alive)
    if path in READINESS:
        outage = gateway.table.outage
        if outage is None:
            return ok_bytes(b'{"status":"ready"}', keep_alive=keep_alive)
        return error_bytes(503, outage, b"-", keep_alive=keep_alive, retry_after_s=RETRY_AFTER_S)
    if path == METRICS:
        if not may_read(gateway.metrics_access, client.peer, (name for name, _ in client.headers)):
            return error_bytes(403, NOT_ALLOWED, b"-", keep_alive=keep_alive)
        content = exposition(gateway.registry)
        return ok_bytes(content, keep_alive=keep_alive, content_type=CONTENT_TYPE.encode())
    return error_bytes(refusal.status, refusal.message, b"-", keep_alive=keep_alive)
