"""What was reported, added up by the hour: adding to it, and reading it back as totals and series."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session

from modelyard.kernel.database import upsert
from modelyard.monitoring.custom_metrics.periods import EARLIEST, Period
from modelyard.monitoring.custom_metrics.tables import CustomMetricValue

ROWS_A_STATEMENT = 500


@dataclass
class Total:
    """Some reported values, added up in every way that a type of metric needs."""

    total: float = 0.0
    weighted_total: float = 0.0
    samples: float = 0.0
    last_value: float = 0.0
    last_at: datetime = EARLIEST

    def add(self, value: float, sample_size: int, at: datetime) -> None:
        """Adds one value; of two at the same moment the later one added is the last."""
        self.merge(Total(value, value * sample_size, sample_size, value, at))

    def merge(self, later: "Total") -> None:
        """Adds what was added up elsewhere."""
        self.total += later.total
        self.weighted_total += later.weighted_total
        self.samples += later.samples
        if later.samples and later.last_at >= self.last_at:
            self.last_value, self.last_at = later.last_value, later.last_at

    def value(self, metric_type: str) -> float | None:
        """``sum``: of the values. ``average``: weighted by sample size. ``gauge``: the last. None where is nothing."""
        if not self.samples:
            return None
        match metric_type:
            case "sum":
                return self.total
            case "average":
                return self.weighted_total / self.samples
            case _:
                return self.last_value


def add_values(session: Session, metric_id: str, package_id: str, totals: Mapping[datetime, Total]) -> None:
    """Adds totals, keyed by hour, to what is stored: one row for each hour, whatever was reported before."""
    rows = [
        {
            "metric_id": metric_id,
            "package_id": package_id,
            "hour": hour,
            "total": total.total,
            "weighted_total": total.weighted_total,
            "samples": total.samples,
            "last_value": total.last_value,
            "last_at": total.last_at,
        }
        for hour, total in sorted(totals.items(), key=itemgetter(0))
    ]  # in one order, so that two reports never wait for each other
    for begin in range(0, len(rows), ROWS_A_STATEMENT):
        _add(session, rows[begin : begin + ROWS_A_STATEMENT])


def _add(session: Session, rows: list[dict[str, object]]) -> None:
    table = CustomMetricValue
    statement = upsert(session, table).values(rows)
    new = statement.excluded
    is_later = new.last_at >= table.last_at
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["metric_id", "package_id", "hour"],
            set_={
                "total": table.total + new.total,
                "weighted_total": table.weighted_total + new.weighted_total,
                "samples": table.samples + new.samples,
                "last_value": case((is_later, new.last_value), else_=table.last_value),
                "last_at": case((is_later, new.last_at), else_=table.last_at),
            },
        )
    )


def total_of(session: Session, metric_id: str, package_id: str, period: Period) -> Total:
    """Everything within a period, added up by the database."""
    within = _within(metric_id, package_id, period)
    sums = session.execute(
        select(
            func.sum(CustomMetricValue.total),
            func.sum(CustomMetricValue.weighted_total),
            func.sum(CustomMetricValue.samples),
        ).where(*within)
    ).one()
    last = session.execute(
        select(CustomMetricValue.last_value, CustomMetricValue.last_at)
        .where(*within)
        .order_by(CustomMetricValue.hour.desc())
        .limit(1)
    ).one_or_none()
    return Total(*sums, *last) if last is not None else Total()


def series_of(session: Session, metric_id: str, package_id: str, starts: Sequence[datetime]) -> list[Total]:
    """Totals between each moment of ``starts`` and the next; the last one ends the series."""
    totals = [Total() for _ in starts[1:]]
    table = CustomMetricValue
    statement = (
        select(table.hour, table.total, table.weighted_total, table.samples, table.last_value, table.last_at)
        .where(*_within(metric_id, package_id, Period(starts[0], starts[-1])))
        .order_by(table.hour)
    )
    for hour, *found in session.execute(statement):
        totals[bisect_right(starts, hour) - 1].merge(Total(*found))
    return totals


def _within(metric_id: str, package_id: str, period: Period) -> list[ColumnElement[bool]]:
    table = CustomMetricValue
    return [
        table.metric_id == metric_id,
        table.package_id == package_id,
        table.hour >= period.start,
        table.hour < period.end,
    ]
