"""Chains that are really trained, in the sandbox: what comes of it, and how it is repeated."""

import csv
import io
from typing import Any

import pytest

from tests.learning.builders import Lab, churn_rows, path_of, sent
from tests.learning.tasks import DISTANCE, FILL, LOGISTIC, LOGISTIC_METADATA, MEAN, SHARES
from tests.waiting import wait_until

SPLIT = {"method": "tvh", "validationPct": 25, "holdoutPct": 25, "seed": 1}


def predictions(lab: Lab, model: dict[str, Any], dataset_id: str) -> list[dict[str, str]]:
    """What a model predicts for a dataset, row by row."""
    asked = sent(lab.api.post(path_of(model) + "predictions/", json={"datasetId": dataset_id}), 202)
    path = path_of(model) + f"predictions/{asked['id']}/"
    found = wait_until(
        lambda: one if (one := sent(lab.api.get(path), 200))["status"] != "running" else None, what="the predictions"
    )
    assert found["status"] == "completed", found
    answer = lab.api.get(path + "file/")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    assert len(answer.content) == found["size"]
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_a_chain_is_trained_measured_and_predicts(working_lab: Lab) -> None:
    lab = working_lab
    project = lab.a_project()
    fill = lab.a_task(FILL, "Transform", name="Fill")
    logistic = lab.a_task(LOGISTIC, metadata=LOGISTIC_METADATA, name="Logistic")
    model = lab.trained(
        project, fill, {"customTaskVersionId": logistic, "parameters": {"C": 10}}, rowWeightsColumn="weight"
    )
    assert model["name"] == "Fill → Logistic"
    assert [(task["name"], task["kind"], task["parameters"]) for task in model["tasks"]] == [
        ("Fill", "transform", {}),
        ("Logistic", "estimator", {"C": 10.0, "solver": "lbfgs"}),
    ]
    assert set(model["metrics"]) == {"crossValidation", "holdout"}
    assert model["metrics"]["holdout"]["AUC"] > 0.9
    assert [fold["id"] for fold in model["folds"]] == ["fold-1", "fold-2", "fold-3", "fold-4", "fold-5", "final"]
    mean = sum(fold["metrics"]["LogLoss"] for fold in model["folds"][:5]) / 5
    assert model["metrics"]["crossValidation"]["LogLoss"] == pytest.approx(mean)
    assert (model["progress"]["done"], model["progress"]["total"]) == (24, 24)
    assert min(model["trainingSeconds"], model["peakMemory"], model["artifactSize"]) > 0
    assert lab.log(model).count("fitted with C = 10.0 weights True") == 6
    rows = predictions(lab, model, project["datasetId"])
    assert len(rows) == 120
    for row in rows:
        assert float(row["churned_yes_PREDICTION"]) + float(row["churned_no_PREDICTION"]) == pytest.approx(1)
        assert row["churned_PREDICTION"] == ("yes" if float(row["churned_yes_PREDICTION"]) >= 0.5 else "no")
    listed = sent(lab.api.get(path_of(model) + "predictions/"), 200)
    assert (listed["totalCount"], listed["data"][0]["rowCount"]) == (1, 120)
    lacking = lab.a_dataset(["age,city", "30,Rome"])
    refusal = lab.api.post(path_of(model) + "predictions/", json={"datasetId": lacking})
    assert "'income'" in refusal.json()["errors"]["datasetId"]


def test_a_regression_on_a_split(working_lab: Lab) -> None:
    lab = working_lab
    project = lab.a_project(target="age", partitioning=SPLIT)
    assert project["partitionRows"] == {"holdout": 30, "validation": 30, "training": 60}
    model = lab.trained(project, lab.a_task(MEAN, "Regression"))
    assert set(model["metrics"]) == {"validation", "holdout"}
    assert set(model["metrics"]["holdout"]) == {"RMSE", "MAE", "R Squared", "Gamma Deviance", "Poisson Deviance"}
    assert model["metrics"]["validation"]["RMSE"] == pytest.approx(14.4, abs=3)
    rows = predictions(lab, model, project["datasetId"])
    assert float(rows[1]["age_PREDICTION"]) - float(rows[0]["age_PREDICTION"]) == pytest.approx(0.001)


def test_several_classes(working_lab: Lab) -> None:
    lab = working_lab
    lines = ["x,kind", *(f"{number},{'abc'[(number * number) % 3 if number % 5 else 2]}" for number in range(90))]
    dataset = lab.a_dataset(lines, "kinds.csv")
    project = lab.a_project(target="kind", datasetId=dataset, partitioning=SPLIT)
    assert project["classLabels"] == ["a", "b", "c"]
    model = lab.trained(project, lab.a_task(SHARES, "Multiclass"))
    assert set(model["metrics"]["validation"]) == {"LogLoss", "AUC", "Accuracy"}
    rows = predictions(lab, model, dataset)
    assert set(rows[0]) == {"kind_a_PREDICTION", "kind_b_PREDICTION", "kind_c_PREDICTION", "kind_PREDICTION"}
    assert {row["kind_PREDICTION"] for row in rows} == {"b"}


@pytest.mark.parametrize("calibrate", [False, True])
def test_anomalies_have_no_metrics_but_a_spread(working_lab: Lab, calibrate: bool) -> None:
    lab = working_lab
    project = lab.a_project(target=..., partitioning=SPLIT)
    model = lab.trained(project, lab.a_task(DISTANCE, "Anomaly", calibratePredictions=calibrate))
    assert (model["metrics"], model["calibrate"]) == ({}, calibrate)
    assert model["scoreDistribution"]["count"] == 30
    scores = [float(row["anomaly_score_PREDICTION"]) for row in predictions(lab, model, project["datasetId"])]
    ages = [float(line.split(",")[0]) for line in churn_rows()[1:]]
    farthest = max(ages, key=lambda age: abs(age - 44.5))
    assert scores[ages.index(farthest)] == max(scores)
    if calibrate:
        assert 0 <= min(scores) < 0.2
        assert 0.8 < max(scores) <= 1
    else:
        assert max(scores) > 10


def test_transforms_that_did_not_change_are_not_fitted_again(working_lab: Lab) -> None:
    lab = working_lab
    project = lab.a_project()
    fill = lab.a_task(FILL, "Transform")
    logistic = lab.a_task(LOGISTIC, metadata=LOGISTIC_METADATA)
    first = lab.trained(project, fill, logistic)
    again = lab.trained(project, fill, {"customTaskVersionId": logistic, "parameters": {"C": 0.5}})
    assert [one["tasks"][0]["cached"] for one in (first, again)] == [0, 6]
    assert again["tasks"][1]["cached"] == 0
    assert again["metrics"] != first["metrics"]
    same = lab.trained(project, fill, logistic)
    assert same["metrics"] == first["metrics"]
    other = lab.trained(lab.a_project(datasetId=project["datasetId"]), fill, logistic)
    assert other["tasks"][0]["cached"] == 0
    assert other["metrics"] == first["metrics"]  # the same data, seed, versions and parameters


def test_the_leaderboard_has_the_best_first(working_lab: Lab) -> None:
    lab = working_lab
    project = lab.a_project(partitioning=SPLIT)
    good = lab.a_task(LOGISTIC, metadata=LOGISTIC_METADATA)
    chains = [(lab.a_task(SHARES), "guesses"), (lab.a_task(FILL, "Transform"), "good")]
    guesses = lab.trained(project, chains[0][0], name="guesses")
    trained = lab.trained(project, chains[1][0], good, name="good")
    path = f"/projects/{project['id']}/models/"
    assert [one["name"] for one in lab.api.get(path).json()["data"]] == ["good", "guesses"]
    assert [one["id"] for one in lab.api.get(path, params={"orderBy": "created"}).json()["data"]] == [
        guesses["id"],
        trained["id"],
    ]
    assert lab.api.patch(f"/projects/{project['id']}/", json={"metric": "Accuracy"}).status_code == 200
    best = lab.api.get(path, params={"limit": 1}).json()["data"][0]
    assert best["metrics"]["validation"]["Accuracy"] == max(
        one["metrics"]["validation"]["Accuracy"] for one in (guesses, trained)
    )


def test_what_a_training_wrote_is_followed_while_it_goes_on(working_lab: Lab) -> None:
    lab = working_lab
    project = lab.a_project(partitioning=SPLIT)
    model = lab.train(project, lab.a_task(FILL, "Transform"), lab.a_task(LOGISTIC, metadata=LOGISTIC_METADATA))
    with lab.api.client.stream(
        "GET", f"/api/v2{path_of(model)}log/?follow=true", headers={"Authorization": f"Bearer {lab.api.token}"}
    ) as answer:
        lines = list(answer.iter_lines())
    assert any("fitted with C" in line for line in lines)
    assert 'data: {"status":"completed"}' in lines
    assert lab.api.get(path_of(model) + "log/", params={"tail": 1}).text.count("\n") == 1
