"""Proposing packages for a deployment, accepting and withdrawing them."""

from typing import Any

import httpx
import pytest

from modelyard.deployments.challengers.tables import Challenger
from modelyard.deployments.challengers.work import handlers
from modelyard.models.tables import ModelUse
from modelyard.operations.engine import Engine
from modelyard.registry.tables import BuildState, ModelPackage, PackageUse
from tests.api_client import Api
from tests.deployments.serving import Workshop
from tests.deployments.shelf import Shelf
from tests.models.builders import NOBODY

LABELS = {"positiveClassLabel": "yes", "negativeClassLabel": "no"}
ENABLED = {"challengerModels": {"enabled": True}}


def a_deployment(shelf: Shelf, package: dict[str, Any] | None = None, label: str = "Mine") -> str:
    """The path of a deployment that takes challengers."""
    path = f"/deployments/{shelf.put(label, package or a_package(shelf))}/"
    assert shelf.api.patch(f"{path}settings/", json=ENABLED).status_code == 202
    return path


def a_package(shelf: Shelf, api: Api | None = None, **model: Any) -> dict[str, Any]:
    return shelf.a_package(api, **(LABELS | model))


def propose(shelf: Shelf, path: str, package: dict[str, Any], api: Api | None = None, **fields: Any) -> httpx.Response:
    body = {"modelPackageId": package["id"], "name": "winter"} | fields
    return (api or shelf.api).post(f"{path}challengers/", json=body)


def challenger_id(shelf: Shelf, path: str, package: dict[str, Any], **fields: Any) -> str:
    """The id of a new challenger whose package is built."""
    asked = propose(shelf, path, package, **fields)
    assert asked.status_code == 202, asked.text
    found: str = shelf.api.get(f"{path}challengers/").json()["data"][-1]["id"]
    return found


def names(shelf: Shelf, path: str) -> list[str]:
    return [one["name"] for one in shelf.api.get(f"{path}challengers/").json()["data"]]


def settle(shelf: Shelf, state: BuildState, *packages: dict[str, Any]) -> None:
    with shelf.installation.application.database.write() as session:
        for package in packages:
            session.get_one(ModelPackage, package["id"]).build_state = state.value


def work_off(shelf: Shelf) -> None:
    """Does what is due for challengers and nothing else: packages stay as they were put."""
    application = shelf.installation.application
    Engine(application.database, application.parts, handlers(), workers=1).run_until_idle()


def left_overs(shelf: Shelf) -> tuple[int, int, int]:
    with shelf.installation.application.database.read() as session:
        return (
            session.query(Challenger).count(),
            session.query(PackageUse).filter_by(role="challenger").count(),
            session.query(ModelUse).filter_by(user_kind="challenger", is_active=True).count(),
        )


def test_the_champion_comes_first_and_then_the_oldest(shelf: Shelf) -> None:
    champion, first, second = a_package(shelf, name="Churn"), a_package(shelf), a_package(shelf)
    path = a_deployment(shelf, champion)
    environment = shelf.api.get("/predictionEnvironments/").json()["data"][0]
    asked = propose(shelf, path, first, predictionEnvironmentId=environment["id"])
    assert asked.status_code == 202
    assert asked.headers["Location"].startswith("http://modelyard.test/api/v2/status/")
    assert propose(shelf, path, second, name="summer").status_code == 202
    listed = shelf.api.get(f"{path}challengers/").json()
    assert (listed["count"], listed["totalCount"], listed["next"], listed["previous"]) == (3, 3, None, None)
    top, one, other = listed["data"]
    assert (top["isChampion"], top["id"], top["name"]) == (True, champion["id"], "Champion")
    assert (top["model"]["id"], top["model"]["name"]) == (champion["modelId"], "Churn")
    assert (one["isChampion"], one["name"], one["model"]["id"]) == (False, "winter", first["modelId"])
    assert one["modelPackage"]["id"] == first["id"]
    assert one["predictionEnvironment"]["id"] == environment["id"]
    assert one["createdBy"] == "admin"
    assert other["name"] == "summer"
    second_page = shelf.api.get(f"{path}challengers/?offset=1&limit=1").json()
    assert (second_page["data"], second_page["totalCount"]) == ([one], 3)
    for each in listed["data"]:
        assert shelf.api.get(f"{path}challengers/{each['id']}/").json() == each


def test_a_challenger_is_there_when_its_package_is_built(shelf: Shelf) -> None:
    package = a_package(shelf)
    path = a_deployment(shelf)
    settle(shelf, BuildState.COMPLETE, package)
    asked = propose(shelf, path, package)
    work_off(shelf)
    done = shelf.api.get(asked.headers["Location"])
    assert done.status_code == 303
    assert shelf.api.get(done.headers["Location"]).json()["modelPackage"]["id"] == package["id"]


def test_one_whose_package_cannot_be_built_is_none(shelf: Shelf) -> None:
    package = a_package(shelf)
    path = a_deployment(shelf)
    asked = propose(shelf, path, package)
    settle(shelf, BuildState.FAILED, package)
    work_off(shelf)
    ended = shelf.api.get(asked.headers["Location"]).json()
    assert ended["status"] == "ERROR"
    assert "could not be built" in ended["message"]
    assert names(shelf, path) == ["Champion"]
    assert left_overs(shelf) == (0, 0, 0)
    again = propose(shelf, path, package)
    assert (again.status_code, list(again.json()["errors"])) == (422, ["modelPackageId"])


def test_disabled_challengers_are_refused_and_the_champion_is_no_challenger(shelf: Shelf) -> None:
    path = f"/deployments/{shelf.put('Mine', a_package(shelf))}/"
    package = a_package(shelf)
    refused = propose(shelf, path, package)
    assert refused.status_code == 409
    assert "challengerModels" in refused.json()["message"]
    assert names(shelf, path) == []
    assert shelf.api.patch(f"{path}settings/", json=ENABLED).status_code == 202
    assert propose(shelf, path, package).status_code == 202
    assert shelf.api.patch(f"{path}settings/", json={"challengerModels": None}).status_code == 202
    assert names(shelf, path) == ["winter"]


def test_what_does_not_fit_is_refused_with_every_wrong_field(shelf: Shelf) -> None:
    champion, taken = a_package(shelf), a_package(shelf)
    path = a_deployment(shelf, champion)
    assert propose(shelf, path, taken).status_code == 202
    for package, words in (
        (champion, "the champion"),
        (taken, "a challenger already, 'winter'"),
        (shelf.a_package(targetName="other"), "predicts 'other'"),
        (shelf.a_package(targetType="Regression"), "(Regression)"),
        (shelf.a_package(), "classes are"),
        ({"id": NOBODY}, "no model package"),
        (a_package(shelf, shelf.installation.a_user("eve", organization="other")), "no model package"),
    ):
        refused = propose(shelf, path, package)
        assert refused.status_code == 422, refused.text
        assert words in refused.json()["errors"]["modelPackageId"]
    elsewhere = shelf.api.post("/predictionEnvironments/", json={"name": "theirs", "platform": "aws"}).json()
    wrong = propose(shelf, path, champion, name="  ", predictionEnvironmentId=elsewhere["id"])
    assert sorted(wrong.json()["errors"]) == ["modelPackageId", "name", "predictionEnvironmentId"]
    mistyped = shelf.api.post(f"{path}challengers/", json={"name": 1})
    assert sorted(mistyped.json()["errors"]) == ["modelPackageId", "name"]
    assert names(shelf, path) == ["Champion", "winter"]


def test_there_are_at_most_five(shelf: Shelf) -> None:
    path = a_deployment(shelf)
    for _ in range(5):
        assert propose(shelf, path, a_package(shelf)).status_code == 202
    package = a_package(shelf)
    refused = propose(shelf, path, package)
    assert (refused.status_code, "5 challengers" in refused.json()["message"]) == (409, True)
    last = shelf.api.get(f"{path}challengers/").json()["data"][-1]
    assert shelf.api.delete(f"{path}challengers/{last['id']}/").status_code == 204
    assert propose(shelf, path, package).status_code == 202


def test_a_challenger_is_renamed_and_withdrawn_but_not_the_champion(shelf: Shelf) -> None:
    champion, package = a_package(shelf), a_package(shelf)
    path = a_deployment(shelf, champion)
    one = f"{path}challengers/{challenger_id(shelf, path, package)}/"
    changed = shelf.api.patch(one, json={"name": "spring"})
    assert (changed.status_code, changed.json()["name"]) == (200, "spring")
    for body in ({}, {"name": ""}, {"name": " "}, {"name": None}, {"name": "x" * 513}):
        assert list(shelf.api.patch(one, json=body).json()["errors"]) == ["name"]
    for entry, status in ((champion["id"], 409), (NOBODY, 404)):
        assert shelf.api.patch(f"{path}challengers/{entry}/", json={"name": "x"}).status_code == status
        assert shelf.api.delete(f"{path}challengers/{entry}/").status_code == status
    other = a_deployment(shelf, a_package(shelf), "Other")
    assert shelf.api.delete(one.replace(path, other)).status_code == 404
    gone = shelf.api.delete(one)
    assert (gone.status_code, gone.content) == (204, b"")
    assert shelf.api.get(one).status_code == 404
    assert left_overs(shelf) == (0, 0, 0)


def test_roles_decide_who_may_propose(shelf: Shelf) -> None:
    path = a_deployment(shelf)
    package = a_package(shelf)
    one = f"{path}challengers/{challenger_id(shelf, path, package)}/"
    bob = shelf.installation.a_user("bob")
    own = a_package(shelf, bob)
    assert {ask.status_code for ask in (bob.get(f"{path}challengers/"), bob.get(one), bob.delete(one))} == {404}
    assert propose(shelf, path, own, bob).status_code == 404
    for role, looking, changing in (("CONSUMER", 403, 403), ("READ_ONLY", 200, 403), ("EDITOR", 200, 200)):
        shelf.api.patch(f"{path}accessControl/", json={"data": [{"username": "bob", "role": role}]})
        assert bob.get(f"{path}challengers/").status_code == looking, role
        assert bob.get(one).status_code == looking, role
        assert bob.patch(one, json={"name": "his"}).status_code == changing, role
        assert propose(shelf, path, own, bob).status_code == (202 if changing == 200 else changing), role
    refused = propose(shelf, path, a_package(shelf), bob)
    assert "no model package" in refused.json()["errors"]["modelPackageId"]
    assert bob.delete(one).status_code == 204


def test_what_challenges_is_kept(shelf: Shelf) -> None:
    package = a_package(shelf)
    path = a_deployment(shelf)
    one = f"{path}challengers/{challenger_id(shelf, path, package)}/"
    model = f"/customModels/{package['sourceMeta']['customModelDetails']['id']}/"
    registered = f"/registeredModels/{package['registeredModelId']}/"
    for kept in (model, registered):
        refused = shelf.api.delete(kept)
        assert refused.status_code == 409
        assert f"{path}challengers/" in refused.json()["message"]
        assert shelf.api.get(refused.json()["link"]).json()["totalCount"] == 2, "the champion and it"
    assert shelf.api.get(model).json()["deploymentsCount"] == 0
    assert shelf.api.get(f"/modelPackages/{package['id']}/").json()["activeDeploymentCount"] == 0
    shelf.api.delete(one)
    assert [shelf.api.delete(kept).status_code for kept in (registered, model)] == [204, 204]


def test_two_packages_of_one_version_let_go_of_it_together(shelf: Shelf) -> None:
    first = a_package(shelf)
    body = {"customModelVersionId": first["modelId"]}
    second = shelf.api.post("/modelPackages/fromCustomModelVersion/", json=body).json()
    path = a_deployment(shelf)
    ids = [challenger_id(shelf, path, package) for package in (first, second)]
    assert left_overs(shelf) == (2, 2, 1)
    assert shelf.api.delete(f"{path}challengers/{ids[0]}/").status_code == 204
    assert left_overs(shelf) == (1, 1, 1)
    assert shelf.api.delete(f"{path}challengers/{ids[1]}/").status_code == 204
    assert left_overs(shelf) == (0, 0, 0)


def test_a_prediction_environment_that_challengers_name_stays(shelf: Shelf) -> None:
    made = shelf.api.post("/predictionEnvironments/", json={"name": "mine", "platform": "datarobotServerless"}).json()
    path = a_deployment(shelf)
    one = challenger_id(shelf, path, a_package(shelf), predictionEnvironmentId=made["id"])
    assert shelf.api.delete(f"/predictionEnvironments/{made['id']}/").status_code == 409
    shelf.api.delete(f"{path}challengers/{one}/")
    assert shelf.api.delete(f"/predictionEnvironments/{made['id']}/").status_code == 204


@pytest.mark.parametrize("built", [BuildState.COMPLETE, BuildState.IN_PROGRESS])
def test_challengers_go_with_their_deployment(shelf: Shelf, built: BuildState) -> None:
    package = a_package(shelf)
    path = a_deployment(shelf)
    settle(shelf, built, package)
    asked = propose(shelf, path, package)
    assert shelf.api.delete(path).status_code == 204
    assert left_overs(shelf) == (0, 0, 0)
    work_off(shelf)
    assert shelf.api.get(asked.headers["Location"]).json()["status"] == "ERROR"
    assert shelf.api.delete(f"/customModels/{package['sourceMeta']['customModelDetails']['id']}/").status_code == 204


def test_a_challenger_that_takes_over_leaves_the_list(workshop: Workshop) -> None:
    champion, package, other = (workshop.a_package_of() for _ in range(3))
    api = workshop.api
    with workshop.working():
        made = workshop.a_deployment(champion)
        workshop.await_success(made["location"])
        path = f"/deployments/{made['id']}/"
        workshop.await_success(api.patch(f"{path}settings/", json=ENABLED).headers["Location"])
        for each, name in ((package, "winter"), (other, "summer")):
            asked = api.post(f"{path}challengers/", json={"modelPackageId": each["id"], "name": name})
            assert workshop.await_success(asked.headers["Location"]).json()["name"] == name
        replaced = api.patch(f"{path}model/", json={"modelPackageId": package["id"], "reason": "ACCURACY"})
        workshop.await_success(replaced.headers["Location"])
        top, left = api.get(f"{path}challengers/").json()["data"]
        assert (top["isChampion"], top["modelPackage"]["id"]) == (True, package["id"])
        assert (left["name"], left["modelPackage"]["id"]) == ("summer", other["id"])
        assert api.get(f"/modelPackages/{package['id']}/").json()["activeDeploymentCount"] == 1
        back = api.post(f"{path}challengers/", json={"modelPackageId": champion["id"], "name": "the one before"})
        assert workshop.await_success(back.headers["Location"]).status_code == 200
