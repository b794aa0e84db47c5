"""Reporting values of custom metrics: every entry is checked before any is kept."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import msgspec
from sqlalchemy.orm import Session

from modelyard.deployments.views import KIND
from modelyard.identity import audit
from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.kernel.errors import Invalid
from modelyard.monitoring.custom_metrics.models import find_subject
from modelyard.monitoring.custom_metrics.periods import EARLIEST, as_utc, whole_hour
from modelyard.monitoring.custom_metrics.schemas import MetricValuesFromJson, ReportedValue
from modelyard.monitoring.custom_metrics.service import find_metric_of
from modelyard.monitoring.custom_metrics.tables import CustomMetricReport
from modelyard.monitoring.custom_metrics.values import Total, add_values
from modelyard.operations import service as operations
from modelyard.operations.tables import Operation

AHEAD = timedelta(hours=1)
"""How far the clock of a reporter may be ahead of ours."""
FAULTS_TOLD = 100
KEY_HEADER = "Idempotency-Key"
MAX_KEY_LENGTH = 255
REPORT = "monitoring.reportCustomMetric"


def report_values(
    session: Session,
    caller: Caller,
    deployment_id: str,
    metric_id: str,
    body: MetricValuesFromJson,
    headers: Mapping[str, str],
) -> Operation:
    """Adds all values, or none when one is wrong. The answer is an operation that is done already.

    What is reported twice is added twice, unless both reports carry the same ``Idempotency-Key``.
    """
    metric = find_metric_of(session, caller, deployment_id, metric_id, Permission.EDIT)
    subject, errors = find_subject(session, metric, body.model_id, body.model_package_id)
    key, wrong_key = _read_key(headers)
    totals, wrong = _read_values(body.buckets, datetime.now(UTC))
    errors |= wrong_key | wrong
    if errors:
        _refuse(errors)
    if not body.dry_run and _is_new(session, metric.id, key, msgspec.json.encode([subject.key, body.buckets])):
        add_values(session, metric.id, subject.key, totals)
        audit.record(
            session,
            caller,
            "report custom metric",
            KIND,
            deployment_id,
            {"metricId": metric.id, "values": len(body.buckets)},
        )
    return operations.record_done(
        session,
        caller,
        REPORT,
        status_type="CustomMetricValues",
        resource_id=metric.id,
        result_path=f"/deployments/{deployment_id}/customMetrics/{metric.id}/summary/",
        description=f"{'Checking' if body.dry_run else 'Reporting'} values of {metric.name}",
    )


def _read_values(buckets: Sequence[Any], now: datetime) -> tuple[dict[datetime, Total], dict[str, str]]:
    """The values added up by hour, and what is wrong with which entry."""
    totals: dict[datetime, Total] = {}
    errors: dict[str, str] = {}
    latest = now + AHEAD
    for index, entry in enumerate(buckets):
        read = _entry(entry)
        at = _moment(read.timestamp) if read is not None else None
        if read is None or at is None or at > latest:
            errors |= {f"buckets[{index}]{field}": fault for field, fault in _faults(entry, now).items()}
        elif not errors:
            totals.setdefault(whole_hour(at), Total()).add(read.value, read.sample_size, at)
    return totals, errors


def _entry(entry: Any) -> ReportedValue | None:
    """An entry that is right in form, which nearly all are."""
    try:
        read = msgspec.convert(entry, ReportedValue)
    except msgspec.ValidationError:
        return None
    return read if read.batch is None else None


def _faults(entry: Any, now: datetime) -> dict[str, str]:
    """Every wrong field of one entry."""
    if not isinstance(entry, dict):
        return {"": "must be an object with value and timestamp"}
    faults = {}
    for info in msgspec.structs.fields(ReportedValue):
        name = info.encode_name
        if name not in entry:
            if info.required:
                faults[f".{name}"] = "is required"
            continue
        try:
            msgspec.convert(entry[name], info.type)
        except msgspec.ValidationError as error:
            faults[f".{name}"] = str(error)
    if entry.get("batch") is not None:
        faults[".batch"] = "values are kept by time only; leave batch out"
    text = entry.get("timestamp")
    return faults | (_wrong_moment(text, _moment(text), now) if isinstance(text, str) else {})


def _moment(text: str) -> datetime | None:
    """The time in UTC; None for what is no time, has no zone or is before the years that are kept."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return as_utc(read) if read.tzinfo is not None else None


def _wrong_moment(text: str, at: datetime | None, now: datetime) -> dict[str, str]:
    if at is None:
        return {
            ".timestamp": f"must be an ISO 8601 time with a zone, such as 2026-01-31T12:00:00Z, since {EARLIEST.year}; "
            f"got {text[:40]!r}"
        }
    if at > now + AHEAD:
        return {".timestamp": f"{text} is in the future; it is {now.isoformat(timespec='seconds')} now"}
    return {}


def _read_key(headers: Mapping[str, str]) -> tuple[str | None, dict[str, str]]:
    key = headers.get(KEY_HEADER.lower())
    if key is None or (0 < len(key) <= MAX_KEY_LENGTH and key.isprintable()):
        return key, {}
    return None, {KEY_HEADER: f"must be 1 to {MAX_KEY_LENGTH} printable characters"}


def _is_new(session: Session, metric_id: str, key: str | None, content: bytes) -> bool:
    """Whether this report was not added before; notes that it is from now on."""
    if key is None:
        return True
    digest = hashlib.sha256(content).hexdigest()[:32]
    known = session.get(CustomMetricReport, (metric_id, key))
    if known is not None and known.content_digest != digest:
        _refuse({KEY_HEADER: f"{key!r} was used for another report; give each report a key of its own"})
    if known is not None:
        return False
    session.add(CustomMetricReport(metric_id=metric_id, key=key, content_digest=digest, at=datetime.now(UTC)))
    session.flush()
    return True


def _refuse(errors: dict[str, str]) -> NoReturn:
    """Raises with every fault, and beyond a hundred of them with how many more there are."""
    told = dict(list(errors.items())[:FAULTS_TOLD])
    if len(errors) > len(told):
        told["buckets"] = f"{len(errors) - len(told)} more values are wrong"
    raise Invalid("; ".join(f"{field}: {text}" for field, text in told.items()), told)
