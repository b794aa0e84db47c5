"""What should run, and what does."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from modelyard.compute.nodes import OnNode
from modelyard.kernel.database import Base, Id, Json
from modelyard.kernel.ids import new_id


class Wanted(StrEnum):
    RUNNING = "running"
    STOPPED = "stopped"
    REMOVED = "removed"


class ServiceState(StrEnum):
    """How a service is: ``replacing`` still answers with the generation before; ``failing`` answers with fewer
    replicas than wanted or none, and is being restarted; ``failed`` could not be started and is left alone."""

    LAUNCHING = "launching"
    READY = "ready"
    REPLACING = "replacing"
    FAILING = "failing"
    FAILED = "failed"
    STOPPING = "stopping"
    STOPPED = "stopped"


class ReplicaState(StrEnum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    ENDED = "ended"


LIVE = (ReplicaState.STARTING.value, ReplicaState.READY.value, ReplicaState.DRAINING.value)


class Service(Base):
    """``generation`` counts the specs that it was given; ``serving_generation`` is the one that answers now.

    ``failures`` counts the ends of replicas in a row since one was ready for long enough.
    """

    __tablename__ = "services"
    __table_args__ = (Index("ix_services_wanted", "wanted", "state"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    wanted: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(Text)
    spec: Mapped[dict[str, Any]] = mapped_column(Json)
    serving_spec: Mapped[dict[str, Any] | None] = mapped_column(Json)
    generation: Mapped[int]
    serving_generation: Mapped[int | None]
    replicas: Mapped[int]
    failures: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime | None]
    updated_at: Mapped[datetime]


class Replica(OnNode, Base):
    """One workload of a service; its id is the workload's. ``socket_path`` is where a ready one answers."""

    __tablename__ = "replicas"
    __table_args__ = (Index("ix_replicas_service", "service_id", "state"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    service_id: Mapped[str] = mapped_column(Id, ForeignKey("services.id", ondelete="CASCADE"))
    generation: Mapped[int]
    state: Mapped[str] = mapped_column(String(16), index=True)
    reason: Mapped[str | None] = mapped_column(Text)
    socket_path: Mapped[str | None] = mapped_column(String(512))
    created_at: Mapped[datetime]
    ready_at: Mapped[datetime | None]
    draining_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
