"""Fetching a file from a URL that a user gave, without reaching anything that only the server can reach.

Hosts must resolve to public addresses, checked after name resolution, and again for each redirect; the connection goes
to the very address that was checked. Proxies of the environment are not used: they would resolve names themselves.
"""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urljoin, urlsplit

from modelyard.kernel.file_paths import shown
from modelyard.storage.public_hosts import FetchError, check_host, public_addresses

__all__ = ["FetchError", "Target", "Whereabouts", "connected", "fetch", "locate", "parse_url"]

CHUNK_BYTES: Final = 1 << 20
MAX_REDIRECTS: Final = 5
TIMEOUT_S: Final = 30.0
LOCATE_TIMEOUT_S: Final = 60.0
TOTAL_TIMEOUT_S: Final = 3600.0
LOOK_S: Final = 0.2
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True)
class Target:
    """A URL taken apart: what to connect to and what to ask for."""

    scheme: str
    host: str
    port: int
    path: str
    url: str


def parse_url(url: str, allowed_private_hosts: Collection[str] = ()) -> Target:
    """The URL, if it is one that may be fetched as far as can be told without resolving names.

    Raises ``FetchError`` for other schemes than http and https, for user names and passwords, and for private hosts.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise FetchError(f"{shown(url)} is not a URL: {error}.") from error
    if parts.scheme not in {"http", "https"} or not host or not url.isprintable() or " " in url or not url.isascii():
        raise FetchError(f"{shown(url)} must be an http:// or https:// URL, without blanks.")
    if parts.username is not None or parts.password is not None:
        raise FetchError("The URL must not hold a user name or password.")
    check_host(host, allowed_private_hosts)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port or {"http": 80, "https": 443}[parts.scheme], path, url)


def fetch(
    url: str,
    write: Callable[[bytes], object],
    *,
    max_bytes: int,
    allowed_private_hosts: Collection[str] = (),
    check: Callable[[], None] = lambda: None,
) -> str:
    """Hands the content of ``url`` to ``write`` in pieces, and returns the name of the file.

    ``check`` is called before each piece and may raise. Raises ``FetchError``.
    """
    target = parse_url(url, allowed_private_hosts)
    deadline = time.monotonic() + TOTAL_TIMEOUT_S
    for _ in range(MAX_REDIRECTS + 1):
        with connected(target, allowed_private_hosts, deadline, check) as connection:
            try:
                connection.request("GET", target.path, headers={"User-Agent": "modelyard", "Accept": "*/*"})
                response = connection.getresponse()
                if response.status in REDIRECTS:
                    target = _redirected(target, response, allowed_private_hosts)
                    continue
                if response.status != 200:
                    raise FetchError(f"{target.host} answers {response.status} {response.reason} to '{target.url}'.")
                _copy(response, write, max_bytes, check)
            except (OSError, http.client.HTTPException) as error:
                raise FetchError(f"'{target.url}' cannot be fetched: {error or type(error).__name__}.") from error
        return unquote(urlsplit(target.url).path.rsplit("/", 1)[-1]) or target.host
    raise FetchError(f"'{url}' redirects more than {MAX_REDIRECTS} times.")


@dataclass(frozen=True)
class Whereabouts:
    """Where a URL leads after its redirects, and what is answered there. Header names are in lower case."""

    url: str
    status: int
    headers: dict[str, str]


def locate(
    url: str,
    *,
    method: str = "GET",
    allowed_private_hosts: Collection[str] = (),
    timeout_s: float = LOCATE_TIMEOUT_S,
    check: Callable[[], None] = lambda: None,
) -> Whereabouts:
    """Follows the redirects of ``url``, each checked, and reads no content. Raises ``FetchError``, also after
    ``timeout_s`` in all, and what ``check`` raises."""
    target = parse_url(url, allowed_private_hosts)
    deadline = time.monotonic() + timeout_s
    for _ in range(MAX_REDIRECTS + 1):
        with connected(target, allowed_private_hosts, deadline, check) as connection:
            try:
                connection.request(method, target.path, headers={"User-Agent": "git/modelyard", "Accept": "*/*"})
                response = connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                raise FetchError(f"{target.host} cannot be asked: {error or type(error).__name__}.") from error
            headers = {name.lower(): value for name, value in response.headers.items()}
        if response.status not in REDIRECTS:
            return Whereabouts(target.url, response.status, headers)
        target = _redirected(target, response, allowed_private_hosts)
    raise FetchError(f"'{url}' redirects more than {MAX_REDIRECTS} times.")


def _redirected(target: Target, response: http.client.HTTPResponse, allowed: Collection[str]) -> Target:
    location = response.headers.get("Location", "")
    try:
        return parse_url(urljoin(target.url, location), allowed)
    except ValueError as error:
        raise FetchError(f"{target.host} redirects to {location[:200]!a}, which is no URL: {error}.") from error


def _copy(
    response: http.client.HTTPResponse, write: Callable[[bytes], object], max_bytes: int, check: Callable[[], None]
) -> None:
    too_large = FetchError(f"The file has more than the {max_bytes} bytes that are allowed.")
    total, wanted = 0, response.length
    if wanted is not None and wanted > max_bytes:
        raise too_large
    deadline = time.monotonic() + TOTAL_TIMEOUT_S
    while chunk := response.read1(CHUNK_BYTES):
        check()
        if time.monotonic() > deadline:
            raise FetchError(f"The file did not come within {TOTAL_TIMEOUT_S:.0f} s.")
        total += len(chunk)
        if total > max_bytes:
            raise too_large
        write(chunk)
    if wanted is not None and total != wanted:
        raise FetchError(f"The connection ended after {total} of {wanted} bytes.")


@contextmanager
def connected(
    target: Target, allowed_private_hosts: Collection[str], deadline: float, check: Callable[[], None] = lambda: None
) -> Iterator[http.client.HTTPConnection]:
    """A connection to one of the addresses that were checked, closed afterwards. It does not open itself again.

    However slowly the other side sends: it is cut when ``deadline`` (of ``time.monotonic``) passes or ``check``, which
    is called again and again from another thread, raises. That is what is raised then. Raises ``FetchError``.
    """
    plain = _first_connection(target, public_addresses(target.host, target.port, allowed_private_hosts), deadline)
    over, reasons = threading.Event(), list[Exception]()
    watcher = threading.Thread(target=_watch, args=(plain.dup(), target, deadline, check, over, reasons), daemon=True)
    watcher.start()
    try:
        with _spoken(target, plain) as connection:
            yield connection
    except BaseException:
        if reasons:
            raise reasons[0] from None
        raise
    finally:
        over.set()
        watcher.join()
    if reasons:
        raise reasons[0]


def _watch(
    connection: socket.socket,
    target: Target,
    deadline: float,
    check: Callable[[], None],
    over: threading.Event,
    reasons: list[Exception],
) -> None:
    with connection:
        while not over.wait(LOOK_S):
            if time.monotonic() > deadline:
                reasons.append(FetchError(f"{target.host} takes too long to answer."))
            try:
                check()
            except Exception as error:  # noqa: BLE001 # it is raised where the connection is used
                reasons.append(error)
            if reasons:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                return


@contextmanager
def _spoken(target: Target, plain: socket.socket) -> Iterator[http.client.HTTPConnection]:
    if target.scheme == "http":
        connection = http.client.HTTPConnection(target.host, target.port, timeout=TIMEOUT_S)
        connection.sock = plain
    else:
        try:
            secured = ssl.create_default_context().wrap_socket(plain, server_hostname=target.host)
        except OSError as error:
            plain.close()
            raise FetchError(f"{target.host} cannot be reached safely: {error}.") from error
        connection = http.client.HTTPSConnection(target.host, target.port, timeout=TIMEOUT_S)
        connection.sock = secured
    connection.auto_open = 0  # it would resolve the name again
    try:
        yield connection
    finally:
        connection.close()


def _first_connection(target: Target, addresses: list[str], deadline: float) -> socket.socket:
    reason: OSError | None = None
    for address in addresses:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise FetchError(f"{target.host} takes too long to answer.")
        try:
            return socket.create_connection((address, target.port), min(TIMEOUT_S, left_s))
        except OSError as error:
            reason = error
    raise FetchError(f"{target.host} cannot be reached: {reason}.") from reason
