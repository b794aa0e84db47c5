"""The logs of deployments: how launches went, and what was collected from replicas."""

from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.compute.executor import Executor
from modelyard.compute.services.service import replicas_of
from modelyard.deployments.tables import DeploymentLog, LogKind
from modelyard.kernel.clock import to_wire
from modelyard.kernel.database import Database

MAX_REPLICA_LINES = 5000
KEPT_LOGS = 20
"""Of each kind and deployment; older ones go."""


def begin(session: Session, operation_id: str, deployment_id: str, kind: LogKind) -> DeploymentLog:
    """The log that an operation writes; the same one when the operation is taken up again."""
    row = session.get(DeploymentLog, operation_id)
    if row is None:
        row = DeploymentLog(
            id=operation_id, deployment_id=deployment_id, kind=kind.value, text="", created_at=datetime.now(UTC)
        )
        session.add(row)
        session.flush()
        _drop_old(session, deployment_id, kind)
    return row


def write(session: Session, operation_id: str, text: str) -> None:
    """Adds a line of ours, with its time. Such lines never say WARNING or ERROR of a healthy deployment (E.9)."""
    _append(session, operation_id, f"{to_wire(datetime.now(UTC))} {text}\n")


def append(session: Session, operation_id: str, text: str) -> None:
    """Adds lines that somebody else wrote."""
    if text:
        _append(session, operation_id, text if text.endswith("\n") else f"{text}\n")


def newest(session: Session, deployment_id: str, kind: LogKind) -> DeploymentLog | None:
    """The log of the last launch, or of the last collection."""
    return session.scalars(
        select(DeploymentLog)
        .where(DeploymentLog.deployment_id == deployment_id, DeploymentLog.kind == kind.value)
        .order_by(DeploymentLog.id.desc())
        .limit(1)
    ).first()


def replica_output(database: Database, executor: Executor, deployment_id: str, generation: int | None = None) -> str:
    """What the replicas wrote (None: those of every generation that is remembered), the oldest first."""
    with database.read() as session:
        ids = [
            replica.id
            for replica in reversed(replicas_of(session, deployment_id))
            if generation is None or replica.generation == generation
        ]
    parts = []
    for replica_id in ids:
        lines = executor.logs(replica_id).tail(MAX_REPLICA_LINES)
        if lines:
            parts.append("".join(f"{line}\n" for line in lines))
    return "".join(parts).replace("\0", "")


def _append(session: Session, operation_id: str, text: str) -> None:
    row = session.get(DeploymentLog, operation_id)
    if row is not None:  # the deployment may have been erased meanwhile
        row.text += text


def _drop_old(session: Session, deployment_id: str, kind: LogKind) -> None:
    old = session.scalars(
        select(DeploymentLog)
        .where(DeploymentLog.deployment_id == deployment_id, DeploymentLog.kind == kind.value)
        .order_by(DeploymentLog.id.desc())
        .offset(KEPT_LOGS)
    )
    for row in old.all():
        session.delete(row)
