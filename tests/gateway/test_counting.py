"""Counting requests: each in the hour in which it came, whenever the counts can be stored."""

import time
from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest
from sqlalchemy.exc import OperationalError

from modelyard.gateway.counting import UsageCounter
from modelyard.gateway.routing_table import Target
from modelyard.kernel.database import Database
from modelyard.monitoring.tables import PredictionUsage
from modelyard.monitoring.usage import Blame
from tests.conftest import Installation

TARGET = Target(deployment_id="d" * 24, model_id="m" * 24, is_active=True, state="ready", reason=None)
NINE = datetime(2026, 3, 1, 9, tzinfo=UTC)


@pytest.fixture
def database(installation: Installation) -> Database:
    return installation.application.database


def stored(database: Database) -> list[tuple[datetime, int, datetime]]:
    with database.read() as session:
        rows = session.query(PredictionUsage).order_by(PredictionUsage.hour)
        return [(row.hour, row.requests, row.last_at) for row in rows]


def test_a_request_counts_for_its_hour(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = UsageCounter(database)
    for minutes, took_s in ((-1, 0.5), (0.5 / 60, 2), (30, 1), (61, 1)):
        at = NINE + timedelta(minutes=minutes)
        monkeypatch.setattr(time, "time", at.timestamp)
        counter.count(TARGET, Blame.NOBODY, 1, took_s * 1000, 1)
    monkeypatch.undo()
    counter.flush()
    assert stored(database) == [
        (NINE - timedelta(hours=1), 2, NINE + timedelta(seconds=0.5)),
        (NINE, 1, NINE + timedelta(minutes=30)),
        (NINE + timedelta(hours=1), 1, NINE + timedelta(minutes=61)),
    ]


def test_what_cannot_be_stored_keeps_its_hour(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = UsageCounter(database)
    monkeypatch.setattr(time, "time", NINE.timestamp)
    counter.count(TARGET, Blame.NOBODY, 1, 0, 0)
    with monkeypatch.context() as away:
        away.setattr(Database, "write", lambda _self: (_ for _ in ()).throw(OperationalError("", {}, Exception())))
        with pytest.raises(OperationalError):
            counter.flush()
    monkeypatch.setattr(time, "time", (NINE + timedelta(hours=2)).timestamp)
    counter.count(TARGET, Blame.SERVER, 1, 0, 0)
    counter.flush()
    assert [hour for hour, *_ in stored(database)] == [NINE, NINE + timedelta(hours=2)]


def test_no_count_is_lost_beside_the_storing(database: Database) -> None:
    counter = UsageCounter(database)
    storing = Thread(target=counter.keep_flushing)
    storing.start()
    try:
        for _ in range(100):
            counter.flush()
            for _ in range(200):
                counter.count(TARGET, Blame.NOBODY, 1, 0, 0)
    finally:
        counter.stop()
        storing.join()
    counter.flush()
    assert sum(requests for _, requests, _ in stored(database)) == 20_000
