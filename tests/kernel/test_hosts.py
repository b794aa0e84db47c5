"""The ``Host`` of requests: what it may be, and where it goes."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from modelyard.kernel.host_names import REREAD_S, AllowedHosts, HostError, machine_names, parse_host
from modelyard.kernel.settings import Settings
from tests.conftest import ADMIN_TOKEN, Installation


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("localhost", "localhost"),
        ("LocalHost:8000", "localhost:8000"),
        ("example.org.", "example.org"),
        ("example.org.:80", "example.org:80"),
        ("127.0.0.1:1", "127.0.0.1:1"),
        ("[::1]:8000", "[::1]:8000"),
        ("[0:0:0:0:0:0:0:1]", "[::1]"),
        ("api_1.internal", "api_1.internal"),
    ],
)
def test_hosts_are_read(text: str, canonical: str) -> None:
    assert str(parse_host(text)) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        " localhost",
        "localhost ",
        "localhost:",
        "localhost:0",
        "localhost:65536",
        "localhost:080000",
        "localhost:+80",
        "localhost:80:80",
        "localhost:80@evil.example",
        "user@localhost",
        "user:pass@localhost",
        "localhost/evil",
        "localhost?x",
        "localhost#x",
        "localhost\\evil",
        "local%68ost",
        "localhost,evil.example",
        "localhost evil.example",
        "localhost\tevil",
        "::1",
        "[::1",
        "[::1]evil",
        "[fe80::1%25eth0]",
        "[localhost]",
        "[::ffff:1.2.3.4.5]",
        "127.0.0.01",
        "127.1",
        "2130706433",
        ".localhost",
        "local..host",
        "-evil",
        "a" * 64,
        "a." * 127 + "aa",
        "\u017fomething",
        "\u0661",
    ],
)
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(HostError):
        parse_host(text)


def admits(allowed: AllowedHosts, *texts: str) -> list[bool]:
    return [allowed.admits(parse_host(text)) for text in texts]


def test_loopback_and_this_machine_are_allowed_by_default() -> None:
    allowed = AllowedHosts((), lambda: frozenset({"yard", "192.0.2.7", "2001:db8::7"}))
    ours = ("localhost:8000", "a.localhost", "127.0.0.1", "127.9.9.9", "[::1]", "[::ffff:127.0.0.1]", "yard", "YARD.")
    assert all(admits(allowed, *ours, "192.0.2.7:1", "[2001:db8::7]"))
    others = (
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "192.0.2.8",
        "[2001:db8::8]",
        "yard.x",
    )
    assert not any(admits(allowed, *others, "0.0.0.0", "[::]", "[::ffff:192.0.2.8]", "evillocalhost", "ard"))  # noqa: S104
    own = machine_names()
    assert "127.0.0.1" in own
    assert all(admits(AllowedHosts(()), *(f"[{one}]" if ":" in one else one for one in own)))


def test_names_may_be_added() -> None:
    settings = Settings(allowed_hosts=("Yard.Example.org", ".corp.example", "*.apps.example", "198.51.100.1"))
    allowed = AllowedHosts(settings.host_names())
    names = ("yard.example.org:443", "corp.example", "a.corp.example", "a.b.corp.example", "x.apps.example")
    assert all(admits(allowed, *names, "198.51.100.1"))
    others = ("example.org", "a.yard.example.org", "evilcorp.example", "apps.example", "evilapps.example")
    assert not any(admits(allowed, *others, "198.51.100.2"))
    assert all(admits(AllowedHosts(("*",)), "evil.example", "192.0.2.1", "[2001:db8::9]"))


@pytest.mark.parametrize(
    "written", ["yard.example, *.b.example,[2001:db8::1]", '["yard.example", "*.b.example", "2001:db8::1"]']
)
def test_the_setting_is_a_list_with_commas_or_in_json(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("MODELYARD_ALLOWED_HOSTS", written)
    assert Settings().allowed_hosts == ("yard.example", "*.b.example", "2001:db8::1")


@pytest.mark.parametrize("wrong", ["https://yard.example", "yard.example:8000", "a b", "*.192.0.2.1", "**", "a.*.b"])
def test_what_is_no_host_is_no_setting(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("MODELYARD_ALLOWED_HOSTS", wrong)
    with pytest.raises(ValidationError):
        Settings()


def test_addresses_that_appear_later_are_found_but_not_looked_for_at_every_request() -> None:
    now, addresses, reads = [0.0], {"192.0.2.1"}, []

    def read() -> frozenset[str]:
        reads.append(now[0])
        return frozenset(addresses)

    allowed = AllowedHosts((), read, lambda: now[0])
    addresses.add("192.0.2.2")
    assert admits(allowed, *["192.0.2.2"] * 50) == [False] * 50
    now[0] += REREAD_S
    assert admits(allowed, "192.0.2.2", *["192.0.2.3"] * 50, "192.0.2.1") == [True, *[False] * 50, True]
    assert reads == [0.0, REREAD_S]


Ask = Callable[..., tuple[int, dict[str, str], Any]]


@pytest.fixture
def an_app(an_installation: Callable[..., Installation]) -> Callable[..., Ask]:
    """Makes applications that are asked with exactly these headers."""

    def make(**settings: Any) -> Ask:
        app = an_installation(**settings).application.api()

        def ask(
            *hosts: bytes, method: str = "GET", path: str = "/api/v2/users/?limit=1", version: str = "1.1", **more: str
        ) -> tuple[int, dict[str, str], Any]:
            headers = [(b"authorization", f"Bearer {ADMIN_TOKEN}".encode()), *((b"host", host) for host in hosts)]
            headers += [(name.replace("_", "-").encode(), value.encode()) for name, value in more.items()]
            bare, _, query = path.partition("?")
            scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": version, "method": method}
            scope |= {"scheme": "http", "path": bare, "raw_path": bare.encode(), "query_string": query.encode()}
            scope |= {"root_path": "", "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80)}
            answers: list[Any] = []

            async def receive() -> dict[str, Any]:
                return {"type": "http.request", "body": b"", "more_body": False}

            async def send(message: Any) -> None:
                answers.append(message)

            async def exchange() -> None:
                async with app.lifespan():
                    await app(scope | {"state": {}}, receive, send)

            asyncio.run(exchange())
            found = {name.decode().lower(): value.decode() for name, value in answers[0]["headers"]}
            return answers[0]["status"], found, json.loads(answers[1]["body"])

        return ask

    return make


def test_strangers_hosts_are_misdirected_at_every_address(an_app: Callable[..., Ask]) -> None:
    ask = an_app()
    for path in ("/api/v2/users/", "/api/v2/ping", "/api/v2/openapi.json", "/nowhere", "/"):
        status, headers, body = ask(b"evil.example:8000", path=path)
        assert status == 421
        assert "MODELYARD_ALLOWED_HOSTS" in body["message"]
        assert "evil.example" in body["message"]
        assert "evil" not in json.dumps(headers)
    assert ask(b"evil.example", x_forwarded_host="localhost")[0] == 421


def test_the_host_is_named_once_and_correctly(an_app: Callable[..., Ask]) -> None:
    ask = an_app()
    assert ask(b"localhost")[0] == 200
    wrong = [(), (b"",), (b"localhost", b"localhost"), (b"localhost", b"evil.example"), (b"localhost@evil.example",)]
    for hosts in [*wrong, (b"local\xe9host",), (b"localhost, evil.example",)]:
        status, _, body = ask(*hosts)
        assert status == 400
        assert "Host" in body["message"]
    assert ask(version="1")[0] == 200, "HTTP/1.0 knows no Host"


def test_absolute_urls_hold_the_host_as_it_was_checked(an_app: Callable[..., Ask], tmp_path: Path) -> None:
    ask = an_app(public_url="https://models.example:9000/x", host="192.0.2.77", allowed_hosts=())
    for host, seen in ((b"MODELS.example.:444", "models.example:444"), (b"192.0.2.77", "192.0.2.77")):
        status, _, body = ask(host, path="/api/v2/executionEnvironments/?limit=1")
        assert status == 200
        assert body["next"].startswith(f"http://{seen}/api/v2/executionEnvironments/?"), body["next"]
    told = {"x_forwarded_proto": "https", "x_forwarded_prefix": "/yard"}
    body = ask(b"localhost", path="/api/v2/executionEnvironments/?limit=1", **told)[2]
    assert body["next"].startswith("http://localhost/api/"), "whoever asks is no trusted proxy"


@pytest.mark.parametrize(
    ("headers", "seen"),
    [
        ({"x_forwarded_proto": "https"}, "https://inner/"),
        ({"x_forwarded_proto": "https, http"}, "http://inner/"),
        ({"x_forwarded_proto": "javascript"}, "http://inner/"),
        ({"x_forwarded_host": "yard.example:8443"}, "http://yard.example:8443/"),
        ({"x_forwarded_prefix": "/team/yard/"}, "http://inner/team/yard/"),
        ({"x_forwarded_prefix": "//evil.example"}, "http://inner/"),
        ({"x_forwarded_prefix": "/a/../b?"}, "http://inner/"),
    ],
)
def test_a_trusted_proxy_says_how_its_client_called(
    an_app: Callable[..., Ask], headers: dict[str, str], seen: str
) -> None:
    ask = an_app(trusted_proxies=("10.0.0.1", "127.0.0.0/8"), allowed_hosts=("inner", "yard.example"))
    status, _, body = ask(b"inner", path="/api/v2/executionEnvironments/?limit=1", **headers)
    assert status == 200
    assert body["next"].startswith(f"{seen}api/v2/executionEnvironments/?"), body["next"]


def test_what_a_trusted_proxy_says_is_checked_as_well(an_app: Callable[..., Ask]) -> None:
    ask = an_app(trusted_proxies=("127.0.0.1",))
    assert ask(b"localhost", x_forwarded_host="evil.example")[0] == 421
    assert ask(b"localhost", x_forwarded_host="evil example")[0] == 400
    with pytest.raises(ValueError, match="does not appear to be"):
        an_app(trusted_proxies=("nobody",))


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({"host": "0.0.0.0"}, "http://yard.example:8001"),  # noqa: S104 # nothing is bound
        ({"host": "::"}, "http://yard.example:8001"),
        ({"host": "127.0.0.1"}, "http://127.0.0.1:8001"),
        ({"host": "0.0.0.0", "public_url": "https://models.example/"}, "https://models.example"),  # noqa: S104
    ],
)
def test_predictions_are_where_the_client_reaches_this_machine(
    an_app: Callable[..., Ask], settings: dict[str, str], url: str
) -> None:
    ask = an_app(allowed_hosts=("yard.example", "[2001:db8::1]"), **settings)
    assert ask(b"yard.example:8000", path="/api/v2/predictionServers/")[2]["data"][0]["url"] == url
    if url.startswith("http://yard"):
        found = ask(b"[2001:db8::1]:8000", path="/api/v2/predictionServers/")[2]["data"][0]["url"]
        assert found == "http://[2001:db8::1]:8001"
