"""What is noted of each request to the API: metrics, and a line of the access log where that is on."""

import asyncio
import logging
import time
from typing import Any

from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler
from prometheus_client import CollectorRegistry

from modelyard.kernel.errors import Forbidden
from modelyard.kernel.metrics import (
    CONTENT_TYPE,
    NOT_ALLOWED,
    Access,
    RequestMetrics,
    StateCollector,
    exposition,
    may_read,
)

access_log = logging.getLogger("modelyard.access")

NO_ROUTE = "none"


class Observer:
    """Notes requests, and answers ``/metrics``."""

    def __init__(self, state: StateCollector, *, metrics: Access, logs_access: bool) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(state)
        self._requests = RequestMetrics(self.registry)
        self._metrics = metrics
        self._logs_access = logs_access

    def note(self, scope: Any, path: str, status: int, began: float, request_id: str) -> None:
        """Note the end of a request that began at a reading of ``time.perf_counter()``."""
        seconds = time.perf_counter() - began
        route = scope.get("route_handler")
        operation = NO_ROUTE if route is None else str(route.name)
        self._requests.note(operation, status, seconds)
        if self._logs_access:
            client = scope.get("client")
            access_log.info(
                "request",
                extra={
                    "request_id": request_id,
                    "client": client[0] if client else None,
                    "method": scope["method"],
                    "path": path,
                    "operation": operation,
                    "status": status,
                    "milliseconds": round(seconds * 1000, 1),
                },
            )

    async def expose(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        """The metrics, for who may read them."""
        client = request.scope.get("client")
        names = (name for name, _ in request.scope["headers"])
        if not may_read(self._metrics, client[0] if client else None, names):
            raise Forbidden(NOT_ALLOWED)
        content = await asyncio.to_thread(exposition, self.registry)
        return Response(content, media_type=CONTENT_TYPE)


async def _expose(request: Request[Any, Any, Any]) -> Response[bytes]:
    observer: Observer = request.scope["observer"]  # type: ignore[typeddict-item] # bound by the application
    return await observer.expose(request)


def metrics_route() -> HTTPRouteHandler:
    """The route to the metrics of the ``observer`` in the request's scope."""
    return HTTPRouteHandler("/metrics", http_method=["GET"], include_in_schema=False, name="metrics")(_expose)
