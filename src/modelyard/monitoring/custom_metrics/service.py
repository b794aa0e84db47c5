"""Custom metrics of deployments: making, reading, changing and deleting them, and telling what was reported."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, UnaryExpression, select
from sqlalchemy.orm import Session

from modelyard.deployments.service import find_deployment
from modelyard.deployments.views import KIND, by_id
from modelyard.identity import audit, sharing
from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.identity.tables import User
from modelyard.kernel.database import ignoring_case
from modelyard.kernel.errors import Forbidden, NotFound
from modelyard.kernel.ids import new_id
from modelyard.kernel.paging import Page, page
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.wire import changes, moment
from modelyard.monitoring.custom_metrics.schemas import (
    COLUMNS,
    BaselineValue,
    CustomMetricCreate,
    CustomMetricListQuery,
    CustomMetricResponse,
    CustomMetricUpdate,
    MetricColumn,
    MetricCreator,
    TimestampColumn,
)
from modelyard.monitoring.custom_metrics.tables import CustomMetric
from modelyard.workspaces.references import no_such
from modelyard.workspaces.runtime_parameters import Definition

ORDERS: dict[str, UnaryExpression[str] | ColumnElement[str]] = {
    "name": ignoring_case(CustomMetric.name).asc(),
    "-name": ignoring_case(CustomMetric.name).desc(),
    "createdAt": CustomMetric.id.asc(),
    "-createdAt": CustomMetric.id.desc(),
}


def find_metric(
    session: Session, caller: Caller, metric_id: str, permission: Permission = Permission.VIEW
) -> CustomMetric:
    """A metric by its id alone, if the caller's role on its deployment allows ``permission``."""
    row = session.get(CustomMetric, metric_id)
    if row is None or sharing.role_of(session, caller, KIND, row.deployment_id) is None:
        raise NotFound(f"There is no custom metric {metric_id} that you may see.")
    sharing.require(session, caller, KIND, row.deployment_id, permission)
    return row


def reference_fault(session: Session, caller: Caller, metric_id: str, _definition: Definition | None) -> str | None:
    """Why the caller may not set this metric as the value of a runtime parameter, or ``None``."""
    try:
        find_metric(session, caller, metric_id)
    except (NotFound, Forbidden):
        return no_such("customMetric", metric_id)
    return None


def find_metric_of(
    session: Session,
    caller: Caller,
    deployment_id: str,
    metric_id: str,
    permission: Permission = Permission.VIEW,
) -> CustomMetric:
    """A metric of the deployment, if the caller's role on that allows ``permission``. To change it is to hold it."""
    find_deployment(session, caller, deployment_id, permission)
    lock = {"read": True, "key_share": True} if permission is Permission.EDIT else None
    row = session.get(CustomMetric, metric_id, with_for_update=lock)
    if row is None or row.deployment_id != deployment_id:
        raise NotFound(f"Deployment {deployment_id} has no custom metric {metric_id}.")
    return row


def list_metrics(
    session: Session, caller: Caller, deployment_id: str, query: CustomMetricListQuery, request: RequestInfo
) -> Page[CustomMetricResponse]:
    """The metrics of a deployment, in the order in which they were made unless ``orderBy`` says otherwise."""
    find_deployment(session, caller, deployment_id)
    statement = select(CustomMetric).where(CustomMetric.deployment_id == deployment_id)
    if query.search:
        statement = statement.where(CustomMetric.search_text.contains(query.search.casefold(), autoescape=True))
    if query.name:
        statement = statement.where(CustomMetric.name == query.name)
    statement = statement.order_by(ORDERS[query.order_by], CustomMetric.id)
    return page(session, statement, query, request, lambda rows: _view(session, rows))


def read_metric(session: Session, caller: Caller, deployment_id: str, metric_id: str) -> CustomMetricResponse:
    return _view(session, [find_metric_of(session, caller, deployment_id, metric_id)])[0]


def create_metric(
    session: Session, caller: Caller, deployment_id: str, body: CustomMetricCreate
) -> CustomMetricResponse:
    """A metric that nothing is reported for yet."""
    find_deployment(session, caller, deployment_id, Permission.EDIT)
    row = CustomMetric(
        id=new_id(),
        deployment_id=deployment_id,
        name=body.name,
        description=body.description or "",
        units=body.units,
        directionality=body.directionality,
        type=body.type,
        is_model_specific=body.is_model_specific,
        time_step=body.time_step,
        baseline_values=_baseline(body.baseline_values),
        columns={name: msgspec.to_builtins(column) for name in COLUMNS if (column := getattr(body, name)) is not None},
        created_by_id=caller.user_id,
        created_at=datetime.now(UTC),
    )
    row.search_text = _search_text(row)
    session.add(row)
    session.flush()
    audit.record(session, caller, "create custom metric", KIND, deployment_id, {"metricId": row.id, "name": row.name})
    return _view(session, [row])[0]


def change_metric(
    session: Session, caller: Caller, deployment_id: str, metric_id: str, body: CustomMetricUpdate
) -> CustomMetricResponse:
    """Changes what was sent. Another type reads the same reports in another way: they are kept for all types."""
    row = find_metric_of(session, caller, deployment_id, metric_id, Permission.EDIT)
    wanted = changes(body)
    columns = dict(row.columns)
    for name, value in wanted.items():
        if name in COLUMNS:
            columns.pop(name, None)
            if value is not None:
                columns[name] = msgspec.to_builtins(value)
        elif name == "baseline_values":
            row.baseline_values = _baseline(value)
        else:
            setattr(row, name, "" if value is None else value)
    row.columns = columns
    row.search_text = _search_text(row)
    audit.record(
        session, caller, "update custom metric", KIND, deployment_id, {"metricId": row.id, "fields": sorted(wanted)}
    )
    session.flush()
    return _view(session, [row])[0]


def delete_metric(session: Session, caller: Caller, deployment_id: str, metric_id: str) -> None:
    """Deletes a metric and everything that was reported for it."""
    row = find_metric_of(session, caller, deployment_id, metric_id, Permission.EDIT)
    session.delete(row)
    audit.record(session, caller, "delete custom metric", KIND, deployment_id, {"metricId": row.id, "name": row.name})


def _view(session: Session, rows: Sequence[CustomMetric]) -> list[CustomMetricResponse]:
    users = by_id(session, User, User.id, {row.created_by_id for row in rows})
    return [_response(row, users.get(row.created_by_id)) for row in rows]


def _response(row: CustomMetric, creator: User | None) -> CustomMetricResponse:
    return CustomMetricResponse(
        id=row.id,
        deployment_id=row.deployment_id,
        name=row.name,
        description=row.description,
        units=row.units,
        directionality=row.directionality,  # type: ignore[arg-type]
        type=row.type,  # type: ignore[arg-type]
        is_model_specific=row.is_model_specific,
        time_step=row.time_step,  # type: ignore[arg-type]
        baseline_values=[BaselineValue(value=value) for value in row.baseline_values],
        timestamp=msgspec.convert(row.columns.get("timestamp"), TimestampColumn | None),
        value=_column(row, "value"),
        sample_count=_column(row, "sample_count"),
        batch=_column(row, "batch"),
        association_id=_column(row, "association_id"),
        created_at=moment(row.created_at),
        created_by=MetricCreator(id=row.created_by_id, username=creator.username if creator else None),
    )


def _column(row: CustomMetric, name: str) -> MetricColumn | None:
    found: Any = row.columns.get(name)
    return msgspec.convert(found, MetricColumn | None)


def _baseline(values: list[BaselineValue] | None) -> list[float]:
    return [one.value for one in values or []]


def _search_text(row: CustomMetric) -> str:
    return f"{row.name}\n{row.description}".casefold()
