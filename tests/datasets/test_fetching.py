"""Datasets from a URL, and what is never fetched."""

import gzip
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from modelyard.storage.public_hosts import is_public
from modelyard.storage.web_fetch import FetchError, fetch, parse_url
from tests.conftest import Installation

CSV = b"a,b\n1,x\n2,y\n"
PAGES: dict[str, tuple[int, dict[str, str], bytes]] = {
    "/people.csv": (200, {}, CSV),
    "/people.csv.gz?x=1": (200, {}, gzip.compress(CSV)),
    "/moved": (302, {"Location": "people.csv"}, b""),
    "/loop": (302, {"Location": "/loop"}, b""),
    "/inside": (302, {"Location": "http://127.0.0.2/secret"}, b""),
    "/file": (302, {"Location": "file:///etc/passwd"}, b""),
    "/short": (200, {"Content-Length": "1000"}, CSV),
    "/missing": (404, {}, b"no"),
}


class Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, headers, content = PAGES[self.path]
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the base class's name
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def installation(an_installation: Callable[..., Installation]) -> Installation:
    return an_installation(allowed_private_hosts=("127.0.0.1",))


def from_url(installation: Installation, url: str, **fields: Any) -> httpx.Response:
    return installation.api.post("/datasets/fromURL/", json={"url": url, **fields})


@pytest.mark.parametrize(
    ("path", "name"), [("/people.csv", "people.csv"), ("/people.csv.gz?x=1", "people.csv.gz"), ("/moved", "people.csv")]
)
def test_a_file_of_the_web_becomes_a_dataset(installation: Installation, site: str, path: str, name: str) -> None:
    answer = from_url(installation, site + path, doSnapshot=True)
    assert answer.status_code == 202
    dataset = f"/datasets/{answer.json()['catalogId']}/"
    assert installation.api.get(dataset).json()["processingState"] == "RUNNING"
    assert installation.api.get(f"{dataset}file/").status_code == 409
    installation.run_operations()
    assert installation.api.get(answer.headers["Location"]).status_code == 303
    read = installation.api.get(dataset).json()
    assert (read["processingState"], read["rowCount"], read["fileName"]) == ("COMPLETED", 2, name)
    assert (read["uri"], read["dataSourceType"]) == (site + path, "url")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/loop", "redirects more than 5 times"),
        ("/inside", "The host 127.0.0.2 is private"),
        ("/file", "must be an http:// or https:// URL"),
        ("/short", "ended after 12 of 1000 bytes"),
        ("/missing", "answers 404"),
    ],
)
def test_what_cannot_be_fetched_says_why(installation: Installation, site: str, path: str, text: str) -> None:
    answer = from_url(installation, site + path)
    installation.run_operations()
    status = installation.api.get(answer.headers["Location"]).json()
    assert status["status"] == "ERROR"
    read = installation.api.get(f"/datasets/{answer.json()['catalogId']}/").json()
    assert (read["processingState"], read["error"]) == ("ERROR", status["message"])
    assert text in read["error"]


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/x.csv",
        "http://127.0.0.1:8000/api/v2/",
        "http://127.1/",
        "http://2130706433/",
        "http://localhost./x.csv",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://169.254.169.254/latest/meta-data/",
        "https://10.1.2.3/x.csv",
        "ftp://example.com/x.csv",
        "file:///etc/passwd",
        "https://user:password@example.com/x.csv",
        "https://example.com/a b.csv",
        "http://",
        "http://[",
        "x.csv",
    ],
)
def test_private_and_odd_urls_are_refused_at_once(an_installation: Callable[..., Installation], url: str) -> None:
    installation = an_installation()
    answer = from_url(installation, url)
    assert answer.status_code == 422
    assert list(answer.json()["errors"]) == ["url"]
    assert installation.api.get("/datasets/").json()["totalCount"] == 0


def test_what_a_dataset_cannot_be_is_refused(installation: Installation, site: str) -> None:
    wrong = {"doSnapshot": False, "persistDataAfterIngestion": False, "sampleSize": {"type": "rows", "value": 5}}
    answer = from_url(installation, f"{site}/people.csv", **wrong)
    assert answer.status_code == 422
    assert answer.json()["errors"].keys() == wrong.keys()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "fd00::1",
        "64:ff9b::a00:1",
        "64:ff9b:1::7f00:1",
        "::7f00:1",
        "::ffff:0:7f00:1",
        "fec0::1",
    ],
)
def test_a_name_that_resolves_to_a_private_address_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """The resolver is the one thing that is replaced: no public name of that kind is at hand."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", 80)),
        (family, socket.SOCK_STREAM, 6, "", (address, 80)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_options: found)
    with pytest.raises(FetchError, match=r"rebind\.example is private"):
        fetch("http://rebind.example/x.csv", bytes, max_bytes=100)


def test_a_file_over_the_limit_ends_early(site: str) -> None:
    for path in ("/people.csv", "/short"):
        with pytest.raises(FetchError, match="more than the 5 bytes"):
            fetch(site + path, bytes, max_bytes=5, allowed_private_hosts=("127.0.0.1",))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("100.64.0.1", False),
        ("0.0.0.0", False),  # noqa: S104 # nothing is bound
        ("224.0.0.1", False),
        ("2002:a00:1::", False),
        ("::ffff:192.168.0.1", False),
    ],
)
def test_public_addresses(address: str, expected: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is expected


def test_a_url_is_taken_apart() -> None:
    target = parse_url("https://Example.com/a%20b.csv?x=1#y")
    assert (target.scheme, target.host, target.port, target.path) == ("https", "example.com", 443, "/a%20b.csv?x=1")
