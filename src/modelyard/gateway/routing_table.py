"""Which deployment is answered by which replicas, and who may ask: kept in memory, renewed after commits."""

import base64
import binascii
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.compute.services.tables import Replica, ReplicaState, Service, Wanted
from modelyard.gateway.upstream import Upstream
from modelyard.identity.caller import find_caller, token_digest
from modelyard.identity.roles import PERMISSIONS, Permission
from modelyard.identity.sharing import role_of
from modelyard.identity.tables import ResourceKind
from modelyard.kernel.database import Database
from modelyard.kernel.wakeup import Wakeup

log = logging.getLogger(__name__)

SERVICE_KIND = "deployment"
THROTTLE_S = 0.05
PRINCIPAL_REFRESH_S = 0.5
PRINCIPAL_IDLE_S = 60.0
KEEPALIVE_S = 1.0


@dataclass
class Target:
    """A deployment as the gateway sees it."""

    deployment_id: str
    model_id: str
    is_active: bool
    state: str
    reason: str | None
    upstreams: list[Upstream] = field(default_factory=list)


@dataclass
class Principal:
    """A holder of a token, and which deployments they may use."""

    header: str
    digest: bytes
    is_valid: bool
    may_use: dict[str, bool]
    used_at: float


class RoutingTable:
    """Read by the event loop without locks: each renewal replaces whole objects."""

    def __init__(self, database: Database, note_token_use: Callable[[str], None] = lambda _token_id: None) -> None:
        self._database = database
        self._note_token_use = note_token_use
        self._renewed_at = 0.0
        self._targets: dict[str, Target] = {}
        self._upstreams: dict[str, Upstream] = {}
        self._principals: dict[str, Principal] = {}
        self._stop = threading.Event()
        self._refreshing = threading.Lock()

    # what the event loop asks

    def target(self, deployment_id: str) -> Target | None:
        return self._targets.get(deployment_id)

    def known_principal(self, header: str, deployment_id: str) -> Principal | None:
        """The principal, if it is known to have the right to this deployment. A refusal is always looked up anew."""
        found = self._principals.get(header)
        if found is None or not found.is_valid or not found.may_use.get(deployment_id, False):
            return None
        found.used_at = time.monotonic()
        return found

    # what threads do

    def load_principal(self, header: str, deployment_id: str) -> Principal:
        """Asks the database who sends this ``Authorization`` header and whether they may use the deployment."""
        digest = token_digest(_token_in(header) or "")
        known = self._principals.get(header)
        wanted = {*(known.may_use if known else ()), deployment_id}
        with self._database.read() as session:
            principal = self._read(session, header, digest, wanted)
        self._principals[header] = principal
        return principal

    def refresh(self) -> None:
        """Reads all services and their ready replicas."""
        with self._refreshing:
            self._refresh()

    def _refresh(self) -> None:
        with self._database.read() as session:
            services = session.execute(
                select(
                    Service.id,
                    Service.wanted,
                    Service.state,
                    Service.reason,
                    Service.serving_generation,
                    Service.serving_spec,
                ).where(Service.kind == SERVICE_KIND, Service.wanted != Wanted.REMOVED.value)
            ).all()
            replicas = session.execute(
                select(Replica.id, Replica.service_id, Replica.generation, Replica.socket_path).where(
                    Replica.state == ReplicaState.READY.value, Replica.socket_path.is_not(None)
                )
            ).all()
        upstreams = {row.id: self._upstreams.get(row.id) or Upstream(row.id, row.socket_path) for row in replicas}
        targets = {}
        for row in services:
            labels = (row.serving_spec or {}).get("labels", {})
            targets[row.id] = Target(
                deployment_id=row.id,
                model_id=labels.get("model_id", ""),
                is_active=row.wanted == Wanted.RUNNING.value,
                state=row.state,
                reason=row.reason,
            )
        serving = {row.id: row.serving_generation for row in services}
        for row in replicas:
            if row.service_id in targets and row.generation == serving[row.service_id]:
                targets[row.service_id].upstreams.append(upstreams[row.id])
        for replica_id, upstream in self._upstreams.items():
            if replica_id not in upstreams:
                upstream.retire()
        self._upstreams = upstreams
        self._targets = targets

    def keep_fresh(self) -> None:
        """Renews everything whenever something was committed, until ``stop()``. Runs in a thread of its own."""
        wakeup = Wakeup(self._database)
        while not self._stop.is_set():
            try:
                self.refresh()
                if time.monotonic() - self._renewed_at > PRINCIPAL_REFRESH_S:
                    self._renew_principals()
                    self._renewed_at = time.monotonic()
            except Exception:
                log.exception("the routing table could not be renewed")
                self._stop.wait(1.0)
            wakeup.wait(KEEPALIVE_S, self._stop)
            self._stop.wait(THROTTLE_S)
        wakeup.close()

    def stop(self) -> None:
        self._stop.set()

    def _renew_principals(self) -> None:
        limit = time.monotonic() - PRINCIPAL_IDLE_S
        kept: dict[str, Principal] = {}
        with self._database.read() as session:
            for header, known in list(self._principals.items()):
                if known.used_at >= limit:
                    kept[header] = self._read(session, header, known.digest, set(known.may_use), known.used_at)
        self._principals = kept

    def _read(
        self, session: Session, header: str, digest: bytes, wanted: set[str], used_at: float | None = None
    ) -> Principal:
        caller = find_caller(session, digest)
        may_use: dict[str, bool] = dict.fromkeys(wanted, False)
        if caller is not None:
            if caller.token_id is not None and (used_at is None or used_at >= self._renewed_at):
                self._note_token_use(caller.token_id)
            for deployment_id in wanted:
                role = role_of(session, caller, ResourceKind.DEPLOYMENT, deployment_id)
                may_use[deployment_id] = role is not None and Permission.USE in PERMISSIONS[role]
        return Principal(header, digest, caller is not None, may_use, used_at or time.monotonic())


def _token_in(header: str) -> str | None:
    scheme, _, rest = header.partition(" ")
    rest = rest.strip()
    if scheme.lower() in {"bearer", "token"}:
        return rest
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(rest, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None
