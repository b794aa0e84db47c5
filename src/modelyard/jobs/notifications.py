"""Notification jobs: an event that one listens to starts a run of it, once, with the event in its hands."""

import logging
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.events.schemas import Event
from modelyard.events.service import claim_unseen, has_unseen
from modelyard.identity import audit, sharing
from modelyard.identity.caller import Caller, find_active_caller, find_user_caller
from modelyard.identity.roles import PERMISSIONS, Permission
from modelyard.identity.tables import ResourceKind
from modelyard.jobs.changes import NOTIFICATION
from modelyard.jobs.runs.service import start_run
from modelyard.jobs.schemas import Subscription
from modelyard.jobs.service import KIND
from modelyard.jobs.tables import CustomJob, CustomJobRun, Phase, RunStatus
from modelyard.jobs.views import definitions_of
from modelyard.kernel.database import Database
from modelyard.kernel.errors import Forbidden, ModelyardError
from modelyard.kernel.ids import new_id
from modelyard.kernel.parts import Parts
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import UNSET
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces.references import References
from modelyard.workspaces.runtime_parameters import MAX_TEXT_LENGTH, Value

log = logging.getLogger(__name__)

CONSUMER = "notification jobs"
EVENT_PARAMETER = "EVENT"
BATCH = 10
LOCKED_AT_ONCE = 1000
KEPT_CHARACTERS = (1000, 250, 60)
"""Of each text of an event that is too long for a parameter, the first that is enough: up to six stand for one."""


class Dispatcher:
    """Starts the runs that events ask for. An event is claimed in the transaction that starts them, so that it is told
    once however many controllers there are and whenever they end."""

    def __init__(self, database: Database, parts: Parts) -> None:
        self._database = database
        self._settings = parts.get(Settings)
        self._blobs = parts.get(BlobStore)  # type: ignore[type-abstract]
        self._references = parts.get(References)

    def dispatch(self) -> None:
        """Tells of all events that were not told yet."""
        while self._has_unseen():
            with self._database.write() as session:
                events = claim_unseen(session, CONSUMER, BATCH)
                told = [(event, job) for event in events for job in _listeners(session, event)]
                _lock(session, {job.id for _, job in told})
                for event, job in told:
                    self._tell(session, job, event)

    def _has_unseen(self) -> bool:
        with self._database.read() as session:
            return has_unseen(session, CONSUMER)

    def _tell(self, session: Session, job: CustomJob, event: Event) -> None:
        owner = find_user_caller(session, job.created_by_id)
        if job.deleted_at is not None or owner is None or not _may_hear(session, owner, event):
            return
        try:
            with session.begin_nested():
                caller = _allowed(session, owner, job)
                start_run(
                    session,
                    caller,
                    self._settings,
                    self._blobs,
                    self._references,
                    job,
                    _values(job, event),
                    description=event.message[:1000],
                    event=msgspec.to_builtins(event),
                )
        except ModelyardError as error:  # such as a job without an environment: it cannot be told, others can
            log.warning("notification job %s could not be told of event %s: %s", job.id, event.id, error.message)
            note_missed(session, job, event, error.message)


def _listeners(session: Session, event: Event) -> Sequence[CustomJob]:
    """The notification jobs of the event's organization that listen to it. A failed one of them tells nobody: two that
    fail would start each other for ever."""
    if event.custom_job_id is not UNSET:
        failed = session.get(CustomJob, event.custom_job_id)
        if failed is None or failed.job_type == NOTIFICATION:
            return []
    jobs: Iterable[CustomJob] = session.scalars(
        select(CustomJob)
        .where(
            CustomJob.organization_id == event.organization_id,
            CustomJob.job_type == NOTIFICATION,
            CustomJob.deleted_at.is_(None),
        )
        .order_by(CustomJob.id)
    )
    return [job for job in jobs if listens(subscription_of(job), event)]


def _lock(session: Session, job_ids: Collection[str]) -> None:
    """Locks all jobs that are told something before the first run is put in line: whoever else starts a run locks its
    job and then the queue, so a job locked behind the queue would have both wait for each other."""
    ids = sorted(job_ids)
    for begin in range(0, len(ids), LOCKED_AT_ONCE):
        these = CustomJob.id.in_(ids[begin : begin + LOCKED_AT_ONCE])
        statement = select(CustomJob).where(these).order_by(CustomJob.id).with_for_update()
        session.execute(statement.execution_options(populate_existing=True)).all()


def subscription_of(job: CustomJob) -> Subscription:
    return msgspec.convert(job.subscription or {}, Subscription)


def listens(subscription: Subscription, event: Event) -> bool:
    """Whether an event is one that was asked for; nothing asked for is everything."""
    if subscription.event_types is not None and event.type not in subscription.event_types:
        return False
    wanted = subscription.deployment_ids
    return wanted is None or event.deployment_id is UNSET or event.deployment_id in wanted


def _may_hear(session: Session, owner: Caller, event: Event) -> bool:
    """Whether the job's owner may see what the event is about; to others the event does not exist."""
    kind, resource_id = ResourceKind.DEPLOYMENT, event.deployment_id
    if resource_id is UNSET:
        kind, resource_id = KIND, event.custom_job_id
    about = sharing.role_of(session, owner, kind, str(resource_id))
    return about is not None and Permission.VIEW in PERMISSIONS[about]


def _allowed(session: Session, owner: Caller, job: CustomJob) -> Caller:
    """The job's owner, if they are active and may run it; raises ``Forbidden`` otherwise."""
    active = find_active_caller(session, owner.user_id)
    if active is None:
        raise Forbidden(f"User {owner.username}, for whom the job runs, is not active any more.")
    own = sharing.role_of(session, active, KIND, job.id)
    if own is None or Permission.EDIT not in PERMISSIONS[own]:
        raise Forbidden(f"User {owner.username}, for whom the job runs, may not run it any more.")
    return active


def note_missed(session: Session, job: CustomJob, event: Event, why: str) -> None:
    """A failed run that says which event was not told and why, so that it is seen by who looks at the job.

    What is missed next, with no other run between, is counted in the same run: a job that cannot run gets one of these,
    not one for each event. The job's row is locked.
    """
    run = session.get(CustomJobRun, job.last_run_id) if job.last_run_id is not None else None
    if run is None or not run.missed_events or run.logs_deleted_at is not None:
        run = _missed_run(job)
        session.add(run)
        job.last_run_id = run.id
        job.run_count += 1
        audit.record(session, None, "notTold", KIND, job.id, {"eventId": event.id, "reason": why, "runId": run.id})
    run.missed_events += 1
    run.ended_at = datetime.now(UTC)
    run.description = event.message[:1000]
    one = f"The event {event.type} of {event.at} was not told"
    many = f"{run.missed_events} events were not told, the newest {event.type} of {event.at}"
    run.reason = f"{one if run.missed_events == 1 else many}: {why}"
    session.flush()


def _missed_run(job: CustomJob) -> CustomJobRun:
    """A run of the job as it is now that ended before it began."""
    return CustomJobRun(
        id=new_id(),
        job_id=job.id,
        organization_id=job.organization_id,
        created_by_id=job.created_by_id,
        created_at=datetime.now(UTC),
        workspace_id=job.workspace_id,
        entry_point_path=job.entry_point_path or "",
        environment_version_id=job.environment_version_id,
        egress_policy=job.egress_policy,
        resource_bundle_id=job.resource_bundle_id,
        parameter_definitions=job.parameter_definitions,
        parameter_values=job.parameter_values,
        required_metadata=job.required_metadata,
        timeout_s=job.timeout_s or 0,
        max_retries=job.max_retries,
        status=RunStatus.FAILED.value,
        phase=Phase.FINISHED.value,
        attempt=0,
        missed_events=0,
    )


def _values(job: CustomJob, event: Event) -> list[Value]:
    """The event as the parameter ``EVENT``, where the job defines one."""
    for definition in definitions_of(job):
        if definition.field_name == EVENT_PARAMETER and definition.type == "string":
            return [Value(field_name=EVENT_PARAMETER, type="string", value=_text_of(event))]
    return []


def _text_of(event: Event) -> str:
    """The event as JSON that a parameter can hold: of one too long the longest texts are cut. The file has all."""
    text = msgspec.json.encode(event).decode()
    for limit in KEPT_CHARACTERS:
        if len(text) <= MAX_TEXT_LENGTH:
            break
        fields = msgspec.structs.asdict(event).items()
        cut = {name: f"{one[:limit]}..." for name, one in fields if isinstance(one, str) and len(one) > limit}
        text = msgspec.json.encode(msgspec.structs.replace(event, **cut)).decode()
    return text
