"""The headers that keep a browser from running, guessing or sharing what the API answers."""

import dataclasses
import re
import typing
from collections.abc import Callable
from typing import Any

import pytest
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from modelyard.app import endpoints
from modelyard.gateway.forwarding import PATHS
from modelyard.kernel.edge import Edge, guard_headers
from modelyard.kernel.host_names import AllowedHosts
from modelyard.kernel.http import Services, create_router
from modelyard.kernel.multipart import Form
from modelyard.kernel.routing import Download, Endpoint
from tests.api_client import IN_PROCESS_HOST, check_headers, in_process
from tests.conftest import Installation

EVIL = "<script>alert(1)</script>"


def test_every_route_that_answers_with_bytes_says_so() -> None:
    """So that the tests below miss none."""
    for endpoint in endpoints():
        answers = typing.get_args(endpoint.returns) or (endpoint.returns,)
        assert endpoint.download == (Download in answers), f"{endpoint.method} {endpoint.path}"


async def _no_form(*_: Any) -> Form[Any]:
    raise AssertionError("nobody sends a form")


def _answering(endpoint: Endpoint, handler: Callable[..., Any]) -> Endpoint:
    """The operation with a handler that needs nothing of the request."""
    return dataclasses.replace(endpoint, handler=handler, parameters={}, parts={})


def _application(installation: Installation, endpoints: list[Endpoint], *handlers: HTTPRouteHandler) -> Edge:
    services = Services(
        endpoints,
        database=installation.application.database,
        parts=installation.application.parts,
        authenticate=lambda *_: None,
        read_form=_no_form,
    )
    return Edge(
        create_router(endpoints, handlers),
        {"services": services},
        allowed_hosts=AllowedHosts((IN_PROCESS_HOST,)),
        default_host="localhost",
        on_startup=[services.start],
    )


def _in_pieces() -> Any:
    yield EVIL.encode()


async def _endless() -> Any:
    yield EVIL.encode()


@pytest.mark.parametrize("content", [lambda: EVIL, _in_pieces, _endless], ids=["text", "chunks", "events"])
@pytest.mark.parametrize("media_type", ["text/html", "image/svg+xml", "application/octet-stream"])
def test_every_download_is_guarded(installation: Installation, content: Callable[[], Any], media_type: str) -> None:
    found = [one for one in endpoints() if one.download]
    assert len(found) >= 14

    def download(**path: str) -> Download:
        headers = {"Cache-Control": "public, max-age=9", "Content-Security-Policy": "script-src *"}
        return Download(content(), "evil", media_type, headers)

    app = _application(installation, [_answering(endpoint, download) for endpoint in found])
    with in_process(app)() as client:
        for endpoint in found:
            answer = client.request(endpoint.method, "/api/v2" + re.sub(r"\{\w+\}", "0" * 24, endpoint.path))
            assert answer.text == EVIL
            assert answer.headers["Content-Security-Policy"] == "sandbox"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cache-Control"] == "private"
            assert answer.headers["Content-Disposition"].startswith("attachment")


def test_answers_of_other_handlers_are_guarded_as_well(installation: Installation) -> None:
    """Predictions hold whatever a model says, also of itself."""

    async def predict() -> Response[str]:
        headers = {"Content-Security-Policy": "default-src *", "Cache-Control": "public", "X-Content-Type-Options": "x"}
        return Response(EVIL, headers=headers, media_type="text/html")

    handler = HTTPRouteHandler(list(PATHS), http_method=["POST"], include_in_schema=False)(predict)
    app = _application(installation, [], handler)
    with in_process(app)() as client:
        for path in PATHS:
            answer = client.post(path.replace("{deployment_id:str}", "0" * 24))
            assert answer.text == EVIL
            check_headers(answer)
            assert answer.headers["Content-Security-Policy"] == "sandbox"


def test_json_is_not_kept_and_not_guessed_at(installation: Installation) -> None:
    for path in ("/account/info/", "/openapi.json", "/ping", "/nowhere/", "/users/?limit=x"):
        answer = installation.api.get(path)
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("sent", "is_json"),
    [
        ([b"application/json"], True),
        ([b"Application/JSON; charset=utf-8"], True),
        ([b"application/json", b"text/html"], False),
        ([b"text/html", b"application/json"], False),
        ([b"application/json, text/html"], False),
        ([b"application/jsonx"], False),
        ([], False),
    ],
)
def test_only_json_alone_counts_as_json(sent: list[bytes], is_json: bool) -> None:
    guarded = guard_headers([(b"Content-Type", value) for value in sent])
    assert ((b"content-security-policy", b"sandbox") not in guarded) == is_json


def test_what_is_not_to_be_stored_stays_so() -> None:
    guarded = guard_headers([(b"content-type", b"text/event-stream"), (b"Cache-Control", b"No-Store")])
    assert [value for name, value in guarded if name.lower() == b"cache-control"] == [b"no-store"]
