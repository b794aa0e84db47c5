"""Custom metrics as such: made, listed, changed, deleted, and who may do that."""

from typing import Any

import pytest
from sqlalchemy import func, select

from modelyard.identity.caller import authenticate
from modelyard.identity.roles import Permission
from modelyard.identity.tables import AuditEvent
from modelyard.kernel.errors import Forbidden, NotFound
from modelyard.monitoring.custom_metrics.service import find_metric
from modelyard.monitoring.custom_metrics.tables import CustomMetric, CustomMetricReport, CustomMetricValue
from tests.monitoring.metrics import Metrics, value

NOBODY = "0" * 24


def test_a_metric_is_kept_as_it_was_given(metrics: Metrics) -> None:
    columns = {
        "timestamp": {"columnName": "when", "timeFormat": "%Y-%m-%d"},
        "value": {"columnName": "amount"},
        "sampleCount": {"columnName": "n"},
        "batch": None,
    }
    made = metrics.create("Saved", description="Money", baselineValues=[{"value": 2.5}], timeStep="hour", **columns)
    assert made.status_code == 201
    found = made.json()
    assert found["createdBy"]["username"] == "admin"
    assert (found["deploymentId"], found["createdAt"][-1]) == (metrics.deployment_id, "Z")
    for name in ("id", "createdAt", "createdBy", "deploymentId"):
        assert found.pop(name)
    assert found == columns | {
        "name": "Saved",
        "description": "Money",
        "units": "CHF",
        "directionality": "higherIsBetter",
        "type": "sum",
        "isModelSpecific": False,
        "timeStep": "hour",
        "baselineValues": [{"value": 2.5}],
        "associationId": None,
    }
    assert metrics.shelf.api.get(f"{metrics.path}{made.json()['id']}/").json() == made.json()


def test_all_wrong_fields_are_named_at_once(metrics: Metrics) -> None:
    refused = metrics.create(
        "",
        units=...,
        type="median",
        directionality="up",
        isModelSpecific="perhaps",
        timeStep="day",
        description="x" * 1001,
        baselineValues=[{"value": "much"}],
        timestamp={},
        value={"columnName": ""},
    )
    assert refused.status_code == 422
    assert sorted(refused.json()["errors"]) == [
        "baselineValues",
        "description",
        "directionality",
        "isModelSpecific",
        "name",
        "timeStep",
        "timestamp",
        "type",
        "units",
        "value",
    ]
    assert metrics.shelf.api.get(metrics.path).json()["totalCount"] == 0


def test_lists_are_searched_ordered_and_paged(metrics: Metrics) -> None:
    for name in ("beta", "alpha", "gamma"):
        metrics.a_metric(name, description="of Love" if name == "gamma" else "")

    def names(query: str) -> list[str]:
        return [one["name"] for one in metrics.shelf.api.get(f"{metrics.path}?{query}").json()["data"]]

    assert names("") == ["beta", "alpha", "gamma"]
    assert names("orderBy=-createdAt") == ["gamma", "alpha", "beta"]
    assert names("orderBy=name") == ["alpha", "beta", "gamma"]
    assert names("orderBy=-name&limit=1&offset=1") == ["beta"]
    assert names("search=LOVE") == ["gamma"]
    assert names("search=%25") == []
    assert names("name=alpha") == ["alpha"]
    assert metrics.shelf.api.get(f"{metrics.path}?orderBy=units").status_code == 422


def test_what_was_sent_is_changed_and_null_takes_away(metrics: Metrics) -> None:
    metric_id = metrics.a_metric(baselineValues=[{"value": 1}], value={"columnName": "v"}, description="old")
    path = f"{metrics.path}{metric_id}/"
    changed = metrics.shelf.api.patch(path, json={"name": "Spent", "directionality": "lowerIsBetter"}).json()
    assert (changed["name"], changed["directionality"], changed["units"]) == ("Spent", "lowerIsBetter", "CHF")
    assert changed["value"] == {"columnName": "v"}
    nulls = {"description": None, "baselineValues": None, "value": None, "batch": {"columnName": "b"}}
    changed = metrics.shelf.api.patch(path, json=nulls).json()
    assert (changed["description"], changed["baselineValues"], changed["value"]) == ("", [], None)
    assert changed["batch"] == {"columnName": "b"}
    refused = metrics.shelf.api.patch(path, json={"name": None, "type": "median"})
    assert sorted(refused.json()["errors"]) == ["name", "type"]
    assert metrics.shelf.api.get(path).json() == changed
    assert metrics.shelf.api.get(f"{metrics.path}?search=spent").json()["count"] == 1


def test_another_type_reads_the_same_reports_in_another_way(metrics: Metrics) -> None:
    metric_id = metrics.a_metric(type="sum")
    metrics.reported(metric_id, value(10, 1, sampleSize=3), value(2, 5))
    path = f"{metrics.path}{metric_id}/"
    assert metrics.summary(metric_id)["metric"]["value"] == 12
    metrics.shelf.api.patch(path, json={"type": "average"})
    assert metrics.summary(metric_id)["metric"]["value"] == 8
    metrics.shelf.api.patch(path, json={"type": "gauge"})
    assert metrics.summary(metric_id)["metric"]["value"] == 2


def rows_of(metrics: Metrics, table: Any) -> int:
    with metrics.shelf.installation.application.database.read() as session:
        return int(session.scalar(select(func.count()).select_from(table)) or 0)


def test_a_deleted_metric_takes_its_values_along(metrics: Metrics) -> None:
    metric_id, kept = metrics.a_metric(), metrics.a_metric("Other")
    for one in (metric_id, kept):
        metrics.reported(one, value(1), headers={"Idempotency-Key": "k"})
    path = f"{metrics.path}{metric_id}/"
    assert metrics.shelf.api.delete(path).status_code == 204
    assert metrics.shelf.api.get(path).status_code == 404
    assert metrics.shelf.api.delete(path).status_code == 404
    assert [rows_of(metrics, table) for table in (CustomMetric, CustomMetricValue, CustomMetricReport)] == [1, 1, 1]


def test_an_erased_deployment_takes_its_metrics_along(metrics: Metrics) -> None:
    metric_id = metrics.a_metric()
    metrics.reported(metric_id, value(1), headers={"Idempotency-Key": "k"})
    assert metrics.shelf.api.delete(f"/deployments/{metrics.deployment_id}/").status_code == 204
    assert metrics.shelf.api.get(f"{metrics.path}{metric_id}/").status_code == 404
    assert rows_of(metrics, CustomMetricValue) == 1
    erased = metrics.shelf.api.patch(
        "/deletedDeployments/", json={"action": "PermanentlyErase", "deploymentIds": [metrics.deployment_id]}
    )
    assert erased.status_code == 202, erased.text
    metrics.shelf.installation.run_operations()
    assert [rows_of(metrics, table) for table in (CustomMetric, CustomMetricValue, CustomMetricReport)] == [0, 0, 0]


def test_each_role_may_what_it_may(metrics: Metrics) -> None:
    metric_id = metrics.a_metric()
    api = metrics.shelf.api
    reader = metrics.shelf.installation.a_user("reader")
    stranger = metrics.shelf.installation.a_user("stranger")
    share = {"data": [{"username": "reader", "role": "READ_ONLY"}]}
    assert api.patch(f"/deployments/{metrics.deployment_id}/accessControl/", json=share).status_code == 204
    one = f"{metrics.path}{metric_id}/"
    body = {"name": "x", "units": "x", "type": "sum", "directionality": "lowerIsBetter", "isModelSpecific": False}
    reads: list[tuple[str, str, Any]] = [
        ("GET", path, None) for path in (metrics.path, one, f"{one}summary/", f"{one}valuesOverTime/")
    ]
    writes = [
        ("POST", metrics.path, body),
        ("PATCH", one, {"name": "y"}),
        ("POST", f"{one}fromJSON/", {"buckets": [value(1)]}),
        ("DELETE", one, None),
    ]
    for method, path, content in reads:
        assert reader.request(method, path, json=content).status_code == 200, path
    for method, path, content in writes:
        assert reader.request(method, path, json=content).status_code == 403, path
    for method, path, content in reads + writes:
        assert stranger.request(method, path, json=content).status_code == 404, path


def test_a_metric_of_another_deployment_is_not_found(metrics: Metrics) -> None:
    other = Metrics(metrics.shelf, metrics.shelf.put("Other"))
    metric_id = other.a_metric()
    for path in ("", "summary/", "valuesOverTime/"):
        assert metrics.shelf.api.get(f"{metrics.path}{metric_id}/{path}").status_code == 404
    assert metrics.report(metric_id, value(1)).status_code == 404
    assert metrics.shelf.api.delete(f"{metrics.path}{metric_id}/").status_code == 404


def test_a_metric_is_found_by_its_id_alone(metrics: Metrics) -> None:
    metric_id = metrics.a_metric()
    stranger = metrics.shelf.installation.a_user("stranger")
    reader = metrics.shelf.installation.a_user("reader")
    share = {"data": [{"username": "reader", "role": "READ_ONLY"}]}
    metrics.shelf.api.patch(f"/deployments/{metrics.deployment_id}/accessControl/", json=share)
    with metrics.shelf.installation.application.database.read() as session:
        owner, theirs, read = (
            authenticate(session, {"authorization": f"Bearer {api.token}"})
            for api in (metrics.shelf.api, stranger, reader)
        )
        assert find_metric(session, owner, metric_id, Permission.EDIT).id == metric_id
        assert find_metric(session, read, metric_id, Permission.VIEW).id == metric_id
        with pytest.raises(Forbidden):
            find_metric(session, read, metric_id, Permission.EDIT)
        with pytest.raises(NotFound):
            find_metric(session, theirs, metric_id, Permission.VIEW)
        with pytest.raises(NotFound):
            find_metric(session, owner, NOBODY, Permission.VIEW)


def test_every_change_is_in_the_audit_trail(metrics: Metrics) -> None:
    metric_id = metrics.a_metric()
    metrics.shelf.api.patch(f"{metrics.path}{metric_id}/", json={"name": "x"})
    metrics.reported(metric_id, value(1))
    metrics.shelf.api.delete(f"{metrics.path}{metric_id}/")
    with metrics.shelf.installation.application.database.read() as session:
        actions = list(
            session.scalars(
                select(AuditEvent.action)
                .where(AuditEvent.resource_id == metrics.deployment_id, AuditEvent.action.contains("custom metric"))
                .order_by(AuditEvent.id)
            )
        )
    assert actions == [f"{verb} custom metric" for verb in ("create", "update", "report", "delete")]
