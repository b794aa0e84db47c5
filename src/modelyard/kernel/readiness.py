"""``/livez`` and ``/readyz``: whether this process is alive, and whether it can do its work now."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler
from sqlalchemy import text

from modelyard.kernel.database import Database
from modelyard.kernel.outages import RETRY_AFTER_S, describe

TIMEOUT_S = 2.0
KEPT_S = 1.0
"""An answer counts for so long: whoever asks all the time asks the database once in a while."""

Check = Callable[[], object]
"""Does something that fails while what is checked is away."""


class Readiness:
    """Checks what a process needs, each in a thread, and keeps the answer for a moment."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = dict(checks)
        self._asking: asyncio.Future[dict[str, str]] | None = None
        self._asked_at = 0.0

    async def failures(self) -> dict[str, str]:
        """Return why not, by the name of the check; empty where everything is there."""
        now = time.monotonic()
        if self._asking is None or (self._asking.done() and now - self._asked_at > KEPT_S):
            self._asking, self._asked_at = asyncio.ensure_future(self._ask()), now
        return await asyncio.shield(self._asking)

    async def _ask(self) -> dict[str, str]:
        answers = await asyncio.gather(*(self._try(check) for check in self._checks.values()))
        return {name: why for name, why in zip(self._checks, answers, strict=True) if why is not None}

    async def _try(self, check: Check) -> str | None:
        try:
            await asyncio.wait_for(asyncio.to_thread(check), TIMEOUT_S)
        except TimeoutError:
            return f"It does not answer within {TIMEOUT_S:g} s."
        except Exception as error:  # noqa: BLE001 # told to whoever asks
            return describe(error)
        return None


def database_check(database: Database) -> Check:
    """Ask the database for nothing."""

    def check() -> None:
        with database.read() as session:
            session.execute(text("SELECT 1"))

    return check


async def _alive() -> Response[bytes]:
    return _answer(200, {"status": "alive"})


async def _ready(request: Request[Any, Any, Any]) -> Response[bytes]:
    readiness: Readiness = request.scope["readiness"]  # type: ignore[typeddict-item] # bound by the application
    failures = await readiness.failures()
    if not failures:
        return _answer(200, {"status": "ready"})
    return _answer(503, {"status": "unready", "failures": failures}, {"Retry-After": str(RETRY_AFTER_S)})


def _answer(status: int, body: Mapping[str, Any], headers: dict[str, str] | None = None) -> Response[bytes]:
    content = msgspec.json.encode(body)
    return Response(content, status_code=status, headers=headers or {}, media_type="application/json")


def readiness_routes() -> list[HTTPRouteHandler]:
    """The routes, of which ``/readyz`` asks the ``readiness`` in the scope of the request."""
    return [
        HTTPRouteHandler(path, http_method=["GET"], include_in_schema=False, name=path.strip("/"))(handler)
        for path, handler in (("/livez", _alive), ("/readyz", _ready))
    ]
