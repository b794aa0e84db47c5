"""Hostile models behind the API's port: nothing of one caller's request or answer reaches another caller."""

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from tests.conftest import ADMIN_TOKEN
from tests.gateway.test_answers import FORGED, LENGTHS, OK, VALUES
from tests.gateway.wire import Connection, Wire, a_wire, answer_of, script
from tests.servers import a_free_port
from tests.waiting import wait_until

PROGRAM = """
    import asyncio
    from granian.constants import Interfaces
    from granian.server.embed import Server
    from modelyard.gateway.forwarding import Forwarder, forwarding_route
    from modelyard.kernel.edge import Edge
    from modelyard.kernel.host_names import AllowedHosts
    from modelyard.kernel.http import create_router
    from modelyard.kernel.settings import Settings
    forwarder = Forwarder(Settings())
    app = Edge(
        create_router([], [forwarding_route()]),
        {{"forwarder": forwarder}},
        allowed_hosts=AllowedHosts(("127.0.0.1", "x")),
        default_host="127.0.0.1",
        on_startup=[forwarder.open],
        on_shutdown=[forwarder.close],
    )
    asyncio.run(Server(app, address="127.0.0.1", port={port}, interface=Interfaces.ASGI).serve())
"""


@dataclass
class Forwarding:
    """The forwarder on a port of its own, before a gateway with a scripted model."""

    wire: Wire
    port: int
    process: "subprocess.Popen[bytes]"

    @property
    def path(self) -> str:
        return f"/api/v2/deployments/{self.wire.deployment_id}/predictionsUnstructured"

    def ask(self, body: bytes) -> httpx.Response:
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        return httpx.post(f"http://127.0.0.1:{self.port}{self.path}", content=body, headers=headers, timeout=30)

    def connections_to_gateway(self) -> int:
        found = psutil.Process(self.process.pid).net_connections("tcp")
        return sum(1 for one in found if one.raddr and one.raddr.port == self.wire.port and one.status == "ESTABLISHED")


@pytest.fixture(scope="module")
def forwarding(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forwarding]:
    folder = tmp_path_factory.mktemp("forwarding")
    with a_wire(installed, folder) as wire:
        port = a_free_port()
        environment = os.environ | {"MODELYARD_DATA_DIR": str(folder), "MODELYARD_GATEWAY_PORT": str(wire.port)}
        program = textwrap.dedent(PROGRAM.format(port=port))
        process = subprocess.Popen([sys.executable, "-c", program], env=environment)

        def answers() -> bool:
            try:
                return httpx.get(f"http://127.0.0.1:{port}/").status_code == 404
            except httpx.TransportError:
                return False

        try:
            wait_until(answers, 60, "a forwarder that answers")
            yield Forwarding(wire, port, process)
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize("kind", ["a leading zero", "zeros", "a trailing blank", "two", "a length and chunks"])
def test_a_forged_answer_reaches_nobody(forwarding: Forwarding, kind: str) -> None:
    forged = OK + LENGTHS[kind] + b"\r\n\r\n" + b"x" * 5 + FORGED[:65]
    markers = [f"victim {number}".encode() for number in range(12)]
    orders = [order for marker in markers for order in (script(forged, close=True), script(answer_of(marker)))]
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(forwarding.ask, orders))
    assert {answer.status_code for answer in answers[::2]} == {502}
    assert [answer.content for answer in answers[1::2]] == markers


@pytest.mark.parametrize("kind", VALUES)
def test_a_value_that_not_everybody_can_read_is_502(forwarding: Forwarding, kind: str) -> None:
    found = forwarding.ask(script(answer_of(b"true", VALUES[kind])))
    assert found.status_code == 502, found.text
    assert VALUES[kind].partition(b":")[0].decode() in found.json()["message"]


def test_connections_to_the_gateway_end_with_their_request(forwarding: Forwarding) -> None:
    for _ in range(5):
        assert forwarding.ask(script(answer_of(b"fine"))).status_code == 200
    wait_until(lambda: forwarding.connections_to_gateway() == 0, 5, "the end of every connection to the gateway")


@pytest.mark.parametrize("framing", [b"content-length: 500000", b"transfer-encoding: chunked"])
def test_half_an_answer_is_not_taken_for_a_whole_one(forwarding: Forwarding, framing: bytes) -> None:
    half = b"x" * 300_000
    body = half if framing.startswith(b"content") else b"%x\r\n%b\r\n" % (len(half), half)
    with pytest.raises(httpx.TransportError):
        forwarding.ask(script(OK + framing + b"\r\n\r\n" + body, close=True))


def test_ambiguous_requests_are_refused(forwarding: Forwarding) -> None:
    body = script(answer_of(b"fine"))
    head = [f"POST {forwarding.path} HTTP/1.1", "Host: x", f"Authorization: Bearer {ADMIN_TOKEN}"]
    for line in ("Authorization: Bearer other", "Content-Type: a/b\r\nContent-Type: c/d"):
        with Connection(forwarding.port) as client:
            client.send("\r\n".join([*head, line, f"Content-Length: {len(body)}", "", ""]).encode() + body)
            found = client.read_answer()
        assert found is not None
        assert found[0] == 400
        assert "more than once" in json.loads(found[2])["message"]


@pytest.mark.parametrize("added", ["%0D%0A", "%09", "%3F", "%23", "%3Fa=", "%2E%2E", "%25", "%00"])
def test_an_address_is_passed_on_as_it_is(forwarding: Forwarding, added: str) -> None:
    """What is no character of an id is neither dropped from it nor read as the end of the path."""
    path = forwarding.path.replace("/predictionsUnstructured", f"{added}/predictionsUnstructured")
    body = script(answer_of(b"fine"))
    head = [f"POST {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {ADMIN_TOKEN}", f"Content-Length: {len(body)}"]
    with Connection(forwarding.port) as client:
        client.send("\r\n".join([*head, "", ""]).encode() + body)
        found = client.read_answer()
    assert found is not None
    assert found[0] == 404
    assert "cannot be found" in json.loads(found[2])["message"]
