"""Projects: what is to be learned of which data, and what is wrong with wishes for that."""

import io
from datetime import datetime
from typing import Any

import polars as pl
import pytest

from tests.learning.builders import Lab, churn_rows, sent

NOBODY = "0123456789abcdef01234567"


def refused(lab: Lab, **fields: Any) -> dict[str, str]:
    """The wrong fields of a project that is refused, and that nothing was left of."""
    answer = lab.api.post("/projects/", json=lab.project_body(**fields))
    assert answer.status_code == 422, answer.text
    assert lab.api.get("/projects/").json()["totalCount"] == 0
    return dict(answer.json()["errors"])


def test_a_project_is_made_ready(lab: Lab) -> None:
    answer = lab.api.post("/projects/", json=lab.project_body())
    made = sent(answer, 202)
    assert made["status"] == "preparing"
    assert answer.headers["Location"].startswith("http://modelyard.test/api/v2/status/")
    lab.installation.run_operations()
    status = lab.api.get(answer.headers["Location"])
    assert status.headers["Location"] == f"http://modelyard.test/api/v2/projects/{made['id']}/"
    found = sent(lab.api.get(status.headers["Location"]), 200)
    assert found["status"] == "ready"
    assert (found["targetType"], found["metric"]) == ("Binary", "LogLoss")
    assert (found["classLabels"], found["positiveClassLabel"]) == (["yes", "no"], "yes")
    assert found["features"] == ["age", "city", "income", "weight"]
    assert found["partitioning"] == {"method": "cv", "folds": 5, "validationPct": None, "holdoutPct": 20.0, "seed": 0}
    assert sum(found["partitionRows"].values()) == found["rowCount"] == 120
    assert found["partitionRows"]["holdout"] == 24
    assert set(found["partitionRows"]) == {"holdout", *(f"fold-{number}" for number in range(1, 6))}


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ([f"{number}.5" for number in range(20)], "Regression"),
        (["0", "1"] * 10, "Binary"),
        (["true", "false"] * 10, "Binary"),
        (["a", "b"] * 10, "Binary"),
        (["a", "b", "c", "d"] * 5, "Multiclass"),
    ],
)
def test_the_target_type_follows_from_the_values(lab: Lab, column: list[str], expected: str) -> None:
    dataset = lab.a_dataset(["x,y", *(f"{number},{value}" for number, value in enumerate(column))])
    project = lab.a_project(datasetId=dataset, target="y", partitioning={"method": "cv", "folds": 2, "holdoutPct": 0})
    assert (project["status"], project["targetType"]) == ("ready", expected)
    labels = {"0": ["1", "0"], "true": ["True", "False"], "a": ["b", "a"]}.get(column[0], [])
    if expected == "Binary":
        assert project["classLabels"] == labels
    if expected == "Multiclass":
        assert project["classLabels"] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (
            pl.Series([datetime(2024, 1, day) for day in (1, 2)]),  # noqa: DTZ001 # as Parquet files have it
            ["2024-01-02 00:00:00", "2024-01-01 00:00:00"],
        ),
        (pl.Series(["1.00", "2.50"]).cast(pl.Decimal(10, 2)), ["2.5", "1"]),
        (pl.Series(["b", "a"], dtype=pl.Enum(["b", "a"])), ["b", "a"]),
        (pl.Series([2**64 - 1, 5], dtype=pl.UInt64), ["18446744073709551616", "5"]),
        (pl.Series([2**64 - 1, 2**64 - 2], dtype=pl.UInt64), None),
        (pl.Series(["a\0", "b"]), None),
    ],
    ids=str,
)
def test_classes_are_called_what_a_training_sees(lab: Lab, values: pl.Series, labels: list[str] | None) -> None:
    content = io.BytesIO()
    pl.DataFrame({"x": range(20), "y": pl.concat([values] * 10)}).write_parquet(content)
    answer = lab.api.post("/datasets/fromFile/", files={"file": ("y.parquet", content.getvalue())})
    lab.done(answer)
    project = lab.a_project(
        datasetId=answer.json()["catalogId"], target="y", partitioning={"method": "cv", "folds": 2, "holdoutPct": 0}
    )
    if labels is None:
        assert (project["status"], project["classLabels"]) == ("errored", [])
    else:
        assert project["classLabels"] == labels


def test_a_project_without_a_target_finds_anomalies(lab: Lab) -> None:
    project = lab.a_project(target=...)
    assert (project["targetType"], project["target"], project["metric"]) == ("Anomaly", None, None)
    assert "churned" in project["features"]


def test_the_positive_class_can_be_chosen(lab: Lab) -> None:
    assert lab.a_project(positiveClassLabel="no")["classLabels"] == ["no", "yes"]
    wrong = lab.a_project(positiveClassLabel="maybe")
    assert wrong["status"] == "errored"
    assert "positiveClassLabel" in wrong["reason"]


def test_every_wrong_field_is_told_at_once(lab: Lab) -> None:
    errors = refused(
        lab,
        projectName=" ",
        target="nothing",
        metric="RMSE",
        targetType="Binary",
        partitioning={"method": "tvh", "folds": 3, "validationPct": 60, "holdoutPct": 40},
    )
    assert set(errors) == {"projectName", "target", "metric", "partitioning"}
    assert "'age', 'city'" in errors["target"]
    assert "LogLoss, AUC, Accuracy" in errors["metric"]
    assert "folds is for the method cv" in errors["partitioning"]
    assert "less than 1 %" in errors["partitioning"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"datasetId": NOBODY}, "datasetId"),
        ({"datasetVersionId": NOBODY}, "datasetVersionId"),
        ({"partitioning": {"method": "cv", "folds": 1}}, "partitioning"),
        ({"partitioning": {"method": "cv", "seed": -1}}, "partitioning"),
        ({"partitioning": {"method": "cv", "holdoutPct": 100}}, "partitioning"),
        ({"partitioning": {"method": "cv", "validationPct": 10}}, "partitioning"),
        ({"partitioning": {"method": "tvh", "validationPct": 0}}, "partitioning"),
        ({"partitioning": "cv"}, "partitioning"),
        ({"targetType": "Transform"}, "targetType"),
        ({"targetType": "Regression"}, "target"),
        ({"targetType": "Anomaly"}, "target"),
        ({"target": ..., "targetType": "Binary"}, "target"),
        ({"target": "city", "targetType": "Multiclass"}, "target"),
        ({"target": "income", "targetType": "Binary"}, "target"),
        ({"target": "age", "positiveClassLabel": "1"}, "positiveClassLabel"),
    ],
)
def test_what_cannot_be_is_refused(lab: Lab, fields: dict[str, Any], field: str) -> None:
    assert field in refused(lab, **fields)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (["same"] * 20, "one value only"),
        (["a", "b", ""] * 7, "no value in 7 rows"),
        ([f"class {number}" for number in range(10_000)], "10000 different values"),
    ],
)
def test_targets_of_which_nothing_can_be_learned(lab: Lab, values: list[str], text: str) -> None:
    dataset = lab.a_dataset(["x,y", *(f"{number},{value}" for number, value in enumerate(values))])
    assert text in refused(lab, datasetId=dataset, target="y")["target"]


def test_a_table_of_a_few_rows_is_too_small(lab: Lab) -> None:
    dataset = lab.a_dataset(churn_rows(5))
    assert "needs 10" in refused(lab, datasetId=dataset)["datasetId"]


def test_a_class_that_a_training_would_not_see_ends_the_preparation(lab: Lab) -> None:
    dataset = lab.a_dataset(["x,y", *(f"{number},{'c' if number == 3 else 'ab'[number % 2]}" for number in range(30))])
    project = lab.a_project(datasetId=dataset, target="y", partitioning={"method": "cv", "folds": 3, "holdoutPct": 0})
    assert project["status"] == "errored"
    assert "Class 'c' has 1 rows" in project["reason"]
    assert lab.ask_for_model(project, NOBODY).status_code == 409


def test_the_data_stay_when_the_dataset_goes(lab: Lab) -> None:
    dataset = lab.a_dataset()
    project = lab.a_project(datasetId=dataset)
    assert lab.api.delete(f"/datasets/{dataset}/").status_code == 204
    assert lab.project(project)["rowCount"] == 120


def test_a_project_changes_its_name_and_its_metric(lab: Lab) -> None:
    project = lab.a_project()
    path = f"/projects/{project['id']}/"
    changed = sent(lab.api.patch(path, json={"projectName": "Leavers", "metric": "AUC"}), 200)
    assert (changed["projectName"], changed["metric"]) == ("Leavers", "AUC")
    refusal = lab.api.patch(path, json={"projectName": "", "metric": "MAE"})
    assert set(refusal.json()["errors"]) == {"projectName", "metric"}
    assert sent(lab.api.get("/projects/", params={"searchFor": "LEAV"}), 200)["totalCount"] == 1
    assert sent(lab.api.get("/projects/", params={"searchFor": "churn"}), 200)["totalCount"] == 0


def test_projects_are_listed_newest_first(lab: Lab) -> None:
    dataset = lab.a_dataset()
    made = [lab.a_project(datasetId=dataset, projectName=f"P{number}")["id"] for number in range(3)]
    assert [one["id"] for one in lab.api.get("/projects/").json()["data"]] == made[::-1]
    oldest = lab.api.get("/projects/", params={"orderBy": "created", "limit": 1}).json()
    assert ([one["id"] for one in oldest["data"]], oldest["totalCount"]) == (made[:1], 3)


def test_roles_decide_who_may_do_what(lab: Lab) -> None:
    project = lab.a_project()
    path = f"/projects/{project['id']}/"
    ann = lab.installation.a_user("ann")
    assert ann.get(path).status_code == 404
    shared = {"data": [{"username": "ann", "role": "READ_ONLY"}]}
    assert lab.api.patch(path + "accessControl/", json=shared).status_code == 204
    assert ann.get(path).status_code == 200
    assert ann.patch(path, json={"projectName": "Mine"}).status_code == 403
    assert ann.post(path + "models/", json={"tasks": [{"customTaskVersionId": NOBODY}]}).status_code == 403
    assert ann.delete(path).status_code == 403
    assert {one["username"]: one["role"] for one in ann.get(path + "accessControl/").json()["data"]}[
        "ann"
    ] == "READ_ONLY"


def test_a_deleted_project_is_gone(lab: Lab) -> None:
    project = lab.a_project()
    path = f"/projects/{project['id']}/"
    assert lab.api.delete(path).status_code == 204
    assert lab.api.get(path).status_code == 404
    assert lab.api.get("/projects/").json()["totalCount"] == 0


def test_a_project_that_is_being_prepared_cannot_be_deleted(lab: Lab) -> None:
    made = sent(lab.api.post("/projects/", json=lab.project_body()), 202)
    assert lab.api.delete(f"/projects/{made['id']}/").status_code == 409
    lab.installation.run_operations()
    assert lab.api.delete(f"/projects/{made['id']}/").status_code == 204


def test_a_dataset_of_somebody_else_is_not_there(lab: Lab) -> None:
    dataset = lab.a_dataset()
    stranger = lab.as_(lab.installation.a_user("eve", organization="other"))
    answer = stranger.api.post("/projects/", json={"projectName": "P", "target": "churned", "datasetId": dataset})
    assert answer.status_code == 422
    assert "that you may see" in answer.json()["errors"]["datasetId"]
