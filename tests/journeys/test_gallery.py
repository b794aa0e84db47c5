"""Every template of the gallery, made into a job and run against a real deployment."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.builders import Yard, made, plain_environment, send_job
from tests.journeys.story import SCIKIT_LEARN, Story, answered
from tests.waiting import wait_until

CHURN = Path(__file__).parents[2] / "examples" / "churn_model"
FILES = ("custom.py", "model.joblib", "model-metadata.yaml", "requirements.txt")
ROWS = 300


@pytest.fixture(scope="module")
def churn(story: Story) -> dict[str, str]:
    """The deployed churn model, and a dataset to work with: ids by name."""
    model = story.a_model(
        name="Churn",
        targetType="Binary",
        targetName="churned",
        positiveClassLabel="yes",
        negativeClassLabel="no",
    )
    files = {name: (CHURN / name).read_bytes() for name in FILES if (CHURN / name).exists()}
    version = story.a_version(model["id"], files, SCIKIT_LEARN)
    deployment_id = story.deploy(story.a_package(version), label="churn")
    lines = (CHURN / "training" / "churn.csv").read_text().splitlines(keepends=True)[: ROWS + 1]
    sent = story.api.post("/datasets/fromFile/", files={"file": ("churn.csv", "".join(lines).encode())})
    story.await_success(sent.headers["Location"])
    return {"model": model["id"], "deployment": deployment_id, "dataset": answered(sent, 202)["catalogId"]}


@pytest.fixture(scope="module")
def yard(story: Story) -> Yard:
    return Yard(story.api, plain_environment(story.api), patience_s=120)


def a_job(yard: Yard, template: str, *parameters: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A job made from the shipped template of this name."""
    found = made(yard.api.get("/customTemplates/", params={"search": template}), 200)["data"]
    (wanted,) = [one for one in found if one["name"] == f"[Modelyard] {template}"]
    body = {"templateId": wanted["id"], "runtimeParameterValues": json.dumps(parameters)} | fields
    job = made(yard.api.post("/customJobs/fromGalleryTemplate/", json=body))
    assert job["jobType"] == wanted["templateSubType"]
    assert job["environmentId"] == wanted["defaultEnvironment"]["environmentId"]
    assert job["resources"]["resourceBundleId"] == wanted["defaultResourceBundleId"]
    assert job["tags"] == wanted["templateMetadata"]["tags"]
    assert "README.md" in {item["filePath"] for item in job["items"]}
    return job


def value(name: str, given: Any, kind: str = "string") -> dict[str, Any]:
    return {"fieldName": name, "type": kind, "value": given}


def of_deployment(churn: dict[str, str]) -> dict[str, Any]:
    return value("DEPLOYMENT", churn["deployment"], "deployment")


def succeeded(yard: Yard, job: dict[str, Any], *parameters: dict[str, Any]) -> dict[str, Any]:
    run = yard.run(job, *parameters)
    assert run["status"] == "succeeded", yard.log(run)
    return run


def test_a_dataset_is_scored_and_the_predictions_are_kept(yard: Yard, churn: dict[str, str]) -> None:
    job = a_job(yard, "Score a dataset", of_deployment(churn), value("DATASET", churn["dataset"]))
    run = succeeded(yard, job, value("ROWS_PER_REQUEST", 100, "numeric"), value("PASSTHROUGH_COLUMNS", "plan"))
    kept = yard.artifacts(run)["predictions.csv"].decode()
    rows = list(csv.DictReader(io.StringIO(kept)))
    assert len(rows) == ROWS
    assert {"churned_yes_PREDICTION", "plan"} <= rows[0].keys()
    assert yard.log(run).count("rows scored") == 3


def test_the_health_of_a_deployment_is_checked(yard: Yard, churn: dict[str, str]) -> None:
    job = a_job(yard, "Check a deployment's health", of_deployment(churn))
    run = succeeded(yard, job)
    assert json.loads(yard.artifacts(run)["health.json"])["faults"] == []
    silent = yard.run(job, value("MAX_SILENT_HOURS", 0.000001, "numeric"))
    assert (silent["status"], silent["exitCode"]) == ("failed", 1)
    assert "predicted nothing" in yard.log(silent)


def test_a_measure_is_reported_as_a_custom_metric(yard: Yard, churn: dict[str, str]) -> None:
    path = f"/deployments/{churn['deployment']}/customMetrics/"
    metric = made(
        yard.api.post(
            path,
            json={
                "name": "Response time",
                "units": "ms",
                "directionality": "lowerIsBetter",
                "type": "average",
                "isModelSpecific": False,
                "timeStep": "hour",
                "baselineValues": [{"value": 50}],
            },
        )
    )
    job = a_job(
        yard,
        "Response time as a custom metric",
        of_deployment(churn),
        value("DATASET", churn["dataset"]),
        value("CUSTOM_METRIC", metric["id"], "customMetric"),
        value("ROWS", 5, "numeric"),
    )
    succeeded(yard, job)
    series = made(yard.api.get(f"{path}{metric['id']}/valuesOverTime/"), 200)
    assert [one for one in series["buckets"] if one["value"] is not None and one["value"] > 0]


def test_a_notification_job_hears_of_a_failed_run_once(yard: Yard, churn: dict[str, str]) -> None:
    job = a_job(yard, "Tell a webhook", subscription={"eventTypes": ["runFailed"]})
    assert job["resources"]["egressNetworkPolicy"] == "public"
    failing = yard.run(yard.a_job("raise SystemExit(3)\n", name="Failing"))
    assert failing["exitCode"] == 3

    def told() -> list[dict[str, Any]]:
        found = made(yard.api.get(f"/customJobs/{job['id']}/runs/"), 200)["data"]
        return [one for one in found if one["status"] != "running"]

    (run,) = wait_until(told, 60, "the notification")
    assert run["status"] == "succeeded", yard.log(run)
    assert "runFailed: A run of Failing failed: exit code 3." in yard.log(run)
    yard.run(yard.a_job("print('well')\n"))
    assert len(told()) == 1
    succeeded(yard, job)  # by hand: no event, and no fault
    yard.api.delete(f"/customJobs/{job['id']}/")


def test_a_model_is_retrained_tested_and_proposed(yard: Yard, story: Story, churn: dict[str, str]) -> None:
    job = a_job(yard, "Retrain and propose", of_deployment(churn), value("DATASET", churn["dataset"]))
    bare = yard.run(job)
    assert bare["status"] == "failed"
    assert "add its requirements.txt to the job's files" in yard.log(bare)
    made(send_job(yard.api, {"requirements.txt": (CHURN / "requirements.txt").read_bytes()}, job_id=job["id"]))
    refused = yard.run(job)
    assert refused["status"] == "failed"
    assert "could not be proposed" in yard.log(refused)
    settings = yard.api.patch(
        f"/deployments/{churn['deployment']}/settings/", json={"challengerModels": {"enabled": True}}
    )
    story.await_success(settings.headers["Location"])
    run = succeeded(yard, job)
    report = json.loads(yard.artifacts(run)["report.json"])
    assert report["scores"]["accuracy"] > 0.5
    champion, challenger = made(yard.api.get(f"/deployments/{churn['deployment']}/challengers/"), 200)["data"]
    assert challenger["id"] == report["challenger"]["id"]
    assert champion["id"] != challenger["id"]
    assert made(yard.api.get(f"/customModels/{churn['model']}/"), 200)["latestVersion"]["id"] == report["versionId"]
