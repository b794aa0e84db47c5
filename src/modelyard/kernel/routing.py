"""Endpoints: plain functions with a path, whose parameters say what they need.

A handler is a sync function run in a worker thread. Its parameters are recognised by name:

``session``   the unit of work: read-only for GET, committed after the handler otherwise
``caller``    who asks; an endpoint without it is open to everybody
``body``      the JSON body, read into the annotated type
``query``     the query parameters, read into the annotated type
``form``      the multipart form, its files already stored as blobs
``request``   URL and headers (``RequestInfo``)
annotated ``str``   a path parameter: ``custom_model_id`` is ``{customModelId}``
others        by their type: whatever ``app.py`` put together under that class (``BlobStore``, ``Settings``, …)

It returns a ``Schema`` (the endpoint's status), ``None`` (204 or an empty answer), or an ``Answer``.
"""

import inspect
import typing
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

F = TypeVar("F", bound=Callable[..., Any])

PAGING = ("offset", "limit")
PROVIDED = frozenset({"session", "caller", "body", "query", "form", "request"})


@dataclass(frozen=True)
class Answer:
    """A response that is more than the endpoint's status and a schema."""

    body: Any = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Download:
    """Bytes for a file: ``content`` is text, bytes or chunks of bytes; asynchronous chunks are a stream without an end
    that is known. ``epilogue`` makes the last bytes of chunks that are cut short, of the reason.
    """

    content: str | bytes | Iterator[bytes] | AsyncIterator[bytes]
    file_name: str
    media_type: str = "application/octet-stream"
    headers: Mapping[str, str] = field(default_factory=dict)
    epilogue: Callable[[str], bytes] = lambda _why: b""


@dataclass(frozen=True)
class RequestInfo:
    """The parts of a request that an answer depends on."""

    method: str
    base_url: str
    path: str
    query_string: str
    headers: Mapping[str, str]

    @property
    def host_name(self) -> str:
        """The host that the client named, without its port; an IPv6 address in brackets."""
        authority = urlsplit(self.base_url).netloc
        return authority if authority.endswith("]") else authority.rpartition(":")[0] or authority

    @property
    def api_url(self) -> str:
        """``scheme://host/api/v2`` as the client sees it."""
        return f"{self.base_url}/api/v2"


@dataclass(frozen=True)
class Endpoint:
    """One operation of the API, enough to serve it and to document it."""

    method: str
    path: str
    handler: Callable[..., Any]
    status: int
    errors: tuple[int, ...]
    tag: str
    summary: str
    description: str
    location: bool
    download: bool
    deprecated: bool
    optional_statuses: tuple[int, ...]
    response_headers: tuple[str, ...]
    parameters: dict[str, Any]
    returns: Any
    form_type: type[msgspec.Struct] | None
    path_names: dict[str, str]
    parts: dict[str, type]
    json_form: bool
    files: tuple[str, ...]
    files_required: bool
    documented_as_required: tuple[str, ...]
    media_types: tuple[str, ...]

    @property
    def name(self) -> str:
        """Method and path, which no two endpoints share."""
        return f"{self.method} {self.path}"

    @property
    def is_write(self) -> bool:
        return self.method not in {"GET", "HEAD"}


def endpoint(
    method: str,
    path: str,
    *,
    status: int = 200,
    errors: tuple[int, ...] = (),
    tag: str = "",
    location: bool = False,
    download: bool = False,
    deprecated: bool = False,
    optional_statuses: tuple[int, ...] = (),
    response_headers: tuple[str, ...] = (),
    form: type[msgspec.Struct] | None = None,
    json_form: bool = False,
    files: tuple[str, ...] = ("file",),
    files_required: bool = False,
    documented_as_required: tuple[str, ...] = (),
    media_types: tuple[str, ...] = ("application/octet-stream",),
) -> Callable[[F], F]:
    """Marks a function as the handler of ``method path`` (``path`` below ``/api/v2``, with its last slash).

    ``form`` documents the multipart body of a handler with a ``form`` parameter; with ``json_form`` the same
    fields may come as a JSON object. ``location`` says that the answer carries a Location header, ``download``
    that it carries a file, of one of the ``media_types``. ``files`` names the parts of the form that are files, none
    of which may be left out with ``files_required``;
    ``documented_as_required`` the query parameters that the contract calls required and that have a default here all
    the same, because existing clients leave them out.
    """

    def mark(handler: F) -> F:
        hints = typing.get_type_hints(handler, include_extras=True)
        others = {name: hints[name] for name in inspect.signature(handler).parameters if name not in PROVIDED}
        names = [name for name, hint in others.items() if hint is str]
        wanted = {_camel(name): name for name in names}
        in_path = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        if sorted(wanted) != sorted(in_path):
            raise TypeError(f"{handler.__name__}: path has {in_path}, parameters are {sorted(wanted)}")
        doc = inspect.cleandoc(handler.__doc__ or "").partition("\n")
        handler.__endpoint__ = Endpoint(  # type: ignore[attr-defined]
            method=method,
            path=path,
            handler=handler,
            status=status,
            errors=errors,
            tag=tag,
            summary=doc[0].rstrip("."),
            description=doc[2].strip(),
            location=location,
            download=download,
            deprecated=deprecated,
            optional_statuses=optional_statuses,
            response_headers=response_headers,
            parameters={name: hint for name, hint in hints.items() if name != "return"},
            returns=hints.get("return"),
            form_type=form,
            path_names=wanted,
            parts={name: hint for name, hint in others.items() if hint is not str},
            json_form=json_form,
            files=files,
            files_required=files_required,
            documented_as_required=documented_as_required,
            media_types=media_types,
        )
        return handler

    return mark


def endpoints_of(module: object) -> list[Endpoint]:
    """The endpoints that a module of routes defines, in the order of its text."""
    return [
        found for value in vars(module).values() if isinstance(found := getattr(value, "__endpoint__", None), Endpoint)
    ]


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)
