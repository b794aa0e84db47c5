"""Questions about tokens while the database hangs: known ones go on, unknown ones are answered soon."""

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest

from modelyard.gateway import lookups as lookups_module
from modelyard.gateway.grants import Grant, Grants, Key
from modelyard.gateway.lookups import Lookups
from tests.conftest import Installation

KNOWN, UNKNOWN = ("Bearer known", "d" * 24), ("Bearer unknown", "d" * 24)


class HangingGrants(Grants):
    """Rights in a database that does not answer while ``hangs`` is set."""

    def __init__(self, installation: Installation) -> None:
        super().__init__(installation.application.database)
        self.answers = threading.Event()
        self.asked: list[Key] = []

    def load_many(self, keys: Sequence[Key]) -> list[Grant]:
        self.asked += keys
        self.answers.wait(30)
        return super().load_many(keys)


def always() -> bool:
    return True


def test_a_database_that_hangs(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups_module, "STALLED_S", 0.3)
    grants = HangingGrants(installation)
    now = time.monotonic()
    known = Grant(is_valid=True, may_use=True, checked_at=now - 5, used_at=now)
    grants._grants[KNOWN] = known

    async def ask() -> None:
        lookups = Lookups(grants)
        began = time.monotonic()
        answers = await asyncio.gather(
            lookups.load(*KNOWN, always),
            *(lookups.load(f"Bearer unknown {number}", "d" * 24, always) for number in range(50)),
            return_exceptions=True,
        )
        assert answers[0] is known
        assert [type(answer) for answer in answers[1:]] == [ConnectionError] * 50
        assert time.monotonic() - began < 2
        began, asked = time.monotonic(), len(grants.asked)
        assert await lookups.load(*KNOWN, always) is known
        with pytest.raises(ConnectionError):
            await lookups.load(*UNKNOWN, always)
        assert time.monotonic() - began < 0.1, "nothing waits behind a question that hangs"
        assert len(grants.asked) == asked
        grants.answers.set()
        await asyncio.sleep(0.2)
        assert not (await lookups.load(*UNKNOWN, always)).is_valid

    asyncio.run(ask())
