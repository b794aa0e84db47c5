"""A client for tests that checks every response against the document, and against the contract where it is at hand."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
from litestar.testing import TestClient

from modelyard.kernel.edge import Edge
from tests.described import answer_errors

CONTRACT_DIR = Path(__file__).parents[2] / "shared" / "contract"
IN_PROCESS_HOST = "modelyard.test"
"""Of an application without a socket; its settings have to allow it."""
ANYWHERE = {400, 401, 403, 404, 405, 409, 410, 413, 422, 503}


def load_contract_module(name: str) -> ModuleType | None:
    """A module of the contract's folder; None where the folder is absent."""
    path = CONTRACT_DIR / f"{name}.py"
    if not path.exists():
        return None
    spec = importlib.util.spec_from_file_location(f"contract_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_validator = load_contract_module("validate_response")


def check_headers(response: httpx.Response) -> None:
    """Fails for an answer that a browser might run, guess at or share (``kernel/edge.py``)."""
    headers = response.headers
    assert headers.get("X-Content-Type-Options") == "nosniff", response.url
    if headers.get("Content-Type", "").partition(";")[0] == "application/json":
        assert headers.get("Cache-Control") == "no-store", response.url
    else:
        assert headers.get("Content-Security-Policy") == "sandbox", response.url
        assert headers.get("Cache-Control") in {"private", "no-store"}, response.url


def check_response(method: str, path: str, status: int, content: bytes) -> None:
    """Fails when a response of a documented operation is not as documented."""
    if _validator is None or _validator.find_operation(method, path)[1] is None:
        return
    problems = _validator.validate(method, path, status, content, allow_undocumented=ANYWHERE)
    assert not problems, f"{method} {path} -> {status}: {problems}\n{content[:2000]!r}"


class Api:
    """One user's view of an API: paths are below ``/api/v2``."""

    def __init__(self, client: Any, token: str | None, prefix: str = "/api/v2") -> None:
        self.client = client
        self.token = token
        self.prefix = prefix

    def as_(self, token: str | None) -> "Api":
        """The same API, asked with another token."""
        return Api(self.client, token, self.prefix)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = dict(options.pop("headers", {}))
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        if path.startswith("http"):
            path = "/" + path.split("/", 3)[3]
        full = path if path.startswith(self.prefix) else self.prefix + path
        response: httpx.Response = self.client.request(method, full, headers=headers, follow_redirects=False, **options)
        check_response(method, full, response.status_code, response.content)
        undocumented = answer_errors(method, full, response)
        assert not undocumented, f"{method} {full}: {undocumented}\n{response.text[:500]}"
        check_headers(response)
        return response

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)

    def patch(self, path: str, **options: Any) -> httpx.Response:
        return self.request("PATCH", path, **options)

    def put(self, path: str, **options: Any) -> httpx.Response:
        return self.request("PUT", path, **options)

    def delete(self, path: str, **options: Any) -> httpx.Response:
        return self.request("DELETE", path, **options)


def in_process(app: Edge) -> Callable[[], TestClient[Any]]:
    """A maker of clients that call ``app`` without a socket."""
    return lambda: TestClient[Any](app, base_url=f"http://{IN_PROCESS_HOST}", raise_server_exceptions=False)
