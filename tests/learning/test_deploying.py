"""Deployments of what was trained: they predict as the project's model does."""

import json
from typing import Any

import pytest

from tests.deployments.serving import Workshop
from tests.learning.builders import Lab, sent
from tests.learning.tasks import FILL, LOGISTIC, LOGISTIC_METADATA, MEAN
from tests.learning.test_training import SPLIT, predictions

NOBODY = "0123456789abcdef01234567"
ROWS = '[{"age": 69, "city": "Rome", "income": 4900}, {"age": 20, "city": null, "income": null}]'


@pytest.fixture
def serving(lab: Lab) -> Workshop:
    return Workshop(lab.installation, lab.environment_id)


def body(model: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"label": "Leavers", "description": None, "modelId": model["id"]} | fields


def ask(serving: Workshop, deployment_id: str) -> list[dict[str, Any]]:
    answer = serving.ask(deployment_id, ROWS, "/v1/predictions/", "application/json")
    assert answer.status == 200, answer.body
    return list(json.loads(answer.body)["data"])


def test_a_trained_model_is_deployed(lab: Lab, serving: Workshop) -> None:
    with serving.working():
        project = lab.a_project(partitioning=SPLIT)
        fill, logistic = lab.a_task(FILL, "Transform"), lab.a_task(LOGISTIC, metadata=LOGISTIC_METADATA)
        model = lab.trained(project, fill, logistic, name="Best", rowWeightsColumn="weight")
        ann = lab.installation.a_user("ann")
        shared = {"data": [{"username": "ann", "role": "READ_ONLY"}]}
        assert lab.api.patch(f"/projects/{project['id']}/accessControl/", json=shared).status_code == 204
        refusal = ann.post("/deployments/fromLearningModel/", json=body(model))
        assert (refusal.status_code, set(refusal.json()["errors"])) == (422, {"modelId"})

        answer = lab.api.post(
            "/deployments/fromLearningModel/", json=body(model, predictionThreshold=0.9, importance="HIGH")
        )
        made = sent(answer, 202)
        found = dict(serving.await_success(answer.headers["Location"]).json())
        assert (found["id"], found["status"], found["importance"]) == (made["id"], "active", "HIGH")
        told = found["model"]
        assert (told["projectId"], told["projectName"]) == (project["id"], "Churn")
        assert (told["type"], told["targetName"], told["targetType"]) == ("Best", "churned", "Binary")
        assert ann.get(f"/deployments/{made['id']}/").json()["permissions"] == ["CAN_VIEW", "CAN_MAKE_PREDICTIONS"]

        rows = ask(serving, made["id"])
        assert [one["prediction"] for one in rows] == ["yes", "no"]
        assert rows[0]["predictionThreshold"] == 0.9
        dataset = lab.a_dataset(["age,city,income", "69,Rome,4900", "20,,"], "two.csv")
        expected = [float(one["churned_yes_PREDICTION"]) for one in predictions(lab, model, dataset)]
        assert [one["predictionValues"][0]["value"] for one in rows] == pytest.approx(expected)

        second = sent(
            lab.api.post(
                "/deployments/fromLearningModel/",
                json=body(model, status="inactive", grantInitialDeploymentRolesFromProject=False),
            ),
            202,
        )
        other = serving.read(second["id"])
        assert other["status"] == "inactive"
        assert other["model"]["customModelImage"] == told["customModelImage"]  # it is made once
        assert ann.get(f"/deployments/{second['id']}/").status_code == 404
        started = lab.api.patch(f"/deployments/{second['id']}/status/", json={"status": "active"})
        serving.await_success(started.headers["Location"])
        assert [one["prediction"] for one in ask(serving, second["id"])] == ["yes", "no"]

        assert lab.model(model)["customModelId"] == told["customModelImage"]["customModelId"]
        path = f"/projects/{told['projectId']}/models/{told['id']}/"
        assert lab.api.get(path).json()["id"] == told["id"] == model["id"]
        for held in (f"/projects/{project['id']}/", path):
            refused = lab.api.delete(held)
            assert (refused.status_code, len(refused.json()["deploymentIds"])) == (409, 2)
            listed = lab.api.get(refused.json()["link"]).json()["data"]
            assert {one["id"] for one in listed} == {made["id"], second["id"]}
        for task in lab.api.get("/customTasks/").json()["data"]:
            refused = lab.api.delete(f"/customTasks/{task['id']}/")
            assert (refused.status_code, lab.api.get(refused.json()["link"]).json()["id"]) == (409, model["id"])
        for deployment in (made, second):
            assert [one["prediction"] for one in ask(serving, deployment["id"])] == ["yes", "no"]
            assert lab.api.delete(f"/deployments/{deployment['id']}/").status_code == 204
        assert lab.api.delete(f"/projects/{project['id']}/").status_code == 204


def test_what_cannot_be_deployed(lab: Lab, serving: Workshop) -> None:
    with lab.working():
        project = lab.a_project(target="age", partitioning=SPLIT)
        mean = lab.a_task(MEAN, "Regression")
        model = lab.trained(project, mean)
        wrong = {"label": " ", "predictionThreshold": 0.5, "defaultPredictionServerId": NOBODY}
        answer = lab.api.post("/deployments/fromLearningModel/", json=body(model, **wrong))
        assert set(answer.json()["errors"]) == {"label", "predictionThreshold", "defaultPredictionServerId"}
        for fields in ({"modelId": NOBODY}, {"predictionThreshold": 2}, {"importance": "low"}, {"status": "on"}):
            answer = lab.api.post("/deployments/fromLearningModel/", json=body(model, **fields))
            assert (answer.status_code, set(answer.json()["errors"])) == (422, set(fields))
        answer = lab.api.post("/deployments/fromLearningModel/", json={})
        assert set(answer.json()["errors"]) == {"label", "description", "modelId"}
    waiting = lab.train(project, mean)
    answer = lab.api.post("/deployments/fromLearningModel/", json=body(waiting))
    assert "only one that is completed" in answer.json()["errors"]["modelId"]
    assert lab.api.get("/deployments/").json()["totalCount"] == 0
