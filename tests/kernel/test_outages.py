"""What counts as an outage, and how little is logged of one."""

import errno
import logging
import sqlite3

import psycopg
import pytest
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from modelyard.kernel.errors import NotFound
from modelyard.kernel.outages import Outage, OutageLog, StoreOutage, outage_of


def wrapped(error: Exception) -> OperationalError:
    return OperationalError("SELECT 1", {}, error)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (wrapped(sqlite3.OperationalError("unable to open database file")), "database cannot be used"),
        (wrapped(sqlite3.OperationalError("database or disk is full")), "database is full"),
        (wrapped(sqlite3.OperationalError("database is locked")), "database cannot be used"),
        (wrapped(psycopg.OperationalError("connection refused")), "database cannot be used"),
        (wrapped(psycopg.errors.DiskFull("no space left on device")), "database is full"),
        (wrapped(psycopg.errors.AdminShutdown("terminating connection")), "database cannot be used"),
        (wrapped(psycopg.errors.ReadOnlySqlTransaction("a replica")), "database cannot be used"),
        (PoolTimeoutError(), "too busy"),
        (OSError(errno.ENOSPC, "no space left on device"), "disk of the server is full"),
        (StoreOutage("connection refused"), "blob store cannot be used at the moment (connection refused)"),
    ],
)
def test_what_is_away_or_full(error: Exception, words: str) -> None:
    outage = outage_of(error)
    assert outage is not None
    assert words in outage.message
    assert (outage.status, outage.headers) == (503, {"Retry-After": "5"})


@pytest.mark.parametrize(
    "error",
    [
        wrapped(sqlite3.OperationalError("no such table: things")),
        ProgrammingError("SELECT", {}, psycopg.errors.UndefinedTable("things")),
        IntegrityError("INSERT", {}, psycopg.errors.UniqueViolation("twice")),
        OSError(errno.ENOENT, "no such file"),
        ValueError("no"),
        NotFound("There is no such thing."),
    ],
)
def test_what_would_fail_again_is_no_outage(error: Exception) -> None:
    assert outage_of(error) is None


def test_an_outage_is_two_lines(caplog: pytest.LogCaptureFixture) -> None:
    found = OutageLog(logging.getLogger("test"), "leases cannot be extended")
    found.succeeded()
    for _ in range(100):
        found.failed(wrapped(psycopg.OperationalError("connection refused")))
    for _ in range(3):
        found.succeeded()
    found.failed(Outage("The disk is full."))
    assert [record.message.partition(", after")[0] for record in caplog.records] == [
        "leases cannot be extended: The database cannot be used at the moment. Try again.",
        "leases cannot be extended: it works again",
        "leases cannot be extended: The disk is full.",
    ]
    assert not any(record.exc_info for record in caplog.records)
    found.failed(ValueError("no"))
    assert caplog.records[-1].exc_info


def test_what_goes_well_meanwhile_does_not_end_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    found = OutageLog(logging.getLogger("test"), "requests are answered 503", calm_s=60)
    for _ in range(10):
        found.failed(StoreOutage("connection refused"))
        found.succeeded()
    assert len(caplog.records) == 1
