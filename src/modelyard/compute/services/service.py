"""Saying what should run, and asking how it is."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.compute.services.tables import Replica, ReplicaState, Service, ServiceState, Wanted
from modelyard.kernel.wakeup import notify


class ServiceSpec(msgspec.Struct, kw_only=True):
    """What each replica of one generation runs. It names content by digest, so it means the same at any time.

    ``image_digest`` is an image that is built; ``workspace_id`` may join several by ``+``, whose files
    are then laid over each other.
    ``environment`` is filled with places such as ``{code}``, ``literals`` are variables that are not.
    ``credentials`` are ids by the name of the variables that hand them over; they are opened on behalf of the user
    ``acts_for`` each time a replica is started, since a spec is stored as it is.
    ``health_path`` answers 200 on the socket ``socket_name`` when the replica is ready, and as long as it is well: one
    that says for longer than ``stuck_timeout_s`` that it is not is replaced.
    """

    command: tuple[str, ...]
    image_digest: str | None = None
    workspace_id: str | None = None
    environment: dict[str, str] = {}
    literals: dict[str, str] = {}
    credentials: dict[str, str] = {}
    acts_for: str | None = None
    memory_bytes: int | None = None
    cpu_count: float | None = None
    network: str = "none"
    api_address: str | None = None
    processes: int = 512
    disk_bytes: int | None = None
    log_bytes: int | None = None
    socket_name: str = "server.sock"
    health_path: str = "/"
    start_timeout_s: float = 600
    stuck_timeout_s: float = 30
    labels: dict[str, str] = {}


@dataclass(frozen=True)
class ServiceStatus:
    """``serving_generation`` is None while nothing has been ready yet."""

    state: ServiceState
    reason: str | None
    generation: int
    serving_generation: int | None
    ready_replicas: int


def put_service(session: Session, service_id: str, kind: str, spec: ServiceSpec, replicas: int) -> int:
    """Wants ``replicas`` of ``spec`` to run under this id; the answer is the generation to wait for.

    A service that runs another spec goes on answering with it until the new one is ready.
    """
    now = datetime.now(UTC)
    row = session.get(Service, service_id, with_for_update=True)
    if row is None:
        row = Service(id=service_id, kind=kind, generation=0, failures=0)
        session.add(row)
    row.generation += 1
    row.spec = msgspec.to_builtins(spec)
    row.replicas = replicas
    row.wanted = Wanted.RUNNING.value
    row.state = (ServiceState.LAUNCHING if row.serving_generation is None else ServiceState.REPLACING).value
    row.reason = None
    row.failures = 0
    row.next_attempt_at = None
    row.updated_at = now
    session.flush()
    notify(session)
    return row.generation


def revert_service(session: Session, service_id: str) -> None:
    """Gives up a generation that did not come up: what answers now is what is wanted again."""
    row = session.get(Service, service_id, with_for_update=True)
    if row is None or row.serving_spec is None or row.serving_generation is None:
        return
    if row.serving_generation != row.generation:
        row.spec = row.serving_spec
        row.generation = row.serving_generation
        row.state = ServiceState.READY.value
        row.reason = None
        row.failures = 0
        row.next_attempt_at = None
        row.updated_at = datetime.now(UTC)
        notify(session)


def scale_service(session: Session, service_id: str, replicas: int) -> None:
    """Wants another number of replicas of the same spec."""
    row = session.get_one(Service, service_id, with_for_update=True)
    row.replicas = replicas
    row.updated_at = datetime.now(UTC)
    notify(session)


def stop_service(session: Session, service_id: str) -> None:
    """Wants nothing to run; ``put_service`` starts it again."""
    _want(session, service_id, Wanted.STOPPED)


def remove_service(session: Session, service_id: str) -> None:
    """Wants nothing to run and nothing to be left."""
    _want(session, service_id, Wanted.REMOVED)


def service_status(session: Session, service_id: str) -> ServiceStatus | None:
    """How a service is; None when there is none (or none any more)."""
    return service_statuses(session, [service_id]).get(service_id)


def service_statuses(session: Session, service_ids: Iterable[str]) -> dict[str, ServiceStatus]:
    """How each of several services is, in two queries."""
    ids = list(service_ids)
    ready: dict[str, int] = {}
    for service_id in session.scalars(
        select(Replica.service_id).where(Replica.service_id.in_(ids), Replica.state == ReplicaState.READY.value)
    ):
        ready[service_id] = ready.get(service_id, 0) + 1
    return {
        row.id: ServiceStatus(
            ServiceState(row.state), row.reason, row.generation, row.serving_generation, ready.get(row.id, 0)
        )
        for row in session.scalars(select(Service).where(Service.id.in_(ids)))
    }


def replicas_of(session: Session, service_id: str) -> list[Replica]:
    """All replicas that are remembered, newest first."""
    return list(session.scalars(select(Replica).where(Replica.service_id == service_id).order_by(Replica.id.desc())))


def live_image_digests(session: Session) -> set[str]:
    """Images that a service runs or is to run."""
    specs: list[dict[str, Any] | None] = [
        spec for pair in session.execute(select(Service.spec, Service.serving_spec)).all() for spec in pair
    ]
    return {digest for spec in specs if spec and (digest := spec.get("image_digest"))}


def _want(session: Session, service_id: str, wanted: Wanted) -> None:
    row = session.get(Service, service_id, with_for_update=True)
    if row is None:
        return
    row.wanted = wanted.value
    if row.state != ServiceState.STOPPED.value:
        row.state = ServiceState.STOPPING.value
    row.updated_at = datetime.now(UTC)
    notify(session)
