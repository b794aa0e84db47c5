"""``/deployments/{deploymentId}/customMetrics/``: beyond the seeds (decision 0028)."""

from sqlalchemy.orm import Session

from modelyard.identity.caller import Caller
from modelyard.kernel.paging import Page
from modelyard.kernel.routing import Answer, RequestInfo, endpoint
from modelyard.monitoring.custom_metrics import reading, reports, service
from modelyard.monitoring.custom_metrics.schemas import (
    CustomMetricCreate,
    CustomMetricListQuery,
    CustomMetricResponse,
    CustomMetricUpdate,
    MetricValuesFromJson,
    SummaryQuery,
    SummaryResponse,
    ValuesOverTimeQuery,
    ValuesOverTimeResponse,
)
from modelyard.operations import service as operations

TAG = "CustomMetrics"
ALL = "/deployments/{deploymentId}/customMetrics/"
ONE = "/deployments/{deploymentId}/customMetrics/{customMetricId}/"


@endpoint("GET", ALL, errors=(403, 404, 422), tag=TAG)
def list_metrics(
    session: Session, caller: Caller, deployment_id: str, query: CustomMetricListQuery, request: RequestInfo
) -> Page[CustomMetricResponse]:
    """List the custom metrics of a deployment."""
    return service.list_metrics(session, caller, deployment_id, query, request)


@endpoint("POST", ALL, status=201, errors=(403, 404, 422), tag=TAG)
def create_metric(
    session: Session, caller: Caller, deployment_id: str, body: CustomMetricCreate
) -> CustomMetricResponse:
    """Make a custom metric."""
    return service.create_metric(session, caller, deployment_id, body)


@endpoint("GET", ONE, errors=(403, 404), tag=TAG)
def read_metric(session: Session, caller: Caller, deployment_id: str, custom_metric_id: str) -> CustomMetricResponse:
    """Read a custom metric."""
    return service.read_metric(session, caller, deployment_id, custom_metric_id)


@endpoint("PATCH", ONE, errors=(403, 404, 422), tag=TAG)
def change_metric(
    session: Session, caller: Caller, deployment_id: str, custom_metric_id: str, body: CustomMetricUpdate
) -> CustomMetricResponse:
    """Change a custom metric."""
    return service.change_metric(session, caller, deployment_id, custom_metric_id, body)


@endpoint("DELETE", ONE, status=204, errors=(403, 404), tag=TAG)
def delete_metric(session: Session, caller: Caller, deployment_id: str, custom_metric_id: str) -> None:
    """Delete a custom metric, with everything that was reported for it."""
    service.delete_metric(session, caller, deployment_id, custom_metric_id)


@endpoint("POST", f"{ONE}fromJSON/", status=202, errors=(403, 404, 422), tag=TAG, location=True)
def report_values(
    session: Session,
    caller: Caller,
    deployment_id: str,
    custom_metric_id: str,
    body: MetricValuesFromJson,
    request: RequestInfo,
) -> Answer:
    """Report values of a custom metric."""
    operation = reports.report_values(session, caller, deployment_id, custom_metric_id, body, request.headers)
    return operations.accepted(request, operation)


@endpoint("GET", f"{ONE}valuesOverTime/", errors=(403, 404, 422), tag=TAG)
def values_over_time(
    session: Session, caller: Caller, deployment_id: str, custom_metric_id: str, query: ValuesOverTimeQuery
) -> ValuesOverTimeResponse:
    """Read the values of a custom metric over time."""
    return reading.values_over_time(session, caller, deployment_id, custom_metric_id, query)


@endpoint("GET", f"{ONE}summary/", errors=(403, 404, 422), tag=TAG)
def summarize(
    session: Session, caller: Caller, deployment_id: str, custom_metric_id: str, query: SummaryQuery
) -> SummaryResponse:
    """Read the value of a custom metric in a period, beside its baseline and the period before."""
    return reading.summarize(session, caller, deployment_id, custom_metric_id, query)
