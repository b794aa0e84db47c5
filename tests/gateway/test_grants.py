"""Who may use a deployment, and how soon a change of it takes effect, whatever strangers send at the same time."""

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import delete
from sqlalchemy.orm import Session

from modelyard.identity import sharing
from modelyard.identity.accounts import add_token
from modelyard.identity.caller import new_token, token_digest
from modelyard.identity.tables import ApiToken, Grant, Organization, ResourceKind, User
from modelyard.kernel.ids import new_id
from tests.gateway.wire import Wire, a_wire, answer_of, script
from tests.waiting import wait_until

UNKNOWN_TOKENS = 4_000
CONNECTIONS = 40
OK = script(answer_of(b"fine"))


@pytest.fixture(scope="module")
def wire(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    with a_wire(installed, tmp_path_factory.mktemp("grants")) as wire:
        yield wire


class Flood:
    """Requests with tokens that nobody has, each a different one, as fast as the gateway answers them, to the end."""

    def __init__(self, wire: Wire) -> None:
        self.answered = 0
        self.statuses: set[int] = set()
        self._numbers = itertools.count()
        self._stop = threading.Event()
        self._wire = wire
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> "Flood":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(120)
        assert not self._thread.is_alive()

    async def _run(self) -> None:
        await asyncio.gather(*(self._ask() for _ in range(CONNECTIONS)))

    async def _ask(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._wire.port)
        while not self._stop.is_set():
            number = next(self._numbers)
            writer.write(self._wire.request(b"", token=f"my_unknown_{number}"))
            head = await reader.readuntil(b"\r\n\r\n")
            self.statuses.add(int(head.split()[1]))
            await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]))
            self.answered += 1
        writer.close()


@pytest.fixture
def token(wire: Wire) -> str:
    """Of a user who may use the deployment."""
    token = new_token()
    with wire.database.write() as session:
        organization = session.query(Organization).first()
        assert organization is not None
        user = User(
            id=new_id(), organization_id=organization.id, username=f"user-{new_id()}", created_at=datetime.now(UTC)
        )
        session.add(user)
        session.flush()
        add_token(session, user.id, "test", token)
        sharing.grant(session, ResourceKind.DEPLOYMENT, wire.deployment_id, user.id, "USER", can_share=False)
    return token


def revoke(wire: Wire, token: str) -> None:
    with wire.database.write() as session:
        _token_row(session, token).revoked_at = datetime.now(UTC)


def deactivate(wire: Wire, token: str) -> None:
    with wire.database.write() as session:
        session.get_one(User, _token_row(session, token).user_id).is_active = False


def remove_role(wire: Wire, token: str) -> None:
    with wire.database.write() as session:
        session.execute(delete(Grant).where(Grant.subject_id == _token_row(session, token).user_id))


def _token_row(session: Session, token: str) -> ApiToken:
    found = session.query(ApiToken).filter_by(digest=token_digest(token)).one()
    assert isinstance(found, ApiToken)
    return found


def seconds_until_refused(wire: Wire, token: str, change: Callable[[Wire, str], None], status: int) -> float:
    """How long a token that is in use goes on being accepted after a change."""
    with wire.connect() as client:

        def ask() -> int:
            client.send(wire.request(OK, token=token))
            found = client.read_answer()
            assert found is not None
            return found[0]

        for _ in range(20):
            assert ask() == 200
        change(wire, token)
        changed_at = time.monotonic()
        while True:
            asked_at = time.monotonic()
            found = ask()
            if found == status:
                return asked_at - changed_at
            assert found == 200
            assert asked_at - changed_at < 10


@pytest.mark.parametrize(("change", "status"), [(revoke, 401), (deactivate, 401), (remove_role, 404)])
def test_changes_take_effect_within_a_second_under_a_flood(
    wire: Wire, token: str, change: Callable[[Wire, str], None], status: int
) -> None:
    tokens = UNKNOWN_TOKENS if change is revoke else UNKNOWN_TOKENS // 10
    with Flood(wire) as flood:
        wait_until(lambda: flood.answered >= tokens, 120, "the flood")
        taken_s = seconds_until_refused(wire, token, change, status)
    assert flood.statuses == {401}
    assert taken_s < 1, taken_s


def test_after_a_flood_a_change_takes_effect_within_a_second(wire: Wire, token: str) -> None:
    with Flood(wire) as flood:
        wait_until(lambda: flood.answered >= UNKNOWN_TOKENS // 10, 60, "the flood")
    assert seconds_until_refused(wire, token, revoke, 401) < 1


def test_a_body_that_took_long_is_asked_for_its_token_again(wire: Wire, token: str) -> None:
    with wire.connect() as client:
        client.send(wire.head(f"Content-Length: {len(OK)}", token=token) + OK[:-1])
        seconds_until_refused(wire, token, revoke, 401)
        client.send(OK[-1:])
        found = client.read_answer()
    assert found is not None
    assert found[0] == 401
