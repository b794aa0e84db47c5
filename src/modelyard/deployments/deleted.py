"""Deleted deployments: what an administrator sees of them, and their erasure (seed 004, ``deletedDeployments``)."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.deployments import operations as kinds
from modelyard.deployments.schemas import (
    DeletedDeploymentListQuery,
    DeletedDeploymentListResponse,
    DeletedDeploymentResponse,
    DeploymentPermanentDelete,
)
from modelyard.deployments.tables import Deployment
from modelyard.deployments.views import KIND
from modelyard.identity import audit
from modelyard.identity.caller import Caller
from modelyard.kernel.errors import Forbidden, invalid
from modelyard.kernel.paging import page
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.wire import moment
from modelyard.operations import service as operations
from modelyard.operations.tables import Operation


def list_deleted(
    session: Session, caller: Caller, query: DeletedDeploymentListQuery, request: RequestInfo
) -> DeletedDeploymentListResponse:
    """The deleted deployments of the administrator's organization, the last deleted first."""
    _require_administrator(caller)
    statement = (
        select(Deployment)
        .where(Deployment.organization_id == caller.organization_id, Deployment.deleted_at.is_not(None))
        .order_by(Deployment.deleted_at.desc(), Deployment.id.desc())
    )
    found = page(session, statement, query, request, _view)
    return DeletedDeploymentListResponse(count=found.count, next=found.next, previous=found.previous, data=found.data)


def _view(rows: Sequence[Deployment]) -> list[DeletedDeploymentResponse]:
    return [
        DeletedDeploymentResponse(id=row.id, label=row.label, deleted_at=moment(row.deleted_at))
        for row in rows
        if row.deleted_at is not None
    ]


def erase_deleted(session: Session, caller: Caller, body: DeploymentPermanentDelete) -> Operation:
    """Has everything erased that is kept of deleted deployments."""
    _require_administrator(caller)
    wanted = list(dict.fromkeys(body.deployment_ids))
    known = set(
        session.scalars(
            select(Deployment.id).where(
                Deployment.id.in_(wanted),
                Deployment.organization_id == caller.organization_id,
                Deployment.deleted_at.is_not(None),
            )
        )
    )
    unknown = [one for one in wanted if one not in known]
    if unknown:
        raise invalid(deploymentIds=f"these are no deleted deployments: {', '.join(unknown)}")
    for deployment_id in wanted:
        audit.record(session, caller, "ask to erase", KIND, deployment_id)
    return operations.start(
        session,
        caller,
        kinds.ERASE,
        status_type="DeploymentPermanentDeletion",
        payload={"deployment_ids": wanted},
        description="Erasing deleted deployments",
    )


def _require_administrator(caller: Caller) -> None:
    if not caller.is_admin:
        raise Forbidden("Deleted deployments are for administrators.")
