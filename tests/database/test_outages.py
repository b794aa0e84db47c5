"""The database away, and back: answers that say so, a log that stays short, and nothing lost."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.conftest import ADMIN_TOKEN
from tests.postgres import Cluster
from tests.servers import Server, a_server
from tests.waiting import wait_until

AWAY_S = 8


@contextmanager
def away(cluster: Cluster, url: str) -> Iterator[None]:
    """The database takes no connections, and those that it had are cut."""
    name = url.partition("@/")[2].partition("?")[0]
    cluster.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    cluster.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")  # noqa: S608 # ours
    try:
        yield
    finally:
        cluster.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def status_of(server: Server, path: str) -> int:
    return httpx.get(f"{server.url}{path}", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}, timeout=10).status_code


@pytest.mark.timeout(300)
def test_a_database_that_is_away_for_a_while(
    tmp_path: Path, postgres: Cluster, a_postgres_url: Callable[[], str]
) -> None:
    url = a_postgres_url()
    with a_server(tmp_path / "data", database_url=url) as server:
        assert [status_of(server, path) for path in ("/livez", "/readyz", "/api/v2/users/")] == [200, 200, 200]
        assert httpx.get(f"{server.gateway_url}/readyz").json() == {"status": "ready"}
        before = len(server.log())
        with away(postgres, url):
            deadline = time.monotonic() + AWAY_S
            while time.monotonic() < deadline:
                for method, path in (("GET", "/api/v2/users/"), ("POST", "/api/v2/customModels/")):
                    answer = httpx.request(
                        method, f"{server.url}{path}", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}, json={}
                    )
                    assert answer.status_code == 503, answer.text
                    assert answer.headers["retry-after"] == "5"
                    assert "The database cannot be used at the moment" in answer.json()["message"]
            assert status_of(server, "/livez") == 200
            unready = httpx.get(f"{server.url}/readyz")
            assert unready.status_code == 503
            assert list(unready.json()["failures"]) == ["database"]
            began = time.monotonic()
            asked = {"Authorization": "Bearer my_unknown-token"}
            answer = httpx.post(
                f"{server.gateway_url}/predApi/v1.0/deployments/{'0' * 24}/predictions", json=[{}], headers=asked
            )
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert time.monotonic() - began < 2
            assert httpx.get(f"{server.gateway_url}/livez").status_code == 200
            wait_until(
                lambda: httpx.get(f"{server.gateway_url}/readyz").status_code == 503, 10, "the gateway to notice"
            )
        written = server.log()[before:]
        assert "Traceback" not in written, written[-3000:]
        assert len(written.splitlines()) < 40, written
        wait_until(lambda: status_of(server, "/readyz") == 200, 20, "the api to be ready again")
        wait_until(lambda: httpx.get(f"{server.gateway_url}/readyz").status_code == 200, 20, "the gateway as well")
        created = server.api.post("/datasets/fromFile/", files={"file": ("rows.csv", b"a\n1\n")})
        path = created.headers["location"].partition("/api/v2")[2]
        wait_until(lambda: server.api.get(path).status_code == 303, 30, "work to be done again")
        assert "the routing table cannot be renewed, and stays as it was: it works again" in server.log()[before:]
