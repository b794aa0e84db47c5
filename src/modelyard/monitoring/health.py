"""Watching service health: what it was when somebody looked last, and telling when it is another one."""

from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from modelyard.deployments.events import tell_health
from modelyard.deployments.tables import Deployment, DeploymentStatus
from modelyard.kernel.database import Database
from modelyard.monitoring.tables import DeploymentHealth, PredictionUsage
from modelyard.monitoring.usage import FAILURES, Health, health_since, judge

ANSWERING = (DeploymentStatus.ACTIVE.value, DeploymentStatus.REPLACING_MODEL.value)


def watch_health(database: Database, now: datetime | None = None) -> int:
    """Looks at all deployments that answer and had requests in the last 24 hours; how many have changed.

    Without a change nothing is written. What was never looked at was ``notStarted``.
    """
    now = now or datetime.now(UTC)
    with database.read() as session:
        changed = _changed(session, now)
    if not changed:
        return 0
    with database.write() as session:
        return sum(_note(session, deployment_id, health, now) for deployment_id, health in sorted(changed.items()))


def _changed(session: Session, now: datetime) -> dict[str, Health]:
    """The present health of those whose health is not the one that is noted, in one query."""
    usage = PredictionUsage
    found = session.execute(
        select(usage.deployment_id, DeploymentHealth.health, func.sum(usage.requests), func.sum(FAILURES))
        .join(Deployment, Deployment.id == usage.deployment_id)
        .outerjoin(DeploymentHealth, DeploymentHealth.deployment_id == usage.deployment_id)
        .where(usage.hour >= health_since(now), Deployment.status.in_(ANSWERING))
        .group_by(usage.deployment_id, DeploymentHealth.health)
    )
    return {
        deployment_id: health
        for deployment_id, known, requests, errors in found
        if (health := judge(int(requests), int(errors))).value != known
    }


def _note(session: Session, deployment_id: str, health: Health, now: datetime) -> bool:
    """Tells a change, unless another controller told it meanwhile."""
    deployment = session.get(Deployment, deployment_id, with_for_update={"read": True, "key_share": True})
    if deployment is None or deployment.status not in ANSWERING:
        return False
    row = session.get(DeploymentHealth, deployment_id, with_for_update=True)
    known = row.health if row is not None else Health.NOT_STARTED.value
    if known == health.value:
        return False
    if row is None:
        row = DeploymentHealth(deployment_id=deployment_id)
        session.add(row)
    row.health = health.value
    row.since = now
    tell_health(session, deployment, health.value, known)
    return True
