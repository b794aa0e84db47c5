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
from modelyard.compute.services.probing import Prober
from modelyard.compute.services.readiness import Sight, look_at
from modelyard.compute.services.service import ServiceSpec
from modelyard.compute.services.tables import LIVE, Replica, ReplicaState, Service, ServiceState, Wanted
from modelyard.compute.services.workloads import Materials, without_secrets, workload_of
from modelyard.kernel.database import Database
from modelyard.kernel.errors import ModelyardError
from modelyard.kernel.ids import new_id
from modelyard.kernel.outages import Outage, OutageLog
from modelyard.kernel.wakeup import notify
from modelyard.operations.leases import hold

log = logging.getLogger(__name__)

LEASE_S = 15.0
DRAIN_S = 1.0
"""How long a replica that gets no more traffic is left alone before it is asked to end."""
STOP_GRACE_S = 60.0
HOPELESS_GRACE_S = 3.0
STEADY_S = 60.0
"""A replica that was ready for this long proves that its service works."""
START_ATTEMPTS = 2
LONGEST_BACKOFF_S = 60.0
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
        moving = False
        self._seen = set()
        for service_id in self._unsettled():
            try:
                moving = self.step(service_id) or moving
                self._outages.succeeded()
            except Outage as error:
                self._outages.failed(error)
            except ModelyardError as error:
                self._fail(service_id, error.message)
            except Exception as error:  # noqa: BLE001 # logged
                self._outages.failed(error)
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
        if _is_at_rest(service, replicas, seen):
            return False
        with self._database.write() as session:
            wanted = session.get(Service, service_id, with_for_update=True)
            if wanted is None:
                return False
            _Round(session, wanted, seen, datetime.now(UTC), self._executor.node_id).decide()
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
                _Round(
                    session,
                    service,
                    {replica_id: Sight("ended", reason=reason)},
                    datetime.now(UTC),
                    self._executor.node_id,
                ).decide()
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


class _Round:
    """One decision about one service: turns what was seen into new states of rows."""

    def __init__(self, session: Session, service: Service, seen: dict[str, Sight], now: datetime, node_id: str) -> None:
        self.node_id = node_id
        self.session = session
        self.service = service
        self.seen = seen
        self.now = now
        self.live = list(
            session.scalars(
                select(Replica)
                .where(Replica.service_id == service.id, Replica.state.in_(LIVE))
                .order_by(Replica.id)
                .with_for_update()
            )
        )

    def decide(self) -> None:
        for replica in list(self.live):
            self._take_note(replica)
        if self.service.wanted != Wanted.RUNNING.value:
            for replica in self.live:
                self._drain(replica)
            return
        current = self._current()
        ready = [replica for replica in current if replica.state == ReplicaState.READY.value]
        self._switch(ready)
        self._drop_surplus(current)
        self._add_missing(current)
        self._name_state(ready)

    def _current(self) -> list[Replica]:
        wanted = self.service.generation
        return [r for r in self.live if r.generation == wanted and r.state != ReplicaState.DRAINING.value]

    def _take_note(self, replica: Replica) -> None:
        sight = self.seen.get(replica.id)
        if sight is None:
            return
        if sight.state == "missing" and replica.state == ReplicaState.STARTING.value:
            if replica.generation != self.service.generation:
                self._end(replica, "its generation was given up before it started")
            return
        if sight.state == "ready":
            replica.state = ReplicaState.READY.value
            replica.ready_at = self.now
            replica.socket_path = sight.socket_path
        elif sight.state in {"ended", "missing"}:
            was_draining = replica.state == ReplicaState.DRAINING.value
            self._end(replica, sight.reason or "its workload is gone")
            if not was_draining:
                self._count_failure(replica)
        elif sight.state in {"late", "stuck"}:
            self._drain(replica)
            replica.reason = sight.reason
            self._count_failure(replica)
        elif replica.ready_at and (self.now - replica.ready_at).total_seconds() > STEADY_S and self.service.failures:
            self.service.failures = 0

    def _end(self, replica: Replica, reason: str) -> None:
        replica.state = ReplicaState.ENDED.value
        replica.ended_at = self.now
        replica.reason = replica.reason or reason
        self.live.remove(replica)

    def _count_failure(self, replica: Replica) -> None:
        if replica.generation != self.service.generation:
            return
        self.service.failures += 1
        self.service.reason = replica.reason
        pause_s = min(LONGEST_BACKOFF_S, 0.5 * 2 ** (self.service.failures - 1))
        self.service.next_attempt_at = self.now + timedelta(seconds=pause_s)

    def _drain(self, replica: Replica) -> None:
        if replica.state != ReplicaState.DRAINING.value:
            replica.state = ReplicaState.DRAINING.value
            replica.draining_at = self.now

    def _switch(self, ready: list[Replica]) -> None:
        """Moves the traffic to the wanted generation once it is complete."""
        service = self.service
        if service.serving_generation != service.generation:
            if len(ready) < service.replicas:
                return
            service.serving_generation = service.generation
            service.serving_spec = service.spec
        for replica in self.live:
            if replica.generation != service.generation:
                self._drain(replica)

    def _drop_surplus(self, current: list[Replica]) -> None:
        for replica in current[self.service.replicas :]:
            self._drain(replica)

    def _add_missing(self, current: list[Replica]) -> None:
        service = self.service
        if self._has_given_up() or (service.next_attempt_at and service.next_attempt_at > self.now):
            return
        for _ in range(service.replicas - len(current)):
            self.session.add(
                Replica(
                    id=new_id(),
                    service_id=service.id,
                    generation=service.generation,
                    state=ReplicaState.STARTING.value,
                    node_id=self.node_id,
                    created_at=self.now,
                )
            )
        self.session.flush()

    def _has_given_up(self) -> bool:
        """A generation that was never ready is tried a few times; one that was ready is restarted for ever."""
        service = self.service
        return service.serving_generation != service.generation and service.failures >= START_ATTEMPTS

    def _name_state(self, ready: list[Replica]) -> None:
        service = self.service
        if self._has_given_up():
            state = ServiceState.FAILED
        elif service.serving_generation == service.generation:
            state = ServiceState.READY if len(ready) >= service.replicas else ServiceState.FAILING
        else:
            state = ServiceState.LAUNCHING if service.serving_generation is None else ServiceState.REPLACING
        if state is ServiceState.READY and not service.failures:
            service.reason = None
        if service.state != state.value:
            service.state = state.value
            service.updated_at = self.now


def _is_at_rest(service: Service, replicas: list[Replica], seen: dict[str, Sight]) -> bool:
    """Whether there is nothing to decide about a service, so that nothing needs to be locked or written."""
    if service.wanted != Wanted.RUNNING.value:
        return False
    if service.state == ServiceState.FAILED.value and not replicas:
        return True
    now = datetime.now(UTC)
    steady = all(
        replica.state == ReplicaState.READY.value
        and replica.generation == service.generation
        and seen[replica.id].state == "alive"
        and not (service.failures and replica.ready_at and (now - replica.ready_at).total_seconds() > STEADY_S)
        for replica in replicas
    )
    waiting = service.next_attempt_at is not None and service.next_attempt_at > now
    complete = service.state == ServiceState.READY.value and len(replicas) == service.replicas
    return steady and (complete or (waiting and service.state == ServiceState.FAILING.value))


def _spec_of(service: Service, replica: Replica) -> ServiceSpec | None:
    if replica.generation == service.generation:
        return msgspec.convert(service.spec, ServiceSpec)
    if replica.generation == service.serving_generation and service.serving_spec is not None:
        return msgspec.convert(service.serving_spec, ServiceSpec)
    return None
