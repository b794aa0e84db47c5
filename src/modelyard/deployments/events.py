"""What is told about deployments, once each, in the transaction of the change."""

from typing import Any

from sqlalchemy.orm import Session

from modelyard.deployments.tables import Deployment
from modelyard.events.schemas import Event, EventType
from modelyard.events.service import publish
from modelyard.kernel.wire import UNSET


def tell_created(session: Session, row: Deployment) -> None:
    """A new deployment answers for the first time."""
    _tell(session, row, "deploymentCreated", f"{row.label} is active.")


def tell_replaced(session: Session, row: Deployment, previous_package_id: str, reason: str | None) -> None:
    """Another model answers; ``reason`` is the one that was given."""
    _tell(
        session,
        row,
        "deploymentReplaced",
        f"The model of {row.label} was replaced.",
        previous_model_package_id=previous_package_id,
        reason=reason or UNSET,
    )


def tell_errored(session: Session, row: Deployment, reason: str) -> None:
    """It could not be brought up, and nothing answers."""
    _tell(session, row, "deploymentErrored", f"{row.label} could not be started: {reason}", reason=reason)


def tell_health(session: Session, row: Deployment, health: str, previous: str) -> None:
    """Its service health is another one than before."""
    _tell(
        session,
        row,
        "deploymentHealthChanged",
        f"The health of {row.label} is {health}; it was {previous}.",
        health=health,
        previous_health=previous,
    )


def _tell(session: Session, row: Deployment, event_type: EventType, message: str, **more: Any) -> None:
    publish(
        session,
        Event(
            type=event_type,
            message=message,
            organization_id=row.organization_id,
            deployment_id=row.id,
            deployment_label=row.label,
            model_package_id=row.package_id,
            **more,
        ),
    )
