"""How much of a body the API reads, and for whom."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from modelyard.kernel.http import MAX_BYTES_OF_ANYBODY, MAX_JSON_BYTES
from tests.conftest import ADMIN_TOKEN, Installation

CHUNK = b" " * 16 * 1024


@dataclass
class Sender:
    """A client that sends spaces, chunk by chunk, for as long as it is listened to."""

    total_bytes: int
    read_bytes: int = 0
    answers: list[Any] = field(default_factory=list)

    async def receive(self) -> dict[str, Any]:
        left = self.total_bytes - self.read_bytes
        chunk = CHUNK[:left]
        self.read_bytes += len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": left > len(chunk)}

    async def send(self, message: Any) -> None:
        self.answers.append(message)


Ask = Callable[..., Sender]


@pytest.fixture
def ask(installation: Installation) -> Ask:
    app = installation.application.api()

    def ask_app(method: str, path: str, total_bytes: int, token: str | None = None, *, told: bool = True) -> Sender:
        """Sends a body whose length is ``told`` in a header, or in chunks."""
        headers = [(b"host", b"modelyard.test"), (b"content-type", b"application/json")]
        if token:
            headers.append((b"authorization", f"Bearer {token}".encode()))
        headers.append((b"content-length", b"%d" % total_bytes) if told else (b"transfer-encoding", b"chunked"))
        scope = {
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
        sender = Sender(total_bytes)

        async def exchange() -> None:
            async with app.lifespan():
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
