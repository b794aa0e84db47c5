"""Reports that come at the same moment, on both databases: none is lost, and one with a key counts once."""

from collections.abc import Callable

import pytest

from tests.conftest import Installation
from tests.database.test_races import CROWD, at_once
from tests.deployments.shelf import Shelf
from tests.monitoring.metrics import Metrics, value


@pytest.fixture
def metrics(each_database: str, an_installation: Callable[..., Installation]) -> Metrics:
    shelf = Shelf(an_installation(database_url=each_database))
    return Metrics(shelf, shelf.put("Churn"))


def test_no_report_is_lost(metrics: Metrics) -> None:
    metric_id = metrics.a_metric()

    def report(number: int) -> list[dict[str, object]]:
        hours = range(10) if number % 2 else reversed(range(10))  # in ways that would wait for each other
        return [value(1, hour) for hour in hours]

    answers = at_once(lambda number: metrics.report(metric_id, *report(number)))
    assert [answer.status_code for answer in answers] == [202] * CROWD
    assert metrics.summary(metric_id)["metric"]["value"] == 10 * CROWD


def test_a_report_with_a_key_counts_once(metrics: Metrics) -> None:
    metric_id = metrics.a_metric()
    headers = {"Idempotency-Key": "run 1"}
    answers = at_once(lambda _: metrics.report(metric_id, value(5), headers=headers))
    assert [answer.status_code for answer in answers] == [202] * CROWD
    assert metrics.summary(metric_id)["metric"]["value"] == 5


def test_a_metric_that_is_deleted_meanwhile_is_no_failure(metrics: Metrics) -> None:
    metric_id = metrics.a_metric()

    def ask(number: int) -> object:
        if number:
            return metrics.report(metric_id, value(1, number))
        return metrics.shelf.api.delete(f"{metrics.path}{metric_id}/")

    statuses = {answer.status_code for answer in at_once(ask)}  # type: ignore[arg-type]
    assert statuses <= {202, 204, 404}
    assert metrics.shelf.api.get(f"{metrics.path}{metric_id}/").status_code == 404
