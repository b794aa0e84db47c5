"""What a workload may reach: nothing, the internet but not this machine, or the API alone."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from modelyard.compute.process_executor import ProcessExecutor
from modelyard.compute.sandbox import name_servers, own_addresses
from modelyard.compute.workload import Network
from tests.compute.workshop import Workshop

CONNECT = (
    "import json, socket, sys, os\n"
    "def reach(host, port):\n"
    "    try:\n"
    "        with socket.create_connection((host, int(port)), timeout=3): return 'reached'\n"
    "    except OSError as error: return error.strerror or 'timed out'\n"
    "print(json.dumps([reach(*place.rsplit(':', 1)) for place in os.environ['PLACES'].split()]))\n"
)


class Api(BaseHTTPRequestHandler):
    """Says who asks, and returns what it is sent."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def api_port() -> Iterator[int]:
    """The port of an API that listens on all addresses of this machine."""
    with ThreadingHTTPServer(("0.0.0.0", 0), Api) as server:  # noqa: S104 - so that every address can be tried
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def other_port() -> Iterator[int]:
    """The port of something else that listens on all addresses of this machine."""
    with socket.create_server(("0.0.0.0", 0)) as server:  # noqa: S104 - so that every address can be tried
        yield server.getsockname()[1]


def _own_address() -> str:
    for network in own_addresses():
        return network.removesuffix("/32")
    pytest.skip("this machine has no address but its loopback's")


def _reach(workshop: Workshop, places: list[str], network: Network, api_address: str | None = None) -> list[str]:
    ended, text = workshop.run(
        CONNECT, environment={"PLACES": " ".join(places)}, network=network, api_address=api_address
    )
    assert ended.exit_code == 0, text
    answers: list[str] = json.loads(text)
    return answers


def test_none_reaches_nothing(workshop: Workshop, other_port: int) -> None:
    places = [f"127.0.0.1:{other_port}", f"{_own_address()}:{other_port}", "192.0.2.1:80", "10.0.2.2:80"]
    refused, *rest = _reach(workshop, places, Network.NONE)
    assert refused == "Connection refused"
    assert set(rest) == {"Network is unreachable"}


def test_none_has_a_loopback_of_its_own(workshop: Workshop) -> None:
    _, text = workshop.run(
        "import os, socket\nwith socket.create_server(('127.0.0.1', 8080)) as s:\n"
        "    socket.create_connection(s.getsockname()).close(); print('reached', socket.if_nameindex())"
    )
    assert text == "reached [(1, 'lo')]\n"


def test_public_reaches_no_port_of_this_machine(workshop: Workshop, other_port: int) -> None:
    _need_internet(workshop)
    places = ["127.0.0.1", _own_address(), "10.0.2.2", "10.0.2.3", "169.254.169.254", "10.1.2.3", "192.168.1.1"]
    seen = dict(zip(places, _reach(workshop, [f"{p}:{other_port}" for p in places], Network.PUBLIC), strict=True))
    assert seen.pop("127.0.0.1") == "Connection refused"
    assert set(seen.values()) == {"No route to host"}, seen


def test_public_has_a_way_out(workshop: Workshop, api_port: int) -> None:
    """The one address that surely answers is this machine's own, once it is allowed."""
    _need_internet(workshop)
    executor = workshop.executor
    allowed = (f"{_own_address()}/32",)
    open_executor = ProcessExecutor(executor.root, executor.runtime_dir, executor.isolation, allowed_networks=allowed)
    workshop.executor = open_executor
    assert _reach(workshop, [f"{_own_address()}:{api_port}"], Network.PUBLIC) == ["reached"]


def test_names_are_resolved_where_this_machine_can(workshop: Workshop) -> None:
    _need_internet(workshop)
    if not name_servers():
        pytest.skip("this machine has no name servers")
    ended, text = workshop.run(
        "import socket, struct\n"
        "question = struct.pack('!6H', 7, 0x100, 1, 0, 0, 0) + b'\\7invalid\\0' + struct.pack('!2H', 1, 1)\n"
        "with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:\n"
        "    s.settimeout(8); s.sendto(question, ('127.0.0.1', 53)); print(s.recv(4096)[:2])\n",
        network=Network.PUBLIC,
    )
    assert (ended.exit_code, text) == (0, "b'\\x00\\x07'\n")


def test_public_cannot_undo_its_routes(workshop: Workshop) -> None:
    _need_internet(workshop)
    ended, text = workshop.run(
        "import socket, fcntl\n"
        "s = socket.socket()\n"
        "try: fcntl.ioctl(s, 0x890C, bytes(120)); print('removed')\nexcept OSError as e: print(e.strerror)\n"
        "try: socket.socket(socket.AF_PACKET, socket.SOCK_RAW); print('raw')\nexcept OSError as e: print(e.strerror)\n"
        "print(open('/etc/resolv.conf').read())",
        network=Network.PUBLIC,
    )
    assert ended.exit_code == 0
    assert text.startswith("Operation not permitted\nOperation not permitted\nnameserver 127.0.0.1\n")


def test_api_access_reaches_the_api_and_nothing_else(workshop: Workshop, api_port: int, other_port: int) -> None:
    _need_door(workshop)
    places = ["{api}", f"127.0.0.1:{api_port}", f"{_own_address()}:{api_port}", f"127.0.0.1:{other_port}"]
    places += [f"{_own_address()}:{other_port}", "10.0.2.2:80", "192.0.2.1:80"]
    seen = _reach(workshop, places, Network.DR_API_ACCESS, f"127.0.0.1:{api_port}")
    refused, unreachable = "Connection refused", "Network is unreachable"
    assert seen == ["reached", refused, unreachable, refused, unreachable, unreachable, unreachable]


@pytest.mark.parametrize("network", [Network.DR_API_ACCESS, Network.PUBLIC])
def test_api_is_spoken_to_through_the_door(workshop: Workshop, api_port: int, network: Network) -> None:
    _need_door(workshop)
    if network is Network.PUBLIC:
        _need_internet(workshop)
    ended, text = workshop.run(
        "import os, threading, urllib.request\n"
        "body = os.urandom(3_000_000)\n"
        "def ask(n):\n"
        "    for _ in range(3):\n"
        "        with urllib.request.urlopen('http://' + os.environ['API'], data=body) as answer:\n"
        "            assert answer.read() == body\n"
        "    print('same')\n"
        "threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n",
        environment={"API": "{api}"},
        network=network,
        api_address=f"127.0.0.1:{api_port}",
    )
    assert (ended.exit_code, text.count("same")) == (0, 8), text


def test_door_to_an_api_that_is_down_is_closed_again(workshop: Workshop) -> None:
    _need_door(workshop)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    ended, text = workshop.run(
        "import os, socket\nh, p = os.environ['API'].split(':')\n"
        "for _ in range(200):\n"
        "    with socket.create_connection((h, int(p)), timeout=5) as s: assert s.recv(1) == b''\n"
        "print('closed')",
        environment={"API": "{api}"},
        network=Network.DR_API_ACCESS,
        api_address=f"127.0.0.1:{port}",
    )
    assert (ended.exit_code, text) == (0, "closed\n")


def test_own_addresses_are_found() -> None:
    found = own_addresses()
    assert "127.0.0.1/32" not in found
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        if probe.connect_ex(("192.0.2.55", 9)) == 0:
            assert f"{probe.getsockname()[0]}/32" in found


def _need_internet(workshop: Workshop) -> None:
    if not workshop.executor.isolation.internet.is_available:
        pytest.skip(workshop.executor.isolation.internet.why)


def _need_door(workshop: Workshop) -> None:
    if not workshop.executor.isolation.api_only.is_available:
        pytest.skip(workshop.executor.isolation.api_only.why)
