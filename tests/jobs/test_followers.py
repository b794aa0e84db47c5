"""Who follows a log while their right to it ends."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.api_client import Api
from tests.jobs.builders import Yard, made, path_of, plain_environment
from tests.servers import ApiServer, an_api_server

ENDS_WITHIN_S = 2.0
SLACK_S = 3.0
"""Of a busy machine."""

End = Callable[[Api, "Watched"], None]


class Watched:
    """A job of the administrator, its waiting run, and a user who may look at it through a group."""

    def __init__(self, admin: Api, number: int) -> None:
        yard = Yard(admin, plain_environment(admin))
        self.job = yard.a_job()
        self.run = yard.start(self.job)
        self.user = made(admin.post("/users/", json={"username": f"reader{number}"}))
        self.group = made(admin.post("/groups/", json={"name": f"readers{number}"}))
        assert admin.post(f"/groups/{self.group['id']}/members/", json={"userId": self.user["id"]}).status_code == 204
        self.share(admin, "READ_ONLY")
        self.token = self.a_token(admin)

    def share(self, admin: Api, role: str) -> None:
        roles = [{"role": role, "id": self.group["id"], "shareRecipientType": "group"}]
        body = {"operation": "updateRoles", "roles": roles}
        assert admin.patch(f"/customJobs/{self.job['id']}/sharedRoles/", json=body).status_code == 204

    def a_token(self, admin: Api, **fields: Any) -> dict[str, Any]:
        body = {"name": "reading", "userId": self.user["id"]} | fields
        return made(admin.post("/apiTokens/", json=body))


def revoke(admin: Api, watched: Watched) -> None:
    assert admin.delete(f"/apiTokens/{watched.token['id']}/").status_code == 204


def deactivate(admin: Api, watched: Watched) -> None:
    assert admin.patch(f"/users/{watched.user['id']}/", json={"isActive": False}).status_code == 200


def unshare(admin: Api, watched: Watched) -> None:
    watched.share(admin, "NO_ROLE")


def leave_group(admin: Api, watched: Watched) -> None:
    assert admin.delete(f"/groups/{watched.group['id']}/members/{watched.user['id']}/").status_code == 204


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with an_api_server(tmp_path_factory.mktemp("followers") / "data") as server:
        yield server


def follow(
    server: ApiServer, watched: Watched, token: str, happens: Callable[[], None], timeout_s: float = 30
) -> tuple[float, list[str]]:
    """How long the log is followed after something ``happens``, and the lines of its end."""
    headers = {"Authorization": f"Bearer {token}"}
    path = f"/api/v2{path_of(watched.run)}logs/?follow=true"
    with httpx.stream("GET", server.url + path, headers=headers, timeout=timeout_s) as answer:
        assert answer.status_code == 200
        lines = answer.iter_lines()
        assert next(lines) == ": follows"
        happens()
        began = time.monotonic()
        rest = [line for line in lines if line]
        return time.monotonic() - began, rest


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (revoke, "revoked"),
        (deactivate, "revoked"),
        (unshare, "no custom job"),
        (leave_group, "no custom job"),
    ],
)
def test_a_log_is_followed_no_longer_than_one_may(server: ApiServer, end: End, why: str) -> None:
    admin = server.api
    watched = Watched(admin, time.monotonic_ns())
    took_s, rest = follow(server, watched, watched.token["token"], lambda: end(admin, watched))
    assert rest[0] == "event: error"
    assert why in rest[1].lower()
    assert took_s < ENDS_WITHIN_S + SLACK_S


def test_a_log_is_followed_no_longer_than_the_token_is_valid(server: ApiServer) -> None:
    admin = server.api
    watched = Watched(admin, time.monotonic_ns())
    expires_at = datetime.now(UTC) + timedelta(seconds=3)
    token = watched.a_token(admin, expiresAt=expires_at.isoformat())
    _, rest = follow(server, watched, token["token"], lambda: None)
    late_s = (datetime.now(UTC) - expires_at).total_seconds()
    assert "expired" in rest[1]
    assert 0 <= late_s < ENDS_WITHIN_S + SLACK_S


def test_who_still_may_goes_on_following(server: ApiServer) -> None:
    """Another of their tokens ends and their role changes: the log goes on over several looks."""
    admin = server.api
    watched = Watched(admin, time.monotonic_ns())
    other = watched.a_token(admin)

    def change() -> None:
        assert admin.delete(f"/apiTokens/{other['id']}/").status_code == 204
        watched.share(admin, "EDITOR")

    with pytest.raises(httpx.ReadTimeout):
        follow(server, watched, watched.token["token"], change, timeout_s=4)
