"""Places for runs: so many of an organization's runs execute at once, the rest wait in the order they came."""

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from modelyard.jobs.tables import CustomJobRun, Phase, RunQueue
from modelyard.kernel.settings import Settings
from modelyard.operations import service as operations

TAKING_A_PLACE = (Phase.PREPARING.value, Phase.EXECUTING.value)

COUNTED = 1000


def let_in(session: Session, settings: Settings, organization_id: str) -> None:
    """Gives the free places to those who wait longest, and has their operations go on at once.

    To be called in the transaction that adds a run or ends one: no place stays empty while somebody waits.
    """
    _lock(session, organization_id)
    session.flush()
    taken = session.scalar(
        select(func.count()).where(
            CustomJobRun.organization_id == organization_id,
            CustomJobRun.ended_at.is_(None),
            CustomJobRun.phase.in_(TAKING_A_PLACE),
        )
    )
    free = settings.max_custom_job_runs - (taken or 0)
    if free <= 0:
        return
    for run in session.scalars(_waiting(organization_id).limit(free)):
        run.phase = Phase.PREPARING.value
        if run.operation_id is not None:
            operations.wake(session, run.operation_id)
    session.flush()


def positions(session: Session, organization_id: str) -> dict[str, int]:
    """How many runs wait longer than each of those that wait; only for the first ``COUNTED``."""
    ids = session.scalars(_waiting(organization_id).with_only_columns(CustomJobRun.id).limit(COUNTED)).all()
    return {run_id: index for index, run_id in enumerate(ids)}


def _waiting(organization_id: str) -> Select[tuple[CustomJobRun]]:
    return (
        select(CustomJobRun)
        .where(
            CustomJobRun.organization_id == organization_id,
            CustomJobRun.ended_at.is_(None),
            CustomJobRun.phase == Phase.WAITING.value,
        )
        .order_by(CustomJobRun.id)
    )


def _lock(session: Session, organization_id: str) -> None:
    """One at a time gives out an organization's places; SQLite has one writer anyway."""
    row = session.get(RunQueue, organization_id, with_for_update=True)
    if row is None:
        session.add(RunQueue(organization_id=organization_id))
        session.flush()
