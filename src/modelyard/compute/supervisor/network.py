"""The network of a sandbox: its loopback, its routes, the way out, and the one door to the API.

The network namespace belongs to a user namespace in which the workload has no rights, so the routes made here bind it.
"""

import contextlib
import fcntl
import os
import select
import socket
import stat
import struct
import threading

from . import identity, system

_SIOCADDRT = 0x890B
_SIOCSIFFLAGS = 0x8914
_RTF_UP = 0x1
_RTF_GATEWAY = 0x2
_RTF_REJECT = 0x200
_IFF_UP_RUNNING = 0x41
_GATEWAY = "10.0.2.2"  # slirp4netns, by default
_ALIASES = ("10.0.2.0/25", "10.0.2.128/25")  # the gateway's own network, in halves: more specific than its route
_TUNNEL = "/dev/net/tun"
_NAME_PORT = 53
_NAME_TIMEOUT_S = 5
_DATAGRAM_BYTES = 65535
_NOWHERE = "0.0.0.0"  # noqa: S104 - the kernel's word for no gateway
_CONNECTIONS = 64
_BLOCK_BYTES = 64 * 1024
_CONNECT_TIMEOUT_S = 10


def raise_loopback() -> None:
    """Bring up `lo` in the namespace of this process."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", _IFF_UP_RUNNING))


def reject(networks: list[str]) -> None:
    """Make these IPv4 networks unreachable."""
    for network in networks:
        _add_route(network, _RTF_UP | _RTF_REJECT, None)


def allow(networks: list[str]) -> None:
    """Send these IPv4 networks out, although a wider one is rejected. The way out must be up."""
    for network in networks:
        _add_route(network, _RTF_UP | _RTF_GATEWAY, _GATEWAY)


def reject_aliases() -> None:
    """Make the addresses unreachable that slirp4netns answers for itself, once the way out is up.

    It hands connections to them on to this machine or to its name server, whatever the port; packets that go further
    need the gateway only as a neighbour, not as a destination.
    """
    reject(list(_ALIASES))


def _add_route(network: str, flags: int, gateway: str | None) -> None:
    """See `struct rtentry` in linux/route.h."""
    address, _, bits = network.partition("/")
    mask = socket.inet_ntoa(struct.pack("!I", (0xFFFFFFFF << (32 - int(bits or 32))) & 0xFFFFFFFF))
    request = struct.pack(
        "L16s16s16sHhLPhPLLH",
        0, _address(address), _address(gateway or _NOWHERE), _address(mask), flags, 0, 0, 0, 0, 0, 0, 0, 0,
    )  # fmt: skip
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control, contextlib.suppress(FileExistsError):
        fcntl.ioctl(control, _SIOCADDRT, request)


def _address(address: str) -> bytes:
    return struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))


def listen(port: int) -> socket.socket:
    """A listening socket on the loopback of this process's namespace; it stays there whoever holds it."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", port))
    listener.listen(_CONNECTIONS)
    return listener


def listen_for_names() -> tuple[socket.socket, socket.socket]:
    """Sockets on the loopback of this process's namespace for questions about names: a listener, and for datagrams."""
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", _NAME_PORT))
    return listen(_NAME_PORT), datagrams


class WayOut:
    """slirp4netns, carrying packets between a namespace and this machine's network. It ends when this process does.

    It parses packets that user code makes, so it has no more rights than that: `uid` is the user that it runs as,
    None where that is this process's own.
    """

    def __init__(self, program: str, process: int, uid: int | None) -> None:
        ready_read, ready_write = os.pipe()
        exit_read, self._exit_write = os.pipe()
        command = [program, "--configure", "--mtu=65520", "--disable-host-loopback", "--disable-dns"]
        command += [f"--userns-path=/proc/{process}/ns/user", f"--ready-fd={ready_write}", f"--exit-fd={exit_read}"]
        command += ["--netns-type=path", f"/proc/{process}/ns/net", "tap0"]
        self.pid = os.fork()
        if self.pid == 0:
            for fd in (ready_write, exit_read):
                os.set_inheritable(fd, True)
            with contextlib.suppress(OSError):
                if uid is not None:
                    _provide_tunnel()
                    identity.become(uid)
                os.execve(program, command, {"PATH": os.defpath})
            os._exit(127)
        os.close(ready_write)
        os.close(exit_read)
        self._ready = ready_read

    def wait(self, timeout_s: float) -> bool:
        """Wait until packets can go; returns whether they can."""
        with open(self._ready, "rb", buffering=0) as ready:
            return bool(select.select([ready], [], [], timeout_s)[0] and ready.read(1))

    def close(self) -> None:
        """Let it end."""
        os.close(self._exit_write)


def _provide_tunnel() -> None:
    """Let ordinary users open the tunnel device, in a mount namespace of this process's own."""
    if os.stat(_TUNNEL).st_mode & 0o006 == 0o006:
        return
    system.unshare(system.CLONE_NEWNS)
    system.keep_mounts_private()
    device = os.stat(_TUNNEL).st_rdev
    system.mount_empty(os.path.dirname(_TUNNEL))
    os.umask(0)
    os.mknod(_TUNNEL, 0o666 | stat.S_IFCHR, device)


class Door:
    """Carries connections to a listener inside to one address outside."""

    def __init__(self, listener: socket.socket, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._address = (host.strip("[]"), int(port))
        self._listener = listener
        self._places = threading.BoundedSemaphore(_CONNECTIONS)
        threading.Thread(target=self._accept, name="door", daemon=True).start()

    def _accept(self) -> None:
        while True:
            self._places.acquire()
            try:
                inside, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(inside,), daemon=True).start()

    def _serve(self, inside: socket.socket) -> None:
        try:
            with inside, socket.create_connection(self._address, timeout=_CONNECT_TIMEOUT_S) as outside:
                outside.settimeout(None)
                back = threading.Thread(target=_carry, args=(outside, inside), daemon=True)
                back.start()
                _carry(inside, outside)
                back.join()
        except OSError:
            return
        finally:
            self._places.release()


class NameDoor:
    """Carries questions about names from inside to this machine's name servers, and nothing else to them."""

    def __init__(self, listener: socket.socket, datagrams: socket.socket, name_servers: list[str]) -> None:
        self._datagrams = datagrams
        self._name_servers = name_servers
        self._places = threading.BoundedSemaphore(_CONNECTIONS)
        if name_servers:
            self._long_questions = Door(listener, f"{name_servers[0]}:{_NAME_PORT}")
            threading.Thread(target=self._accept, name="names", daemon=True).start()

    def _accept(self) -> None:
        while True:
            self._places.acquire()
            try:
                question, asker = self._datagrams.recvfrom(_DATAGRAM_BYTES)
            except OSError:
                return
            threading.Thread(target=self._ask, args=(question, asker), daemon=True).start()

    def _ask(self, question: bytes, asker: tuple[str, int]) -> None:
        """Ask all servers; the first answer is the answer."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._places.release)
            sockets: list[socket.socket] = []
            for server in self._name_servers:
                family = socket.AF_INET6 if ":" in server else socket.AF_INET
                with contextlib.suppress(OSError):
                    sockets.append(stack.enter_context(socket.socket(family, socket.SOCK_DGRAM)))
                    sockets[-1].connect((server, _NAME_PORT))
                    sockets[-1].send(question)
            with contextlib.suppress(OSError):
                answered = select.select(sockets, [], [], _NAME_TIMEOUT_S)[0]
                if answered:
                    self._datagrams.sendto(answered[0].recv(_DATAGRAM_BYTES), asker)


def _carry(source: socket.socket, target: socket.socket) -> None:
    """Carry bytes one way until the source ends, then say so to the target."""
    with contextlib.suppress(OSError):
        while block := source.recv(_BLOCK_BYTES):
            target.sendall(block)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
