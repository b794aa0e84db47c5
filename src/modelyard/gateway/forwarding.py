"""Predictions that arrive at the API's port: handed on to the gateway as they come."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
from litestar import Litestar, Request, Response
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream

from modelyard.kernel.settings import Settings

PATHS = (
    "/api/v2/deployments/{deployment_id:str}/predictions",
    "/api/v2/deployments/{deployment_id:str}/predictionsUnstructured",
)
NOT_PASSED_ON = frozenset({"host", "connection", "transfer-encoding", "keep-alive", "te", "upgrade", "expect"})


class Forwarder:
    """Copies a request to the gateway and its answer back, both as streams."""

    def __init__(self, settings: Settings) -> None:
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104 # read, not bound
        self._base = f"http://{host}:{settings.gateway_port}"
        self._session: aiohttp.ClientSession | None = None

    def handlers(self) -> list[HTTPRouteHandler]:
        return [
            HTTPRouteHandler(
                list(PATHS), http_method=["POST"], status_code=200, include_in_schema=False, name="predictions"
            )(self.forward)
        ]

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(
            auto_decompress=False, connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
        )

    async def close(self, _app: Litestar) -> None:
        if self._session is not None:
            await self._session.close()

    async def forward(self, request: Request[Any, Any, Any]) -> Response[Any]:
        """Sends the request on; 503 while the gateway cannot be reached."""
        assert self._session is not None  # noqa: S101 # opened with the application
        url = f"{self._base}{request.scope['path']}"
        query = request.scope["query_string"].decode("latin-1")
        headers = {name: value for name, value in request.headers.items() if name not in NOT_PASSED_ON}
        length = headers.pop("content-length", None)
        if length is not None:
            headers["Content-Length"] = length
        try:
            answer = await self._session.post(
                f"{url}?{query}" if query else url, data=request.stream(), headers=headers, allow_redirects=False
            )
        except aiohttp.ClientConnectorError:
            content = msgspec.json.encode({"message": "The prediction gateway is not running; try again in a moment."})
            return Response(content, status_code=503, headers={"Retry-After": "1"}, media_type="application/json")
        passed = {
            name: value
            for name, value in answer.headers.items()
            if name.lower() not in NOT_PASSED_ON and name.lower() != "content-type"
        }
        return Stream(
            _chunks(answer), status_code=answer.status, headers=passed, media_type=answer.headers.get("Content-Type")
        )


async def _chunks(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.content.iter_any():
            yield chunk
    finally:
        answer.release()
