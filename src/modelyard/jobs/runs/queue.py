"""Places for runs: so many of an organization's runs execute at once, and so many may wait."""

from sqlalchemy.orm import Session

from modelyard.jobs.tables import CustomJob, CustomJobRun, Phase
from modelyard.kernel.errors import Invalid
from modelyard.kernel.paging import count_rows
from modelyard.kernel.settings import Settings
from modelyard.operations.places import Places

PLACES = Places(
    "customJobRun",
    CustomJobRun,
    CustomJobRun.phase,
    waiting=Phase.WAITING.value,
    entered=Phase.PREPARING.value,
    taking=(Phase.PREPARING.value, Phase.EXECUTING.value),
)


def let_in(session: Session, settings: Settings, organization_id: str) -> None:
    """See ``Places.let_in``."""
    PLACES.let_in(session, settings.max_custom_job_runs, organization_id)


def require_room(session: Session, settings: Settings, job: CustomJob) -> None:
    """Raises ``Invalid`` while as many runs wait as may. To be called before a run is added, by whoever then does."""
    PLACES.lock(session, job.organization_id)
    limits = [
        ("of the organization", settings.max_waiting_job_runs, CustomJobRun.organization_id == job.organization_id),
        (f"of custom job {job.id}", settings.max_waiting_runs_per_job, CustomJobRun.job_id == job.id),
    ]
    for whose, limit, condition in limits:
        waiting = PLACES.queue(job.organization_id).where(condition).with_only_columns(CustomJobRun.id).limit(limit)
        if count_rows(session, waiting) == limit:
            raise Invalid(
                f"No more runs {whose} than {limit} may wait for a free place; try again when some of them have begun, "
                "or cancel some."
            )
