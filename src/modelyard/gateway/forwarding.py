"""Predictions that arrive at the API's port: handed on to the gateway as they come."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream
from yarl import URL

from modelyard.gateway.fields import FieldError, parse_content_length
from modelyard.kernel.settings import Settings

PATHS = (
    "/api/v2/deployments/{deployment_id:str}/predictions",
    "/api/v2/deployments/{deployment_id:str}/predictionsUnstructured",
)
NOT_PASSED_ON = frozenset(
    {"host", "connection", "transfer-encoding", "keep-alive", "te", "upgrade", "expect", "trailer"}
)


class Forwarder:
    """Copies a request to the gateway and its answer back, both as streams.

    Each request has a connection of its own, which ends with it: whatever an answer holds, no other caller's request
    or answer is on the same connection.
    """

    def __init__(self, settings: Settings) -> None:
        self._base = settings.forwarding_url()
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def forward(self, request: Request[Any, Any, Any]) -> Response[Any]:
        """Sends the request on; 503 while the gateway cannot be reached."""
        assert self._session is not None  # noqa: S101 # opened with the application
        query = request.scope["query_string"].decode("latin-1")
        address = f"{self._base}{quote(request.scope['path'])}" + (f"?{query}" if query else "")
        try:
            headers = _headers_to_pass(request)
        except FieldError as error:
            return _error(400, f"The request's {error}.")
        try:
            answer = await self._session.post(
                URL(address, encoded=True), data=request.stream(), headers=headers, allow_redirects=False
            )
        except aiohttp.ClientConnectorError:
            return _error(503, "The prediction gateway is not running; try again in a moment.", retry_after_s=1)
        except (aiohttp.ClientError, OSError) as error:
            reason = type(error).__name__
            return _error(502, f"The prediction gateway gave no whole answer ({reason}); try again.", retry_after_s=1)
        passed = {
            name: value
            for name, value in answer.headers.items()
            if name.lower() not in NOT_PASSED_ON and name.lower() != "content-type"
        }
        return Stream(
            _chunks(answer), status_code=answer.status, headers=passed, media_type=answer.headers.get("Content-Type")
        )


async def _forward(request: Request[Any, Any, Any]) -> Response[Any]:
    forwarder: Forwarder = request.scope["forwarder"]  # type: ignore[typeddict-item] # bound by the application
    return await forwarder.forward(request)


def forwarding_route() -> HTTPRouteHandler:
    """The route whose requests are handed on by the ``forwarder`` in their scope."""
    return HTTPRouteHandler(
        list(PATHS), http_method=["POST"], status_code=200, include_in_schema=False, name="predictions"
    )(_forward)


def _headers_to_pass(request: Request[Any, Any, Any]) -> list[tuple[str, str]]:
    """All headers but those of the connection, repeated ones included: the gateway judges them. Raises FieldError."""
    lengths = request.headers.getall("content-length", [])
    if len(lengths) > 1:
        raise FieldError("content-length was sent more than once")
    framing = [("Content-Length", str(parse_content_length(length.encode("latin-1")))) for length in lengths]
    not_passed_on = NOT_PASSED_ON | {"content-length"}
    return framing + [(name, value) for name, value in request.headers.multi_items() if name not in not_passed_on]


def _error(status: int, message: str, *, retry_after_s: int | None = None) -> Response[bytes]:
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    content = msgspec.json.encode({"message": message})
    return Response(content, status_code=status, headers=headers, media_type="application/json")


async def _chunks(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.content.iter_any():
            yield chunk
    finally:
        answer.close()
