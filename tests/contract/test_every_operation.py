"""What holds for every operation there is, and for those that come: tokens, strangers, ids and bodies of nonsense."""

import re
from typing import Any

import httpx
import pytest
from msgspec.structs import fields

from modelyard.app import endpoints
from modelyard.kernel.openapi import document
from modelyard.kernel.routing import Endpoint
from tests.api_client import Api
from tests.conftest import Installation

NOBODY = "0" * 24
OPEN_TO_ALL = {"/health/", "/ping"}
SEEN_BY_ALL = {
    "/executionEnvironments/",  # the built-in ones are public
    "/customTemplates/",  # the shipped ones are
    "/mlops/compute/bundles/",  # what the machine offers
    "/predictionEnvironments/",  # the default one is public
    "/predictionServers/",
    "/apiTokens/",  # their own
}
NONSENSE: tuple[tuple[bytes, str], ...] = (
    (b"{", "application/json"),
    (b"[]", "application/json"),
    (b"null", "application/json"),
    (b'{"name": 1e999}', "application/json"),
    (b"\xff\xfe\x00", "application/json"),
    (b'{"\\ud800": "\\ud800"}', "application/json"),
    (b"[" * 100_000, "application/json"),
    (
        b'{"name": "a\\u0000b", "label": "a\\u0000b", "username": "a\\u0000b", "description": "\\u0000"}',
        "application/json",
    ),
    (b"no boundary", "multipart/form-data"),
    (b"--x\r\nContent-Disposition: form-data\r\n\r\n", "multipart/form-data; boundary=x"),
    (b"name=x", "application/x-www-form-urlencoded"),
)


def with_ids(endpoint: Endpoint, value: str) -> str:
    return re.sub(r"\{\w+\}", value, endpoint.path)


def documented(endpoint: Endpoint) -> set[int]:
    (operation,) = (item for path in document([endpoint])["paths"].values() for item in path.values())
    return {int(status) for status in operation["responses"]}


def is_well_told(answer: httpx.Response) -> bool:
    """An error that a client can use: JSON, with a message."""
    body: Any = answer.json()
    return isinstance(body, dict) and isinstance(body["message"], str) and len(body["message"]) > 0


def test_nothing_without_a_token(api: Api) -> None:
    open_now = []
    for endpoint in endpoints():
        for token in (None, "my_unknown"):
            answer = api.as_(token).request(endpoint.method, with_ids(endpoint, NOBODY))
            if answer.status_code != 401:
                open_now.append(endpoint.path)
            else:
                assert is_well_told(answer)
    assert set(open_now) == OPEN_TO_ALL


def test_a_stranger_sees_nothing(installation: Installation) -> None:
    """Whoever was given nothing finds nothing, in every list; what all may see is named above."""
    api = installation.api
    assert api.post("/customModels/", json=a_model()).status_code == 201
    assert api.post("/predictionEnvironments/", json={"name": "theirs", "platform": "other"}).status_code == 201
    stranger = installation.a_user("stranger", organization="elsewhere")
    filled = set()
    for endpoint in endpoints():
        if endpoint.method != "GET" or "{" in endpoint.path or endpoint.path in SEEN_BY_ALL:
            continue
        query = f"?customModelId={NOBODY}" if endpoint.path == "/customModelTests/" else ""
        answer = stranger.get(endpoint.path + query)
        body = answer.json()
        if answer.status_code == 200 and "data" in body and body["data"]:
            filled.add(endpoint.path)
    assert not filled


def a_model() -> dict[str, Any]:
    return {"name": "mine", "targetType": "Regression", "targetName": "y", "customModelType": "inference"}


@pytest.mark.parametrize("unknown", [NOBODY, "not-an-id", "%00", "a" * 300, "%F0%9F%8C%B3"])
def test_ids_of_nothing(api: Api, unknown: str) -> None:
    """An id that nothing has is answered with a documented status: never with success, never with a 500."""
    wrong = []
    for endpoint in endpoints():
        if "{" not in endpoint.path:
            continue
        answer = api.request(endpoint.method, with_ids(endpoint, unknown))
        if answer.status_code not in documented(endpoint) or answer.status_code < 400:
            wrong.append((endpoint.method, endpoint.path, answer.status_code, answer.text[:200]))
    assert not wrong


@pytest.mark.parametrize(("content", "content_type"), NONSENSE)
def test_bodies_of_nonsense(api: Api, content: bytes, content_type: str) -> None:
    """A body that makes no sense is a client's error with a message, wherever a body is taken."""
    wrong = []
    for endpoint in endpoints():
        if not endpoint.parameters.keys() & {"body", "form"}:
            continue
        answer = api.request(
            endpoint.method, with_ids(endpoint, NOBODY), content=content, headers={"Content-Type": content_type}
        )
        if not 400 <= answer.status_code < 500 or not is_well_told(answer):
            wrong.append((endpoint.method, endpoint.path, answer.status_code, answer.text[:200]))
    assert not wrong


@pytest.mark.parametrize(
    "query",
    [
        "offset=-1",
        "offset=1.5",
        "offset=9223372036854775807",
        "offset=9223372036854775808",
        "limit=",
        "limit=99999999999999999999",
        "orderBy=nonsense",
        "%FF=%FF",
        "offset=%00",
        "search=%00",
        "search=%ED%A0%80",
    ],
)
def test_queries_of_nonsense(api: Api, query: str) -> None:
    """A list never fails on its query; where it takes the parameter it says what was wrong with it."""
    wrong = []
    for endpoint in endpoints():
        if "query" not in endpoint.parameters:
            continue
        answer = api.request(endpoint.method, f"{with_ids(endpoint, NOBODY)}?{query}")
        if answer.status_code >= 500:
            wrong.append((endpoint.method, endpoint.path, answer.status_code, answer.text[:200]))
        name, _, value = query.partition("=")
        known = {info.encode_name for info in _fields(endpoint)}
        if name in known and value and answer.status_code == 422:
            assert name in answer.json()["errors"], endpoint.path
    assert not wrong


def _fields(endpoint: Endpoint) -> tuple[Any, ...]:
    return fields(endpoint.parameters["query"])


def test_every_path_names_all_its_methods(api: Api) -> None:
    """In the answer to OPTIONS, and in the one to a method that it does not take."""
    methods: dict[str, set[str]] = {}
    for endpoint in endpoints():
        methods.setdefault(with_ids(endpoint, NOBODY), {"OPTIONS"}).add(endpoint.method)
    wrong = []
    for path, expected in methods.items():
        other = next(method for method in ("PUT", "DELETE", "POST") if method not in expected)
        for method, status in (("OPTIONS", 204), (other, 405)):
            answer = api.request(method, path)
            named = set(re.split(r", *", answer.headers.get("Allow", "")))
            if answer.status_code != status or named != expected:
                wrong.append((method, path, answer.status_code, named, expected))
    assert not wrong


def test_the_document_names_what_is_sent() -> None:
    """Files, texts and streams of events; errors of bodies; the status that a setting asks for."""
    described = document(endpoints())["paths"]

    def kinds(path: str) -> set[str]:
        return set(described["/api/v2" + path]["get"]["responses"]["200"]["content"])

    assert kinds("/customModels/{customModelId}/download/") == {"application/zip"}
    assert kinds("/customModelTests/{customModelTestId}/log/") == {"text/plain"}
    assert kinds("/customJobs/{customJobId}/runs/{customJobRunId}/logs/") == {"text/plain", "text/event-stream"}
    for item in described.values():
        for operation in item.values():
            assert "requestBody" not in operation or {"400", "413", "422"} <= operation["responses"].keys()
    assert "404" in described["/api/v2/customModelTests/"]["get"]["responses"]
    assert {"200", "201"} <= described["/api/v2/customModels/{customModelId}/"]["patch"]["responses"].keys()


def test_every_model_has_a_threshold(api: Api) -> None:
    """Also one that needs none: a client looks for it."""
    made = api.post("/customModels/", json=a_model()).json()
    assert made["predictionThreshold"] == 0.5
    assert api.get(f"/customModels/{made['id']}/").json()["predictionThreshold"] == 0.5
