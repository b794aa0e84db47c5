"""What an environment asks for, of jobs on it and of their runs."""

from typing import Any

from tests.environments.contexts import START, ask_for, push, zipped
from tests.jobs.builders import METADATA, Workshop, made, send_job
from tests.waiting import wait_until

EU = [{"fieldName": "REGION", "value": "eu"}]


def values(found: dict[str, Any]) -> dict[str, str]:
    return {one["fieldName"]: one["value"] for one in found["requiredMetadataValues"]}


def test_a_job_has_a_value_for_each_key_and_no_other(shelf: Workshop) -> None:
    ask_for(shelf.installation, shelf.environment_id, "REGION", "TEAM")
    job = made(send_job(shelf.api, {"main.py": "1\n"}, name="no environment yet"))
    body = {"environmentId": shelf.environment_id}
    wrong: list[tuple[Any, str]] = [
        (..., "asks for a value of REGION (the region), TEAM (the team)"),
        (EU, "asks for a value of TEAM (the team)"),
        ([*EU, {"fieldName": "ZONE", "value": "1"}], "does not ask for 'ZONE'; it asks for REGION, TEAM"),
        ([*EU, *EU], "twice"),
        ([{"fieldName": "REGION", "value": "x" * 101}], "100"),
        ({"REGION": "eu"}, "array"),
    ]
    for sent, told in wrong:
        fields = body if sent is ... else body | {"requiredMetadataValues": sent}
        for answer in (
            send_job(shelf.api, {"main.py": "1\n"}, name="n", **fields),
            send_job(shelf.api, name="n", **fields),
            send_job(shelf.api, job_id=job["id"], **fields),
        ):
            assert answer.status_code == 422, answer.text
            assert answer.json()["errors"].keys() == {"requiredMetadataValues"}
            assert told in answer.json()["errors"]["requiredMetadataValues"]
    nothing_asked = send_job(shelf.api, name="n", requiredMetadataValues=EU)
    assert "without an environment" in nothing_asked.json()["errors"]["requiredMetadataValues"]
    both = [*EU, {"fieldName": "TEAM", "value": "fruit"}]
    changed = made(send_job(shelf.api, job_id=job["id"], requiredMetadataValues=both, **body))
    assert changed["requiredMetadataValues"] == both
    assert made(send_job(shelf.api, job_id=job["id"], name="renamed"))["requiredMetadataValues"] == both
    assert send_job(shelf.api, job_id=job["id"], requiredMetadataValues=EU).status_code == 422
    assert made(shelf.api.get(f"/customJobs/{job['id']}/"), 200)["requiredMetadataValues"] == both


def test_a_run_has_what_is_asked_for_when_it_is_started(shelf: Workshop) -> None:
    job = shelf.a_job()
    ask_for(shelf.installation, shelf.environment_id, "REGION")
    refused = shelf.api.post(f"/customJobs/{job['id']}/runs/", json={})
    assert refused.status_code == 422
    assert refused.json()["errors"].keys() == {"requiredMetadataValues"}
    made(send_job(shelf.api, job_id=job["id"], description="may be changed nevertheless"))
    made(send_job(shelf.api, job_id=job["id"], requiredMetadataValues=EU))
    run = shelf.start(job)
    assert values(run) == {"REGION": "eu"}
    made(send_job(shelf.api, job_id=job["id"], requiredMetadataValues=[{"fieldName": "REGION", "value": "us"}]))
    assert values(shelf.read(run)) == {"REGION": "eu"}
    assert values(shelf.start(job)) == {"REGION": "us"}


def test_the_program_finds_the_values_by_their_names(workshop: Workshop) -> None:
    keys = [{"fieldName": name, "displayName": name} for name in ("REGION", "CITY")]
    body = {"name": "asks", "requiredMetadataKeys": keys, "useCases": ["customJob"]}
    environment = made(workshop.api.post("/executionEnvironments/", json=body))
    version = push(workshop.api, environment["id"], zipped({"start_server.sh": START})).json()
    path = f"/executionEnvironments/{environment['id']}/versions/{version['id']}/"
    wait_until(lambda: workshop.api.get(path).json()["buildStatus"] == "success", what="the environment to be built")
    program = "import os\nprint(os.environ['REGION'], os.environ['CITY'], os.environ['MLOPS_RUNTIME_PARAM_CITY'])\n"
    job = workshop.a_job(
        {"main.py": program, "metadata.yaml": METADATA},
        environmentId=environment["id"],
        requiredMetadataValues=[{"fieldName": "REGION", "value": "{image} $x"}, {"fieldName": "CITY", "value": "Bonn"}],
    )
    run = workshop.run(job)
    assert run["status"] == "succeeded", workshop.log(run)
    assert workshop.log(run) == '{image} $x Bonn {"type": "string", "payload": "Oslo"}\n'
