"""Places for trainings: so many of an organization's go on at once, and so many may wait."""

from sqlalchemy.orm import Session

from modelyard.kernel.errors import Conflict
from modelyard.kernel.paging import count_rows
from modelyard.kernel.settings import Settings
from modelyard.learning.tables import LearningModel, ModelStatus
from modelyard.operations.places import Places

PLACES = Places(
    "learningModel",
    LearningModel,
    LearningModel.status,
    waiting=ModelStatus.QUEUED.value,
    entered=ModelStatus.PREPARING.value,
    taking=(ModelStatus.PREPARING.value, ModelStatus.TRAINING.value),
)


def let_in(session: Session, settings: Settings, organization_id: str) -> None:
    """See ``Places.let_in``."""
    PLACES.let_in(session, settings.max_trainings, organization_id)


def require_room(session: Session, settings: Settings, organization_id: str) -> None:
    """Raises ``Conflict`` while as many trainings wait as may. To be called before one is added, by who then does."""
    PLACES.lock(session, organization_id)
    limit = settings.max_waiting_trainings
    if count_rows(session, PLACES.queue(organization_id).with_only_columns(LearningModel.id).limit(limit)) == limit:
        raise Conflict(
            f"No more than {limit} trainings of the organization may wait for a free place; try again when some of "
            "them have begun, or cancel some."
        )
