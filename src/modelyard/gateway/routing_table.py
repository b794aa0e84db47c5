"""Which deployment is answered by which replicas: kept in memory, renewed after commits."""

import logging
import threading
from dataclasses import dataclass, field

from sqlalchemy import select

from modelyard.compute.services.tables import Replica, ReplicaState, Service, Wanted
from modelyard.gateway.upstream import Upstream
from modelyard.kernel.database import Database
from modelyard.kernel.outages import OutageLog, describe
from modelyard.kernel.wakeup import Wakeup

log = logging.getLogger(__name__)

SERVICE_KIND = "deployment"
THROTTLE_S = 0.05
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


class RoutingTable:
    """Read by the event loop without locks: each renewal replaces whole objects."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._targets: dict[str, Target] = {}
        self._upstreams: dict[str, Upstream] = {}
        self._stop = threading.Event()
        self._refreshing = threading.Lock()
        self.outage: str | None = None
        """Why the routes may be old, for whoever asks whether the gateway is ready."""

    # what the event loop asks

    def target(self, deployment_id: str) -> Target | None:
        return self._targets.get(deployment_id)

    # what threads do

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
        renewing = OutageLog(log, "the routing table cannot be renewed, and stays as it was")
        while not self._stop.is_set():
            try:
                self.refresh()
                renewing.succeeded()
                self.outage = None
            except Exception as error:  # noqa: BLE001 # logged
                renewing.failed(error)
                self.outage = f"The routes cannot be renewed, and stay as they were: {describe(error)}"
                self._stop.wait(1.0)
            wakeup.wait(KEEPALIVE_S, self._stop)
            self._stop.wait(THROTTLE_S)
        wakeup.close()

    def stop(self) -> None:
        self._stop.set()
