"""Events as the API lists them: to those who may see what they are about."""

from datetime import timedelta

import pytest

from modelyard import garbage
from modelyard.events import service
from modelyard.events.schemas import Event
from modelyard.events.service import publish
from modelyard.events.tables import EventCount, EventRow
from modelyard.identity.sharing import grant
from modelyard.identity.tables import ResourceKind, SubjectKind, User
from modelyard.kernel.ids import new_id
from tests.api_client import Api
from tests.deployments.shelf import Shelf
from tests.events.conftest import an_event


def tell(shelf: Shelf, event: Event) -> None:
    with shelf.installation.application.database.write() as session:
        publish(session, event)


def told(api: Api, query: str = "") -> list[str]:
    found = api.get(f"/events/?{query}")
    assert found.status_code == 200, found.text
    return [one["message"] for one in found.json()["data"]]


def test_events_are_listed_newest_first_and_filtered(shelf: Shelf) -> None:
    first, second = shelf.put("First"), shelf.put("Second")
    tell(shelf, an_event("First", first))
    tell(shelf, an_event("Second", second))
    failed = Event(
        type="deploymentErrored", message="no luck", organization_id="o" * 24, deployment_id=first, reason="no luck"
    )
    tell(shelf, failed)
    assert told(shelf.api) == ["no luck", "Second is active.", "First is active."]
    assert told(shelf.api, f"deploymentId={first}") == ["no luck", "First is active."]
    assert told(shelf.api, "type=deploymentCreated") == ["Second is active.", "First is active."]
    assert told(shelf.api, "type=deploymentCreated&type=deploymentErrored&limit=1") == ["no luck"]
    assert shelf.api.get("/events/?type=somethingElse").status_code == 422
    event = shelf.api.get(f"/events/?deploymentId={second}").json()["data"][0]
    assert event.pop("at").endswith("Z")
    assert len(event.pop("id")) == 24
    assert event == {
        "type": "deploymentCreated",
        "message": "Second is active.",
        "organizationId": "o" * 24,
        "deploymentId": second,
        "deploymentLabel": "Second",
    }


def test_only_those_who_may_view_a_deployment_see_its_events(shelf: Shelf) -> None:
    deployment_id = shelf.put("Mine")
    tell(shelf, an_event("Mine", deployment_id))
    users = {name: shelf.installation.a_user(name) for name in ("reader", "predictor", "stranger")}
    roles = [{"username": "reader", "role": "READ_ONLY"}, {"username": "predictor", "role": "CONSUMER"}]
    shared = shelf.api.patch(f"/deployments/{deployment_id}/accessControl/", json={"data": roles})
    assert shared.status_code == 204, shared.text
    assert told(users["reader"]) == ["Mine is active."]
    assert told(users["predictor"]) == told(users["stranger"]) == []
    assert told(users["stranger"], f"deploymentId={deployment_id}") == []
    shelf.api.delete(f"/deployments/{deployment_id}/")
    assert told(shelf.api) == []


def test_events_of_jobs_follow_the_job(shelf: Shelf) -> None:
    job_id = new_id()
    tell(
        shelf,
        Event(
            type="runFailed",
            message="run 3 failed",
            organization_id="o" * 24,
            custom_job_id=job_id,
            custom_job_run_id="r",
        ),
    )
    assert told(shelf.api) == []
    user_id = shelf.api.get("/account/info/").json()["uid"]
    with shelf.installation.application.database.write() as session:
        grant(session, ResourceKind.CUSTOM_JOB, job_id, user_id, "OWNER", can_share=True)
    assert told(shelf.api) == told(shelf.api, f"customJobId={job_id}&type=runFailed") == ["run 3 failed"]


def test_old_events_are_collected_and_erased_deployments_have_none(shelf: Shelf) -> None:
    kept, erased = shelf.put("Kept"), shelf.put("Erased")
    for one in (kept, erased):
        tell(shelf, an_event("old", one))
        tell(shelf, an_event("new", one))
    application = shelf.installation.application
    with application.database.write() as session:
        for row in session.query(EventRow):
            if row.content["deploymentLabel"] == "old":
                row.at -= timedelta(days=31)
    assert garbage.collect(application.database, application.parts, application.settings).events == 2
    assert told(shelf.api) == ["new is active."] * 2
    assert counts(shelf) == {kept: 1, erased: 1}
    shelf.api.delete(f"/deployments/{erased}/")
    shelf.api.patch("/deletedDeployments/", json={"action": "PermanentlyErase", "deploymentIds": [erased]})
    shelf.installation.run_operations()
    with application.database.read() as session:
        assert [row.resource_id for row in session.query(EventRow)] == [kept]
    assert counts(shelf) == {kept: 1}


def counts(shelf: Shelf) -> dict[str, int]:
    """How many events are counted, of what they are about."""
    with shelf.installation.application.database.read() as session:
        found = {row.resource_id: row.number for row in session.query(EventCount)}
        assert sum(found.values()) == session.query(EventRow).count()
        return found


@pytest.mark.parametrize("few", [service.FEW, 0])
def test_many_events_are_paged_as_few_are(shelf: Shelf, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr(service, "FEW", few)
    seen, hidden = shelf.put("Seen"), shelf.put("Hidden")
    for number in range(7):
        tell(shelf, an_event(f"{number}", seen if number % 2 else hidden))
    ann = shelf.installation.a_user("ann")
    with shelf.installation.application.database.write() as session:
        user = session.query(User).filter_by(username="ann").one()
        for subject, kind in ((user.id, SubjectKind.USER), (user.organization_id, SubjectKind.ORGANIZATION)):
            grant(session, ResourceKind.DEPLOYMENT, seen, subject, "READ_ONLY", can_share=False, subject_kind=kind)
    assert told(ann) == [f"{number} is active." for number in (5, 3, 1)]
    page = ann.get("/events/?limit=2&offset=1&type=deploymentCreated&type=runFailed").json()
    assert (page["totalCount"], page["count"], page["next"]) == (3, 2, None)
    assert [one["message"] for one in page["data"]] == ["3 is active.", "1 is active."]
    assert shelf.api.get("/events/?limit=1").json()["totalCount"] == 7
    assert ann.get("/events/?type=runFailed").json()["totalCount"] == 0
    assert ann.get(f"/events/?deploymentId={hidden}").json()["totalCount"] == 0
