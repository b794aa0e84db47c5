"""What a proxy says of the request that it hands on: how its client called this server.

Only of proxies that the setting names. From anybody else these headers would let a page in a browser choose where
clients are led to, and get around the check of the host.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from modelyard.kernel.host_names import Host, HostError, parse_host

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SCHEMES = frozenset({b"http", b"https"})
_PREFIX = re.compile(rb"(?:/[A-Za-z0-9._~-]+)+/?")


class Forwarded(NamedTuple):
    """The scheme and host that a client used, and the path below which the proxy has this server."""

    scheme: str | None = None
    host: Host | None = None
    prefix: str = ""


def parse_network(text: str) -> Network:
    """An address or a network (``10.0.0.0/8``); raises ``ValueError``."""
    return ipaddress.ip_network(text.strip(), strict=False)


def read_forwarded(scope: Any, trusted: Iterable[Network]) -> Forwarded:
    """Read ``X-Forwarded-Proto``, ``-Host`` and ``-Prefix`` of a trusted proxy. Of several values the last counts.

    Raises ``HostError`` for a host that is none.
    """
    client = scope.get("client")
    if client is None or not _is_trusted(client[0], trusted):
        return Forwarded()
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if (lower := name.lower()).startswith(b"x-forwarded-"):
            found[lower] = value.rpartition(b",")[2].strip()
    scheme = found.get(b"x-forwarded-proto", b"").lower()
    prefix = found.get(b"x-forwarded-prefix", b"")
    try:
        host = found.get(b"x-forwarded-host", b"").decode("ascii")
    except UnicodeDecodeError:
        raise HostError("it holds other than ASCII characters") from None
    return Forwarded(
        scheme.decode() if scheme in SCHEMES else None,
        parse_host(host) if host else None,
        prefix.decode().rstrip("/") if _PREFIX.fullmatch(prefix) else "",
    )


def _is_trusted(address: str, trusted: Iterable[Network]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # such as of a Unix socket
        return False
    return any(found in network for network in trusted)
