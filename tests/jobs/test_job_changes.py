"""What a PATCH of a job, a run or a template's job keeps, clears and falls back to."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from modelyard.environments.tables import Environment, EnvironmentVersion
from modelyard.kernel.ids import new_id
from tests.jobs.builders import METADATA, Workshop, made, parameter, path_of, send_job
from tests.templates.builders import a_template


def another_version(shelf: Workshop, *, of: str) -> str:
    """A built version of an environment that is newer than its newest one."""
    with shelf.installation.application.database.write() as session:
        environment = session.get_one(Environment, of)
        newest = session.get_one(EnvironmentVersion, environment.latest_successful_version_id)
        columns = {column.key: getattr(newest, column.key) for column in EnvironmentVersion.__table__.columns}
        row = EnvironmentVersion(**(columns | {"id": new_id(), "number": newest.number + 1, "label": "next"}))
        session.add(row)
        environment.latest_successful_version_id = row.id
        return row.id


def another_environment(shelf: Workshop) -> dict[str, Any]:
    found = shelf.api.get("/executionEnvironments/").json()["data"]
    return next(dict(one) for one in found if one["id"] != shelf.environment_id)


def current(shown: dict[str, Any]) -> dict[str, Any]:
    return {one["fieldName"]: one.get("currentValue") for one in shown["runtimeParameters"]}


def test_an_empty_description_clears_it(shelf: Workshop) -> None:
    job = shelf.a_job(description="Scores every night.")
    assert made(send_job(shelf.api, job_id=job["id"], name="Other"))["description"] == "Scores every night."
    assert made(send_job(shelf.api, job_id=job["id"], description=""))["description"] == ""
    template = a_template(shelf.api, description="A template.")
    fields = {"templateId": template["id"], "name": "From it"}
    assert made(shelf.api.post("/customJobs/fromGalleryTemplate/", json=fields))["description"] == "A template."
    emptied = made(shelf.api.post("/customJobs/fromGalleryTemplate/", json=fields | {"description": ""}))
    assert emptied["description"] == ""


@pytest.mark.parametrize("field", ["environmentId", "environmentVersionId", "resources", "maxRetries", "description"])
def test_null_is_refused_where_it_means_nothing(shelf: Workshop, field: str) -> None:
    job = shelf.a_job()
    refused = send_job(shelf.api, job_id=job["id"], **{field: None})
    assert (refused.status_code, list(refused.json()["errors"])) == (422, [field])
    assert made(shelf.api.get(f"/customJobs/{job['id']}/"), 200) == job


def test_an_environment_alone_stands_for_its_newest_good_version(shelf: Workshop) -> None:
    job = shelf.a_job()
    first = job["environmentVersionId"]
    newer = another_version(shelf, of=shelf.environment_id)
    assert made(send_job(shelf.api, job_id=job["id"], name="Other"))["environmentVersionId"] == first
    moved = made(send_job(shelf.api, job_id=job["id"], environmentId=shelf.environment_id))
    assert moved["environmentVersionId"] == newer
    back = made(send_job(shelf.api, job_id=job["id"], environmentVersionId=first))
    assert (back["environmentId"], back["environmentVersionId"]) == (shelf.environment_id, first)


def test_a_version_of_another_environment_is_refused(shelf: Workshop) -> None:
    job = shelf.a_job()
    other = another_environment(shelf)
    foreign = other["latestSuccessfulVersion"]["id"]
    for fields in ({}, {"environmentId": shelf.environment_id}):
        refused = send_job(shelf.api, job_id=job["id"], environmentVersionId=foreign, **fields)
        assert (refused.status_code, list(refused.json()["errors"])) == (422, ["environmentVersionId"]), fields
    assert made(shelf.api.get(f"/customJobs/{job['id']}/"), 200) == job
    moved = made(send_job(shelf.api, job_id=job["id"], environmentId=other["id"], environmentVersionId=foreign))
    assert (moved["environmentId"], moved["environmentVersionId"]) == (other["id"], foreign)


def test_a_resource_that_is_not_sent_stays(shelf: Workshop) -> None:
    both = {"egressNetworkPolicy": "public", "resourceBundleId": "cpu.nano"}
    job = shelf.a_job(resources=both)
    one = made(send_job(shelf.api, job_id=job["id"], resources={"egressNetworkPolicy": "none"}))
    assert one["resources"] == {"egressNetworkPolicy": "none", "resourceBundleId": "cpu.nano"}
    cleared = {"egressNetworkPolicy": "none", "resourceBundleId": None}
    assert made(send_job(shelf.api, job_id=job["id"], resources=cleared))["resources"] == cleared
    template = a_template(shelf.api, defaultResourceBundleId="cpu.nano")
    fields = {"templateId": template["id"], "name": "n", "resources": {"egressNetworkPolicy": "public"}}
    from_template = made(shelf.api.post("/customJobs/fromGalleryTemplate/", json=fields))
    assert from_template["resources"] == both


def test_null_of_a_run_falls_back_to_the_job_and_of_a_job_to_the_default(shelf: Workshop) -> None:
    values = [parameter("CITY", "Rome"), parameter("COUNT", 5, "numeric")]
    job = shelf.a_job({"main.py": "1\n", "metadata.yaml": METADATA}, runtimeParameterValues=values)
    nulls = [parameter("CITY", None), parameter("COUNT", None, "numeric")]
    run = shelf.start(job, *nulls)
    assert current(run) == {"CITY": "Rome", "COUNT": 5, "LOUD": False}
    changed = made(shelf.api.patch(path_of(run), json={"runtimeParameterValues": [parameter("CITY", "Bern")]}))
    assert current(changed) == {"CITY": "Bern", "COUNT": 5, "LOUD": False}
    back = made(shelf.api.patch(path_of(run), json={"runtimeParameterValues": nulls[:1]}))
    assert current(back) == {"CITY": "Rome", "COUNT": 5, "LOUD": False}
    cleared = made(send_job(shelf.api, job_id=job["id"], runtimeParameterValues=json.dumps(nulls)))
    assert current(cleared) == {"CITY": "Oslo", "COUNT": 3, "LOUD": False}


def test_a_boolean_without_value_and_default_is_false(shelf: Workshop) -> None:
    metadata = """
        runtimeParameterDefinitions:
          - {fieldName: LOUD, type: boolean, allowEmpty: false}
          - {fieldName: CITY, type: string}
    """
    job = shelf.a_job({"main.py": "1\n", "metadata.yaml": metadata})
    assert current(job) == {"LOUD": False, "CITY": None}
    run = shelf.start(job)
    assert current(run) == {"LOUD": False, "CITY": None}
    loud = run["runtimeParameters"][0]
    assert not loud.keys() & {"defaultValue", "overrideValue"}


def test_a_run_that_needs_a_gpu_is_refused(a_workshop: Callable[..., Workshop]) -> None:
    bundle = {"id": "gpu.one", "cpu_count": 1, "memory_bytes": 2**28, "gpu_count": 1}
    shelf = a_workshop(resource_bundles=[bundle])
    job = shelf.a_job(resources={"egressNetworkPolicy": "none", "resourceBundleId": "gpu.one"})
    assert job["resources"]["resourceBundleId"] == "gpu.one"
    refused = shelf.api.post(f"/customJobs/{job['id']}/runs/", json={})
    assert (refused.status_code, list(refused.json()["errors"])) == (422, ["resources.resourceBundleId"])
    assert "needs 1 GPU" in refused.json()["message"]
