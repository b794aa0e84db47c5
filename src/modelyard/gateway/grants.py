"""Who may ask which deployment: kept in memory while it is used, and never trusted for longer than a second."""

import base64
import binascii
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from modelyard.identity.caller import Caller, find_caller, token_digest
from modelyard.identity.roles import PERMISSIONS, Permission
from modelyard.identity.sharing import role_of
from modelyard.identity.tables import ResourceKind
from modelyard.kernel.database import Database
from modelyard.kernel.outages import OutageLog

log = logging.getLogger(__name__)

MAX_AGE_S = 0.8
"""A grant that was read longer ago is read again before it is used: so long may a revoked token go on."""
OUTAGE_AGE_S = 60.0
"""So long is a grant trusted while the database cannot be asked."""
RENEW_PERIOD_S = 0.25
RENEW_AGE_S = 0.45
RENEW_BUDGET_S = 0.3
"""One round of renewing takes no longer; the grants that were used last come first."""
IDLE_S = 10.0
MAX_GRANTS = 10_000
BATCH = 20
Key = tuple[str, str]
"""The ``Authorization`` header as it was sent, and the id of a deployment."""


@dataclass(slots=True)
class Grant:
    """What a token may do with one deployment, as the database had it at ``checked_at``."""

    is_valid: bool
    """Whether the token is known, alive, and its user active."""
    may_use: bool
    checked_at: float
    used_at: float


class Grants:
    """The rights that were used lately. Refusals are not kept: whoever sends unknown tokens leaves nothing here."""

    def __init__(self, database: Database, note_token_use: Callable[[str], None] = lambda _token_id: None) -> None:
        self._database = database
        self._note_token_use = note_token_use
        self._grants: dict[Key, Grant] = {}
        self._stop = threading.Event()

    def __len__(self) -> int:
        return len(self._grants)

    # called by the event loop

    def find(self, header: str, deployment_id: str) -> Grant | None:
        """Return the right to use a deployment, if it was read recently enough to be trusted."""
        grant = self._grants.get((header, deployment_id))
        if grant is None:
            return None
        now = time.monotonic()
        grant.used_at = now
        return grant if now - grant.checked_at < MAX_AGE_S else None

    def is_cached(self, key: Key) -> bool:
        """Whether the right was there before, however old it is."""
        return key in self._grants

    def find_for_outage(self, key: Key) -> Grant | None:
        """Return the right as it was last known, for while the database cannot be asked."""
        grant = self._grants.get(key)
        return grant if grant is not None and time.monotonic() - grant.checked_at < OUTAGE_AGE_S else None

    # called by threads

    def load(self, key: Key) -> Grant:
        """Read from the database what the sender of this header may do."""
        return self.load_many([key])[0]

    def load_many(self, keys: Sequence[Key]) -> list[Grant]:
        """``load`` for several, which is a third of the work for each."""
        now = time.monotonic()
        with self._database.read() as session:
            grants = [self._read(session, self._caller(session, key[0]), key[1], now, now) for key in keys]
        for key, grant in zip(keys, grants, strict=True):
            self._store(key, grant)
        return grants

    def keep_fresh(self) -> None:
        """Renew what is used, until ``stop()``. Runs in a thread of its own, which unknown tokens do not reach."""
        renewing = OutageLog(log, "the rights to use deployments cannot be renewed")
        while not self._stop.wait(RENEW_PERIOD_S):
            try:
                self.renew()
                renewing.succeeded()
            except Exception as error:  # noqa: BLE001 # logged
                renewing.failed(error)

    def stop(self) -> None:
        self._stop.set()

    def renew(self) -> None:
        """Read the rights again that are in use, and forget those that are not."""
        started = time.monotonic()
        due = []
        for key, grant in sorted(self._grants.copy().items(), key=lambda item: -item[1].used_at):
            if started - grant.used_at > IDLE_S and started - grant.checked_at > OUTAGE_AGE_S:
                self._grants.pop(key, None)
            elif started - grant.used_at <= IDLE_S and started - grant.checked_at > RENEW_AGE_S:
                due.append((key, grant))
        for first in range(0, len(due), BATCH):
            now = time.monotonic()
            if now - started > RENEW_BUDGET_S:
                return
            with self._database.read() as session:
                for key, known in due[first : first + BATCH]:
                    caller = self._caller(session, key[0], is_used=known.used_at >= known.checked_at)
                    self._store(key, self._read(session, caller, key[1], now, known.used_at))

    def _store(self, key: Key, grant: Grant) -> None:
        if not grant.may_use:
            self._grants.pop(key, None)
            return
        known = self._grants.get(key)
        if known is not None and known.checked_at > grant.checked_at:
            return  # read before the other one, stored after it
        if known is not None:
            grant.used_at = max(grant.used_at, known.used_at)
        elif len(self._grants) >= MAX_GRANTS:
            oldest = sorted(self._grants.copy().items(), key=lambda item: item[1].used_at)
            for other, _ in oldest[: MAX_GRANTS // 4]:
                self._grants.pop(other, None)
        self._grants[key] = grant

    def _caller(self, session: Session, header: str, *, is_used: bool = True) -> Caller | None:
        token = _token_in(header)
        caller = find_caller(session, token_digest(token)) if token else None
        if caller is not None and caller.token_id is not None and is_used:
            self._note_token_use(caller.token_id)
        return caller

    def _read(self, session: Session, caller: Caller | None, deployment_id: str, now: float, used_at: float) -> Grant:
        role = role_of(session, caller, ResourceKind.DEPLOYMENT, deployment_id) if caller is not None else None
        may_use = role is not None and Permission.USE in PERMISSIONS[role]
        return Grant(caller is not None, may_use, now, used_at)


def _token_in(header: str) -> str | None:
    scheme, _, rest = header.partition(" ")
    rest = rest.strip()
    if scheme.lower() in {"bearer", "token"}:
        return rest
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(rest, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return None
    return None
