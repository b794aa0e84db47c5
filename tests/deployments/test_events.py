"""What is told of deployments that are really launched, replaced and broken."""

from datetime import UTC, datetime
from typing import Any

from modelyard.operations.tables import Operation
from tests.deployments.serving import Workshop
from tests.deployments.test_launch import BROKEN, SHOUTING
from tests.waiting import wait_until


def told(workshop: Workshop, deployment_id: str) -> list[dict[str, Any]]:
    """The oldest first."""
    return list(reversed(workshop.api.get(f"/events/?deploymentId={deployment_id}").json()["data"]))


def do_last_step_again(workshop: Workshop, location: str) -> None:
    """As when a controller ends after the last step and before it could note that."""
    operation_id = location.rstrip("/").rpartition("/")[2]
    with workshop.installation.application.database.write() as session:
        row = session.get_one(Operation, operation_id)
        row.status, row.steps_done, row.finished_at = "RUNNING", row.steps_done - 1, None
        row.due_at = datetime.now(UTC)

    def look() -> Operation | None:
        with workshop.installation.application.database.read() as session:
            row = session.get_one(Operation, operation_id)
            return row if row.finished_at else None

    row = wait_until(look, 20.0, "the operation to end again")
    assert row.status == "COMPLETED", row.message


def test_creation_and_replacement_are_told_once_each(workshop: Workshop) -> None:
    first, second = workshop.a_package_of(), workshop.a_package_of(SHOUTING)
    with workshop.working():
        made = workshop.a_deployment(first)
        path = f"/deployments/{made['id']}/"
        assert told(workshop, made["id"]) == []
        workshop.await_success(made["location"])
        (created,) = told(workshop, made["id"])
        assert (created["type"], created["deploymentLabel"]) == ("deploymentCreated", "Echo")
        assert created["modelPackageId"] == first["id"]
        do_last_step_again(workshop, made["location"])

        metric = {"name": "m", "units": "x", "type": "sum", "directionality": "higherIsBetter", "isModelSpecific": True}
        metric_path = f"{path}customMetrics/{workshop.api.post(f'{path}customMetrics/', json=metric).json()['id']}/"

        body = {"modelPackageId": second["id"], "reason": "ACCURACY"}
        replaced = workshop.api.patch(f"{path}model/", json=body)
        workshop.await_success(replaced.headers["Location"])
        do_last_step_again(workshop, replaced.headers["Location"])
        stopped = workshop.api.patch(f"{path}status/", json={"status": "inactive"})
        workshop.await_success(stopped.headers["Location"])
        started = workshop.api.patch(f"{path}status/", json={"status": "active"})
        workshop.await_success(started.headers["Location"])
        events = told(workshop, made["id"])
        assert [event["type"] for event in events] == ["deploymentCreated", "deploymentReplaced"]
        assert (events[1]["modelPackageId"], events[1]["previousModelPackageId"]) == (second["id"], first["id"])
        assert events[1]["reason"] == "ACCURACY"
        _report_for_both_models(workshop, metric_path, first, second)


def _report_for_both_models(workshop: Workshop, path: str, first: dict[str, Any], second: dict[str, Any]) -> None:
    """Also for the one that was replaced."""
    period = "start=2026-03-01T00:00:00Z&end=2026-03-02T00:00:00Z"
    for package, value in ((first, 1), (second, 2)):
        body = {"buckets": [{"value": value, "timestamp": "2026-03-01T00:00:00Z"}], "modelId": package["modelId"]}
        assert workshop.api.post(f"{path}fromJSON/", json=body).status_code == 202
    for query, expected in (("", 2), (f"&modelPackageId={first['id']}", 1), (f"&modelPackageId={second['id']}", 2)):
        assert workshop.api.get(f"{path}summary/?{period}{query}").json()["metric"]["value"] == expected


def test_a_deployment_that_cannot_start_is_told_once_and_one_that_goes_on_is_not(workshop: Workshop) -> None:
    good, broken = workshop.a_package_of(), workshop.a_package_of(BROKEN)
    with workshop.working():
        errored = workshop.a_deployment(broken)
        workshop.await_end(errored["location"])
        (event,) = told(workshop, errored["id"])
        assert event["type"] == "deploymentErrored"
        assert "no luck" in event["reason"]

        made = workshop.a_deployment(good)
        workshop.await_success(made["location"])
        replaced = workshop.api.patch(
            f"/deployments/{made['id']}/model/", json={"modelPackageId": broken["id"], "reason": "OTHER"}
        )
        assert workshop.await_end(replaced.headers["Location"]).json()["status"] == "ERROR"
        assert [event["type"] for event in told(workshop, made["id"])] == ["deploymentCreated"]
