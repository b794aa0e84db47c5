"""The list of deployments: every filter and order of seed 004, in SQL."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, false, func, nulls_last, or_, select, true
from sqlalchemy.orm import Session

from modelyard.deployments.prediction_environments.service import OWN_PLATFORMS, SERVER_ID
from modelyard.deployments.prediction_environments.tables import PredictionEnvironment
from modelyard.deployments.schemas import DeploymentListQuery, DeploymentRetrieveResponse
from modelyard.deployments.tables import IMPORTANCE_RANKS, Deployment, DeploymentTag
from modelyard.deployments.views import KIND, by_id, view_deployments
from modelyard.identity import sharing
from modelyard.identity.caller import Caller
from modelyard.identity.holders import holds_role
from modelyard.identity.roles import OWNING_ROLES, PERMISSIONS, Permission
from modelyard.identity.tables import User
from modelyard.kernel.database import ignoring_case
from modelyard.kernel.numbers import MAX_INTEGER, MIN_INTEGER
from modelyard.kernel.paging import Page, of_items, page
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import read_bool
from modelyard.monitoring.tables import PredictionUsage
from modelyard.monitoring.usage import FAILING_SHARE, FAILURES, HEALTH_HOURS, USAGE_DAYS

Condition = ColumnElement[bool]
WORKING_ROLES = frozenset(
    role for role, allowed in PERMISSIONS.items() if Permission.EDIT in allowed and role not in OWNING_ROLES
)
BY_CREATION = frozenset({"createdAtTimestamp", "-createdAtTimestamp"})
UNMEASURED = "unknown"
"""The health of what is not measured; orders by it leave the order of creation."""


def list_deployments(
    session: Session, caller: Caller, settings: Settings, query: DeploymentListQuery, request: RequestInfo
) -> Page[DeploymentRetrieveResponse]:
    """The deployments that the caller may view, those that predicted last first unless ``orderBy`` says otherwise."""
    now, gateway_url = datetime.now(UTC), settings.gateway_url(request.host_name)
    conditions = _conditions(caller, query, now)
    order_by = query.order_by or "-lastPredictionTimestamp"
    total = None if conditions else sharing.count_visible(session, caller, KIND)
    if total is not None and order_by in BY_CREATION:
        rows = page_by_creation(session, caller, query, newest_first=order_by.startswith("-"))
        return of_items(view_deployments(session, caller, gateway_url, rows, now), total, query, request)
    statement = sharing.scoped(session, caller, KIND, Deployment, Deployment.id).where(*conditions)
    return page(
        session,
        _ordered(statement, order_by, now),
        query,
        request,
        lambda rows: view_deployments(session, caller, gateway_url, rows, now),
        total=total,
    )


def page_by_creation(session: Session, caller: Caller, query: Any, *, newest_first: bool) -> list[Deployment]:
    """One page of all that the caller may view, from the grants' index, which has this order already."""
    ids = sharing.visible_ids(session, caller, KIND, offset=query.offset, limit=query.limit, newest_first=newest_first)
    rows = by_id(session, Deployment, Deployment.id, ids)
    return [rows[one] for one in ids if one in rows]


def _conditions(caller: Caller, query: DeploymentListQuery, now: datetime) -> list[Condition]:
    return [
        *_plain_conditions(caller, query),
        *_environment_conditions(query),
        *_traffic_conditions(query, now),
        *_tag_conditions(query),
    ]


def _plain_conditions(caller: Caller, query: DeploymentListQuery) -> list[Condition]:
    found: list[Condition] = []
    if query.search:
        found.append(Deployment.search_text.contains(query.search.casefold(), autoescape=True))
    if query.status:
        found.append(Deployment.status.in_(query.status))
    if query.importance:
        found.append(Deployment.importance_rank.in_([IMPORTANCE_RANKS[one] for one in query.importance]))
    if query.role is not None:
        roles = OWNING_ROLES if query.role == "OWNER" else WORKING_ROLES
        found.append(holds_role(caller, KIND, Deployment.id, roles))
    if query.created_by_me is not None and read_bool(query.created_by_me, "createdByMe"):
        found.append(Deployment.created_by_id == caller.user_id)
    if query.created_by:
        named = select(User.id).where(or_(User.id == query.created_by, User.username == query.created_by))
        found.append(Deployment.created_by_id.in_(named))
    if query.build_environment_type:
        found.append(Deployment.build_environment_type.in_(query.build_environment_type))
    if query.champion_model_execution_type is not None:
        found.append(_all_if(query.champion_model_execution_type == "custom_inference_model"))
    if query.champion_model_target_type is not None:
        found.append(ignoring_case(Deployment.target_type) == ignoring_case(query.champion_model_target_type))
    unmeasured = [wanted for wanted in (query.model_health, query.accuracy_health) if wanted]
    return [*found, *(_all_if(UNMEASURED in wanted) for wanted in unmeasured)]


def _environment_conditions(query: DeploymentListQuery) -> list[Condition]:
    found: list[Condition] = []
    if query.default_prediction_server_id:
        found.append(_all_if(SERVER_ID in query.default_prediction_server_id))
    if query.prediction_environment_platform:
        found.append(_on_platform(PredictionEnvironment.platform.in_(query.prediction_environment_platform)))
    if query.execution_environment_type:
        own = _on_platform(PredictionEnvironment.platform.in_(OWN_PLATFORMS))
        kinds = {"datarobot": own, "external": ~own}
        found.append(or_(*(kinds[one] for one in query.execution_environment_type)))
    return found


def _traffic_conditions(query: DeploymentListQuery, now: datetime) -> list[Condition]:
    found: list[Condition] = []
    if query.service_health:
        found.append(or_(*(_service_health(now)[one] for one in query.service_health)))
    if query.last_prediction_timestamp_start is not None:
        found.append(_last_prediction() >= _aware(query.last_prediction_timestamp_start))
    if query.last_prediction_timestamp_end is not None:
        found.append(_last_prediction() < _aware(query.last_prediction_timestamp_end))
    if query.prediction_usage_daily_avg_greater_than is not None:
        found.append(_recent_rows(now) > _rows_of_days(query.prediction_usage_daily_avg_greater_than))
    if query.prediction_usage_daily_avg_less_than is not None:
        found.append(_recent_rows(now) < _rows_of_days(query.prediction_usage_daily_avg_less_than))
    return found


def _rows_of_days(daily: int) -> int:
    """Rows of ``USAGE_DAYS`` days, within what a column of a database holds."""
    return max(MIN_INTEGER, min(daily * USAGE_DAYS, MAX_INTEGER))


def _tag_conditions(query: DeploymentListQuery) -> list[Condition]:
    """One tag has to have one of the keys and one of the values."""
    columns = ((DeploymentTag.name, query.tag_keys), (DeploymentTag.value, query.tag_values))
    of_tag = [column.in_(wanted) for column, wanted in columns if wanted]
    return [exists().where(DeploymentTag.deployment_id == Deployment.id, *of_tag)] if of_tag else []


def _all_if(matches: bool) -> Condition:  # what is true of all deployments or of none
    return true() if matches else false()


def _on_platform(condition: Condition) -> Condition:
    return Deployment.prediction_environment_id.in_(select(PredictionEnvironment.id).where(condition))


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def _last_prediction() -> ColumnElement[Any]:
    """The end of the newest hour of traffic, by the index on (deployment, hour)."""
    return (
        select(PredictionUsage.last_at)
        .where(PredictionUsage.deployment_id == Deployment.id)
        .order_by(PredictionUsage.hour.desc(), PredictionUsage.last_at.desc())
        .limit(1)
        .scalar_subquery()
    )


def _recent_rows(now: datetime) -> ColumnElement[Any]:
    first_day = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=USAGE_DAYS - 1)
    return _sum_since(PredictionUsage.rows, first_day)


def _sum_since(column: Any, start: datetime) -> ColumnElement[Any]:
    return (
        select(func.coalesce(func.sum(column), 0))
        .where(PredictionUsage.deployment_id == Deployment.id, PredictionUsage.hour >= start)
        .scalar_subquery()
    )


def _service_health(now: datetime) -> dict[str, Condition]:
    """The same judgement as ``monitoring.usage.service_healths``, as conditions."""
    start = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HEALTH_HOURS - 1)
    requests = _sum_since(PredictionUsage.requests, start)
    errors = _sum_since(FAILURES, start)
    ever = exists().where(PredictionUsage.deployment_id == Deployment.id)
    failing = errors >= requests * FAILING_SHARE
    return {
        "passing": and_(requests > 0, errors == 0),
        "warning": and_(requests > 0, errors > 0, ~failing),
        "failing": and_(requests > 0, errors > 0, failing),
        "unknown": and_(requests == 0, ever),
        "not_started": ~ever,
        "unavailable": false(),
    }


def _service_health_rank(now: datetime) -> ColumnElement[Any]:
    """From the healthy to those that need somebody."""
    conditions = _service_health(now)
    return case((conditions["passing"], 0), (conditions["warning"], 2), (conditions["failing"], 3), else_=1)


_ORDERS: dict[str, Callable[[datetime], ColumnElement[Any]]] = {
    "label": lambda _now: ignoring_case(Deployment.label),
    "serviceHealth": _service_health_rank,
    "recentPredictions": _recent_rows,
    "lastPredictionTimestamp": lambda _now: _last_prediction(),
    "currentModelDeployedTimestamp": lambda _now: Deployment.model_deployed_at.expression,
    "createdAtTimestamp": lambda _now: Deployment.id.expression,
    "importance": lambda _now: Deployment.importance_rank.expression,
}


def _ordered(statement: Select[Any], order_by: str, now: datetime) -> Select[Any]:
    make = _ORDERS.get(order_by.removeprefix("-"))
    newest_first = Deployment.id.desc()
    if make is None:
        return statement.order_by(newest_first)
    key = make(now)
    return statement.order_by(nulls_last(key.desc() if order_by.startswith("-") else key.asc()), newest_first)
