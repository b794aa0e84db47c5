"""How the installation is, in numbers, for its metrics: each from rows that an index finds."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from modelyard.compute.isolation import Isolation
from modelyard.compute.services.tables import LIVE, Replica
from modelyard.environments.tables import OPEN_BUILD, Build
from modelyard.jobs.tables import CustomJobRun
from modelyard.kernel.database import Database
from modelyard.kernel.metrics import Gauge
from modelyard.learning.tables import LearningModel
from modelyard.operations.tables import Operation


def read_state(database: Database, isolation: Isolation) -> Iterable[Gauge]:
    """The gauges of queues, operations, builds, replicas and the sandbox."""
    with database.read() as session:
        runs = _count(session, CustomJobRun.phase, CustomJobRun.ended_at.is_(None))
        trainings = _count(session, LearningModel.status, LearningModel.ended_at.is_(None))
        operations = _count(session, Operation.kind, Operation.finished_at.is_(None))
        replicas = _count(session, Replica.state, Replica.state.in_(LIVE))
        builds = _count(session, Build.status, Build.status.in_(OPEN_BUILD))
        oldest = session.scalar(select(func.min(Operation.due_at)).where(Operation.finished_at.is_(None)))
    late_s = max(0.0, (datetime.now(UTC) - oldest).total_seconds()) if oldest is not None else 0.0
    return [
        ("modelyard_job_runs", "Runs of jobs that have not ended.", ("phase",), runs),
        ("modelyard_trainings", "Trainings that have not ended.", ("status",), trainings),
        ("modelyard_operations", "Operations that have not ended.", ("kind",), operations),
        ("modelyard_operation_delay_seconds", "How late the operation is that is due first.", (), {(): late_s}),
        ("modelyard_replicas", "Replicas of services that have not ended.", ("state",), replicas),
        ("modelyard_builds", "Builds of images that have not ended.", ("status",), builds),
        ("modelyard_sandbox", "1 where user code runs in a sandbox.", (), {(): float(isolation.is_sandboxed)}),
    ]


def _count(session: Session, label: Any, *conditions: Any) -> dict[tuple[str, ...], float]:
    found = session.execute(select(label, func.count()).where(*conditions).group_by(label))
    return {(str(name),): float(count) for name, count in found}
