"""What is reported for custom metrics, and what is read back."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from modelyard.monitoring.custom_metrics.periods import Period, edges, read_bucket_size
from modelyard.monitoring.custom_metrics.reading import percent_change
from modelyard.monitoring.custom_metrics.tables import CustomMetricValue
from tests.monitoring.metrics import Metrics, value

DAY = "start=2026-03-01T00:00:00Z&end=2026-03-02T00:00:00Z"


def stored(metrics: Metrics) -> int:
    with metrics.shelf.installation.application.database.read() as session:
        return int(session.scalar(select(func.count()).select_from(CustomMetricValue)) or 0)


@pytest.mark.parametrize(("metric_type", "expected"), [("sum", 7.0), ("average", 2.0), ("gauge", 4.0)])
def test_each_type_adds_up_in_its_way(metrics: Metrics, metric_type: str, expected: float) -> None:
    metric_id = metrics.a_metric(type=metric_type)
    metrics.reported(metric_id, value(4, 9, 30), value(1, 9, 10, sampleSize=2), value(2, 9, 20, sampleSize=1))
    metrics.reported(metric_id, value(0, 8))
    found = metrics.series(metric_id, f"{DAY}&bucketSize=PT1H")
    assert found["buckets"][9] == {
        "period": {"start": "2026-03-01T09:00:00.000000Z", "end": "2026-03-01T10:00:00.000000Z"},
        "value": expected,
        "sampleSize": 4,
    }
    assert [bucket["value"] for bucket in found["buckets"][:9]] == [None] * 8 + [0.0]
    assert found["summary"]["sampleSize"] == 5


def test_an_average_is_weighted_by_sample_size(metrics: Metrics) -> None:
    metric_id = metrics.a_metric(type="average")
    metrics.reported(metric_id, value(10, 1, sampleSize=1), value(1, 3, sampleSize=9))
    assert metrics.summary(metric_id)["metric"]["value"] == pytest.approx(1.9)
    assert metrics.series(metric_id)["summary"]["value"] == pytest.approx(1.9)


def test_a_gauge_tells_the_latest_value_whatever_came_last(metrics: Metrics) -> None:
    metric_id = metrics.a_metric(type="gauge")
    metrics.reported(metric_id, value(5, 9, 30))
    metrics.reported(metric_id, value(3, 9, 10))
    assert metrics.summary(metric_id)["metric"]["value"] == 5
    metrics.reported(metric_id, value(6, 9, 30))
    assert metrics.summary(metric_id)["metric"]["value"] == 6
    metrics.reported(metric_id, value(1, 8, 0))
    assert metrics.series(metric_id)["buckets"][0]["value"] == 6


def test_what_is_stored_does_not_grow_with_the_number_of_reports(metrics: Metrics) -> None:
    metric_id = metrics.a_metric()
    for minute in range(20):
        metrics.reported(metric_id, value(1, 9, minute), value(1, 10, minute))
    assert stored(metrics) == 2
    assert metrics.summary(metric_id)["metric"]["value"] == 40


def test_a_large_report_equals_its_values_one_by_one(metrics: Metrics) -> None:
    """Against a computation of its own: any values, in any order, over many hours."""
    metric_id = metrics.a_metric(type="average")
    chosen = random.Random(1)  # noqa: S311 # numbers to add up
    base = datetime(2026, 1, 1, tzinfo=UTC)
    values = [
        {
            "value": chosen.uniform(-5, 5),
            "timestamp": (base + timedelta(minutes=chosen.randrange(60 * 24 * 50))).isoformat(),
            "sampleSize": chosen.randrange(1, 9),
        }
        for _ in range(10_000)
    ]
    metrics.reported(metric_id, *values[:4000])
    metrics.reported(metric_id, *values[4000:])
    assert stored(metrics) <= 24 * 50
    found = metrics.series(metric_id, "start=2026-01-01T00:00:00Z&end=2026-02-20T00:00:00Z&bucketSize=P7D")
    assert len(found["buckets"]) == 8
    for bucket in found["buckets"]:
        inside = [
            one
            for one in values
            if bucket["period"]["start"][:19] <= str(one["timestamp"])[:19] < bucket["period"]["end"][:19]
        ]
        samples = sum(int(one["sampleSize"]) for one in inside)  # type: ignore[call-overload]
        weighted = sum(float(one["value"]) * int(one["sampleSize"]) for one in inside)  # type: ignore[arg-type, call-overload]
        assert bucket["sampleSize"] == samples
        assert bucket["value"] == pytest.approx(weighted / samples)
    assert found["summary"]["sampleSize"] == sum(bucket["sampleSize"] for bucket in found["buckets"])


def test_every_wrong_value_is_named_and_nothing_is_kept(metrics: Metrics) -> None:
    metric_id = metrics.a_metric()
    soon = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    wrong: list[Any] = [
        value(1),
        {"timestamp": "2026-03-01T00:00:00Z"},
        {"value": "1", "timestamp": "2026-03-01T00:00:00"},
        {"value": 1, "timestamp": soon, "sampleSize": 0},
        {"value": 1e200, "timestamp": "yesterday"},
        7,
        {"value": True, "timestamp": 5},
        {"value": 1, "timestamp": "0001-01-01T00:00:00+14:00"},
        {"value": 1, "timestamp": "2026-03-01T00:00:00+01:00", "batch": "b1", "sampleSize": 1.5},
    ]
    refused = metrics.report(metric_id, *wrong, modelPackageId="x", headers={"Idempotency-Key": "k" * 256})
    assert refused.status_code == 422
    assert sorted(refused.json()["errors"]) == [
        "Idempotency-Key",
        "buckets[1].value",
        "buckets[2].timestamp",
        "buckets[2].value",
        "buckets[3].sampleSize",
        "buckets[3].timestamp",
        "buckets[4].timestamp",
        "buckets[4].value",
        "buckets[5]",
        "buckets[6].timestamp",
        "buckets[6].value",
        "buckets[7].timestamp",
        "buckets[8].batch",
        "buckets[8].sampleSize",
        "modelPackageId",
    ]
    assert stored(metrics) == 0


def test_a_report_has_a_size(metrics: Metrics) -> None:
    metric_id = metrics.a_metric()
    assert list(metrics.report(metric_id).json()["errors"]) == ["buckets"]
    assert list(metrics.report(metric_id, *[value(1)] * 10_001).json()["errors"]) == ["buckets"]
    told = metrics.report(metric_id, *[{"value": None}] * 150).json()["errors"]
    assert len(told) == 101
    assert told["buckets"] == "200 more values are wrong"


def test_a_report_is_answered_with_a_finished_operation(metrics: Metrics) -> None:
    metric_id = metrics.a_metric()
    answer = metrics.report(metric_id, value(1))
    assert answer.status_code == 202
    status = metrics.shelf.api.get(answer.headers["Location"])
    assert (status.status_code, status.json()["status"]) == (303, "COMPLETED")
    assert metrics.shelf.api.get(status.headers["Location"]).json()["metric"]["id"] == metric_id


def test_a_dry_run_checks_and_keeps_nothing(metrics: Metrics) -> None:
    metric_id = metrics.a_metric()
    metrics.reported(metric_id, value(1), dryRun=True, headers={"Idempotency-Key": "k"})
    assert stored(metrics) == 0
    assert metrics.report(metric_id, {"value": 1}, dryRun=True).status_code == 422


def test_a_report_with_a_key_counts_once(metrics: Metrics) -> None:
    metric_id = metrics.a_metric()
    for _ in range(3):
        metrics.reported(metric_id, value(5), headers={"Idempotency-Key": "run 1"})
    assert metrics.summary(metric_id)["metric"]["value"] == 5
    refused = metrics.report(metric_id, value(6), headers={"Idempotency-Key": "run 1"})
    assert (refused.status_code, list(refused.json()["errors"])) == (422, ["Idempotency-Key"])
    metrics.reported(metric_id, value(5), headers={"Idempotency-Key": "run 2"})
    metrics.reported(metric_id, value(5))
    assert metrics.summary(metric_id)["metric"]["value"] == 15


def test_times_with_zones_fall_into_their_hours(metrics: Metrics) -> None:
    metric_id = metrics.a_metric()
    metrics.reported(metric_id, {"value": 3, "timestamp": "2026-03-01T01:30:00+05:30"})
    found = metrics.series(metric_id, "start=2026-02-28T00:00:00Z&end=2026-03-01T00:00:00Z&bucketSize=PT1H")
    assert [bucket["value"] for bucket in found["buckets"]].index(3) == 20


def test_times_without_a_zone_are_utc(metrics: Metrics) -> None:
    metric_id = metrics.a_metric()
    metrics.reported(metric_id, {"value": 3, "timestamp": "2026-03-01T05:00:00Z"})
    for zone in ("", "Z"):
        found = metrics.summary(metric_id, f"start=2026-03-01T04:00:00{zone}&end=2026-03-01T05:00:00{zone}")
        assert found["period"] == {"start": "2026-03-01T04:00:00.000000Z", "end": "2026-03-01T05:00:00.000000Z"}
        assert found["metric"]["value"] is None
        found = metrics.summary(metric_id, f"start=2026-03-01T04:00:00{zone}&end=2026-03-01T05:00:01{zone}")
        assert found["period"]["end"] == "2026-03-01T06:00:00.000000Z"


def test_values_belong_to_the_model_that_they_were_reported_for(metrics: Metrics) -> None:
    shelf = metrics.shelf
    package = shelf.a_package()
    measured = Metrics(shelf, shelf.put("Two", package))
    metric_id = measured.a_metric(isModelSpecific=True)
    measured.reported(metric_id, value(1))
    measured.reported(metric_id, value(2), modelId=package["modelId"])
    measured.reported(metric_id, value(4), modelPackageId=package["id"], modelId=package["modelId"])
    found = measured.summary(metric_id)
    assert (found["metric"]["value"], found["modelPackageId"], found["modelId"]) == (
        7,
        package["id"],
        package["modelId"],
    )
    other = shelf.a_package()
    refused = measured.report(metric_id, value(1), modelPackageId=other["id"], modelId=other["modelId"])
    assert sorted(refused.json()["errors"]) == ["modelId", "modelPackageId"]
    query = f"{DAY}&modelId={other['modelId']}&bucketSize=P1Y"
    refused = shelf.api.get(f"{measured.path}{metric_id}/valuesOverTime/?{query}")
    assert sorted(refused.json()["errors"]) == ["bucketSize", "modelId"]


def test_a_summary_compares_with_the_baseline_and_the_period_before(metrics: Metrics) -> None:
    metric_id = metrics.a_metric(baselineValues=[{"value": 8}, {"value": 1}])
    metrics.reported(metric_id, value(10, 9), {"value": 4, "timestamp": "2026-02-28T10:00:00Z"})
    found = metrics.summary(metric_id)
    assert found["period"] == {"start": "2026-03-01T00:00:00.000000Z", "end": "2026-03-02T00:00:00.000000Z"}
    assert found["previousPeriod"]["start"] == "2026-02-28T00:00:00.000000Z"
    told = found["metric"]
    assert (told["value"], told["sampleCount"], told["baselineValue"]) == (10, 1, 8)
    assert (told["percentChange"], told["previousValue"], told["percentChangeFromPrevious"]) == (25, 4, 150)
    empty = metrics.summary(metric_id, "start=2025-03-01T00:00:00Z&end=2025-03-02T00:00:00Z")["metric"]
    assert (empty["value"], empty["sampleCount"], empty["percentChange"]) == (None, 0, None)


def test_without_times_the_last_seven_days_are_told(metrics: Metrics) -> None:
    metric_id = metrics.a_metric()
    now = datetime.now(UTC)
    metrics.reported(
        metric_id,
        {"value": 1, "timestamp": now.isoformat()},
        {"value": 2, "timestamp": (now - timedelta(days=8)).isoformat()},
    )
    answer = metrics.shelf.api.get(f"{metrics.path}{metric_id}/valuesOverTime/").json()
    assert [bucket["value"] for bucket in answer["buckets"]] == [None] * 6 + [1]
    assert metrics.shelf.api.get(f"{metrics.path}{metric_id}/summary/").json()["metric"]["value"] == 1


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("start=2026-03-02T00:00:00Z&end=2026-03-01T00:00:00Z", ["start"]),
        ("start=1900-03-02T00:00:00Z&end=8999-12-31T23:30:00Z&bucketSize=1h", ["bucketSize", "end", "start"]),
        ("start=2015-03-02T00:00:00Z&end=2026-03-01T00:00:00Z", ["start"]),
        ("start=2022-03-02T00:00:00Z&end=2026-03-01T00:00:00Z&bucketSize=PT1H", ["bucketSize"]),
        ("bucketSize=P", ["bucketSize"]),
        ("bucketSize=PT0H", ["bucketSize"]),
        ("bucketSize=PT30M", ["bucketSize"]),
        ("start=soon", ["start"]),
    ],
)
def test_impossible_periods_are_refused(metrics: Metrics, query: str, wrong: list[str]) -> None:
    refused = metrics.shelf.api.get(f"{metrics.path}{metrics.a_metric()}/valuesOverTime/?{query}")
    assert refused.status_code == 422, refused.text
    assert sorted(refused.json()["errors"]) == wrong


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("P1M", ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-02"]),
        ("P6W", ["2026-01-31", "2026-03-14", "2026-04-25", "2026-05-02"]),
        ("P60DT24H", ["2026-01-31", "2026-04-02", "2026-05-02"]),
    ],
)
def test_buckets_are_counted_from_the_start(size: str, expected: list[str]) -> None:
    period = Period(datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 5, 2, tzinfo=UTC))
    read = read_bucket_size(size)
    assert read is not None
    assert [edge.date().isoformat() for edge in edges(period, read) or []] == expected


def test_changes_are_in_percent_of_the_size_of_the_reference() -> None:
    assert percent_change(-5, -10) == 50
    assert percent_change(5, 10) == -50
    assert percent_change(5, 0) is None
    assert percent_change(None, 1) is None
