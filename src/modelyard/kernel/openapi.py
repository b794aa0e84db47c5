"""The OpenAPI 3.1 document of the API, written from the same ``Endpoint`` records that serve it."""

import re
import types
import typing
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from http import HTTPStatus
from importlib.metadata import version as installed
from typing import Annotated, Any

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from msgspec.structs import fields

from modelyard.kernel.http import API_PREFIX
from modelyard.kernel.routing import Answer, Download, Endpoint
from modelyard.kernel.wire import UNSET, Schema, UnsetType

REF = "#/components/schemas/"
JSON = "application/json"
FORM = "multipart/form-data"
BINARY = {"type": "string", "format": "binary"}

Node = dict[str, Any]


class ErrorResponse(Schema):
    """Every error: what was wrong, and for wrong input each field with what is wrong about it."""

    message: str
    errors: dict[str, str] | UnsetType = UNSET


def document(endpoints: Iterable[Endpoint], version: str | None = None) -> Node:
    """The whole document; ``version`` is that of the installed package unless another is given."""
    listed = list(endpoints)
    components = _Components(listed)
    names = _operation_ids(listed)
    paths: dict[str, Node] = {}
    for endpoint, name in zip(listed, names, strict=True):
        paths.setdefault(API_PREFIX + endpoint.path, {})[endpoint.method.lower()] = _operation(
            endpoint, name, components
        )
    return {
        "openapi": "3.1.0",
        "info": {"title": "Modelyard", "version": version or installed("modelyard")},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in sorted({endpoint.tag for endpoint in listed if endpoint.tag})],
        "paths": paths,
        "components": {
            "schemas": components.used_by(paths),
            "securitySchemes": {"BearerAuth": {"type": "http", "scheme": "bearer"}},
        },
    }


def document_route(endpoints: Sequence[Endpoint]) -> HTTPRouteHandler:
    """Serves the document, for everybody; it is written when it is first asked for."""
    written: list[bytes] = []

    async def read_openapi() -> Response[bytes]:
        if not written:
            written.append(msgspec.json.encode(document(endpoints)))
        return Response(written[0], media_type=JSON)

    return HTTPRouteHandler(f"{API_PREFIX}/openapi.json", http_method=["GET"], include_in_schema=False)(read_openapi)


class AcceptedResponse(Schema):
    """The answer to what is done asynchronously: Location leads to the status with this id."""

    status_id: str


class _Components:
    """The schemas of every type that an endpoint speaks of."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        spoken = dict.fromkeys(type_ for endpoint in endpoints for type_ in _types(endpoint))
        known: dict[Any, None] = {}
        for info in msgspec.inspect.multi_type_info([ErrorResponse, AcceptedResponse, *spoken]):
            _collect(info, known)
        schemas, self._all = msgspec.json.schema_components(list(known), ref_template=REF + "{name}")
        self._names = {type_: _target(schema) for type_, schema in zip(known, schemas, strict=True)}
        for type_, name in self._names.items():
            _name_formats(self._all[name], type_)
            if issubclass(typing.get_origin(type_) or type_, Schema):
                _require_what_is_always_there(self._all[name], type_)
        _complete(self._all)
        self._rename()

    def ref(self, type_: Any) -> Node:
        return {"$ref": REF + self._names[type_]}

    def of(self, type_: Any) -> Node:
        found: Node = self._all[self._names[type_]]
        return found

    def used_by(self, paths: Node) -> Node:
        """The components that ``paths`` refer to, directly or through others, by name."""
        wanted: set[str] = set()
        waiting = list(_references(paths))
        while waiting:
            name = waiting.pop()
            if name not in wanted:
                wanted.add(name)
                waiting += _references(self._all[name])
        return {name: self._all[name] for name in sorted(wanted)}

    def _rename(self) -> None:
        """``Page[X]`` becomes ``XListResponse``, as the contract names its lists; a name that two slices use gets
        that of its slice before it.
        """
        better = {name: _better(name) for name in self._all}
        counts = Counter(better.values())
        better = {name: new if counts[new] == 1 else name for name, new in better.items()}
        self._all = {better[name]: schema | {"title": better[name]} for name, schema in self._all.items()}
        self._names = {type_: better[name] for type_, name in self._names.items()}
        for node in _nodes(self._all):
            if "$ref" in node:
                node["$ref"] = REF + better[_target(node)]


def _operation(endpoint: Endpoint, name: str, components: _Components) -> Node:
    operation: Node = {"operationId": name, "tags": [endpoint.tag], "summary": endpoint.summary}
    if endpoint.description:
        operation["description"] = endpoint.description
    if endpoint.deprecated:
        operation["deprecated"] = True
    parameters = [*_path_parameters(endpoint), *_query_parameters(endpoint, components)]
    if parameters:
        operation["parameters"] = parameters
    body = _request_body(endpoint, components)
    if body:
        operation["requestBody"] = {"content": body}
    operation["responses"] = _responses(endpoint, components)
    operation["security"] = [{"BearerAuth": []}] if "caller" in endpoint.parameters else []
    return operation


def _path_parameters(endpoint: Endpoint) -> Iterator[Node]:
    for name in re.findall(r"\{(\w+)\}", endpoint.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query_parameters(endpoint: Endpoint, components: _Components) -> Iterator[Node]:
    type_ = endpoint.parameters.get("query")
    if type_ is None:
        return
    schema = components.of(type_)
    required = {*schema.get("required", ()), *endpoint.documented_as_required}
    for name, field in schema["properties"].items():
        yield {"name": name, "in": "query", "required": name in required, "schema": _sendable(field)}


def _request_body(endpoint: Endpoint, components: _Components) -> Node:
    if "body" in endpoint.parameters:
        return {JSON: {"schema": components.ref(endpoint.parameters["body"])}}
    if endpoint.form_type is None:
        return {}
    form = components.of(endpoint.form_type)
    properties = {name: _sendable(field) for name, field in form["properties"].items()}
    properties |= dict.fromkeys(endpoint.files, BINARY)
    required = [*form.get("required", ()), *(endpoint.files if endpoint.files_required else ())]
    content: Node = {FORM: {"schema": form | {"properties": properties} | ({"required": required} if required else {})}}
    if endpoint.json_form:
        content[JSON] = {"schema": components.ref(endpoint.form_type)}
    return content


def _responses(endpoint: Endpoint, components: _Components) -> Node:
    responses: Node = {}
    for status in (endpoint.status, *endpoint.optional_statuses):
        response: Node = {"description": _phrase(status)}
        content = _content(endpoint, components, status)
        if content:
            response["content"] = content
        headers = _headers(endpoint, status)
        if headers:
            response["headers"] = headers
        responses[str(status)] = response
    common = common_errors(endpoint)
    if 400 in endpoint.errors and not endpoint.parameters.keys() & {"body", "form"}:
        common.discard(422)  # wrong queries are 400 where the operation documents it
    for status in sorted({*endpoint.errors, *common}):
        responses[str(status)] = {
            "description": _phrase(status),
            "content": {JSON: {"schema": components.ref(ErrorResponse)}},
        }
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            responses[str(status)]["headers"] = {"Retry-After": {"schema": {"type": "string"}}}
    return responses


def common_errors(endpoint: Endpoint) -> set[int]:
    """The statuses that an operation may answer with because of what it takes, whatever it does."""
    takes = endpoint.parameters.keys()
    errors = {503}
    if "caller" in takes:
        errors.add(401)
        if endpoint.is_write or "{" in endpoint.path:
            errors.add(403)
    if "{" in endpoint.path:
        errors.add(404)
    if takes & {"body", "form"}:
        errors |= {400, 413}
    if takes & {"query", "body", "form"}:
        errors.add(422)
    return errors


def _content(endpoint: Endpoint, components: _Components, status: int) -> Node:
    answered = _answers(endpoint.returns)
    if status == HTTPStatus.NO_CONTENT or answered == [type(None)]:
        return {}
    if Download in answered:
        return {
            media_type: {"schema": {"type": "string"} if media_type.startswith("text/") else BINARY}
            for media_type in endpoint.media_types
        }
    schemas = [components.ref(type_) for type_ in answered or [AcceptedResponse]]
    return {JSON: {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}}


def _headers(endpoint: Endpoint, status: int) -> Node:
    names = set(endpoint.response_headers)
    if endpoint.location or status == HTTPStatus.SEE_OTHER:
        names.add("Location")
    if endpoint.download:
        names.add("Content-Disposition")
    return {name: {"schema": {"type": "string"}} for name in sorted(names)}


def _types(endpoint: Endpoint) -> Iterator[Any]:
    for name in ("body", "query"):
        if name in endpoint.parameters:
            yield endpoint.parameters[name]
    if endpoint.form_type is not None:
        yield endpoint.form_type
    yield from filter(_is_schema, _answers(endpoint.returns))


def _answers(returns: Any) -> list[Any]:
    """The alternatives of a handler's return annotation, without those that only carry another."""
    found = list(typing.get_args(returns)) if isinstance(returns, types.UnionType) else [returns]
    return [type_ for type_ in found if type_ is not Answer]


def _is_schema(type_: Any) -> bool:
    origin = typing.get_origin(type_) or type_
    return isinstance(origin, type) and issubclass(origin, msgspec.Struct)


def _collect(node: Any, known: dict[Any, None]) -> None:
    """Every struct that a type is made of."""
    if isinstance(node, msgspec.inspect.StructType):
        if node.cls in known:
            return
        known[node.cls] = None
    for name in getattr(node, "__struct_fields__", ()):
        value = getattr(node, name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, msgspec.inspect.Type | msgspec.inspect.Field):
                _collect(part, known)


def _require_what_is_always_there(schema: Node, type_: Any) -> None:
    """A field of an answer has its value always, default or not, unless it may be ``UNSET``."""
    schema["required"] = [info.encode_name for info in fields(type_) if not _may_be_unset(info.type)]
    for field in schema["properties"].values():
        field.pop("default", None)


def _may_be_unset(hint: Any) -> bool:
    if typing.get_origin(hint) is Annotated:
        return _may_be_unset(typing.get_args(hint)[0])
    return hint is UnsetType or any(part is UnsetType for part in typing.get_args(hint))


def _name_formats(schema: Node, type_: Any) -> None:
    """Says ``date-time`` where a field is read as a time."""
    for info in fields(type_):
        if datetime in (info.type, *typing.get_args(info.type)):
            for node in _nodes(schema["properties"][info.encode_name]):
                if node.get("type") == "string":
                    node["format"] = "date-time"


def _complete(schemas: Node) -> None:
    """Adds the type to enumerations of texts, takes away defaults of null, which say nothing, and lets
    ``x-documented-type`` stand for the type where a value is read as text on purpose.
    """
    for node in _nodes(schemas):
        values = node.get("enum")
        if isinstance(values, list) and "type" not in node and all(isinstance(value, str) for value in values):
            node["type"] = "string"
        if "default" in node and node["default"] is None:
            del node["default"]
        if "x-documented-type" in node:
            node["type"] = node.pop("x-documented-type")


def _sendable(field: Node) -> Node:
    """A field as a query or a form can send it: never null."""
    alternatives = field.get("anyOf")
    if alternatives is None:
        return field
    left = [alternative for alternative in alternatives if alternative.get("type") != "null"]
    rest = {name: value for name, value in field.items() if name != "anyOf"}
    return left[0] | rest if len(left) == 1 else {"anyOf": left} | rest


def _operation_ids(endpoints: Sequence[Endpoint]) -> list[str]:
    """The handlers' names; where slices use the same one, with what stands first in the path."""
    plain = [_camel(endpoint.handler.__name__) for endpoint in endpoints]
    counts = Counter(plain)
    longer = [
        name
        if counts[name] == 1
        else f"{name}Of{endpoint.path.split('/')[1][:1].upper()}{endpoint.path.split('/')[1][1:]}"
        for name, endpoint in zip(plain, endpoints, strict=True)
    ]
    again = Counter(longer)
    return [
        name
        if again[name] == 1
        else name + "".join(f"By{part[:1].upper()}{part[1:]}" for part in _parameters(endpoint))
        for name, endpoint in zip(longer, endpoints, strict=True)
    ]


def _parameters(endpoint: Endpoint) -> list[str]:
    return re.findall(r"\{(\w+)\}", endpoint.path)


def _references(tree: Any) -> Iterator[str]:
    return (_target(node) for node in _nodes(tree) if "$ref" in node)


def _nodes(tree: Any) -> Iterator[Node]:
    """Every object of a tree of objects and lists, the outer before the inner."""
    if isinstance(tree, dict):
        yield tree
    if isinstance(tree, dict | list):
        for value in tree.values() if isinstance(tree, dict) else tree:
            yield from _nodes(value)


def _better(name: str) -> str:
    match = re.fullmatch(r"Page_(\w+?)(?:Response)?_", name)
    if match:
        return f"{match[1]}ListResponse"
    if "." in name:
        package, *_, class_name = name.removeprefix("modelyard.").split(".")
        return package.title() + class_name
    return name


def _target(schema: Node) -> str:
    return str(schema["$ref"]).removeprefix(REF)


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)
