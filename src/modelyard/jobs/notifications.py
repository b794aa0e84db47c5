"""Notification jobs: an event that one listens to starts a run of it, once, with the event in its hands."""

import logging
from collections.abc import Collection, Iterable, Sequence

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.events.schemas import Event
from modelyard.events.service import claim_unseen, has_unseen
from modelyard.identity import audit, sharing
from modelyard.identity.caller import Caller, find_active_caller
from modelyard.identity.roles import PERMISSIONS, Permission
from modelyard.identity.tables import ResourceKind
from modelyard.jobs.changes import NOTIFICATION
from modelyard.jobs.runs.service import start_run
from modelyard.jobs.schemas import Subscription
from modelyard.jobs.service import KIND
from modelyard.jobs.tables import CustomJob
from modelyard.jobs.views import definitions_of
from modelyard.kernel.database import Database
from modelyard.kernel.errors import ModelyardError
from modelyard.kernel.parts import Parts
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import UNSET
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces.references import References
from modelyard.workspaces.runtime_parameters import Value

log = logging.getLogger(__name__)

CONSUMER = "notification jobs"
EVENT_PARAMETER = "EVENT"
BATCH = 10
LOCKED_AT_ONCE = 1000


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
        caller = find_active_caller(session, job.created_by_id)
        if job.deleted_at is not None or caller is None or not _may_hear(session, caller, job, event):
            return
        try:
            with session.begin_nested():
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
            audit.record(session, None, "notTold", KIND, job.id, {"eventId": event.id, "reason": error.message})


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


def _may_hear(session: Session, caller: Caller, job: CustomJob, event: Event) -> bool:
    """Whether the job's owner may see what the event is about, and may still run the job."""
    kind, resource_id = ResourceKind.DEPLOYMENT, event.deployment_id
    if resource_id is UNSET:
        kind, resource_id = KIND, event.custom_job_id
    about = sharing.role_of(session, caller, kind, str(resource_id))
    own = sharing.role_of(session, caller, KIND, job.id)
    return (
        about is not None
        and own is not None
        and Permission.VIEW in PERMISSIONS[about]
        and Permission.EDIT in PERMISSIONS[own]
    )


def _values(job: CustomJob, event: Event) -> list[Value]:
    """The event as the parameter ``EVENT``, where the job defines one."""
    for definition in definitions_of(job):
        if definition.field_name == EVENT_PARAMETER and definition.type == "string":
            text = msgspec.json.encode(event).decode()
            return [Value(field_name=EVENT_PARAMETER, type="string", value=text)]
    return []
