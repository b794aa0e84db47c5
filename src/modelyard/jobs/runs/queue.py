"""Places for runs: so many of an organization's runs execute at once, the rest wait in the order they came."""

from sqlalchemy import Select, func, select, update
from sqlalchemy.orm import Session

from modelyard.jobs.tables import CustomJob, CustomJobRun, Phase, RunQueue
from modelyard.kernel.errors import Invalid
from modelyard.kernel.paging import count_rows
from modelyard.kernel.settings import Settings
from modelyard.operations import service as operations

TAKING_A_PLACE = (Phase.PREPARING.value, Phase.EXECUTING.value)

COUNTED = 1000


def let_in(session: Session, settings: Settings, organization_id: str) -> None:
    """Gives the free places to those who wait longest, and has their operations go on at once.

    To be called in the transaction that adds a run or ends one: no place stays empty while somebody waits. Rows are
    locked in one order everywhere: the caller's own operation and run, the queue, then of each that waits the operation
    and the run. So whoever waits takes the queue before its own run (see ``lock``).
    """
    lock(session, organization_id)
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
    next_ones = _waiting(organization_id).with_only_columns(CustomJobRun.id, CustomJobRun.operation_id).limit(free)
    for run_id, operation_id in session.execute(next_ones).all():
        if operation_id is not None:
            operations.wake(session, operation_id)
        session.execute(update(CustomJobRun).where(CustomJobRun.id == run_id).values(phase=Phase.PREPARING.value))


def require_room(session: Session, settings: Settings, job: CustomJob) -> None:
    """Raises ``Invalid`` while as many runs wait as may. To be called before a run is added, by whoever then does."""
    lock(session, job.organization_id)
    limits = [
        ("of the organization", settings.max_waiting_job_runs, CustomJobRun.organization_id == job.organization_id),
        (f"of custom job {job.id}", settings.max_waiting_runs_per_job, CustomJobRun.job_id == job.id),
    ]
    for whose, limit, condition in limits:
        waiting = _waiting(job.organization_id).where(condition).with_only_columns(CustomJobRun.id).limit(limit)
        if count_rows(session, waiting) == limit:
            raise Invalid(
                f"No more runs {whose} than {limit} may wait for a free place; try again when some of them have begun, "
                "or cancel some."
            )


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


def lock(session: Session, organization_id: str) -> None:
    """One at a time gives out an organization's places; SQLite has one writer anyway."""
    row = session.get(RunQueue, organization_id, with_for_update=True)
    if row is None:
        session.add(RunQueue(organization_id=organization_id))
        session.flush()
