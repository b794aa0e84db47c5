"""What a request's head says: where to, who asks, and how long the body is."""

import re
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from modelyard.gateway.errors import Refusal
from modelyard.gateway.fields import MAX_VALUE_BYTES, FieldError, parse_content_length

PREDICTIONS = re.compile(rb"/(?:predApi/v1\.0|api/v2)/deployments/([^/]+)/(predictions|predictionsUnstructured)/?")
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
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in SINGLE:
            if name in found:
                raise FieldError(f"{name.decode()} was sent more than once")
            found[name] = value
    authorization = found.get(b"authorization", b"")
    if len(authorization) > MAX_VALUE_BYTES:
        raise FieldError(f"authorization has {len(authorization)} bytes; at most {MAX_VALUE_BYTES} are allowed")
    fields = RequestFields(authorization.decode("latin-1"))
    if b"content-length" in found:
        fields.length = parse_content_length(found[b"content-length"])
    if b"transfer-encoding" in found:
        if found[b"transfer-encoding"].lower() != b"chunked":
            raise FieldError("transfer-encoding may only be 'chunked'")
        if fields.length is not None:
            raise FieldError("content-length was sent together with a transfer-encoding")
        fields.is_chunked = True
    if b"expect" in found:
        fields.expects_continue = found[b"expect"].lower() == b"100-continue"
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
    part = match[1]
    deployment_id = unquote_to_bytes(part) if b"%" in part else part
    return Route(deployment_id.decode("utf-8", "replace"), structured)
