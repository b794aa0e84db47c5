"""What a request's head says: where to, who asks, and how long the body is."""

import re
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from modelyard.gateway.errors import Refusal
from modelyard.gateway.fields import MAX_VALUE_BYTES, FieldError, parse_content_length

PREDICTIONS = re.compile(rb"/(?:predApi/v1\.0|api/v2)/deployments/([^/]+)/(predictions|predictionsUnstructured)/?")
PING = re.compile(rb"/(?:predApi/v1\.0/|api/v2/)?ping/?")
HEALTH = frozenset({b"/health", b"/health/"})
NOT_POST = Refusal(405, "Predictions are asked for with POST.")
HAS_QUERY = Refusal(400, "predictionsUnstructured takes no query arguments.")
NO_ROUTE = Refusal(404, "There is nothing at this address.")
SINGLE = frozenset({b"authorization", b"content-length", b"content-type", b"transfer-encoding", b"host", b"expect"})
"""Headers that two of would be read differently by different programs."""


@dataclass(slots=True)
class RequestFields:
    """The headers that the gateway itself reads."""

    authorization: str = ""
    length: int | None = None
    is_chunked: bool = False
    expects_continue: bool = False

    @property
    def announces_body(self) -> bool:
        return self.is_chunked or bool(self.length)


def read_fields(headers: list[tuple[bytes, bytes]]) -> RequestFields:
    """Read the headers, whose names are in lower case. Raises ``FieldError``."""
    fields = RequestFields()
    seen = []
    for name, value in headers:
        if name not in SINGLE:
            continue
        if name in seen:
            raise FieldError(f"{name.decode()} was sent more than once")
        seen.append(name)
        if name == b"authorization":
            if len(value) > MAX_VALUE_BYTES:
                raise FieldError(f"authorization has {len(value)} bytes; at most {MAX_VALUE_BYTES} are allowed")
            fields.authorization = value.decode("latin-1")
        elif name == b"content-length":
            fields.length = parse_content_length(value)
        elif name == b"transfer-encoding":
            if value.lower() != b"chunked":
                raise FieldError("transfer-encoding may only be 'chunked'")
            fields.is_chunked = True
        elif name == b"expect":
            fields.expects_continue = value.lower() == b"100-continue"
    if fields.is_chunked and fields.length is not None:
        raise FieldError("content-length was sent together with a transfer-encoding")
    return fields


class Route(NamedTuple):
    """Where a prediction request goes."""

    deployment_id: str
    structured: bool


def find_route(method: bytes, path: bytes, query: bytes) -> Route | Refusal:
    """Return the deployment that a path names, or why there is none."""
    match = PREDICTIONS.fullmatch(path)
    if match is None:
        return NO_ROUTE
    if method != b"POST":
        return NOT_POST
    structured = match[2] == b"predictions"
    if query and not structured:
        return HAS_QUERY
    return Route(unquote_to_bytes(match[1]).decode("utf-8", "replace"), structured)


def find_own_content(path: bytes) -> bytes | None:
    """Return what the gateway itself says at a path."""
    if PING.fullmatch(path):
        return b'{"response":"pong"}'
    return b'{"status":"ok"}' if path in HEALTH else None
