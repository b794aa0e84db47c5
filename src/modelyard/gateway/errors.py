"""Answers of the gateway's own, most of them errors with a message."""

from typing import NamedTuple

import orjson

from modelyard.gateway.routing_table import Target

REASONS = {
    200: b"OK",
    400: b"Bad Request",
    401: b"Unauthorized",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    409: b"Conflict",
    411: b"Length Required",
    413: b"Content Too Large",
    414: b"URI Too Long",
    422: b"Unprocessable Content",
    431: b"Request Header Fields Too Large",
    480: b"Humility",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
}


class Refusal(NamedTuple):
    """An error that ends a request before a model is asked."""

    status: int
    message: str
    retry_after_s: int | None = None


def ok_bytes(content: bytes, *, keep_alive: bool, content_type: bytes = b"application/json") -> bytes:
    """A whole successful response, with JSON unless it says otherwise."""
    return b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\nconnection: %b\r\ncontent-length: %d\r\n\r\n%b" % (
        content_type,
        b"keep-alive" if keep_alive else b"close",
        len(content),
        content,
    )


def error_bytes(
    status: int, message: str, request_id: bytes, *, keep_alive: bool, retry_after_s: int | None = None
) -> bytes:
    """A whole error response."""
    content = orjson.dumps({"message": message})
    retry = b"" if retry_after_s is None else b"retry-after: %d\r\n" % retry_after_s
    challenge = b"www-authenticate: Bearer\r\n" if status == 401 else b""
    return b"".join(
        (
            b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\n" % (status, REASONS.get(status, b"Error")),
            retry,
            challenge,
            b"x-datarobot-request-id: " + request_id + b"\r\n",
            b"connection: " + (b"keep-alive" if keep_alive else b"close"),
            b"\r\ncontent-length: %d\r\n\r\n" % len(content),
            content,
        )
    )


def without_body(answer: bytes) -> bytes:
    """The same answer to a HEAD: its fields, and nothing after them that would be read as the next answer."""
    return answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def not_found(deployment_id: str) -> str:
    return f"Deployment {deployment_id} cannot be found for this user."


def inactive(deployment_id: str) -> str:
    return f"Deployment {deployment_id} is inactive; set its status to active first."


def no_replica(target: Target) -> str:
    """Why no replica of a deployment can be asked."""
    if target.state in {"launching", "replacing"}:
        return f"Deployment {target.deployment_id} is starting; try again in a moment."
    reason = f": {target.reason}" if target.reason else ""
    return f"No replica of deployment {target.deployment_id} is ready ({target.state}){reason}"
