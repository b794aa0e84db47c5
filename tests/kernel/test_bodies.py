"""How much of a body the API reads, and for whom."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from modelyard.kernel.request_bodies import MAX_BUFFERED_BYTES, MAX_BYTES_OF_ANYBODY, MAX_JSON_BYTES
from modelyard.kernel.wire import MAX_JSON_VALUES, decode_json
from tests.conftest import ADMIN_TOKEN, Installation

CHUNK = b" " * 16 * 1024


@dataclass
class Sender:
    """A client that sends spaces, chunk by chunk, for as long as it is listened to."""

    total_bytes: int
    read_bytes: int = 0
    answers: list[Any] = field(default_factory=list)
    stops: bool = False
    """Whether it falls silent before the last chunk."""

    async def receive(self) -> dict[str, Any]:
        left = self.total_bytes - self.read_bytes
        if self.stops and left <= len(CHUNK):
            await asyncio.Event().wait()
        chunk = CHUNK[:left]
        self.read_bytes += len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": left > len(chunk)}

    async def send(self, message: Any) -> None:
        self.answers.append(message)


Ask = Callable[..., Sender]


def a_scope(method: str, path: str, total_bytes: int, token: str | None = None, *, told: bool = True) -> dict[str, Any]:
    """A request with a body whose length is ``told`` in a header, or in chunks."""
    headers = [(b"host", b"modelyard.test"), (b"content-type", b"application/json")]
    if token:
        headers.append((b"authorization", f"Bearer {token}".encode()))
    headers.append((b"content-length", b"%d" % total_bytes) if told else (b"transfer-encoding", b"chunked"))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": f"/api/v2{path}",
        "raw_path": f"/api/v2{path}".encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }


@pytest.fixture
def ask(installation: Installation) -> Ask:
    app = installation.application.api()

    def ask_app(method: str, path: str, total_bytes: int, token: str | None = None, *, told: bool = True) -> Sender:
        sender = Sender(total_bytes)

        async def exchange() -> None:
            async with app.lifespan():
                scope = a_scope(method, path, total_bytes, token, told=told)
                await app(scope, sender.receive, sender.send)  # type: ignore[arg-type]

        asyncio.run(exchange())
        return sender

    return ask_app


def status_of(sender: Sender) -> int:
    return int(sender.answers[0]["status"])


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("token", [None, "my_unknown"])
@pytest.mark.parametrize(("method", "path"), [("POST", "/customModels/"), ("DELETE", f"/datasets/{'0' * 24}/")])
def test_a_large_body_of_nobody_is_not_read(ask: Ask, method: str, path: str, token: str | None, told: bool) -> None:
    sender = ask(method, path, 8 * 1024 * 1024, token, told=told)
    assert status_of(sender) == 401
    assert sender.read_bytes <= MAX_BYTES_OF_ANYBODY + len(CHUNK)


def test_a_large_body_of_a_caller_is_read(ask: Ask) -> None:
    sender = ask("POST", "/customModels/", 8 * 1024 * 1024, ADMIN_TOKEN)
    assert status_of(sender) == 422
    assert sender.read_bytes == sender.total_bytes
    assert "name" in json.loads(sender.answers[1]["body"])["errors"]


def test_a_body_that_is_too_large_is_refused_while_it_comes(ask: Ask) -> None:
    sender = ask("POST", "/customModels/", MAX_JSON_BYTES + 1024 * 1024, ADMIN_TOKEN)
    assert status_of(sender) == 413
    assert sender.read_bytes <= MAX_JSON_BYTES + len(CHUNK)


@pytest.mark.parametrize("token", [None, ADMIN_TOKEN])
def test_the_filters_of_a_get_are_not_read_without_end(ask: Ask, token: str | None) -> None:
    sender = ask("GET", "/customModels/", 8 * 1024 * 1024, token)
    assert status_of(sender) == 413
    assert sender.read_bytes <= MAX_BYTES_OF_ANYBODY + len(CHUNK)


def test_the_bodies_of_one_process_have_a_bound(installation: Installation) -> None:
    app = installation.application.api()
    silent = [Sender(MAX_JSON_BYTES, stops=True) for _ in range(MAX_BUFFERED_BYTES // MAX_JSON_BYTES)]
    refused, small, later = Sender(MAX_JSON_BYTES), Sender(len(CHUNK)), Sender(MAX_JSON_BYTES)

    async def ask_for(sender: Sender) -> None:
        scope = a_scope("POST", "/customModels/", sender.total_bytes, ADMIN_TOKEN)
        await app(scope, sender.receive, sender.send)  # type: ignore[arg-type]

    async def exchange() -> None:
        async with app.lifespan(), asyncio.timeout(60):
            requests = [asyncio.ensure_future(ask_for(one)) for one in silent]
            while any(one.read_bytes < MAX_JSON_BYTES - len(CHUNK) for one in silent):
                await asyncio.sleep(0)
            await ask_for(refused)
            await ask_for(small)
            for request in requests:
                request.cancel()
            await asyncio.gather(*requests, return_exceptions=True)
            await ask_for(later)

    asyncio.run(exchange())
    assert status_of(refused) == 503
    assert (b"retry-after", b"1") in refused.answers[0]["headers"]
    assert status_of(small) == 422
    assert status_of(later) == 422


MANY = b"[" + b"{}," * MAX_JSON_VALUES + b"{}]"


def test_a_body_of_too_many_values_is_refused(installation: Installation) -> None:
    """Each empty object of three bytes takes sixty-four in memory, and time in which nobody else is answered."""
    for path in ("/customModels/", "/credentials/", "/customJobs/"):
        for content in (b'{"name":%b}' % MANY, b'{"unknown":%b,"name":"\\u0000"}' % MANY):
            answer = installation.api.post(path, content=content, headers={"Content-Type": "application/json"})
            assert answer.status_code == 413, answer.text[:200]
            assert "values" in answer.json()["message"]


def test_a_field_of_a_form_with_too_many_values_is_refused(installation: Installation) -> None:
    with pytest.raises(msgspec.ValidationError, match="values"):
        decode_json(MANY, list[Any])
    form = {"isMajorUpdate": (None, "true"), "runtimeParameterValues": (None, MANY)}
    model = installation.api.post(
        "/customModels/", json={"name": "m", "customModelType": "inference", "targetType": "Unstructured"}
    ).json()
    answer = installation.api.post(f"/customModels/{model['id']}/versions/", files=form)
    assert answer.status_code == 422
    assert "values" in answer.json()["errors"]["runtimeParameterValues"]


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff"])
def test_a_body_of_nobody_is_not_read_as_a_form(installation: Installation, content: bytes) -> None:
    """Whoever has no token learns that first, not what is wrong with the body."""
    path, headers = f"/customJobs/{'0' * 24}/", {"Content-Type": "application/json"}
    assert installation.api.as_(None).patch(path, content=content, headers=headers).status_code == 401
    assert installation.api.patch(path, content=content, headers=headers).status_code in {400, 422}
