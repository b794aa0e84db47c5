"""What the OpenAPI document says of an answer: its status, its kind of content, its headers and its shape."""

import functools
import re
from typing import Any

import jsonschema
import msgspec

from modelyard.app import endpoints
from modelyard.kernel.openapi import document

ANY_OPERATION = {421}
"""What is answered before any operation is looked for: the request was for another host."""


@functools.cache
def read_document() -> dict[str, Any]:
    """The document, as a client reads it."""
    read: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document(endpoints())))
    return read


@functools.cache
def _operations() -> list[tuple[str, re.Pattern[str], dict[str, Any]]]:
    """Method, pattern of the path and responses of each operation; those with fewer parameters first."""
    found = [
        (method.upper(), re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), operation["responses"])
        for path, item in read_document()["paths"].items()
        for method, operation in item.items()
    ]
    return sorted(found, key=lambda one: one[1].pattern.count("[^/]+"))


@functools.cache
def _validator(schema: str) -> jsonschema.Draft202012Validator:
    whole = msgspec.json.decode(schema) | {"components": read_document()["components"]}
    return jsonschema.Draft202012Validator(whole)


def answer_errors(method: str, path: str, answer: Any, *, with_shape: bool = False) -> list[str]:
    """What of an answer is not as documented; nothing for what is no operation."""
    bare = path.partition("?")[0]
    responses = next((one for verb, known, one in _operations() if verb == method and known.fullmatch(bare)), None)
    if responses is None or answer.status_code in ANY_OPERATION:
        return []
    described = responses.get(str(answer.status_code))
    if described is None:
        return [f"the status {answer.status_code} is none of {', '.join(responses)}"]
    errors = [f"the header {name} is missing" for name in described.get("headers", ()) if name not in answer.headers]
    media_type = answer.headers.get("Content-Type", "").partition(";")[0]
    content = described.get("content", {})
    if answer.content and media_type not in content:
        return [*errors, f"{answer.status_code} has the content type {media_type!r}, which is none of {list(content)}"]
    if with_shape and answer.content and media_type == "application/json":
        validator = _validator(msgspec.json.encode(content[media_type]["schema"]).decode())
        errors += [one.message[:500] for one in validator.iter_errors(answer.json())]
    return errors
