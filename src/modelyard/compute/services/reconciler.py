"""The reconciler: compares the services that are wanted with the workloads that run, and moves each one step."""

import logging
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from modelyard.compute.executor import Executor
from modelyard.compute.free_space import NoSpace
from modelyard.compute.services.decisions import Round, is_at_rest
from modelyard.compute.services.probing import Prober
from modelyard.compute.services.readiness import Sight, look_at
from modelyard.compute.services.service import ServiceSpec
from modelyard.compute.services.tables import LIVE, Replica, ReplicaState, Service, ServiceState, Wanted
from modelyard.compute.services.workloads import Materials, without_secrets, workload_of
from modelyard.kernel.database import Database
from modelyard.kernel.errors import ModelyardError
from modelyard.kernel.outages import Outage, OutageLog, outage_of
from modelyard.kernel.wakeup import notify
from modelyard.operations.leases import hold

log = logging.getLogger(__name__)

LEASE_S = 15.0
DRAIN_S = 1.0
"""How long a replica that gets no more traffic is left alone before it is asked to end."""
STOP_GRACE_S = 60.0
HOPELESS_GRACE_S = 3.0
REMEMBERED_REPLICAS = 10
MOVING_S = 0.05
RESTING_S = 1.0


class Reconciler:
    """Runs in every controller; of several, the one that holds the lease works."""

    def __init__(self, database: Database, executor: Executor, materials: Materials, owner: str) -> None:
        self._database = database
        self._outages = OutageLog(log, "services cannot be looked after")
        self._executor = executor
        self._materials = materials
        self._owner = owner
        self._prober = Prober()
        self._seen: set[str] = set()

    def run(self) -> float:
        """One round over all services that are not at rest; the answer is when to look again, in seconds."""
        if not hold(self._database, "services", self._owner, LEASE_S):
            self._prober.keep(())  # what is known of them now may be wrong when it is this one's turn again
            return LEASE_S / 5
        moving = is_outage = False
        self._seen = set()
        for service_id in self._unsettled():
            try:
                moving = self.step(service_id) or moving
            except Exception as error:
                if (outage := outage_of(error)) is not None:
                    is_outage = True
                    self._outages.failed(outage)
                elif isinstance(error, ModelyardError):
                    self._fail(service_id, error.message)
                else:
                    log.exception("service %s cannot be looked after", service_id)
        if not is_outage:
            self._outages.succeeded()
        self._prober.keep(self._seen)
        return MOVING_S if moving else RESTING_S

    def _unsettled(self) -> list[str]:
        with self._database.read() as session:
            return list(
                session.scalars(
                    select(Service.id).where(
                        (Service.wanted == Wanted.RUNNING.value)
                        | (Service.state != ServiceState.STOPPED.value)
                        | (Service.wanted == Wanted.REMOVED.value)
                    )
                )
            )

    def step(self, service_id: str) -> bool:
        """Looks at one service and does what is next for it; True while there is something to come soon."""
        with self._database.read() as session:
            service = session.get(Service, service_id)
            replicas = list(
                session.scalars(select(Replica).where(Replica.service_id == service_id, Replica.state.in_(LIVE)))
            )
        if service is None:
            return False
        self._seen.update(replica.id for replica in replicas)
        seen = {replica.id: self._look(service, replica) for replica in replicas}
        if is_at_rest(service, replicas, seen):
            return False
        with self._database.write() as session:
            wanted = session.get(Service, service_id, with_for_update=True)
            if wanted is None:
                return False
            self._decide(session, wanted, seen)
            settled = self._is_over(session, wanted)
            starting = self._to_start(session, wanted)
            ending = self._to_stop(session, wanted)
            if session.dirty or session.new or session.deleted or settled:
                notify(session)
        for replica_id in starting:
            try:
                self._start(wanted, replica_id)
            except (NoSpace, Outage) as error:
                self._note_waiting(service_id, error.message)
            except ModelyardError as error:
                self._note_failed_start(service_id, replica_id, error.message)
        for replica_id, grace_s in ending:
            self._executor.stop(replica_id, grace_s)
        if settled:
            self._forget(service_id)
        else:
            self._trim(wanted)
        return True

    def _decide(self, session: Session, service: Service, seen: dict[str, Sight]) -> None:
        Round(session, service, seen, datetime.now(UTC), self._executor.node_id).decide()

    def _look(self, service: Service, replica: Replica) -> Sight:
        """What has become of a replica since it was written down."""
        spec = _spec_of(service, replica)
        is_starting = replica.state == ReplicaState.STARTING.value
        sight = look_at(
            self._executor,
            replica.id,
            spec,
            created_at=replica.created_at,
            now=datetime.now(UTC),
            is_ready=partial(self._prober.is_ready, replica.id) if is_starting else None,
            masked=partial(without_secrets, spec=spec, materials=self._materials),
        )
        if sight.state != "alive" or replica.state != ReplicaState.READY.value or not replica.socket_path or not spec:
            return sight
        socket = Path(replica.socket_path)
        reason = self._prober.why_stuck(replica.id, socket, spec.health_path, spec.stuck_timeout_s)
        return sight if reason is None else Sight("stuck", reason=without_secrets(reason, spec, self._materials))

    def _to_start(self, session: Session, service: Service) -> list[str]:
        """New replicas, and those that were written down but never started because a controller died in between."""
        return list(
            session.scalars(
                select(Replica.id).where(
                    Replica.service_id == service.id,
                    Replica.generation == service.generation,
                    Replica.state == ReplicaState.STARTING.value,
                )
            )
        )

    def _to_stop(self, session: Session, service: Service) -> list[tuple[str, float]]:
        """Replicas that have had time to finish what they were sent, with the seconds they get to end by themselves.

        One that never was ready, or was found stuck, has nothing to finish.
        """
        draining = session.scalars(
            select(Replica).where(Replica.service_id == service.id, Replica.state == ReplicaState.DRAINING.value)
        )
        limit = datetime.now(UTC) - timedelta(seconds=DRAIN_S)
        ending = []
        for replica in draining:
            if replica.ready_at is None or replica.reason is not None:
                ending.append((replica.id, HOPELESS_GRACE_S))
            elif replica.draining_at is not None and replica.draining_at < limit:
                ending.append((replica.id, STOP_GRACE_S))
        return ending

    def _start(self, service: Service, replica_id: str) -> None:
        if self._executor.observe(replica_id).state.value != "absent":
            return
        spec = msgspec.convert(service.spec, ServiceSpec)
        labels = {"service": service.id, "kind": service.kind}
        self._executor.start(workload_of(spec, replica_id, self._materials, labels))

    def _note_waiting(self, service_id: str, reason: str) -> None:
        """The replica stays as it is, to be started in a later round."""
        with self._database.write() as session:
            service = session.get(Service, service_id, with_for_update=True)
            if service is not None and service.reason != reason:
                service.reason = reason
                notify(session)

    def _note_failed_start(self, service_id: str, replica_id: str, reason: str) -> None:
        """A replica that could not even be started counts as one that ended: it is tried again, later and later."""
        with self._database.write() as session:
            service = session.get(Service, service_id, with_for_update=True)
            replica = session.get(Replica, replica_id)
            if service is not None and replica is not None and replica.state == ReplicaState.STARTING.value:
                self._decide(session, service, {replica_id: Sight("ended", reason=reason)})
                notify(session)

    def _is_over(self, session: Session, service: Service) -> bool:
        left = session.scalar(
            select(Replica.id).where(Replica.service_id == service.id, Replica.state.in_(LIVE)).limit(1)
        )
        if left is not None or service.wanted == Wanted.RUNNING.value:
            return False
        if service.wanted == Wanted.STOPPED.value:
            service.state = ServiceState.STOPPED.value
            service.serving_generation = None
            service.serving_spec = None
            return False
        return True

    def _forget(self, service_id: str) -> None:
        with self._database.read() as session:
            ids = list(session.scalars(select(Replica.id).where(Replica.service_id == service_id)))
        for replica_id in ids:
            self._executor.remove(replica_id)
        with self._database.write() as session:
            session.execute(delete(Replica).where(Replica.service_id == service_id))
            session.execute(delete(Service).where(Service.id == service_id))

    def _fail(self, service_id: str, reason: str) -> None:
        with self._database.write() as session:
            service = session.get(Service, service_id, with_for_update=True)
            if service is not None and service.reason != reason:
                service.state = ServiceState.FAILED.value
                service.reason = reason
                notify(session)

    def _trim(self, service: Service) -> None:
        """Removes the folders and rows of all but the last few replicas that have ended."""
        with self._database.read() as session:
            ended = list(
                session.scalars(
                    select(Replica.id)
                    .where(Replica.service_id == service.id, Replica.state == ReplicaState.ENDED.value)
                    .order_by(Replica.id.desc())
                    .offset(REMEMBERED_REPLICAS)
                )
            )
        for replica_id in ended:
            self._executor.remove(replica_id)
        if ended:
            with self._database.write() as session:
                session.execute(delete(Replica).where(Replica.id.in_(ended)))


def _spec_of(service: Service, replica: Replica) -> ServiceSpec | None:
    if replica.generation == service.generation:
        return msgspec.convert(service.spec, ServiceSpec)
    if replica.generation == service.serving_generation and service.serving_spec is not None:
        return msgspec.convert(service.serving_spec, ServiceSpec)
    return None
