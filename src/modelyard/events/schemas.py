"""Wire types of events."""

from typing import Literal

from modelyard.kernel.paging import PageQuery
from modelyard.kernel.wire import UNSET, Moment, Schema, UnsetType

EventType = Literal[
    "deploymentCreated",
    "deploymentReplaced",
    "deploymentErrored",
    "deploymentHealthChanged",
    "runFailed",
]
"""``deploymentCreated``: a new deployment answers for the first time; ``deploymentReplaced``: another model answers;
``deploymentErrored``: it could not be brought up, and nothing answers; ``deploymentHealthChanged``: its service health
is another one; ``runFailed``: a run of a job failed."""


class Event(Schema):
    """What happened. A field that does not concern the type of event is left out.

    ``id`` and ``at`` are filled in when it is published. ``reason`` is why a model was replaced or what went wrong.
    """

    type: EventType
    message: str
    organization_id: str
    id: str = ""
    at: Moment = ""
    deployment_id: str | UnsetType = UNSET
    deployment_label: str | UnsetType = UNSET
    model_package_id: str | UnsetType = UNSET
    previous_model_package_id: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    health: str | UnsetType = UNSET
    previous_health: str | UnsetType = UNSET
    custom_job_id: str | UnsetType = UNSET
    custom_job_name: str | UnsetType = UNSET
    custom_job_run_id: str | UnsetType = UNSET


class EventListQuery(PageQuery):
    """``type`` may be repeated."""

    deployment_id: str | None = None
    custom_job_id: str | None = None
    type: list[EventType] | None = None
