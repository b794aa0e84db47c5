"""Units of work and awakenings, on both databases."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from modelyard.identity.tables import AuditEvent, Organization, User
from modelyard.kernel.database import Base, Database
from modelyard.kernel.wakeup import Wakeup, notify
from modelyard.monitoring.tables import PredictionUsage
from modelyard.monitoring.usage import Blame, Tally, add_usage
from tests.waiting import wait_until

HOUR = datetime(2026, 1, 2, 3, tzinfo=UTC)


@pytest.fixture
def database(each_database: str) -> Iterator[Database]:
    database = Database(each_database)
    Base.metadata.create_all(database.engine)
    yield database
    database.dispose()


def an_organization(name: str) -> Organization:
    return Organization(id=name.rjust(24, "0"), name=name, created_at=HOUR)


def fail_half_way(database: Database) -> None:
    with database.write() as session:
        session.add(an_organization("half"))
        session.flush()
        notify(session)
        raise ZeroDivisionError


def test_times_keep_their_moment_and_their_microseconds(database: Database) -> None:
    moment = datetime(2026, 3, 29, 2, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    with database.write() as session:
        session.add(AuditEvent(at=moment, action="a", resource_kind="k", resource_id="1", detail=None))
        session.add(AuditEvent(at=moment, action="a", resource_kind="k", resource_id="2", detail={"deep": [1, None]}))
    with database.read() as session:
        events = session.scalars(select(AuditEvent).order_by(AuditEvent.resource_id)).all()
        assert [event.at for event in events] == [moment, moment]
        assert events[0].at.utcoffset() == timedelta(0)
        assert [event.detail for event in events] == [None, {"deep": [1, None]}]
        assert session.scalar(text("SELECT count(*) FROM audit_events WHERE detail IS NULL")) == 1


def test_a_read_cannot_write_by_any_way(database: Database) -> None:
    with database.read() as session:
        session.add(an_organization("a"))
        with pytest.raises(RuntimeError, match="read-only"):
            session.flush()
    with pytest.raises(DBAPIError, match=r"(?i)read.?only"), database.read() as session:
        session.execute(text("DELETE FROM organizations"))
    with database.write() as session:
        session.add(an_organization("b"))
    with database.read() as session:
        assert session.scalars(select(Organization.name)).all() == ["b"]


def test_a_read_is_one_view(database: Database) -> None:
    with database.read() as session:
        assert session.scalars(select(Organization.name)).all() == []
        with database.write() as other:
            other.add(an_organization("late"))
        assert session.scalars(select(Organization.name)).all() == []


def test_what_fails_leaves_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        fail_half_way(database)
    with database.write() as session:
        session.add(an_organization("whole"))
    with database.read() as session:
        assert session.scalars(select(Organization.name)).all() == ["whole"]


def test_an_error_tells_no_values(database: Database) -> None:
    """Its text is logged, and shown as the reason of what failed; a value may be a user's own."""
    statement = text("INSERT INTO organizations (id, name) VALUES (:id, :name)")
    with pytest.raises(DBAPIError) as raised, database.write() as session:
        session.execute(statement, {"id": "0" * 24, "name": "confidential"})
    assert "organizations" in str(raised.value)
    assert "[parameters" not in str(raised.value)


def test_rows_that_are_referred_to_stay(database: Database) -> None:
    with database.write() as session:
        session.add(an_organization("ours"))
        session.flush()
        session.add(User(organization_id="ours".rjust(24, "0"), username="anna", created_at=HOUR))
    with pytest.raises(DBAPIError, match=r"(?i)foreign key"), database.write() as session:
        session.execute(text("DELETE FROM organizations"))
    with pytest.raises((DBAPIError, RuntimeError), match=r"(?i)foreign key|refer"), database.alone() as connection:
        connection.execute(text("DELETE FROM organizations"))
    with database.read() as session:
        assert session.scalars(select(Organization.name)).all() == ["ours"]


def test_everybody_gets_a_turn_to_write(database: Database) -> None:
    def count_up() -> None:
        for _ in range(20):
            with database.write() as session:
                row = session.get_one(Organization, "n".rjust(24, "0"), with_for_update=True)
                row.name = str(int(row.name) + 1)

    with database.write() as session:
        organization = an_organization("n")
        organization.name = "0"
        session.add(organization)
    threads = [threading.Thread(target=count_up) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with database.read() as session:
        assert session.scalars(select(Organization.name)).all() == ["240"]


def test_usage_of_many_gateways_adds_up(database: Database) -> None:
    def flush(first: int) -> None:
        for number in range(10):
            tally = Tally(last_at=HOUR + timedelta(minutes=first if number == 5 else 0))
            tally.add(Blame.NOBODY, 2, 3.0, 1.0)
            both = [("d" * 24, "m" * 24, HOUR), ("e" * 24, "m" * 24, HOUR)]
            keys = both if (first + number) % 2 else both[::-1]
            with database.write() as session:
                add_usage(session, dict.fromkeys(keys, tally))

    threads = [threading.Thread(target=flush, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with database.read() as session:
        rows = session.scalars(select(PredictionUsage)).all()
        assert [(row.requests, row.rows, row.hour) for row in rows] == [(40, 80, HOUR)] * 2
        assert [row.last_at for row in rows] == [HOUR + timedelta(minutes=3)] * 2


def commit(database: Database) -> None:
    with database.write() as session:
        session.execute(text("UPDATE organizations SET name = name"))
        session.execute(text("DELETE FROM leases"))
        session.add(AuditEvent(at=HOUR, action="a", resource_kind="k", resource_id="1"))
        notify(session)


def test_a_commit_wakes(database: Database) -> None:
    wakeup = Wakeup(database)
    assert not wakeup.wait(0.05)
    commit(database)
    assert wakeup.wait(5), "a commit before the wait is not missed"
    assert not wakeup.wait(0.1), "and wakes once"
    timer = threading.Timer(0.2, commit, (database,))
    timer.start()
    began = time.monotonic()
    assert wakeup.wait(10)
    assert time.monotonic() - began < 5
    timer.join()
    wakeup.close()


def test_a_hundred_commits_are_one_awakening(database: Database) -> None:
    wakeup = Wakeup(database)
    for _ in range(100):
        commit(database)
    assert wakeup.wait(5)
    assert not wakeup.wait(0.1)
    wakeup.close()


def test_what_was_rolled_back_wakes_nobody(database: Database) -> None:
    wakeup = Wakeup(database)
    with pytest.raises(ZeroDivisionError):
        fail_half_way(database)
    assert not wakeup.wait(0.2)
    wakeup.close()


def test_a_sleeper_is_woken_or_stopped_from_another_thread(database: Database) -> None:
    wakeup, stop = Wakeup(database), threading.Event()
    threading.Timer(0.1, wakeup.wake).start()
    began = time.monotonic()
    assert wakeup.wait(10)
    threading.Timer(0.1, stop.set).start()
    assert not wakeup.wait(10, stop)
    assert time.monotonic() - began < 5
    wakeup.close()
    wakeup.wake()  # too late, and harmless


def test_a_listener_whose_connection_is_cut_listens_again(database: Database) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has no connection that could be cut")
    wakeup = Wakeup(database)
    with database.write() as session:
        session.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"))
    wait_until(lambda: wakeup.wait(0.5), 10, "it to listen again")
    commit(database)
    assert wakeup.wait(5)
    wakeup.close()
