"""Adding up traffic, and telling what came of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum, StrEnum
from operator import itemgetter

from sqlalchemy import case, delete, func, select
from sqlalchemy.orm import Session

from modelyard.kernel.database import upsert
from modelyard.monitoring.tables import PredictionUsage

SLOW_MS = 1000.0
NEVER = datetime(1, 1, 1, tzinfo=UTC)
USAGE_DAYS = 7
HEALTH_HOURS = 24
FAILING_SHARE = 0.1
"""From this share of failures on, service health is failing; from any on, it is a warning.

A failure is an error of the server, or of the model: its code raised, or its result is no prediction.
"""


class Blame(Enum):
    """Who is to blame that a request got no prediction. Each is counted in the column of its name."""

    NOBODY = ""
    USER = "user_errors"
    MODEL = "model_errors"
    SERVER = "server_errors"

    @classmethod
    def of(cls, status: int, *, is_model_fault: bool = False) -> "Blame":
        """Tell it by the status that the client got, and by what the model's server says of itself."""
        if status >= 500:
            return cls.SERVER
        if status < 400:
            return cls.NOBODY
        return cls.MODEL if is_model_fault else cls.USER


@dataclass
class Tally:
    """What was counted for one model of one deployment since the last flush."""

    requests: int = 0
    rows: int = 0
    user_errors: int = 0
    model_errors: int = 0
    server_errors: int = 0
    slow_requests: int = 0
    response_ms: float = 0.0
    execution_ms: float = 0.0
    last_at: datetime = NEVER

    def add(self, blame: Blame, rows: int, response_ms: float, execution_ms: float) -> None:
        """Count one answered request."""
        self.requests += 1
        self.rows += rows
        self.response_ms += response_ms
        self.execution_ms += execution_ms
        if blame is not Blame.NOBODY:
            setattr(self, blame.value, getattr(self, blame.value) + 1)
        if response_ms > SLOW_MS:
            self.slow_requests += 1


class Health(StrEnum):
    """As the wire names it in responses."""

    NOT_STARTED = "notStarted"
    PASSING = "passing"
    WARNING = "warning"
    FAILING = "failing"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Usage:
    """``daily_rows`` are the rows scored on each of the last seven days, the oldest first, today last."""

    daily_rows: tuple[int, ...] = (0,) * USAGE_DAYS
    last_at: datetime | None = None


@dataclass(frozen=True)
class ServiceHealth:
    """The health of the last 24 hours and the time that it speaks of."""

    status: Health
    start: datetime | None
    end: datetime | None


_COUNTERS = (
    "requests",
    "rows",
    "user_errors",
    "model_errors",
    "server_errors",
    "slow_requests",
    "response_ms",
    "execution_ms",
)
FAILURES = PredictionUsage.server_errors + PredictionUsage.model_errors
"""Requests that the model or the server failed, as a column."""


def add_usage(session: Session, tallies: dict[tuple[str, str, datetime], Tally]) -> None:
    """Adds tallies, keyed by (deployment id, model id, hour), to what is stored, in one statement."""
    rows = [
        {"deployment_id": deployment, "model_id": model, "hour": hour, "last_at": tally.last_at}
        | {name: getattr(tally, name) for name in _COUNTERS}
        for (deployment, model, hour), tally in sorted(tallies.items(), key=itemgetter(0))
    ]  # in one order, so that two gateways never wait for each other
    if not rows:
        return
    statement = upsert(session, PredictionUsage).values(rows)
    last_at, later = PredictionUsage.last_at, statement.excluded.last_at
    added = {name: getattr(PredictionUsage, name) + statement.excluded[name] for name in _COUNTERS}
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["deployment_id", "model_id", "hour"],
            set_=added | {"last_at": case((later > last_at, later), else_=last_at)},
        )
    )


def usages(session: Session, deployment_ids: Iterable[str], now: datetime) -> dict[str, Usage]:
    """Prediction usage of several deployments, in two queries."""
    ids = list(deployment_ids)
    days = [(now - timedelta(days=back)).date() for back in range(USAGE_DAYS - 1, -1, -1)]
    daily: dict[str, dict[date, int]] = {}
    for deployment_id, hour, rows in session.execute(
        select(PredictionUsage.deployment_id, PredictionUsage.hour, func.sum(PredictionUsage.rows))
        .where(
            PredictionUsage.deployment_id.in_(ids),
            PredictionUsage.hour >= datetime(days[0].year, days[0].month, days[0].day, tzinfo=UTC),
        )
        .group_by(PredictionUsage.deployment_id, PredictionUsage.hour)
    ):
        by_day = daily.setdefault(deployment_id, {})
        by_day[hour.date()] = by_day.get(hour.date(), 0) + int(rows)
    last = last_predictions(session, ids)
    return {
        deployment_id: Usage(tuple(daily.get(deployment_id, {}).get(day, 0) for day in days), last.get(deployment_id))
        for deployment_id in ids
    }


def last_predictions(session: Session, deployment_ids: Sequence[str]) -> dict[str, datetime]:
    """When each deployment last answered, for those that ever did."""
    found = session.execute(
        select(PredictionUsage.deployment_id, func.max(PredictionUsage.last_at))
        .where(PredictionUsage.deployment_id.in_(deployment_ids))
        .group_by(PredictionUsage.deployment_id)
    )
    return dict(found.tuples().all())


def health_since(now: datetime) -> datetime:
    """The first of the hours that health is judged by."""
    return now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HEALTH_HOURS - 1)


def judge(requests: int, failures: int) -> Health:
    """The health of a deployment that had requests."""
    if failures == 0:
        return Health.PASSING
    return Health.FAILING if failures / max(1, requests) >= FAILING_SHARE else Health.WARNING


def service_healths(session: Session, deployment_ids: Iterable[str], now: datetime) -> dict[str, ServiceHealth]:
    """Service health of several deployments from the failures of the last 24 hours, in one query.

    No request in that time: ``unknown`` when there were some before, else ``notStarted``.
    """
    ids = list(deployment_ids)
    start = health_since(now)
    counted = {
        row.deployment_id: (int(row.requests), int(row.failures))
        for row in session.execute(
            select(
                PredictionUsage.deployment_id,
                func.sum(PredictionUsage.requests).label("requests"),
                func.sum(FAILURES).label("failures"),
            )
            .where(PredictionUsage.deployment_id.in_(ids), PredictionUsage.hour >= start)
            .group_by(PredictionUsage.deployment_id)
        )
    }
    ever = last_predictions(session, [one for one in ids if one not in counted])
    healths = {}
    for deployment_id in ids:
        if deployment_id in counted:
            healths[deployment_id] = ServiceHealth(judge(*counted[deployment_id]), start, now)
        else:
            status = Health.UNKNOWN if deployment_id in ever else Health.NOT_STARTED
            healths[deployment_id] = ServiceHealth(status, None, None)
    return healths


def forget_usage(session: Session, deployment_id: str) -> None:
    """Drops what was counted for an erased deployment."""
    session.execute(delete(PredictionUsage).where(PredictionUsage.deployment_id == deployment_id))
