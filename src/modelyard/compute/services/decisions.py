"""What is next for a service, by what was seen of its replicas: only rows are read and written here."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.compute.services.readiness import Sight
from modelyard.compute.services.tables import LIVE, Replica, ReplicaState, Service, ServiceState, Wanted
from modelyard.kernel.ids import new_id

STEADY_S = 60.0
"""A replica that was ready for this long proves that its service works."""
START_ATTEMPTS = 2
LONGEST_BACKOFF_S = 60.0


class Round:
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


def is_at_rest(service: Service, replicas: list[Replica], seen: dict[str, Sight]) -> bool:
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
