"""Custom metrics over time and in short: what was reported, in the way that the metric's type adds it up."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from modelyard.identity.caller import Caller
from modelyard.kernel.errors import Invalid
from modelyard.kernel.wire import moment
from modelyard.monitoring.custom_metrics.models import Subject, find_subject
from modelyard.monitoring.custom_metrics.periods import MAX_BUCKETS, Period, edges, read_bucket_size, read_period
from modelyard.monitoring.custom_metrics.schemas import (
    BaselineValue,
    MetricBucket,
    MetricInfo,
    MetricPeriod,
    MetricSummary,
    SummaryQuery,
    SummaryResponse,
    ValuesOverTimeQuery,
    ValuesOverTimeResponse,
)
from modelyard.monitoring.custom_metrics.service import find_metric_of
from modelyard.monitoring.custom_metrics.tables import CustomMetric
from modelyard.monitoring.custom_metrics.values import Total, series_of, total_of


def values_over_time(
    session: Session, caller: Caller, deployment_id: str, metric_id: str, query: ValuesOverTimeQuery
) -> ValuesOverTimeResponse:
    """One bucket after the other from the start on; the last one is cut off at the end."""
    metric = find_metric_of(session, caller, deployment_id, metric_id)
    subject, period, errors = _asked(session, metric, query)
    size = read_bucket_size(query.bucket_size)
    starts = edges(period, size) if size is not None and not errors else None
    if size is None:
        errors["bucketSize"] = f"{query.bucket_size!r} is no duration such as PT1H, P1D, P7D or P1M"
    elif starts is None and not errors:
        errors["bucketSize"] = f"{query.bucket_size} makes more than {MAX_BUCKETS} buckets of this period"
    if errors or starts is None:
        raise Invalid("; ".join(f"{field}: {text}" for field, text in errors.items()), errors)
    totals = series_of(session, metric.id, subject.key, starts)
    summary = Total()
    for total in totals:
        summary.merge(total)
    return ValuesOverTimeResponse(
        metric=MetricInfo(**_info(metric)),
        model_id=subject.model_id,
        model_package_id=subject.package_id,
        bucket_size=query.bucket_size,
        buckets=[
            _bucket(metric, Period(begin, end), total)
            for begin, end, total in zip(starts, starts[1:], totals, strict=False)
        ],
        summary=_bucket(metric, period, summary),
    )


def summarize(
    session: Session, caller: Caller, deployment_id: str, metric_id: str, query: SummaryQuery
) -> SummaryResponse:
    """One number for the period, beside the baseline and the period before."""
    metric = find_metric_of(session, caller, deployment_id, metric_id)
    subject, period, errors = _asked(session, metric, query)
    if errors:
        raise Invalid("; ".join(f"{field}: {text}" for field, text in errors.items()), errors)
    now = total_of(session, metric.id, subject.key, period)
    value = now.value(metric.type)
    previous = total_of(session, metric.id, subject.key, period.before()).value(metric.type)
    baseline = metric.baseline_values[0] if metric.baseline_values else None
    return SummaryResponse(
        period=_period(period),
        previous_period=_period(period.before()),
        metric=MetricSummary(
            **_info(metric),
            value=value,
            sample_count=int(now.samples),
            baseline_value=baseline,
            percent_change=percent_change(value, baseline),
            previous_value=previous,
            percent_change_from_previous=percent_change(value, previous),
        ),
        model_id=subject.model_id,
        model_package_id=subject.package_id,
    )


def percent_change(value: float | None, reference: float | None) -> float | None:
    """By how much ``value`` is above (or below) ``reference``, in percent of the size of that."""
    if value is None or not reference:
        return None
    return (value - reference) / abs(reference) * 100


def _asked(session: Session, metric: CustomMetric, query: SummaryQuery) -> tuple[Subject, Period, dict[str, str]]:
    subject, errors = find_subject(session, metric, query.model_id, query.model_package_id)
    period, wrong = read_period(query.start, query.end, datetime.now(UTC))
    return subject, period, errors | wrong


def _info(metric: CustomMetric) -> dict[str, Any]:
    return {
        "id": metric.id,
        "name": metric.name,
        "units": metric.units,
        "directionality": metric.directionality,
        "type": metric.type,
        "is_model_specific": metric.is_model_specific,
        "time_step": metric.time_step,
        "baseline_values": [BaselineValue(value=value) for value in metric.baseline_values],
    }


def _bucket(metric: CustomMetric, period: Period, total: Total) -> MetricBucket:
    return MetricBucket(period=_period(period), value=total.value(metric.type), sample_size=int(total.samples))


def _period(period: Period) -> MetricPeriod:
    return MetricPeriod(start=moment(period.start), end=moment(period.end))
