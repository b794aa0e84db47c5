"""Outages: what this process needs is away or full for a while. They are waited for, and logged once each."""

import errno
import logging
import sqlite3
import threading
import time
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from modelyard.kernel.errors import Unavailable

RETRY_AFTER_S: Final = 5
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_SQLITE: Final = (
    "database or disk is full",
    "disk i/o error",
    "unable to open database file",
    "database is locked",
    "readonly database",
)
_POSTGRES: Final = ("08", "53", "57P", "58", "25006")
"""SQLSTATE of connections, of missing resources such as disk, of a server that stops or starts, of its system, and of
one that only reads. See https://www.postgresql.org/docs/current/errcodes-appendix.html."""


class Outage(Unavailable):
    """Something that this process needs is away or full: 503, to be tried again."""

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"Retry-After": str(RETRY_AFTER_S)})


class StoreOutage(Outage):
    """The blob store cannot be reached, or fails."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The blob store cannot be used at the moment ({reason}). Try again.")


def outage_of(error: BaseException | None) -> Outage | None:
    """The outage that an error comes from, or None: what fails for another reason would fail again."""
    if error is None or isinstance(error, Outage):
        return error
    if isinstance(error, OSError) and error.errno in _FULL:
        return Outage("The disk of the server is full. Try again when there is space.")
    if isinstance(error, DBAPIError):
        return _of_database(error)
    if isinstance(error, PoolTimeoutError):
        return Outage("The database is too busy at the moment. Try again.")
    return None


def describe(error: Exception) -> str:
    """A sentence for people about what went wrong."""
    outage = outage_of(error)
    return outage.message if outage is not None else f"{type(error).__name__}, see the log."


def _of_database(error: DBAPIError) -> Outage | None:
    original = error.orig
    if isinstance(original, sqlite3.Error):
        text = str(original).lower()
        if not any(reason in text for reason in _SQLITE):
            return None
        why = "is full" if "full" in text else "cannot be used at the moment"
        return Outage(f"The database {why}. Try again.")
    state = getattr(original, "sqlstate", None)
    if state is not None and not str(state).startswith(_POSTGRES):
        return None
    if state is None and not (error.connection_invalidated or type(original).__name__ in _CONNECTION_ERRORS):
        return None
    return Outage(f"The database {'is full' if state == '53100' else 'cannot be used at the moment'}. Try again.")


_CONNECTION_ERRORS: Final = frozenset({"OperationalError", "InterfaceError", "ConnectionTimeout"})


class OutageLog:
    """Logs what goes wrong in something that is done again and again.

    An outage is one line when it begins and one when it is over; any other error is logged with its traceback.
    ``calm_s``: so long nothing may have failed for it to be over, where some of what is done does not need what is
    away.
    """

    def __init__(self, log: logging.Logger, subject: str, *, calm_s: float = 0.0) -> None:
        self._log = log
        self._subject = subject
        self._calm_s = calm_s
        self._began: float | None = None
        self._failed_at = 0.0
        self._lock = threading.Lock()

    def failed(self, error: Exception) -> None:
        """Note that it went wrong."""
        outage = outage_of(error)
        if outage is None:
            self._log.error("%s", self._subject, exc_info=error)
            return
        with self._lock:
            self._failed_at = time.monotonic()
            is_first, self._began = self._began is None, self._began or self._failed_at
        if is_first:
            self._log.error("%s: %s", self._subject, outage.message)

    def succeeded(self) -> None:
        """Note that it went well."""
        if self._began is None or time.monotonic() - self._failed_at < self._calm_s:
            return
        with self._lock:
            began, self._began = self._began, None
        if began is not None:
            self._log.warning("%s: it works again, after %.0f s", self._subject, time.monotonic() - began)
