"""The ``Host`` header: parsed strictly, and compared with the names and addresses of this installation.

A host that goes unchecked into absolute URLs lets a stranger's page choose where clients are led to, and lets a name
that was pointed at this machine (DNS rebinding) speak to it from a browser.
"""

import ipaddress
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psutil

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_NAME_LENGTH = 253
REREAD_S = 5.0
"""How often the names and addresses of this machine are read again, and only for a host that is not among them."""

_HOST = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9_](?:[A-Za-z0-9_.-]*)))(?::(?P<port>[0-9]{1,5}))?"
)
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?")
_NUMERIC = re.compile(r"[0-9.]+")


class HostError(ValueError):
    """A ``Host`` that is no host; the text says why."""


@dataclass(frozen=True)
class Host:
    """A host as a URL names it: ``name`` is in lower case, without a dot at its end and without brackets."""

    name: str
    port: int | None
    address: Address | None

    def __str__(self) -> str:
        host = f"[{self.name}]" if isinstance(self.address, ipaddress.IPv6Address) else self.name
        return host if self.port is None else f"{host}:{self.port}"


def parse_host(text: str) -> Host:
    """Read ``uri-host [":" port]`` (RFC 9110, section 7.2); raises ``HostError``."""
    found = _HOST.fullmatch(text)
    if found is None:
        raise HostError("it must be a host name or address, and may be followed by ':' and a port")
    port = None if found["port"] is None else int(found["port"])
    if port is not None and not 1 <= port <= 65535:
        raise HostError(f"{port} is no port")
    if found["ipv6"] is not None:
        try:
            address = ipaddress.IPv6Address(found["ipv6"])
        except ValueError:
            raise HostError(f"[{found['ipv6']}] is no IPv6 address") from None
        return Host(str(address), port, address)
    name = found["name"].lower().removesuffix(".")
    if len(name) > MAX_NAME_LENGTH or not all(_LABEL.fullmatch(label) and len(label) < 64 for label in name.split(".")):
        raise HostError("it is no host name")
    if _NUMERIC.fullmatch(name):
        try:
            return Host(name, port, ipaddress.IPv4Address(name))
        except ValueError:
            raise HostError(f"{name} is no IPv4 address") from None
    return Host(name, port, None)


def check_pattern(text: str) -> str:
    """Return a host of the setting ``allowed_hosts`` as it is compared; raises ``ValueError`` for what is none.

    ``*`` is every host, ``*.example.org`` the subdomains of a name, ``.example.org`` the name and its subdomains.
    """
    stripped = text.strip().lower()
    if stripped == "*":
        return stripped
    prefix = next((known for known in ("*.", ".") if stripped.startswith(known)), "")
    rest = stripped.removeprefix(prefix)
    if rest.count(":") > 1 and not rest.startswith("["):
        rest = f"[{rest}]"
    try:
        host = parse_host(rest)
    except HostError as error:
        raise ValueError(f"{text!r} is no host: {error}") from None
    if host.port is not None or (prefix and host.address is not None):
        raise ValueError(f"{text!r} must be a host without a port, as example.org, *.example.org or 192.0.2.1")
    return prefix + host.name


def machine_names() -> frozenset[str]:
    """The host name of this machine, whole and without its domain, and the addresses of its interfaces."""
    name = socket.gethostname().lower().removesuffix(".")
    addresses = {
        str(ipaddress.ip_address(address.address.partition("%")[0]))
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family in {socket.AF_INET, socket.AF_INET6}
    }
    return frozenset({name, name.partition(".")[0], *addresses} - {""})


class AllowedHosts:
    """Says whether a host is one of this installation's.

    ``names`` are allowed beside loopback and this machine's own, as ``check_pattern`` returns them. ``read_machine``
    is asked again for a host that it did not know, for interfaces come and go, but at most every ``REREAD_S``.
    """

    def __init__(
        self,
        names: Iterable[str],
        read_machine: Callable[[], frozenset[str]] = machine_names,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        allowed = frozenset(names)
        self._allows_all = "*" in allowed
        self._names = frozenset(name.removeprefix(".") for name in allowed if not name.startswith("*"))
        self._suffixes = tuple(name.removeprefix("*") for name in allowed if name.startswith((".", "*.")))
        self._read_machine = read_machine
        self._clock = clock
        self._lock = threading.Lock()
        self._machine = read_machine()
        self._read_at = clock()

    def admits(self, host: Host) -> bool:
        return self._allows_all or _is_loopback(host) or self._is_named(host) or self._is_machine(host)

    def _is_named(self, host: Host) -> bool:
        return host.name in self._names or (host.address is None and host.name.endswith(self._suffixes))

    def _is_machine(self, host: Host) -> bool:
        if host.address is not None and host.address.is_unspecified:
            return False
        if host.name in self._machine:
            return True
        with self._lock:
            if self._clock() - self._read_at >= REREAD_S:
                self._machine, self._read_at = self._read_machine(), self._clock()
        return host.name in self._machine


def _is_loopback(host: Host) -> bool:
    """``localhost`` and below it (RFC 6761, section 6.3), 127.0.0.0/8, ::1."""
    if host.address is None:
        return host.name == "localhost" or host.name.endswith(".localhost")
    mapped = host.address.ipv4_mapped if isinstance(host.address, ipaddress.IPv6Address) else None
    return (mapped or host.address).is_loopback
