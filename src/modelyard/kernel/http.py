"""The one place where HTTP meets the endpoints: reads requests, opens units of work, answers, reports errors."""

import dataclasses
import functools
import logging
import re
import typing
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Protocol
from urllib.parse import parse_qs, quote, unquote, urlencode

import anyio.to_thread
import msgspec
from litestar import HttpMethod, Litestar, Request, Response
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream
from litestar.types import ASGIApp, Receive, Send
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from modelyard.kernel.database import Database, lost_a_race
from modelyard.kernel.errors import BadRequest, Invalid, ModelyardError, NotFound
from modelyard.kernel.field_errors import takes_list
from modelyard.kernel.form_input import from_form, from_json
from modelyard.kernel.multipart import Form
from modelyard.kernel.outages import OutageLog, outage_of
from modelyard.kernel.parts import Parts
from modelyard.kernel.problems import refusing
from modelyard.kernel.request_bodies import BodyMemory, read_body, read_filters
from modelyard.kernel.routing import Answer, Download, Endpoint, RequestInfo
from modelyard.kernel.streams import Check, Streams
from modelyard.kernel.wire import NOT_JSON, convert, decode

log = logging.getLogger(__name__)

THREADS = 24
ATTEMPTS = 4
API_PREFIX = "/api/v2"


class Authenticator(Protocol):
    def __call__(self, session: Session, headers: typing.Mapping[str, str], /) -> Any:
        """The caller whom the request's headers name; raises ``Unauthorized``."""


class FormReader(Protocol):
    async def __call__(self, stream: AsyncIterator[bytes], content_type: str, content_length: int | None) -> Form[Any]:
        """The multipart form in ``stream``; its files are stored when it returns."""


class Services:
    """What the endpoints of one application work with. Of the routes, of which a process has one set, none keeps it."""

    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        *,
        database: Database,
        parts: Parts,
        authenticate: Authenticator,
        read_form: FormReader,
        streams: Streams | None = None,
    ) -> None:
        self.read_form = read_form
        self.memory = BodyMemory()
        streams = streams or Streams()
        self._runners = {
            endpoint.name: _Runner(endpoint, database, parts, authenticate, streams) for endpoint in endpoints
        }
        self._limiter: anyio.CapacityLimiter | None = None

    async def start(self) -> None:
        """Limit the threads of the running event loop that endpoints run in."""
        self._limiter = anyio.CapacityLimiter(THREADS)

    async def answer(self, endpoint: Endpoint, request: Request[Any, Any, Any]) -> Response[Any]:
        """Read the request's body and run the endpoint in a thread."""
        runner = self._runners[endpoint.name]
        in_thread = functools.partial(anyio.to_thread.run_sync, limiter=self._limiter)
        content_type = request.headers.get("content-type", "")
        content: Any
        if "form" in endpoint.parameters and content_type.startswith("multipart/"):
            await in_thread(runner.authenticate, dict(request.headers))
            length = request.headers.get("content-length", "")
            form = await self.read_form(request.stream(), content_type, int(length) if length.isdigit() else None)
            return await in_thread(runner.run, request, from_form(form, endpoint.form_type))
        is_open = "caller" not in endpoint.parameters
        check = None if is_open else functools.partial(in_thread, runner.authenticate, dict(request.headers))
        keeps = bool(endpoint.parameters.keys() & {"body", "form"})
        with self.memory.reservation() as reserved:
            content = await read_body(request, check, reserved, keeps=keeps)
            return await in_thread(runner.run, request, content)


def create_router(endpoints: Iterable[Endpoint], handlers: Iterable[Any] = ()) -> Litestar:
    """The routes to ``endpoints`` below ``/api/v2`` and, beside them, to ready-made ``handlers``.

    They find their ``Services`` in the scope of each request (see ``Edge``): building routes takes long.
    """
    listed = list(endpoints)
    methods: dict[str, list[str]] = {}
    for endpoint in listed:
        methods.setdefault(_route_path(endpoint), []).append(endpoint.method)

    def route(endpoint: Endpoint) -> HTTPRouteHandler:
        async def handle(request: Request[Any, Any, Any]) -> Response[Any]:
            services: Services = request.scope["services"]  # type: ignore[typeddict-item] # put there by Edge
            return await services.answer(endpoint, request)

        handle.__name__ = endpoint.handler.__name__
        return HTTPRouteHandler(
            _route_path(endpoint),
            http_method=[HttpMethod(endpoint.method)],
            status_code=200,
            include_in_schema=False,
            name=endpoint.name,
        )(handle)

    return Litestar(
        route_handlers=[
            *(_options_route(path, found) for path, found in methods.items()),
            *(route(endpoint) for endpoint in listed),
            *handlers,
        ],
        openapi_config=None,
        middleware=[filters_from_body],
        exception_handlers={Exception: _answer_error},
        request_max_body_size=None,
        debug=False,
    )


def _route_path(endpoint: Endpoint) -> str:
    """The path as Litestar writes it."""
    return API_PREFIX + re.sub(r"\{(\w+)\}", lambda match: "{" + endpoint.path_names[match[1]] + ":str}", endpoint.path)


def _options_route(path: str, methods: Iterable[str]) -> HTTPRouteHandler:
    """Answer OPTIONS with every method of a path. Litestar's own answer knows the first operation only."""
    allowed = ", ".join(sorted({*methods, "OPTIONS"}))

    async def answer_options() -> Response[None]:
        return Response(None, status_code=204, headers={"Allow": allowed})

    return HTTPRouteHandler(path, http_method=[HttpMethod.OPTIONS], status_code=204, include_in_schema=False)(
        answer_options
    )


class _Runner:
    """Runs one endpoint in a worker thread, inside one unit of work."""

    def __init__(
        self, endpoint: Endpoint, database: Database, parts: Parts, authenticate: Authenticator, streams: Streams
    ) -> None:
        self.endpoint = endpoint
        self.database = database
        self.fixed = parts.bind(endpoint.parts)
        self.authenticator = authenticate
        self.streams = streams

    def authenticate(self, headers: dict[str, str]) -> None:
        with self.database.read() as session:
            self.authenticator(session, headers)

    def run(self, request: Request[Any, Any, Any], content: Any) -> Response[Any]:
        """The answer. Of two requests in each other's way, the loser begins again and sees the other's change."""
        for _ in range(ATTEMPTS - 1):
            try:
                return self._run_once(request, content)
            except SQLAlchemyError as error:
                if not lost_a_race(error):
                    raise
        return self._run_once(request, content)

    def _run_once(self, request: Request[Any, Any, Any], content: Any) -> Response[Any]:
        headers = dict(request.headers)
        faults: dict[str, str] = {}
        if not self.endpoint.is_write:
            with self.database.read() as session:
                arguments = self._caller(session, headers) | self._read(request, headers, content, faults)
                result = self._call(session, arguments)
            requests_log.succeeded()
            return self._answer(result, functools.partial(self._why_not_now, request, content))
        # A write takes the database's one lock, so whatever can be done before it or after it is done there.
        with self.database.read() as session:
            arguments = self._caller(session, headers)
        arguments |= self._read(request, headers, content, faults)
        with self.database.write() as session, refusing(faults):
            result = self._call(session, arguments)
        requests_log.succeeded()
        return self._answer(result, functools.partial(self._why_unknown_now, headers))

    def _why_not_now(self, request: Request[Any, Any, Any], content: Any) -> str | None:
        """Ask the handler again what it began to answer: None, or what it would say now instead."""
        headers = dict(request.headers)
        try:
            with self.database.read() as session:
                arguments = self._caller(session, headers) | self._read(request, headers, content, {})
                result = self._call(session, arguments)
        except ModelyardError as error:
            return error.message
        close = getattr(result.content, "close", None)
        if close is not None:
            close()
        return None

    def _why_unknown_now(self, headers: dict[str, str]) -> str | None:
        """The same for a request that changed something and cannot be asked again: only the caller is looked up."""
        try:
            with self.database.read() as session:
                self._caller(session, headers)
        except ModelyardError as error:
            return error.message
        return None

    def _caller(self, session: Session, headers: dict[str, str]) -> dict[str, Any]:
        return {"caller": self.authenticator(session, headers)} if "caller" in self.endpoint.parameters else {}

    def _call(self, session: Session, arguments: dict[str, Any]) -> Any:
        if "session" in self.endpoint.parameters:
            arguments["session"] = session
        return self.endpoint.handler(**arguments)

    def _read(
        self, request: Request[Any, Any, Any], headers: dict[str, str], content: Any, faults: dict[str, str]
    ) -> dict[str, Any]:
        """What the handler wants of the request, by name. What it cannot read of a body or form is in ``faults``."""
        wanted = self.endpoint.parameters
        arguments: dict[str, Any] = dict(self.fixed)
        for name in self.endpoint.path_names.values():
            arguments[name] = unquote(request.path_params[name])
            if "\0" in arguments[name]:
                raise NotFound("There is nothing at this address.")
        info = _info(request, headers, self.endpoint)
        if "query" in wanted:
            arguments["query"] = self._query(wanted["query"], info.query_string)
        if "body" in wanted:
            arguments["body"] = decode(wanted["body"], content, faults)
        if "form" in wanted:
            form = from_json(content) if isinstance(content, bytes) else content
            faults |= form.faults
            arguments["form"] = dataclasses.replace(form, faults=faults)
        if "request" in wanted:
            arguments["request"] = info
        return arguments

    def _query(self, type_: type[msgspec.Struct], query_string: str) -> Any:
        """The query parameters; what is wrong with them is a 400 where the operation documents that status."""
        try:
            return _read_query(type_, query_string)
        except Invalid as error:
            if BadRequest.status not in self.endpoint.errors:
                raise
            raise BadRequest(error.message, error.errors) from error

    def _answer(self, result: Any, check: Check) -> Response[Any]:
        if isinstance(result, Download):
            return _download(result, self.endpoint.status, functools.partial(self.streams.guard, check=check))
        answer = result if isinstance(result, Answer) else Answer(result)
        status = answer.status or self.endpoint.status
        if answer.body is None:
            return Response(b"", status_code=status, headers=dict(answer.headers), media_type="application/json")
        content = answer.body if isinstance(answer.body, bytes) else msgspec.json.encode(answer.body)
        return Response(content, status_code=status, headers=dict(answer.headers), media_type="application/json")


def _info(request: Request[Any, Any, Any], headers: dict[str, str], endpoint: Endpoint) -> RequestInfo:
    scope: Any = request.scope  # scheme, host and prefix are those that the client used: see kernel/edge.py
    return RequestInfo(
        method=request.method,
        base_url=f"{scope['scheme']}://{headers['host']}{scope['prefix']}",
        path=request.scope["path"].rstrip("/") + ("/" if endpoint.path.endswith("/") else ""),  # as documented
        query_string=request.scope["query_string"].decode("latin-1"),
        headers=headers,
    )


@functools.cache
def _query_fields(type_: type[msgspec.Struct]) -> dict[str, bool]:
    return {info.encode_name: takes_list(info.type) for info in msgspec.structs.fields(type_)}


def _read_query(type_: type[msgspec.Struct], query_string: str) -> Any:
    known = _query_fields(type_)
    values: dict[str, Any] = {}
    for name, found in parse_qs(query_string, keep_blank_values=True).items():
        if name in known:
            values[name] = found if known[name] else found[-1]
    return convert(type_, values, strict=False)


def _download(result: Download, status: int, guard: Callable[..., AsyncIterator[bytes]]) -> Response[Any]:
    ascii_name = result.file_name.encode("ascii", "replace").decode().replace('"', "'")
    headers = {
        "Content-Disposition": f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(result.file_name)}",
        **result.headers,
    }
    content = result.content
    if isinstance(content, str):
        content = content.encode()
    if isinstance(content, bytes):
        return Response(content, status_code=status, headers=headers, media_type=result.media_type)
    guarded = guard(content, epilogue=result.epilogue)
    return Stream(guarded, status_code=status, headers=headers, media_type=result.media_type)


requests_log = OutageLog(log, "requests are answered 503", calm_s=5.0)


def _answer_error(_request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    if (outage := outage_of(error)) is not None:
        requests_log.failed(outage)
        error = outage
    if isinstance(error, ModelyardError):
        return _error(error.status, error.body(), error.headers)
    if isinstance(error, NotFoundException):
        return _error(404, {"message": "There is nothing at this address."})
    if isinstance(error, MethodNotAllowedException):
        return _error(405, {"message": "This address does not take that method."}, error.headers)
    if isinstance(error, HTTPException):
        return _error(error.status_code, {"message": error.detail}, error.headers)
    log.error("request failed", exc_info=error)
    return _error(500, {"message": "The server failed to answer; its log says why."})


def _error(status: int, body: dict[str, object], headers: typing.Mapping[str, str] | None = None) -> Response[bytes]:
    return Response(
        msgspec.json.encode(body), status_code=status, headers=dict(headers or {}), media_type="application/json"
    )


def filters_from_body(app: ASGIApp) -> ASGIApp:
    """Middleware: a JSON object sent as the body of a GET is read as query parameters (some clients filter so).

    Parameters of the URL win, so that following ``next`` with the same body moves on.
    """

    async def wrapped(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET" and _has_json_body(scope):
            scope["query_string"] = _merged(scope["query_string"], _object(await read_filters(receive)))
            receive = _empty_receive(receive)
        await app(scope, receive, send)

    return wrapped


def _object(content: bytes) -> dict[str, Any]:
    try:
        values = msgspec.json.decode(content or b"null")
    except NOT_JSON as error:
        raise BadRequest(f"The body of the request is not valid JSON: {error}") from error
    if values is not None and not isinstance(values, dict):
        raise BadRequest("The body of a GET has to be a JSON object: its fields are query parameters.")
    return values or {}


def _has_json_body(scope: Any) -> bool:
    headers = dict(scope["headers"])
    return headers.get(b"content-length", b"0") != b"0" and b"json" in headers.get(b"content-type", b"")


def _empty_receive(receive: Receive) -> Callable[[], Any]:
    done = False

    async def once() -> Any:
        nonlocal done
        if done:
            return await receive()
        done = True
        return {"type": "http.request", "body": b"", "more_body": False}

    return once


def _merged(query_string: bytes, values: dict[str, Any]) -> bytes:
    present = parse_qs(query_string.decode("latin-1"), keep_blank_values=True)
    added = [
        (name, item if isinstance(item, str) else msgspec.json.encode(item).decode())
        for name, value in values.items()
        if name not in present and value is not None
        for item in (value if isinstance(value, list) else [value])
    ]
    return b"&".join(part for part in (query_string, urlencode(added).encode()) if part)
