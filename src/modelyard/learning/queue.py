"""Places for trainings: so many of an organization's are trained at once, the rest wait in the order they came."""

from sqlalchemy import Select, func, select, update
from sqlalchemy.orm import Session

from modelyard.kernel.settings import Settings
from modelyard.learning.tables import TAKING_A_PLACE, LearningModel, ModelStatus, TrainingQueue
from modelyard.operations import service as operations

COUNTED = 1000


def let_in(session: Session, settings: Settings, organization_id: str) -> None:
    """Gives the free places to those who wait longest, and has their operations go on at once.

    Rows are locked in the order that ``jobs.runs.queue`` describes: whoever waits takes the queue before its own rows.
    """
    lock(session, organization_id)
    session.flush()
    taken = session.scalar(
        select(func.count()).where(
            LearningModel.organization_id == organization_id,
            LearningModel.ended_at.is_(None),
            LearningModel.status.in_(TAKING_A_PLACE),
        )
    )
    free = settings.max_trainings - (taken or 0)
    if free <= 0:
        return
    next_ones = _waiting(organization_id).with_only_columns(LearningModel.id, LearningModel.operation_id).limit(free)
    for model_id, operation_id in session.execute(next_ones).all():
        if operation_id is not None:
            operations.wake(session, operation_id)
        session.execute(
            update(LearningModel).where(LearningModel.id == model_id).values(status=ModelStatus.PREPARING.value)
        )


def positions(session: Session, organization_id: str) -> dict[str, int]:
    """How many trainings wait longer than each of those that wait; only for the first ``COUNTED``."""
    ids = session.scalars(_waiting(organization_id).with_only_columns(LearningModel.id).limit(COUNTED)).all()
    return {model_id: index for index, model_id in enumerate(ids)}


def lock(session: Session, organization_id: str) -> None:
    """One at a time gives out an organization's places; SQLite has one writer anyway."""
    row = session.get(TrainingQueue, organization_id, with_for_update=True)
    if row is None:
        session.add(TrainingQueue(organization_id=organization_id))
        session.flush()


def _waiting(organization_id: str) -> Select[tuple[LearningModel]]:
    return (
        select(LearningModel)
        .where(
            LearningModel.organization_id == organization_id,
            LearningModel.ended_at.is_(None),
            LearningModel.status == ModelStatus.QUEUED.value,
        )
        .order_by(LearningModel.id)
    )
