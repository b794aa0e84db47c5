"""The list of deployments: filters, orders, pages, and how many queries it takes."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from tests.deployments.shelf import Shelf


def test_text_status_importance_and_makers_are_filtered(shelf: Shelf) -> None:
    bob = shelf.installation.a_user("bob")
    shelf.put("Apples", description="red fruit", importance="CRITICAL")
    shelf.put("Pears", status="errored", importance="LOW")
    bobs = shelf.put("Bob's", api=bob, importance="HIGH")
    bob.patch(f"/deployments/{bobs}/accessControl/", json={"data": [{"username": "admin", "role": "USER"}]})
    assert shelf.found("search=FRUIT") == ["Apples"]
    assert shelf.found("search=pea") == ["Pears"]
    assert shelf.found("search=%25") == []
    assert shelf.found("status=active") == ["Bob's", "Apples"]
    assert shelf.found("status=active&status=errored&orderBy=label") == ["Apples", "Bob's", "Pears"]
    assert shelf.found("importance=HIGH&importance=LOW") == ["Bob's", "Pears"]
    assert shelf.found("createdByMe=true") == ["Pears", "Apples"]
    assert shelf.found("createdByMe=False") == ["Bob's", "Pears", "Apples"]
    assert shelf.found("createdBy=bob") == ["Bob's"]
    assert shelf.found("role=OWNER") == ["Pears", "Apples"]
    assert shelf.found("role=USER") == ["Bob's"]
    assert shelf.found("", bob) == ["Bob's"]
    assert shelf.api.get("/deployments/?status=broken").status_code == 422


def test_models_environments_and_tags_are_filtered(shelf: Shelf) -> None:
    regression = shelf.a_package(targetType="Regression")
    tags = [{"name": "team", "value": "sales"}, {"name": "stage", "value": "dev"}]
    shelf.put("Regression", regression, tags=tags)
    shelf.put("Binary", tags=[{"name": "team", "value": "risk"}])
    assert shelf.found("championModelTargetType=regression") == ["Regression"]
    assert shelf.found("championModelExecutionType=custom_inference_model") == ["Binary", "Regression"]
    assert shelf.found("championModelExecutionType=external") == []
    assert shelf.found("buildEnvironmentType=Python") == ["Binary", "Regression"]
    assert shelf.found("buildEnvironmentType=R&buildEnvironmentType=Java") == []
    assert shelf.found("executionEnvironmentType=datarobot") == ["Binary", "Regression"]
    assert shelf.found("executionEnvironmentType=external") == []
    assert shelf.found("predictionEnvironmentPlatform=datarobotServerless") == ["Binary", "Regression"]
    assert shelf.found("predictionEnvironmentPlatform=aws") == []
    server = shelf.api.get("/predictionServers/").json()["data"][0]["id"]
    assert shelf.found(f"defaultPredictionServerId={server}") == ["Binary", "Regression"]
    assert shelf.found(f"defaultPredictionServerId={'0' * 24}") == []
    assert shelf.found("tagKeys=stage") == ["Regression"]
    assert shelf.found("tagKeys=stage&tagKeys=team") == ["Binary", "Regression"]
    assert shelf.found("tagValues=risk") == ["Binary"]
    assert shelf.found("tagKeys=team&tagValues=sales") == ["Regression"]
    assert shelf.found("tagKeys=stage&tagValues=sales") == [], "no tag has both"
    assert shelf.found("tagKeys=stage&tagKeys=team&tagValues=sales&tagValues=risk") == ["Binary", "Regression"]


def test_traffic_is_filtered_and_ordered_by(shelf: Shelf) -> None:
    quiet, busy, failing, old, shaky = (shelf.put(name) for name in ("quiet", "busy", "failing", "old", "shaky"))
    shelf.traffic(busy, rows=700)
    shelf.traffic(failing, rows=7, errors=5, hours_ago=1)
    shelf.traffic(old, rows=70, hours_ago=72)
    for hours_ago in (2, 3):
        for _ in range(20):
            shelf.traffic(shaky, rows=1, hours_ago=hours_ago)
    shelf.traffic(shaky, rows=1, errors=1, hours_ago=4)
    assert shelf.found() == ["busy", "failing", "shaky", "old", "quiet"]
    assert shelf.found("orderBy=lastPredictionTimestamp") == ["old", "shaky", "failing", "busy", "quiet"]
    assert shelf.found("orderBy=-recentPredictions") == ["busy", "old", "shaky", "failing", "quiet"]
    assert shelf.found("orderBy=-serviceHealth")[:2] == ["failing", "shaky"]
    for health, labels in (
        ("passing", ["busy"]),
        ("warning", ["shaky"]),
        ("failing", ["failing"]),
        ("unknown", ["old"]),
        ("not_started", ["quiet"]),
        ("unavailable", []),
    ):
        assert shelf.found(f"serviceHealth={health}") == labels
        for label in labels:
            [one] = shelf.api.get(f"/deployments/?search={label}").json()["data"]
            assert one["serviceHealth"]["status"] == health.replace("not_started", "notStarted")
    assert shelf.found("modelHealth=unknown&accuracyHealth=unknown&limit=1") == ["busy"]
    assert shelf.found("modelHealth=passing") == []
    assert shelf.found("predictionUsageDailyAvgGreaterThan=9") == ["busy", "old"]
    assert shelf.found("predictionUsageDailyAvgLessThan=1") == ["quiet"]
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat().replace("+00:00", "Z")
    assert shelf.found(f"lastPredictionTimestampEnd={yesterday}") == ["old"]
    assert shelf.found(f"lastPredictionTimestampStart={yesterday}&orderBy=label") == ["busy", "failing", "shaky"]
    usage = shelf.api.get(f"/deployments/{old}/").json()["predictionUsage"]
    assert shelf.found(f"lastPredictionTimestampEnd={usage['lastTimestamp']}") == [], "before the end, not at it"
    usage = shelf.api.get(f"/deployments/{busy}/").json()["predictionUsage"]
    assert (sum(usage["dailyRates"]), len(usage["dailyRates"])) == (700, 7)
    assert usage["lastTimestamp"] is not None
    assert shelf.api.get(f"/deployments/{quiet}/").json()["predictionUsage"]["lastTimestamp"] is None


def test_other_orders(shelf: Shelf) -> None:
    for index, (label, importance) in enumerate((("b", "HIGH"), ("c", "LOW"), ("a", "CRITICAL"))):
        made = shelf.put(label, importance=importance)
        shelf.set(made, model_deployed_at=datetime.now(UTC) - timedelta(days=index))
    assert shelf.found("orderBy=label") == ["a", "b", "c"]
    assert shelf.found("orderBy=-label") == ["c", "b", "a"]
    assert shelf.found("orderBy=createdAtTimestamp") == ["b", "c", "a"]
    assert shelf.found("orderBy=-createdAtTimestamp") == ["a", "c", "b"]
    assert shelf.found("orderBy=importance") == ["c", "b", "a"]
    assert shelf.found("orderBy=-importance") == ["a", "b", "c"]
    assert shelf.found("orderBy=currentModelDeployedTimestamp") == ["a", "c", "b"]
    assert shelf.found("orderBy=-currentModelDeployedTimestamp") == ["b", "c", "a"]
    assert shelf.found("orderBy=modelHealth") == shelf.found("orderBy=-fairnessHealth") == ["a", "c", "b"]
    assert shelf.api.get("/deployments/?orderBy=colour").status_code == 422


def test_labels_are_ordered_whatever_their_case(shelf: Shelf) -> None:
    package = shelf.a_package()
    for label in ("beta", "ÄPFEL", "Alpha", "äther", "Beta2"):
        shelf.put(label, package)
    assert shelf.found("orderBy=label") == ["Alpha", "beta", "Beta2", "ÄPFEL", "äther"]
    assert shelf.found("orderBy=-label") == ["äther", "ÄPFEL", "Beta2", "beta", "Alpha"]


def test_pages_hold_twenty_and_at_most_a_hundred(shelf: Shelf) -> None:
    package = shelf.a_package()
    for index in range(22):
        shelf.put(f"{index:02}", package)
    first = shelf.api.get("/deployments/?orderBy=label").json()
    assert (first["count"], first["totalCount"], first["previous"]) == (20, 22, None)
    rest = shelf.api.get(first["next"]).json()
    assert [one["label"] for one in rest["data"]] == ["20", "21"]
    assert rest["next"] is None
    assert shelf.api.get("/deployments/?limit=101").status_code == 422
    assert shelf.api.get("/deployments/?limit=0").status_code == 422


@pytest.mark.parametrize("path", ["/deployments/", "/customModelDeployments/"])
def test_a_page_takes_as_many_queries_for_many_as_for_few(shelf: Shelf, path: str) -> None:
    shelf.put("first")
    shelf.api.get(path)
    counted = [_queries(shelf, path)]
    for index in range(5):
        shelf.put(str(index), tags=[{"name": "a", "value": "b"}])
    counted.append(_queries(shelf, path))
    assert counted[0] == counted[1]


def _queries(shelf: Shelf, path: str) -> int:
    statements: list[str] = []
    engine = shelf.installation.application.database.engine

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        assert shelf.api.get(path).status_code == 200
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return len(statements)
