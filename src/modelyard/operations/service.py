"""Starting operations, cancelling them, and telling how they are."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from modelyard.identity import audit
from modelyard.identity.caller import Caller
from modelyard.kernel.errors import Conflict, NotFound
from modelyard.kernel.ids import new_id
from modelyard.kernel.paging import Page, page
from modelyard.kernel.routing import Answer, RequestInfo
from modelyard.kernel.wakeup import notify
from modelyard.kernel.wire import moment
from modelyard.operations.schemas import StatusListQuery, StatusResponse
from modelyard.operations.tables import FINAL, Operation, OperationStatus

BATCH = 500


def start(
    session: Session,
    caller: Caller | None,
    kind: str,
    *,
    status_type: str,
    payload: dict[str, Any],
    resource_id: str | None = None,
    result_path: str | None = None,
    description: str = "",
    due_at: datetime | None = None,
) -> Operation:
    """Puts an operation in line, in the transaction of what asked for it. ``result_path`` is below ``/api/v2``.

    ``due_at`` is when to begin at the latest, if not at once; ``wake`` may come before.
    """
    now = datetime.now(UTC)
    row = Operation(
        id=new_id(),
        kind=kind,
        status=OperationStatus.INITIALIZED.value,
        status_type=status_type,
        payload=payload,
        state={},
        resource_id=resource_id,
        result_path=result_path,
        description=description,
        created_by=caller.user_id if caller else None,
        created_at=now,
        due_at=due_at or now,
    )
    session.add(row)
    notify(session)
    return row


def record_done(
    session: Session,
    caller: Caller,
    kind: str,
    *,
    status_type: str,
    resource_id: str,
    result_path: str,
    description: str,
) -> Operation:
    """Notes work that was done within the request itself, for clients that ask ``/status/`` all the same."""
    now = datetime.now(UTC)
    row = Operation(
        id=new_id(),
        kind=kind,
        status=OperationStatus.COMPLETED.value,
        status_type=status_type,
        payload={},
        state={},
        resource_id=resource_id,
        result_path=result_path,
        description=description,
        created_by=caller.user_id,
        created_at=now,
        due_at=now,
        started_at=now,
        finished_at=now,
    )
    session.add(row)
    return row


def location(request: RequestInfo, operation: Operation) -> str:
    """The absolute address that a 202 names."""
    return f"{request.api_url}/status/{operation.id}/"


def accepted(request: RequestInfo, operation: Operation, body: Any = None) -> Answer:
    """The 202 for a started operation; without a body of its own it tells the status id."""
    return Answer({"statusId": operation.id} if body is None else body, 202, {"Location": location(request, operation)})


def wake(session: Session, operation_id: str) -> None:
    """Has an operation that waits go on at once; one that is being worked on is looked at once more."""
    session.execute(
        update(Operation)
        .where(Operation.id == operation_id, Operation.finished_at.is_(None))
        .values(due_at=datetime.now(UTC))
    )
    notify(session)


def request_cancel(session: Session, operation_id: str) -> None:
    """Asks the controller to stop an operation; a finished one stays as it is."""
    row = session.get(Operation, operation_id, with_for_update=True)
    if row is None or row.finished_at is not None:
        return
    row.cancel_requested_at = row.cancel_requested_at or datetime.now(UTC)
    row.due_at = min(row.due_at, datetime.now(UTC))
    notify(session)


def open_operations(session: Session, resource_id: str, kind: str | None = None) -> list[Operation]:
    """What is still going on for a resource, oldest first."""
    statement = select(Operation).where(Operation.resource_id == resource_id, Operation.finished_at.is_(None))
    if kind is not None:
        statement = statement.where(Operation.kind == kind)
    return list(session.scalars(statement.order_by(Operation.id)))


def forget(session: Session, resource_ids: Iterable[str], *, open_too: bool = False) -> None:
    """Delete what is kept of the operations of resources that are erased: the finished ones, or all of them.

    A controller that works on one finds that it is no longer its own and leaves no trace.
    """
    ids = list(resource_ids)
    for start in range(0, len(ids), BATCH):
        statement = delete(Operation).where(Operation.resource_id.in_(ids[start : start + BATCH]))
        session.execute(statement if open_too else statement.where(Operation.finished_at.is_not(None)))


def read_status(session: Session, caller: Caller, operation_id: str) -> Operation:
    """An operation of the caller's; others' are not found."""
    row = session.get(Operation, operation_id)
    if row is None or (row.created_by != caller.user_id and not caller.is_admin):
        raise NotFound(f"There is no operation {operation_id} of yours.")
    return row


def list_statuses(
    session: Session, caller: Caller, query: StatusListQuery, request: RequestInfo
) -> Page[StatusResponse]:
    """The caller's operations, newest first."""
    statement = select(Operation).where(Operation.created_by == caller.user_id).order_by(Operation.id.desc())
    return page(session, statement, query, request, lambda rows: [view(row) for row in rows])


def delete_status(session: Session, caller: Caller, operation_id: str) -> None:
    """Forgets a finished operation; one that still runs is canceled first by whoever owns its resource."""
    row = read_status(session, caller, operation_id)
    if OperationStatus(row.status) not in FINAL:
        raise Conflict(f"Operation {operation_id} is {row.status}; only a finished one can be deleted.")
    session.delete(row)
    audit.record(session, caller, "delete", "operation", operation_id, {"statusType": row.status_type})


def view(row: Operation) -> StatusResponse:
    return StatusResponse(
        status_id=row.id,
        status=row.status,  # type: ignore[arg-type]
        status_type=row.status_type,
        created=moment(row.created_at),
        message=row.message,
        description=row.description,
        code=row.code,
    )
