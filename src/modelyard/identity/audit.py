"""The audit trail: one row for every change, in the transaction of the change."""

from datetime import UTC, datetime

from sqlalchemy.orm import Session

from modelyard.identity.caller import Caller
from modelyard.identity.tables import AuditEvent, ResourceKind


def record(
    session: Session,
    caller: Caller | None,
    action: str,
    kind: ResourceKind | str,
    resource_id: str,
    detail: dict[str, object] | None = None,
) -> None:
    """Notes that ``caller`` (None: the system) did ``action``, a verb such as ``create``, to a resource."""
    session.add(
        AuditEvent(
            at=datetime.now(UTC),
            user_id=caller.user_id if caller else None,
            action=action,
            resource_kind=kind.value if isinstance(kind, ResourceKind) else kind,
            resource_id=resource_id,
            detail=detail,
        )
    )
