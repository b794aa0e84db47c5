"""The REST API as the commands use it: requests, pages, errors as ``CommandError``."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, cast

import httpx2

from modelyard.cli.config import API_PATH, Account, read_account
from modelyard.cli.errors import CommandError, ExitCode

TIMEOUT = httpx2.Timeout(60, connect=10)
UPLOAD_TIMEOUT = httpx2.Timeout(600, connect=10)
PAGE = 1000

Json = dict[str, Any]


class Api:
    """One server, asked as one user."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.clients: dict[bool, httpx2.Client] = {}

    def client_for(self, url: str) -> httpx2.Client:
        """The client for an address. Certificates take a while to load, so plain HTTP goes without."""
        is_secure = url.startswith("https:")
        if is_secure not in self.clients:
            headers = {
                "Authorization": f"Bearer {self.account.token}",
                "User-Agent": f"modelyard/{version('modelyard')}",
            }
            self.clients[is_secure] = httpx2.Client(headers=headers, timeout=TIMEOUT, verify=is_secure)
        return self.clients[is_secure]

    def url(self, path: str) -> str:
        """The address of a path below ``/api/v2``, on this server whatever host an absolute one names."""
        return f"{self.account.endpoint}{API_PATH}{path.rpartition(API_PATH)[2] if '://' in path else path}"

    def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Asks; raises ``CommandError`` for what is not a success (a 303 is one)."""
        with self._reachable():
            response = self.client_for(self.url(path)).request(method, self.url(path), **options)
        if response.status_code >= 400:
            raise refusal(response, self.account)
        return response

    @contextmanager
    def stream(self, method: str, url: str, **options: Any) -> Iterator[httpx2.Response]:
        """Like ``request`` for an absolute address, with the answer's body still to be read."""
        with self._reachable(), self.client_for(url).stream(method, url, **options) as response:
            if response.status_code >= 400:
                response.read()
                raise refusal(response, self.account)
            yield response

    def get(self, path: str, **query: Any) -> Json:
        """A JSON object."""
        return cast("Json", self.request("GET", path, params=_present(query)).json())

    def text(self, path: str, **query: Any) -> str:
        """A text, such as a log."""
        return self.request("GET", path, params=_present(query)).text

    def post(self, path: str, body: Json | None = None) -> Json:
        return _object(self.request("POST", path, json=body or {}))

    def patch(self, path: str, body: Json) -> Json:
        return _object(self.request("PATCH", path, json=body))

    def delete(self, path: str) -> None:
        self.request("DELETE", path)

    def start(self, method: str, path: str, body: Json | None = None, **options: Any) -> tuple[Json, str]:
        """Asks for something that takes a while: the answer, and where to ask how it goes."""
        response = self.request(method, path, **(options or {"json": body or {}}))
        return _object(response), response.headers.get("Location", "")

    def pages(self, path: str, *, limit: int | None = None, page: int = PAGE, **query: Any) -> Iterator[Json]:
        """Everything a list holds (or its first ``limit`` entries), page by page."""
        left = limit
        size = page if left is None else min(page, left)
        found = self.get(path, limit=size, **query)
        while True:
            for entry in found["data"]:
                if left is not None:
                    if left == 0:
                        return
                    left -= 1
                yield entry
            if not found.get("next"):
                return
            found = cast("Json", self.request("GET", found["next"]).json())

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        try:
            yield
        except httpx2.ConnectError as error:
            raise CommandError(
                f"no server answers at {self.account.endpoint}",
                hint="modelyard up starts one on this machine; modelyard login URL chooses another",
            ) from error
        except httpx2.TimeoutException as error:
            raise CommandError(f"{self.account.endpoint} took too long to answer", hint="try again") from error
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            raise CommandError(f"the connection to {self.account.endpoint} broke: {error}", hint="try again") from error


def connect() -> Api:
    """The API of the account that the user is logged in to."""
    return Api(read_account())


def refusal(response: httpx2.Response, account: Account) -> CommandError:
    """What an error answer says, as an error of the command."""
    message, errors = _read_error(response)
    status = response.status_code
    if status == 401:
        return CommandError(
            f"{account.endpoint} does not know the token from {account.source}",
            hint=f"log in again: modelyard login {account.endpoint}",
            code=ExitCode.NOT_ALLOWED,
            status=status,
        )
    if status == 403:
        hint = "ask an owner to share it with you, or an administrator"
        return CommandError(message, errors=errors, hint=hint, code=ExitCode.NOT_ALLOWED, status=status)
    if status == 404:
        return CommandError(message, errors=errors, code=ExitCode.NOT_FOUND, status=status)
    return CommandError(message, errors=errors, status=status)


def _read_error(response: httpx2.Response) -> tuple[str, dict[str, Any]]:
    try:
        body = json.loads(response.content)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        return f"the server answered {response.status_code} {response.reason_phrase}", {}
    errors = body.get("errors")
    message = str(body.get("message") or f"the server answered {response.status_code}")
    return message, errors if isinstance(errors, dict) else {}


def _object(response: httpx2.Response) -> Json:
    return cast("Json", response.json()) if response.content else {}


def _present(query: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}
