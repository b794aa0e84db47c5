"""Chains that do not fit together are refused before anything is trained."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.learning.builders import Lab, path_of, sent
from tests.learning.tasks import FILL, LOGISTIC, LOGISTIC_METADATA, MEAN, SHARES

NOBODY = "0123456789abcdef01234567"


@pytest.fixture
def project(lab: Lab) -> dict[str, Any]:
    return lab.a_project()


@pytest.fixture
def logistic(lab: Lab) -> str:
    return lab.a_task(LOGISTIC, metadata=LOGISTIC_METADATA)


def test_what_is_no_chain(lab: Lab, project: dict[str, Any], logistic: str) -> None:
    fill, mean, shares = lab.a_task(FILL, "Transform"), lab.a_task(MEAN, "Regression"), lab.a_task(SHARES)
    assert "there is no estimator" in lab.refused(project, fill)["tasks"]
    assert "[1] is a second estimator" in lab.refused(project, logistic, shares)["tasks"]
    assert "[0] is the estimator, but a transform follows" in lab.refused(project, logistic, fill)["tasks"]
    assert "[1] is for Regression targets" in lab.refused(project, fill, mean)["tasks"]
    assert "tasks" in lab.refused(project)
    assert "tasks" in lab.refused(project, *([fill] * 20), logistic)


def test_every_wrong_field_is_told_at_once(lab: Lab, project: dict[str, Any], logistic: str) -> None:
    parameters = {"C": 0, "solver": "newton", "epochs": 3}
    errors = lab.refused(
        project,
        NOBODY,
        {"customTaskVersionId": logistic, "parameters": parameters},
        rowWeightsColumn="nothing",
        calibrate=True,
        name=" ",
    )
    assert set(errors) == {"tasks", "rowWeightsColumn", "calibrate", "name"}
    for text in (f"[0]: there is no custom task version {NOBODY}", "[1].parameters.C", "parameters.solver", ".epochs"):
        assert text in errors["tasks"]


@pytest.mark.parametrize(
    ("column", "text"), [("city", "does not hold numbers"), ("churned", "is the target"), ("x", "there is no column")]
)
def test_weights_are_numbers(lab: Lab, project: dict[str, Any], logistic: str, column: str, text: str) -> None:
    assert text in lab.refused(project, logistic, rowWeightsColumn=column)["rowWeightsColumn"]


def test_all_tasks_run_in_one_environment(lab: Lab, project: dict[str, Any], logistic: str) -> None:
    found = lab.api.get("/executionEnvironments/").json()["data"]
    other = next(one["id"] for one in found if "XGBoost" in one["name"])
    task = sent(lab.api.post("/customTasks/", json={"name": "T", "targetType": "Transform"}), 201)
    fill = lab.a_task_version(task["id"], FILL, environment_id=other)
    assert "one environment version" in lab.refused(project, fill, logistic)["tasks"]


def test_tasks_of_others_and_models_are_no_tasks(lab: Lab, project: dict[str, Any], logistic: str) -> None:
    stranger = lab.as_(lab.installation.a_user("eve"))
    theirs = stranger.a_task(SHARES)
    assert "that you may see" in lab.refused(project, theirs)["tasks"]
    body = {"name": "M", "customModelType": "inference", "targetType": "Binary", "targetName": "churned"}
    model = sent(lab.api.post("/customModels/", json=body), 201)
    fields = {"isMajorUpdate": (None, "true"), "baseEnvironmentId": (None, lab.environment_id)}
    version = sent(lab.api.post(f"/customModels/{model['id']}/versions/", files=fields), 201)
    assert "no custom task version" in lab.refused(project, version["id"])["tasks"]


def test_so_many_trainings_may_wait(a_lab: Callable[..., Lab]) -> None:
    lab = a_lab(max_waiting_trainings=1)
    project, shares = lab.a_project(), lab.a_task(SHARES)
    for _ in range(3):
        lab.train(project, shares)
    refusal = lab.ask_for_model(project, shares)
    assert (refusal.status_code, "No more than 1 trainings" in refusal.json()["message"]) == (409, True)
    assert lab.project(project)["modelCount"] == 3


def test_a_chain_that_waits(lab: Lab, project: dict[str, Any], logistic: str) -> None:
    """It says what it waits for, holds its tasks, and leaves nothing when it is canceled and deleted."""
    before = lab.installation.stored()
    models = [lab.train(project, logistic) for _ in range(4)]
    assert [lab.model(one)["status"] for one in models] == ["preparing", "preparing", "queued", "queued"]
    assert lab.model(models[3])["progress"]["message"] == "waiting for a free place; 1 other training waits longer"
    assert lab.project(project)["modelCount"] == 4
    task_id = lab.model(models[0])["tasks"][0]["customTaskId"]
    held = lab.api.delete(f"/customTasks/{task_id}/")
    assert held.status_code == 409
    assert f"/projects/{project['id']}/models/" in held.json()["message"]
    for model in models:
        assert lab.api.delete(path_of(model)).status_code == 409
        assert lab.api.delete(path_of(model) + "training/").status_code == 204
    lab.installation.run_operations()
    for model in models:
        found = lab.model(model)
        assert (found["status"], found["reason"]) == ("canceled", "canceled")
        assert "canceled" in lab.log(model)
        assert lab.api.delete(path_of(model) + "training/").status_code == 409
        assert lab.api.delete(path_of(model)).status_code == 204
        assert lab.api.get(path_of(model)).status_code == 404
    assert lab.project(project)["modelCount"] == 0
    assert lab.installation.stored() == before
    assert lab.api.delete(f"/customTasks/{task_id}/").status_code == 204
