"""Custom jobs as the API shows and changes them; nothing is run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from modelyard.identity.tables import ApiToken, Grant
from modelyard.jobs.tables import CustomJob, CustomJobRun, RunLog
from modelyard.workspaces.tables import File, Tree, Workspace
from tests.jobs.builders import METADATA, Workshop, made, parameter, path_of, send_job

ABSENT = "0" * 24


def items(job: dict[str, Any]) -> dict[str, str]:
    """Item ids by path."""
    return {one["filePath"]: one["id"] for one in job["items"]}


def current(found: dict[str, Any]) -> dict[str, Any]:
    return {one["fieldName"]: one["currentValue"] for one in found["runtimeParameters"]}


def test_limits_are_those_of_the_settings(a_workshop: Any) -> None:
    api = a_workshop(max_custom_job_runs=7, job_timeout_s=90).api
    assert made(api.get("/customJobLimits/"), 200) == {"maxCustomJobRuns": 7, "maxCustomJobTimeout": 90}


def test_a_job_is_what_was_sent_as_json_or_as_a_form(shelf: Workshop) -> None:
    fields: dict[str, Any] = {
        "name": "Nightly",
        "description": "scores",
        "jobType": "notification",
        "environmentId": shelf.environment_id,
        "resources": {"egressNetworkPolicy": "public"},
        "timeoutSeconds": 30,
        "maxRetries": 2,
    }
    plain = made(send_job(shelf.api, **fields))
    with_files = made(send_job(shelf.api, {"run.sh": "true\n", "lib/a.py": "1\n", "main.py": "2\n"}, **fields))
    for job in (plain, with_files):
        sent = {name: job[name] for name in ("name", "description", "jobType", "environmentId", "timeoutSeconds")}
        assert sent == {name: fields[name] for name in sent}
        assert job["resources"] == {"egressNetworkPolicy": "public", "resourceBundleId": None}
        assert (job["maxRetries"], job["lastRun"], job["runCount"]) == (2, None, 0)
        assert job["environmentVersionId"]
        assert made(shelf.api.get(f"/customJobs/{job['id']}/"), 200) == job
    assert (plain["items"], plain["entryPoint"]) == ([], None)
    assert sorted(items(with_files)) == ["lib/a.py", "main.py", "run.sh"]
    assert with_files["entryPoint"] == items(with_files)["run.sh"], "run.sh goes before main.py"
    bare = made(send_job(shelf.api, name="Bare"))
    assert (bare["jobType"], bare["description"], bare["environmentId"]) == ("default", "", None)
    assert bare["resources"]["egressNetworkPolicy"] == "none"


def test_files_are_merged_replaced_and_deleted(shelf: Workshop) -> None:
    with shelf.installation.application.database.read() as session:
        shipped = session.scalar(select(func.count()).select_from(Workspace)) or 0
    job = shelf.a_job({"main.py": "1\n", "data/a.txt": "a\n", "data/b.txt": "b\n"})
    before = items(job)
    changed = made(send_job(shelf.api, {"main.py": "2\n", "data/a.txt": "a\n", "new.py": "3\n"}, job_id=job["id"]))
    after = items(changed)
    assert sorted(after) == ["data/a.txt", "data/b.txt", "main.py", "new.py"]
    assert after["main.py"] != before["main.py"]
    assert (after["data/a.txt"], after["data/b.txt"]) == (before["data/a.txt"], before["data/b.txt"])
    ids = [after["new.py"], after["data/b.txt"]]
    left = made(send_job(shelf.api, job_id=job["id"], filesToDelete=ids))
    assert sorted(items(left)) == ["data/a.txt", "main.py"]
    swapped = made(send_job(shelf.api, {"c.txt": "c"}, job_id=job["id"], filesToDelete=items(left)["data/a.txt"]))
    assert sorted(items(swapped)) == ["c.txt", "main.py"]
    untouched = made(send_job(shelf.api, job_id=job["id"], name="Other", description="d"))
    assert (untouched["items"], untouched["name"]) == (swapped["items"], "Other")
    assert untouched["updated"] > job["updated"]
    with shelf.installation.application.database.read() as session:
        assert session.scalar(select(func.count()).select_from(CustomJob)) == 1
        kept = select(func.count()).select_from(Workspace)
        assert session.scalar(kept) == 1 + shipped, "what no run needs is not kept"


def test_the_entry_point_is_chosen_else_run_sh_else_main_py(shelf: Workshop) -> None:
    job = shelf.a_job({"main.py": "1\n", "tool.py": "2\n"})
    of = items(job)
    assert job["entryPoint"] == of["main.py"]
    assert made(send_job(shelf.api, job_id=job["id"], entryPoint=of["tool.py"]))["entryPoint"] == of["tool.py"]
    newer = made(send_job(shelf.api, {"tool.py": "3\n", "run.sh": "true\n"}, job_id=job["id"]))
    assert newer["entryPoint"] == items(newer)["tool.py"], "the choice holds for the path"
    gone = made(send_job(shelf.api, job_id=job["id"], filesToDelete=[items(newer)["tool.py"]]))
    assert gone["entryPoint"] == items(gone)["run.sh"]
    chosen = made(send_job(shelf.api, job_id=job["id"], entryPoint=of["main.py"]))
    assert chosen["entryPoint"] == of["main.py"]
    assert made(send_job(shelf.api, job_id=job["id"], entryPoint=""))["entryPoint"] == items(gone)["run.sh"]
    fresh = made(send_job(shelf.api, {"x.py": "4\n"}, job_id=job["id"]))
    wrong = send_job(shelf.api, job_id=job["id"], entryPoint=ABSENT)
    assert wrong.status_code == 422
    assert "x.py" in wrong.json()["errors"]["entryPoint"], "it says which there are"
    assert made(shelf.api.get(f"/customJobs/{job['id']}/"), 200) == fresh


def test_parameters_are_defined_set_merged_and_unset(shelf: Workshop) -> None:
    values = [parameter("CITY", "Rome"), parameter("COUNT", 5, "numeric")]
    job = shelf.a_job({"main.py": "1\n", "metadata.yaml": METADATA}, runtimeParameterValues=values)
    assert current(job) == {"CITY": "Rome", "COUNT": 5, "LOUD": False}
    change = [parameter("CITY", None), parameter("LOUD", True, "boolean")]
    merged = made(send_job(shelf.api, job_id=job["id"], runtimeParameterValues=change))
    assert current(merged) == {"CITY": "Oslo", "COUNT": 5, "LOUD": True}
    city = next(one for one in merged["runtimeParameters"] if one["fieldName"] == "CITY")
    assert "overrideValue" not in city
    assert (city["defaultValue"], city["description"]) == ("Oslo", "where")
    replaced = [{"fieldName": "CITY", "type": "string", "currentValue": "Bern"}]
    assert current(made(send_job(shelf.api, job_id=job["id"], runtimeParameters=replaced))) == {
        "CITY": "Bern",
        "COUNT": 3,
        "LOUD": False,
    }
    fewer = "runtimeParameterDefinitions:\n  - {fieldName: CITY, type: string, defaultValue: Oslo}\n"
    assert current(made(send_job(shelf.api, {"metadata.yaml": fewer}, job_id=job["id"]))) == {"CITY": "Bern"}
    metadata = items(made(shelf.api.get(f"/customJobs/{job['id']}/"), 200))["metadata.yaml"]
    assert current(made(send_job(shelf.api, job_id=job["id"], filesToDelete=[metadata]))) == {}


WRONG_VALUES = {
    "undefined": ([parameter("NOBODY", "x")], "NOBODY"),
    "of another type": ([parameter("COUNT", "x")], "numeric"),
    "no number": ([parameter("COUNT", "many", "numeric")], "number"),
    "out of bounds": ([parameter("COUNT", 11, "numeric")], "maxValue 10"),
    "no boolean": ([parameter("LOUD", "very", "boolean")], "true or false"),
    "twice": ([parameter("CITY", "a"), parameter("CITY", "b")], "twice"),
}


def test_wrong_parameters_change_nothing(shelf: Workshop) -> None:
    job = shelf.a_job({"main.py": "1\n", "metadata.yaml": METADATA})
    for name, (values, told) in WRONG_VALUES.items():
        for answer in (
            send_job(shelf.api, job_id=job["id"], runtimeParameterValues=values, name="changed"),
            send_job(shelf.api, {"main.py": "1\n", "metadata.yaml": METADATA}, name="n", runtimeParameterValues=values),
            shelf.api.post(f"/customJobs/{job['id']}/runs/", json={"runtimeParameterValues": values}),
        ):
            assert answer.status_code == 422, (name, answer.text)
            assert told in answer.json()["errors"]["runtimeParameterValues"], (name, answer.text)
    both = {"runtimeParameterValues": "[]", "runtimeParameters": "[]"}
    assert send_job(shelf.api, job_id=job["id"], **both).status_code == 422
    assert made(shelf.api.get(f"/customJobs/{job['id']}/"), 200) == job
    assert shelf.api.get("/customJobs/").json()["totalCount"] == 1
    assert shelf.api.get(f"/customJobs/{job['id']}/runs/").json()["totalCount"] == 0


def test_text_that_means_a_boolean_or_a_number_is_one_wherever_it_is_sent(shelf: Workshop) -> None:
    job = shelf.a_job({"main.py": "1\n", "metadata.yaml": METADATA})
    values = [parameter("COUNT", "5", "numeric"), parameter("LOUD", "true", "boolean")]
    expected = {"CITY": "Oslo", "COUNT": 5, "LOUD": True}
    run = made(shelf.api.post(f"/customJobs/{job['id']}/runs/", json={"runtimeParameterValues": values}))
    assert current(run) == expected
    assert current(made(shelf.api.patch(path_of(run), json={"runtimeParameterValues": values}))) == expected
    schedule = {"schedule": {name: ["*"] for name in CRON_FIELDS}, "parameterOverrides": values}
    assert shelf.api.post(f"/customJobs/{job['id']}/schedules/", json=schedule).status_code == 201
    assert current(made(send_job(shelf.api, job_id=job["id"], runtimeParameterValues=values))) == expected


def test_numbers_keep_their_value_and_none_is_too_large_to_be_refused(shelf: Workshop) -> None:
    metadata = "runtimeParameterDefinitions: [{fieldName: N, type: numeric}]"
    job = shelf.a_job({"main.py": "1\n", "metadata.yaml": metadata})
    exact = 2**53 + 1  # which no float holds
    for sent, kept in ((str(exact), exact), (exact, exact), ("1e3", 1000), (" 7 ", 7), ("-0.5", -0.5)):
        changed = made(send_job(shelf.api, job_id=job["id"], runtimeParameterValues=[parameter("N", sent, "numeric")]))
        assert current(changed) == {"N": kept}, sent
    for wrong in (10**400, -(10**400), "1e400", "1" * 400, "nan", "1_000", "one"):
        values = [parameter("N", wrong, "numeric")]
        for answer in (
            send_job(shelf.api, job_id=job["id"], runtimeParameterValues=values),
            shelf.api.post(f"/customJobs/{job['id']}/runs/", json={"runtimeParameterValues": values}),
        ):
            assert answer.status_code == 422, (wrong, answer.text)
            told = answer.json()["errors"]["runtimeParameterValues"]
            assert "N: the value must be a finite number" in told or "the range of 64 bits" in told, told
            assert len(told) < 250, told


PARAMETERS = "runtimeParameterValues"
CRON_FIELDS = ("minute", "hour", "dayOfMonth", "month", "dayOfWeek")
TAKEN = ("PATH", "LD_PRELOAD", "PYTHONPATH", "MODELYARD_API_TOKEN", "DATAROBOT_ENDPOINT", "MLOPS_X")


@pytest.mark.parametrize("name", TAKEN)
def test_a_parameter_cannot_have_the_name_of_a_variable_that_is_taken(shelf: Workshop, name: str) -> None:
    job = shelf.a_job()
    text = f"runtimeParameterDefinitions: [{{fieldName: {name}, type: string}}, {{fieldName: PATHS, type: string}}]"
    for answer in (
        send_job(shelf.api, {"metadata.yaml": text}, name="n"),
        send_job(shelf.api, {"metadata.yaml": text}, job_id=job["id"]),
    ):
        assert answer.status_code == 422, answer.text
        told = answer.json()["errors"]["file"]
        assert f"metadata.yaml: fieldName '{name}': " in told
        assert "names are taken: PATH, HOME" in told
    assert made(shelf.api.get(f"/customJobs/{job['id']}/"), 200) == job


HOSTILE_METADATA = {
    "no YAML": "a: [b\n",
    "a list": "- 1\n",
    "an object": "a: !!python/object/apply:os.system [id]\n",
    "a bomb": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{y}: &{y} [{','.join([f'*{x}'] * 9)}]\n" for x, y in zip("abcdefgh", "bcdefghi", strict=True)),
    "two of one name": "runtimeParameterDefinitions: [{fieldName: A, type: string}, {fieldName: A, type: numeric}]",
    "no such type": "runtimeParameterDefinitions: [{fieldName: A, type: secret}]",
    "a bad name": "runtimeParameterDefinitions: [{fieldName: 'A=B', type: string}]",
    "a default out of bounds": (
        "runtimeParameterDefinitions: [{fieldName: A, type: numeric, defaultValue: 9, maxValue: 1}]"
    ),
    "deep": "a: " + "[" * 5000 + "]" * 5000,
    "binary": "\0\1\2",
}


def test_malformed_and_hostile_metadata_is_refused(shelf: Workshop) -> None:
    job = shelf.a_job()
    for name, text in HOSTILE_METADATA.items():
        for answer in (
            send_job(shelf.api, {"metadata.yaml": text}, name="n"),
            send_job(shelf.api, {"metadata.yaml": text}, job_id=job["id"]),
        ):
            assert answer.status_code == 422, (name, answer.text)
            assert "metadata.yaml" in answer.json()["errors"]["file"], (name, answer.text)
    assert made(shelf.api.get(f"/customJobs/{job['id']}/"), 200) == job


def test_every_wrong_field_is_told_at_once(shelf: Workshop) -> None:
    job = shelf.a_job()
    fields = {
        "environmentId": ABSENT,
        "timeoutSeconds": 10**8,
        "resources": {"egressNetworkPolicy": "none", "resourceBundleId": "cpu.enormous"},
        "runtimeParameterValues": [parameter("X", "1")],
    }
    expected = {"environmentId", "timeoutSeconds", "resources.resourceBundleId", "runtimeParameterValues"}
    answer = send_job(shelf.api, name="n", **fields)
    assert answer.status_code == 422
    assert set(answer.json()["errors"]) == expected
    patched = send_job(shelf.api, job_id=job["id"], entryPoint=ABSENT, filesToDelete=[ABSENT], **fields)
    assert set(patched.json()["errors"]) >= expected | {"filesToDelete"}
    for wrong, field in (
        ({"name": ""}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"description": "x" * 10001}, "description"),
        ({"jobType": "weekly"}, "jobType"),
        ({"maxRetries": 11}, "maxRetries"),
        ({"timeoutSeconds": 0}, "timeoutSeconds"),
        ({"resources": {"egressNetworkPolicy": "all"}}, "resources"),
        ({"runtimeParameterValues": "{"}, "runtimeParameterValues"),
    ):
        refused = send_job(shelf.api, **({"name": "n"} | wrong))
        assert refused.status_code == 422, wrong
        assert field in refused.json()["errors"], refused.text
    assert send_job(shelf.api, jobType="default").status_code == 422
    assert made(shelf.api.get(f"/customJobs/{job['id']}/"), 200) == job


def test_all_faults_of_parameters_are_told_and_none_that_is_not_there(shelf: Workshop) -> None:
    needed = METADATA + "  - {fieldName: KEY, type: string, allowEmpty: false}\n"
    job = shelf.a_job({"main.py": "1\n", "metadata.yaml": needed})
    values = [parameter("NOBODY", "x"), parameter("COUNT", 11, "numeric"), parameter("LOUD", "very", "boolean")]
    schedule = {"schedule": {name: ["*"] for name in CRON_FIELDS}, "parameterOverrides": values}
    refused = shelf.api.post(f"/customJobs/{job['id']}/runs/", json={"runtimeParameterValues": values})
    told = [refused.json()["errors"]["runtimeParameterValues"]]
    assert "KEY must be set" in told[0]
    told.append(send_job(shelf.api, job_id=job["id"], runtimeParameterValues=values).json()["errors"][PARAMETERS])
    scheduled = shelf.api.post(f"/customJobs/{job['id']}/schedules/", json=schedule).json()
    told.append(scheduled["errors"]["parameterOverrides"])
    for text in told:
        assert all(part in text for part in ("'NOBODY'", "maxValue 10", "true or false")), text

    entry = items(job)["main.py"]
    kept = send_job(shelf.api, job_id=job["id"], entryPoint=entry, filesToDelete=[ABSENT])
    assert list(kept.json()["errors"]) == ["filesToDelete"], kept.text
    values = [parameter("NEW", "x"), parameter("OLD", 1)]
    for one in ({"job_id": job["id"]}, {"name": "n"}):
        unread = send_job(shelf.api, {"metadata.yaml": "- 1"}, runtimeParameterValues=values, **one)
        assert set(unread.json()["errors"]) == {"file", PARAMETERS}, unread.text
        assert unread.json()["errors"][PARAMETERS] == "OLD: the value must be text, not 1; put it in quotes"


def test_without_a_template_the_rest_is_looked_at_too(shelf: Workshop) -> None:
    body = {"templateId": ABSENT, "description": 5, "environmentId": ABSENT, "timeoutSeconds": 10**8}
    refused = shelf.api.post("/customJobs/fromGalleryTemplate/", json=body)
    assert (refused.status_code, set(refused.json()["errors"])) == (422, set(body))
    only = shelf.api.post("/customJobs/fromGalleryTemplate/", json={"templateId": ABSENT})
    assert (only.status_code, set(only.json()["errors"])) == (422, {"templateId"})


def test_an_environment_must_be_the_callers_and_built(shelf: Workshop) -> None:
    stranger = shelf.as_(shelf.installation.a_user("stranger", organization="elsewhere"))
    theirs = made(
        stranger.api.post("/executionEnvironments/", json={"name": "theirs", "programmingLanguage": "python"})
    )
    unbuilt = made(shelf.api.post("/executionEnvironments/", json={"name": "new", "programmingLanguage": "python"}))
    job = shelf.a_job(environmentId=None)
    for environment in (theirs, unbuilt):
        answer = send_job(shelf.api, job_id=job["id"], environmentId=environment["id"])
        assert answer.status_code == 422
        assert set(answer.json()["errors"]) <= {"environmentId", "environmentVersionId"}
    without = shelf.api.post(f"/customJobs/{job['id']}/runs/", json={})
    assert (without.status_code, list(without.json()["errors"])) == (422, ["environmentId"])


def test_what_cannot_run_is_refused_with_all_reasons(shelf: Workshop) -> None:
    needed = "runtimeParameterDefinitions: [{fieldName: KEY, type: string, allowEmpty: false}]"
    job = shelf.a_job({"notes.txt": "x", "metadata.yaml": needed}, environmentId=None)
    path = f"/customJobs/{job['id']}/runs/"
    answer = shelf.api.post(path, json={})
    assert answer.status_code == 422
    assert set(answer.json()["errors"]) == {"entryPoint", "environmentId", "runtimeParameterValues"}
    assert "KEY" in answer.json()["errors"]["runtimeParameterValues"]
    text = items(job)["notes.txt"]
    chosen = made(send_job(shelf.api, job_id=job["id"], entryPoint=text, environmentId=shelf.environment_id))
    assert chosen["entryPoint"] == text
    refused = shelf.api.post(path, json={"runtimeParameterValues": [parameter("KEY", "k")]})
    assert list(refused.json()["errors"]) == ["entryPoint"], "a text file is no program"
    program = made(send_job(shelf.api, {"notes.txt": "#!/bin/sh\n"}, job_id=job["id"]))
    empty = shelf.api.post(path, json={"runtimeParameterValues": [parameter("KEY", "")]})
    assert (program["entryPoint"] is not None, empty.status_code) == (True, 422)
    made(shelf.api.post(path, json={"runtimeParameterValues": [parameter("KEY", "k")]}))
    for body in ({"description": "x" * 10001}, {"runtimeParameterValues": "[]"}, {"runtimeParameterValues": [{}]}):
        assert shelf.api.post(path, json=body).status_code == 422


def test_lists_are_filtered_and_scoped(shelf: Workshop) -> None:
    api = shelf.api
    for name, kind in (("Alpha 100%", "default"), ("Beta", "retraining"), ("Gamma", "notification")):
        shelf.a_job(name=name, description=f"about {name}", jobType=kind)
    running = shelf.a_job(name="Delta")
    shelf.start(running)

    def names(query: str) -> list[str]:
        answer = api.get(f"/customJobs/{query}")
        assert answer.status_code == 200, answer.text
        return [one["name"] for one in answer.json()["data"]]

    assert names("") == ["Delta", "Gamma", "Beta", "Alpha 100%"]
    assert names("?onlyRunning=true") == ["Delta"]
    assert len(names("?onlyRunning=false")) == 4
    assert names("?search=ABOUT%20b") == ["Beta"]
    assert names("?search=100%25") == ["Alpha 100%"]
    assert names("?search=1%25%25") == []
    assert names("?jobType=retraining&jobType=notification") == ["Gamma", "Beta"]
    assert names("?jobType=notification&search=beta") == []
    page = api.get("/customJobs/?limit=1&offset=1&jobType=default").json()
    assert (page["count"], page["totalCount"], page["data"][0]["name"]) == (1, 2, "Alpha 100%")
    assert "jobType=default" in page["previous"]
    for query in ("?jobType=weekly", "?limit=1001", "?onlyRunning=perhaps", "?offset=-1"):
        assert api.get(f"/customJobs/{query}").status_code == 422
    other = shelf.installation.a_user("other")
    assert other.get("/customJobs/").json()["totalCount"] == 0


def test_the_plain_list_leaves_out_deleted_jobs_and_counts_the_others(shelf: Workshop) -> None:
    jobs = [shelf.a_job(name=f"{number}") for number in range(6)]
    ann = shelf.installation.a_user("ann")
    organization = shelf.api.get("/account/info/").json()["orgId"]
    for job in jobs[:5]:
        roles = [
            {"role": "READ_ONLY", "username": "ann", "shareRecipientType": "user"},
            {"role": "READ_ONLY", "id": organization, "shareRecipientType": "organization"},
        ]
        body = {"operation": "updateRoles", "roles": roles}
        assert shelf.api.patch(f"/customJobs/{job['id']}/sharedRoles/", json=body).status_code == 204
    for job in (jobs[1], jobs[4]):
        assert shelf.api.delete(f"/customJobs/{job['id']}/").status_code == 204
    for api, expected in ((shelf.api, ["5", "3", "2", "0"]), (ann, ["3", "2", "0"])):
        whole = api.get("/customJobs/").json()
        assert (whole["totalCount"], [one["name"] for one in whole["data"]]) == (len(expected), expected)
        page = api.get("/customJobs/?limit=2&offset=1").json()
        assert (page["totalCount"], [one["name"] for one in page["data"]]) == (len(expected), expected[1:3])
        assert (page["next"] is None) == (len(expected) == 3)
        deleted = api.get("/deletedCustomJobs/").json()
        assert (deleted["totalCount"], [one["name"] for one in deleted["data"]]) == (2, ["4", "1"])


def test_others_jobs_are_not_there(shelf: Workshop) -> None:
    job = shelf.a_job()
    run = shelf.start(job)
    other = shelf.installation.a_user("other")
    own = shelf.as_(shelf.installation.a_user("third")).a_job()
    job_path, item = f"/customJobs/{job['id']}/", items(job)["main.py"]
    asked = [
        other.get(job_path),
        other.patch(job_path, json={"name": "mine"}),
        other.delete(job_path),
        other.get(f"{job_path}items/{item}/"),
        other.get(f"{job_path}runs/"),
        other.post(f"{job_path}runs/", json={}),
        other.get(path_of(run)),
        other.patch(path_of(run), json={"description": "mine"}),
        other.delete(path_of(run)),
        other.get(f"{path_of(run)}items/{item}/"),
        other.get(f"{path_of(run)}logs/"),
        other.delete(f"{path_of(run)}logs/"),
        other.get(f"{path_of(run)}artifacts/"),
        other.get(f"{path_of(run)}artifacts/{ABSENT}/"),
        other.post(f"/customJobsCleanup/{job['id']}/"),
        shelf.api.get(f"/customJobs/{ABSENT}/"),
        shelf.api.get("/customJobs/nonsense/"),
        shelf.api.get(f"{job_path}runs/{ABSENT}/"),
        shelf.api.get(f"{job_path}runs/nonsense/"),
        shelf.api.get(f"/customJobs/{own['id']}/runs/{run['id']}/"),
    ]
    assert {answer.status_code for answer in asked} == {404}, [one.status_code for one in asked]


def test_items_are_shown_as_text(shelf: Workshop) -> None:
    job = shelf.a_job({"main.py": "print('ü')\n", "raw.bin": b"\xff\xfe\0", "lib/x.py": ""})
    run = shelf.start(job)
    for path in (f"/customJobs/{job['id']}/", path_of(run)):
        shown = made(shelf.api.get(f"{path}items/{items(job)['main.py']}/"), 200)
        assert shown["content"] == "print('ü')\n"
        assert (shown["fileName"], shown["filePath"]) == ("main.py", "main.py")
        assert made(shelf.api.get(f"{path}items/{items(job)['lib/x.py']}/"), 200)["content"] == ""
        assert shelf.api.get(f"{path}items/{items(job)['raw.bin']}/").status_code == 422
        assert shelf.api.get(f"{path}items/{ABSENT}/").status_code == 404
    made(send_job(shelf.api, {"main.py": "new\n"}, job_id=job["id"]))
    old = shelf.api.get(f"{path_of(run)}items/{items(job)['main.py']}/")
    assert made(old, 200)["content"] == "print('ü')\n", "a run keeps the files that it was made of"
    assert shelf.api.get(f"/customJobs/{job['id']}/items/{items(job)['main.py']}/").status_code == 404


def test_a_run_is_made_of_the_job_as_it_was(shelf: Workshop) -> None:
    job = shelf.a_job({"main.py": "1\n", "metadata.yaml": METADATA}, runtimeParameterValues=[parameter("CITY", "Rome")])
    run = shelf.start(job, parameter("COUNT", 7, "numeric"), description="first")
    assert (run["status"], run["phase"], run["duration"], run["attempt"]) == ("running", "preparing", 0.0, 0)
    assert current(run) == {"CITY": "Rome", "COUNT": 7, "LOUD": False}
    assert run["entryPoint"] == items(job)["main.py"]
    changes = {"maxRetries": 3, "runtimeParameterValues": [parameter("CITY", "Bern")], "timeoutSeconds": 5}
    changed = made(send_job(shelf.api, {"main.py": "2\n"}, job_id=job["id"], **changes))
    assert (changed["lastRun"], changed["runCount"]) == (run["id"], 1)
    assert shelf.read(run) == run
    again = made(shelf.api.patch(path_of(run), json={"description": "changed"}))
    assert (again["description"], current(again)) == ("changed", current(run))
    values = [parameter("CITY", None), parameter("LOUD", True, "boolean")]
    other = made(shelf.api.patch(path_of(run), json={"runtimeParameterValues": values}))
    assert current(other) == {"CITY": "Bern", "COUNT": 7, "LOUD": True}, "null is the job's value"
    wrong = shelf.api.patch(path_of(run), json={"runtimeParameterValues": [parameter("COUNT", 99, "numeric")]})
    assert wrong.status_code == 422
    newer = shelf.start(job)
    listed = shelf.api.get(f"/customJobs/{job['id']}/runs/").json()
    assert [one["id"] for one in listed["data"]] == [newer["id"], run["id"]]
    assert listed["totalCount"] == 2
    none = shelf.api.get(f"/customJobs/{job['id']}/runs/?scheduledJobId={ABSENT}").json()
    assert (none["data"], none["totalCount"]) == ([], 0)
    status = shelf.api.get(f"/status/{run['jobStatusId']}/").json()
    assert status["statusType"] == "CustomJobRun"


def test_deleting_puts_away_and_cleaning_up_leaves_nothing(a_workshop: Callable[..., Workshop], tmp_path: Path) -> None:
    shelf = a_workshop(images_dir=tmp_path / "images", garbage_age_s=0)
    api, database = shelf.api, shelf.installation.application.database
    tables = (CustomJob, CustomJobRun, RunLog, Workspace, Tree, File, Grant, ApiToken)

    def counts() -> dict[str, int]:
        with database.read() as session:
            return {table.__name__: session.scalar(select(func.count()).select_from(table)) or 0 for table in tables}

    shared = "print('somebody else has this, too')\n"
    shelf.as_(shelf.installation.a_user("another")).a_job(shared)
    before = counts()
    program = "import os\nopen(os.environ['MODELYARD_OUTPUT_DIR'] + '/a', 'w').write('kept')\n"
    job = shelf.a_job({"shared.py": shared, "main.py": program})
    path = f"/customJobs/{job['id']}/"
    run = shelf.start(job)
    refused = api.delete(path)
    assert refused.status_code == 409
    assert run["id"] in refused.text
    assert api.post(f"/customJobsCleanup/{job['id']}/").status_code == 409
    with shelf.working():
        assert shelf.ended(run)["status"] == "succeeded"
        shelf.await_nothing_left()
    made(send_job(api, {"main.py": "other\n"}, job_id=job["id"]))
    assert api.delete(path).status_code == 204
    gone = [api.get(path), send_job(api, job_id=job["id"], name="x"), api.post(f"{path}runs/", json={})]
    gone += [api.delete(path), api.get(path_of(run)), api.get(f"{path}runs/")]
    assert {answer.status_code for answer in gone} == {404}
    assert api.get("/customJobs/").json()["data"] == []
    (deleted,) = api.get("/deletedCustomJobs/").json()["data"]
    assert (deleted["id"], deleted["lastRun"]) == (job["id"], run["id"])
    assert shelf.installation.a_user("other").get("/deletedCustomJobs/").json()["data"] == []
    assert api.post(f"/customJobsCleanup/{job['id']}/").status_code == 204
    assert api.post(f"/customJobsCleanup/{job['id']}/").status_code == 404
    assert api.get("/deletedCustomJobs/").json()["data"] == []
    assert counts() == {**before, "ApiToken": before["ApiToken"] + 1}, "but the token of the other user"
    assert api.get(f"/status/{run['jobStatusId']}/").status_code == 404
    assert all(run["id"] not in one.text for one in (api.get("/status/"), api.get("/events/")))
    data_dir = shelf.installation.application.settings.data_dir
    checkouts = data_dir / "checkouts"
    assert [path for path in checkouts.iterdir() if (path / "main.py").is_file()]
    shelf.installation.run_operations()
    with database.read() as session:
        wanted = set(session.scalars(select(File.digest)))
    stored = {path.name for path in (data_dir / "blobs").rglob("*") if path.is_file()}
    assert stored - {".lock"} == wanted, "what another job has, too, stays"
    assert not [path for path in checkouts.iterdir() if (path / "main.py").is_file()]
    assert shelf.executor.ids() == []


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_bodies_that_are_no_object_are_refused(shelf: Workshop, method: str) -> None:
    path = "/customJobs/" if method == "POST" else f"/customJobs/{shelf.a_job()['id']}/"
    for content, status in ((b"[1]", 422), (b"{", 400), (b"\xff", 400), (b'{"name": 5}', 422)):
        answer = shelf.api.request(method, path, content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == status, answer.text
