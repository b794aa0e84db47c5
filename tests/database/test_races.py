"""Requests that come at the same moment and are in each other's way: one wins, the others are told so."""

from collections.abc import Callable

import httpx
import pytest

from tests.api_client import Api
from tests.conftest import Installation
from tests.crowds import CROWD, at_once
from tests.models.builders import a_model, model_fields, patch_version, post_version


@pytest.fixture
def api(each_database: str, an_installation: Callable[..., Installation]) -> Api:
    return an_installation(database_url=each_database).api


def test_a_name_of_its_own_is_given_once(api: Api) -> None:
    answers = at_once(lambda _: api.post("/customModels/", json=model_fields(userProvidedId="churn-1")))
    assert sorted(answer.status_code for answer in answers) == [201] + [422] * (CROWD - 1)
    assert all("userProvidedId" in answer.text for answer in answers)
    assert api.get("/customModels/").json()["totalCount"] == 1


def test_a_registered_model_of_a_name_is_made_once(api: Api) -> None:
    version = post_version(api, a_model(api)["id"], {"custom.py": b""}).json()
    body = {"customModelVersionId": version["id"], "registeredModelName": "Churn"}
    answers = at_once(lambda _: api.post("/modelPackages/fromCustomModelVersion/", json=body))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * (CROWD - 1)
    assert api.get("/registeredModels/").json()["totalCount"] == 1


def test_a_user_of_a_name_is_made_once(api: Api) -> None:
    answers = at_once(lambda _: api.post("/users/", json={"username": "anna"}))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * (CROWD - 1)


def test_versions_of_one_model_are_counted_through(api: Api) -> None:
    model_id = a_model(api)["id"]
    assert post_version(api, model_id, {"custom.py": b""}).status_code == 201
    answers = at_once(lambda number: patch_version(api, model_id, {f"{number}.txt": b"x"}))
    assert [answer.status_code for answer in answers] == [201] * CROWD
    versions = api.get(f"/customModels/{model_id}/versions/").json()["data"]
    assert [version["versionMinor"] for version in versions] == list(range(CROWD, -1, -1))
    assert len(versions[0]["items"]) == CROWD + 1, "each builds on the one before"


def test_of_a_change_and_a_deletion_at_once_both_end_well(api: Api) -> None:
    model_id = a_model(api)["id"]

    def ask(number: int) -> httpx.Response:
        if number == 0:
            return api.delete(f"/customModels/{model_id}/")
        if number % 2:
            return post_version(api, model_id, {"custom.py": b""})
        return api.patch(f"/customModels/{model_id}/", json={"name": f"renamed {number}"})

    statuses = {answer.status_code for answer in at_once(ask)}
    assert statuses <= {200, 201, 204, 404}
    assert api.get(f"/customModels/{model_id}/").status_code == 404


def test_what_is_used_is_not_deleted_and_what_is_deleted_is_not_used(api: Api) -> None:
    version = post_version(api, a_model(api)["id"], {"custom.py": b""}).json()
    body = {"customModelVersionId": version["id"], "registeredModelName": "Churn"}
    package = api.post("/modelPackages/fromCustomModelVersion/", json=body).json()
    path = f"/registeredModels/{package['registeredModelId']}/"

    def ask(number: int) -> httpx.Response:
        if number % 2:
            return api.delete(path)
        return api.post("/deployments/fromModelPackage/", json={"modelPackageId": package["id"], "label": "Churn"})

    answers = at_once(ask)
    assert {answer.status_code for answer in answers} <= {202, 204, 404, 409, 422}
    is_gone = api.get(path).status_code == 404
    deployed = sum(answer.status_code == 202 for answer in answers)
    assert api.get("/deployments/").json()["totalCount"] == deployed
    assert is_gone == (deployed == 0), [(answer.status_code, answer.text) for answer in answers]


def test_owners_who_remove_all_others_at_once_leave_one(
    each_database: str, an_installation: Callable[..., Installation]
) -> None:
    installation = an_installation(database_url=each_database)
    owners = [installation.a_user(f"owner{number}") for number in range(CROWD)]
    path = f"/customModels/{a_model(installation.api)['id']}/accessControl/"
    lines = [{"username": f"owner{number}", "role": "OWNER"} for number in range(CROWD)]
    given = installation.api.patch(path, json={"data": [*lines, {"username": "admin", "role": "NO_ROLE"}]})
    assert given.status_code == 204, given.text

    def ask(number: int) -> httpx.Response:
        others = [line | {"role": "NO_ROLE"} for line in lines if line["username"] != f"owner{number}"]
        return owners[number].patch(path, json={"data": others})

    assert sorted(answer.status_code for answer in at_once(ask)) == [204] + [404] * (CROWD - 1)
    assert sorted(owner.get(path).status_code for owner in owners) == [200] + [404] * (CROWD - 1)
