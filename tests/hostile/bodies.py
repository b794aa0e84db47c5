"""Requests that are right in form, made from the wire types, so that only rights stand between them and success."""

from typing import Any

import msgspec
from msgspec import inspect

from modelyard.kernel.routing import Endpoint

FILES = (("file", ("custom.py", b"x = 1")), ("filePath", (None, b"custom.py")))
CSV_FILE = (("file", ("table.csv", b"a,b\n1,2\n")),)
FORMS = {"location": "https://git.example.com/taken-over.git"}
"""Texts that must have a form of their own."""
CHANGES = ("name", "label", "description")


def a_request(endpoint: Endpoint, fields: dict[str, Any] | None = None) -> dict[str, Any]:
    """Options for a client: the body that ``endpoint`` wants, with ``fields`` put over it."""
    fields = fields or {}
    body_type = endpoint.parameters.get("body")
    if body_type is not None:
        return {"json": _fields_of(body_type) | fields}
    if "form" not in endpoint.parameters:
        return {}
    values = (_fields_of(endpoint.form_type) if endpoint.form_type else {}) | fields
    texts = [(name, (None, _text(value))) for name, value in values.items()]
    files = CSV_FILE if endpoint.path.startswith("/datasets/") else FILES
    if endpoint.path.startswith("/executionEnvironments/"):
        return {"data": values, "files": {"docker_context": ("requirements.txt", b"", "text/plain")}}
    return {"files": [*texts, *files]}


def id_fields(endpoint: Endpoint) -> list[str]:
    """The fields of a body or form that name something else by its id."""
    type_ = endpoint.parameters.get("body") or endpoint.form_type
    if type_ is None:
        return []
    names = [found.encode_name for found in msgspec.structs.fields(type_)]
    return [name for name in names if name.endswith(("Id", "Ids")) and name not in NO_REFERENCES]


NO_REFERENCES = {
    "userProvidedId",  # what the user likes
    "resourceBundleId",  # what the machine offers
    "defaultResourceBundleId",
    "defaultPredictionServerId",  # there is one for all
    "associationId",  # a column of the requests
    "playgroundId",  # stored as it is, never looked up
    "datastoreId",
    "awsAccessKeyId",  # the fields of credentials: who one is elsewhere
    "azureTenantId",
    "clientId",
}


def takes_list(endpoint: Endpoint, name: str) -> bool:
    type_ = endpoint.parameters.get("body") or endpoint.form_type
    assert type_ is not None
    info = inspect.type_info(type_)
    assert isinstance(info, inspect.StructType)
    (found,) = (field for field in info.fields if field.encode_name == name)
    return isinstance(found.type, inspect.ListType)


def empty_lists(endpoint: Endpoint) -> dict[str, Any]:
    """A body whose required lists are empty, or nothing where there is no such list."""
    body_type = endpoint.parameters["body"]
    info = inspect.type_info(body_type)
    assert isinstance(info, inspect.StructType)
    lists = {field.encode_name: [] for field in info.fields if isinstance(_plain(field.type), inspect.ListType)}
    return a_request(endpoint)["json"] | lists if lists else {}


def _plain(info: inspect.Type) -> inspect.Type:
    """A type without its metadata."""
    return _plain(info.type) if isinstance(info, inspect.Metadata) else info


def _fields_of(type_: type) -> dict[str, Any]:
    """The required fields, and where there are none, one that changes something."""
    info = inspect.type_info(type_)
    assert isinstance(info, inspect.StructType)
    required = {
        field.encode_name: FORMS.get(field.encode_name) or _sample(field.type)
        for field in info.fields
        if field.required
    }
    if required:
        return required
    optional = {field.encode_name: field for field in info.fields}
    return next(({name: _sample(optional[name].type)} for name in CHANGES if name in optional), {})


def _sample(info: inspect.Type) -> Any:  # noqa: PLR0911 # one for each kind of type
    match info:
        case inspect.Metadata(type=inner):
            return _sample(inner)
        case inspect.StrType(pattern=pattern):
            return "0" * 24 if pattern and "{24}" in pattern else "taken over"
        case inspect.BoolType():
            return True
        case inspect.AnyType():
            return {"value": 1, "timestamp": "2026-01-05T09:00:00Z"}  # what is reported for a custom metric
        case inspect.IntType(ge=least) | inspect.FloatType(ge=least):
            return least or 1
        case inspect.LiteralType(values=values):
            return values[0]
        case inspect.EnumType(cls=enum):
            return next(iter(enum)).value
        case inspect.ListType(item_type=item):
            return [_sample(item)]
        case inspect.StructType(cls=cls):
            return _fields_of(cls)
        case inspect.UnionType(types=types):
            return _sample(next(each for each in types if not isinstance(each, inspect.NoneType | inspect.CustomType)))
    raise TypeError(f"no sample of {info!r}: add one to {__name__}")


def _text(value: Any) -> bytes:
    return (value if isinstance(value, str) else msgspec.json.encode(value).decode()).encode()
