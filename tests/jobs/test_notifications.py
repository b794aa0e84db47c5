"""Notification jobs that cannot be told: what their owners see of it."""

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import update

from modelyard.events.schemas import Event
from modelyard.events.service import publish
from modelyard.identity.tables import User
from modelyard.jobs.notifications import Dispatcher
from modelyard.jobs.tables import CustomJobRun
from modelyard.workspaces.runtime_parameters import MAX_TEXT_LENGTH
from tests.jobs.builders import Workshop, made, path_of, send_job

MANY = 25


def a_failure_of(shelf: Workshop, job: dict[str, Any]) -> None:
    """The event that a run of ``job`` failed, told to all who listen."""
    with shelf.installation.application.database.write() as session:
        organization = session.query(User).filter_by(username="admin").one().organization_id
        event = Event(
            type="runFailed",
            message=f"A run of {job['name']} failed.",
            organization_id=organization,
            custom_job_id=job["id"],
            custom_job_name=job["name"],
        )
        publish(session, event)
    dispatch(shelf)


def dispatch(shelf: Workshop) -> None:
    application = shelf.installation.application
    Dispatcher(application.database, application.parts).dispatch()


def runs_of(shelf: Workshop, job: dict[str, Any]) -> list[dict[str, Any]]:
    return list(made(shelf.api.get(f"/customJobs/{job['id']}/runs/"), 200)["data"])


def test_what_cannot_be_told_is_a_failed_run_and_what_follows_is_counted_in_it(shelf: Workshop) -> None:
    failing = shelf.a_job(name="Failing")
    listener = made(send_job(shelf.api, name="Deaf", jobType="notification"))
    a_failure_of(shelf, failing)
    (run,) = runs_of(shelf, listener)
    assert (run["status"], run["phase"], run["missedEvents"], run["description"]) == (
        "failed",
        "finished",
        1,
        "A run of Failing failed.",
    )
    assert run["reason"].startswith("The event runFailed of 20")
    assert "the job has no execution environment" in run["reason"]
    assert "the job has no entry point" in run["reason"]
    assert shelf.log(run) == f"[modelyard] {run['reason']}\n"
    assert shelf.log(run, tail=1) == f"[modelyard] {run['reason']}\n"
    assert shelf.log(run, timestamps="true") == f"{run['endedAt']} [modelyard] {run['reason']}\n"
    followed = shelf.log(run, follow="true")
    assert f"data: [modelyard] {run['reason']}\n\n" in followed
    assert 'event: end\ndata: {"status":"failed"}' in followed
    assert shelf.cancel(run).status_code == 422
    assert shelf.api.patch(path_of(run), json={"description": "x"}).status_code == 422
    assert made(shelf.api.get(f"/customJobs/{listener['id']}/"), 200)["lastRun"] == run["id"]

    for _ in range(MANY):
        a_failure_of(shelf, failing)
    (again,) = runs_of(shelf, listener)
    assert (again["id"], again["missedEvents"]) == (run["id"], MANY + 1)
    assert again["reason"].startswith(f"{MANY + 1} events were not told, the newest runFailed of 20")

    made(send_job(shelf.api, {"main.py": "1\n"}, job_id=listener["id"], environmentId=shelf.environment_id))
    a_failure_of(shelf, failing)
    newest, before = runs_of(shelf, listener)
    assert (newest["status"], newest["missedEvents"], before["id"]) == ("running", 0, run["id"])

    assert shelf.api.delete(path_of(before) + "logs/").status_code == 204
    assert shelf.api.get(path_of(before) + "logs/").status_code == 404


def test_an_owner_who_may_not_run_it_any_more_misses_nothing_silently(shelf: Workshop) -> None:
    ann = shelf.installation.a_user("ann")
    failing = shelf.a_job(name="Failing")
    listener = shelf.as_(ann).a_job(name="Anns", jobType="notification")
    share = {
        "operation": "updateRoles",
        "roles": [{"role": "OWNER", "username": "admin", "shareRecipientType": "user"}],
    }
    assert ann.patch(f"/customJobs/{listener['id']}/sharedRoles/", json=share).status_code == 204
    a_failure_of(shelf, failing)
    assert runs_of(shelf, listener) == [], "what ann may not see does not exist for her"

    share["roles"] = [{"role": "READ_ONLY", "username": "ann", "shareRecipientType": "user"}]
    assert shelf.api.patch(f"/customJobs/{failing['id']}/sharedRoles/", json=share).status_code == 204
    assert shelf.api.patch(f"/customJobs/{listener['id']}/sharedRoles/", json=share).status_code == 204
    a_failure_of(shelf, failing)
    (run,) = runs_of(shelf, listener)
    assert "User ann, for whom the job runs, may not run it any more." in run["reason"]

    with shelf.installation.application.database.write() as session:
        session.execute(update(User).where(User.username == "ann").values(is_active=False))
    a_failure_of(shelf, failing)
    (run,) = runs_of(shelf, listener)
    assert "User ann, for whom the job runs, is not active any more." in run["reason"]
    assert run["missedEvents"] == 2


def test_so_many_runs_may_wait(a_workshop: Callable[..., Workshop]) -> None:
    shelf = a_workshop(max_custom_job_runs=1, max_waiting_job_runs=3, max_waiting_runs_per_job=2)
    one, other = shelf.a_job(), shelf.a_job()
    first = shelf.start(one)
    for _ in range(2):
        shelf.start(one)
    refused = shelf.api.post(f"/customJobs/{one['id']}/runs/", json={})
    assert refused.status_code == 422
    assert f"No more runs of custom job {one['id']} than 2 may wait" in refused.json()["message"]
    waiting = shelf.start(other)
    refused = shelf.api.post(f"/customJobs/{other['id']}/runs/", json={})
    assert refused.status_code == 422
    assert "No more runs of the organization than 3 may wait" in refused.json()["message"]
    assert len(runs_of(shelf, other)) == 1
    with shelf.working():
        for run in (first, waiting):
            shelf.ended(run)
    shelf.start(other)


def test_a_notification_that_finds_no_room_is_seen(a_workshop: Callable[..., Workshop]) -> None:
    shelf = a_workshop(max_custom_job_runs=1, max_waiting_job_runs=1)
    failing, listener = shelf.a_job(), shelf.a_job(name="Listener", jobType="notification")
    shelf.start(failing)
    shelf.start(failing)
    a_failure_of(shelf, failing)
    (run,) = runs_of(shelf, listener)
    assert (run["status"], run["missedEvents"]) == ("failed", 1)
    assert "No more runs of the organization than 1 may wait" in run["reason"]


def test_an_organization_has_so_many_notification_jobs(a_workshop: Callable[..., Workshop]) -> None:
    shelf = a_workshop(max_notification_jobs=2)
    jobs = [shelf.a_job(jobType="notification") for _ in range(2)]
    shelf.a_job()
    refused = send_job(shelf.api, name="third", jobType="notification")
    assert refused.status_code == 422
    assert "has 2 jobs of type notification" in refused.json()["errors"]["jobType"]
    templates = shelf.api.get("/customTemplates/?templateSubType=notification").json()["data"]
    body = {"templateId": templates[0]["id"]}
    refused = shelf.api.post("/customJobs/fromGalleryTemplate/", json=body)
    assert refused.json()["errors"].keys() == {"jobType"}
    assert shelf.api.delete(f"/customJobs/{jobs[0]['id']}/").status_code == 204
    shelf.a_job(jobType="notification")


def test_an_event_too_long_for_a_parameter_is_told_with_its_texts_cut(shelf: Workshop) -> None:
    metadata = "runtimeParameterDefinitions: [{fieldName: EVENT, type: string}]"
    listener = shelf.a_job({"main.py": "1\n", "metadata.yaml": metadata}, jobType="notification")
    failing = shelf.a_job(name="é" * 255)
    why = 'a "quoted" line\n' * 600
    with shelf.installation.application.database.write() as session:
        organization = session.query(User).filter_by(username="admin").one().organization_id
        publish(
            session,
            Event(
                type="runFailed",
                message=f"A run failed: {why}",
                organization_id=organization,
                reason=why,
                custom_job_id=failing["id"],
                custom_job_name=failing["name"],
            ),
        )
    dispatch(shelf)
    (run,) = runs_of(shelf, listener)
    assert (run["status"], run["missedEvents"], run["reason"]) == ("running", 0, None)
    (told,) = run["runtimeParameters"]
    assert len(told["currentValue"]) <= MAX_TEXT_LENGTH
    event = json.loads(told["currentValue"])
    assert (event["type"], event["customJobId"], event["customJobName"]) == ("runFailed", failing["id"], "é" * 255)
    assert event["reason"] == why[:1000] + "..."
    with shelf.installation.application.database.read() as session:
        stored = session.get_one(CustomJobRun, run["id"]).event
    assert stored is not None
    assert stored["reason"] == why  # the file has all of it
