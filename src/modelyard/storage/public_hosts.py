"""Which hosts the server may speak to on behalf of a user: public ones, and those that the operator named."""

import ipaddress
import socket
from collections.abc import Collection
from typing import Final

_WRAPPING: Final = tuple(
    ipaddress.IPv6Network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "::/96", "::ffff:0:0:0/96", "fec0::/10")
)
"""Networks of IPv6 that lead to other addresses (NAT64, also a local one; IPv4-compatible and -translated), and the
old private one, which Python counts as public."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class FetchError(Exception):
    """Something cannot be fetched; ``message`` says why, to whoever said where it is."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def check_host(host: str, allowed_private_hosts: Collection[str] = ()) -> None:
    """Raises ``FetchError`` for a private host, as far as can be told without resolving its name."""
    if host in allowed_private_hosts:
        return
    name = host.rstrip(".").lower()
    literal = _address(name)
    if name == "localhost" or name.endswith(".localhost") or (literal is not None and not is_public(literal)):
        raise _private(host)


def public_addresses(host: str, port: int, allowed_private_hosts: Collection[str] = ()) -> list[str]:
    """The addresses that ``host`` resolves to. Raises ``FetchError`` where there is none, or any is private.

    The connection must go to one of these, not to the name: the name may resolve to another address next time.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FetchError(f"The host {host} cannot be found: {error}.") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if host not in allowed_private_hosts and not all(_is_public_text(address) for address in addresses):
        raise _private(host)
    return addresses


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet, also when it only wraps another one."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address.sixtofour is not None or address.teredo is not None or any(address in one for one in _WRAPPING):
            return False
    return address.is_global and not address.is_multicast


def _is_public_text(text: str) -> bool:
    address = _address(text)
    return address is not None and is_public(address)


def _address(host: str) -> Address | None:
    """The address that a host is written as, also in the odd ways that resolvers take, such as ``127.1``."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None


def _private(host: str) -> FetchError:
    return FetchError(
        f"The host {host} is private; only public hosts are fetched from, and those that allowed_private_hosts names."
    )
