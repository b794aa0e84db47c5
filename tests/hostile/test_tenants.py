"""What is not yours does not exist for you: asked of every operation there is, and of those that come.

The operations come from ``app.endpoints()``. Whoever adds one with a new kind of id adds that thing to ``estate``.
"""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from modelyard.app import endpoints
from modelyard.kernel.ids import new_id
from modelyard.kernel.routing import Endpoint
from tests.api_client import Api
from tests.conftest import Installation
from tests.hostile.bodies import a_request, id_fields, takes_list
from tests.hostile.estate import Estate, an_estate, fill, settle

ADMINISTRATION = ("/users/", "/groups/", "/organizations/", "/deletedDeployments/")
"""For administrators of the installation; everybody else is refused, whether the thing is there or not."""
FOR_EVERYBODY = {
    "/mlops/compute/bundles/{resourceRequestBundleId}/": "what the machine offers is the same for all",
}
SEEN_BY_COLLEAGUES = ("/customTemplates/",)
"""Made for the whole organization, so that only strangers of another one are kept from looking."""
QUERIES = {"/customModelTests/": "customModelId={customModelId}"}
NOT_THERE_YET = {
    "/customModels/{customModelId}/versions/{customModelVersionId}/dependencyBuildLog/": "the build has not ended",
    "/customTasks/{customTaskId}/versions/{customTaskVersionId}/dependencyBuildLog/": "the build has not ended",
    "/customModelTests/{customModelTestId}/log/": "the test has not begun",
    "/executionEnvironments/{environmentId}/versions/{versionId}/download/": "the context is not unpacked",
}
FIELDS: dict[str, tuple[str, ...]] = {
    "POST /customModels/{customModelId}/versions/": ("baseEnvironmentId",),
    "POST /customTasks/{customTaskId}/versions/": ("baseEnvironmentId",),
    "PATCH /customTasks/{customTaskId}/versions/": ("baseEnvironmentId",),
    "POST /customModelTests/": ("datasetId", "environmentId"),
    "POST /customJobs/fromGalleryTemplate/": ("templateId",),
}
"""Which ids else a request needs to succeed, beside what the wire types require."""


REPORT = "POST /deployments/{deploymentId}/customMetrics/{customMetricId}/fromJSON/"
PARTS = {(REPORT, "modelId"), (REPORT, "modelPackageId")}
"""Fields that name a part of what the path names: no other of the owner's things will do (``tests/monitoring``)."""

MEANT = {("POST /deployments/fromLearningModel/", "modelId"): "/projects/{projectId}/models/{modelId}"}
"""Fields whose name means something else elsewhere, by the path that the estate knows it by."""


@pytest.fixture
def anna(installation: Installation) -> Estate:
    """Has one of everything, in an organization of her own."""
    return an_estate(installation, "anna", "acme")


@pytest.fixture(params=["another organization", "the same organization"])
def strangers_organization(request: pytest.FixtureRequest) -> str:
    return "acme" if request.param == "the same organization" else "elsewhere"


@pytest.fixture
def stranger(strangers_organization: str, installation: Installation, anna: Estate) -> Api:
    """Was given nothing by Anna."""
    return installation.a_user("stranger", organization=strangers_organization)


def is_seen(endpoint: Endpoint, organization: str) -> bool:
    """Whether somebody of the organization may look at what others of Anna's made there."""
    return organization == "acme" and endpoint.path.startswith(SEEN_BY_COLLEAGUES)


def reads(*, with_ids: bool) -> Iterator[Endpoint]:
    for endpoint in endpoints():
        if endpoint.method == "GET" and ("{" in endpoint.path) == with_ids and "caller" in endpoint.parameters:
            yield endpoint


def with_ids() -> Iterator[Endpoint]:
    """Every operation on a thing that is somebody's."""
    for endpoint in endpoints():
        if "{" in endpoint.path and endpoint.path not in FOR_EVERYBODY:
            yield endpoint


def name_of(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


def ask(api: Api, endpoint: Endpoint, path: str, fields: dict[str, Any] | None = None) -> httpx.Response:
    return api.request(endpoint.method, path, **a_request(endpoint, fields))


def query_of(endpoint: Endpoint, estate: Estate) -> str:
    wanted = QUERIES.get(endpoint.path)
    return "?" + wanted.format(**estate.ids) if wanted else ""


def leaks(estate: Estate, answer: httpx.Response, asked: str) -> list[str]:
    """What an answer tells of an estate, beyond what the question named."""
    secrets = {estate.mark, *estate.ids.values()} - {estate.ids["resourceRequestBundleId"]}
    return [secret for secret in secrets if secret in answer.text and secret not in asked]


def without_ids(text: str) -> str:
    return re.sub(r"[0-9a-f]{24}", "ID", text)


def test_anna_herself_sees_it_all(anna: Estate) -> None:
    """Or else the other tests here would prove nothing."""
    empty, missing = [], []
    for endpoint in reads(with_ids=False):
        answer = anna.api.get(endpoint.path + query_of(endpoint, anna))
        if endpoint.path.startswith(ADMINISTRATION):
            assert answer.status_code == 403, name_of(endpoint)
        elif "data" in answer.json() and not answer.json()["data"]:
            empty.append(endpoint.path)
    for endpoint in reads(with_ids=True):
        answer = anna.api.get(fill(endpoint, anna) + ("?lines=10" if endpoint.path.endswith("/tail/") else ""))
        if endpoint.path.startswith(ADMINISTRATION):
            assert answer.status_code == 403 or endpoint.path == "/users/{userId}/", name_of(endpoint)
        elif answer.status_code not in {200, 303} and endpoint.path not in NOT_THERE_YET:
            missing.append((endpoint.path, answer.status_code, answer.text))
    assert not empty
    assert not missing


def test_no_list_shows_anything_of_hers(stranger: Api, anna: Estate, strangers_organization: str) -> None:
    told = {}
    for endpoint in reads(with_ids=False):
        path = endpoint.path + query_of(endpoint, anna)
        answer = stranger.get(path)
        assert answer.status_code < 500, name_of(endpoint)
        if endpoint.path == "/account/info/" or is_seen(endpoint, strangers_organization):
            continue  # a colleague's organization is Anna's
        if found := leaks(anna, answer, path):
            told[name_of(endpoint)] = found
    assert not told


def test_no_filter_finds_anything_of_hers(stranger: Api, anna: Estate, strangers_organization: str) -> None:
    """Filters by somebody else's ids and names tell nothing, not even how many there are."""
    told = {}
    for endpoint in reads(with_ids=False):
        query = endpoint.parameters.get("query")
        if query is None or endpoint.path.startswith(ADMINISTRATION) or is_seen(endpoint, strangers_organization):
            continue
        everything = stranger.get(endpoint.path + query_of(endpoint, anna))
        for name in (field for field in _names(query) if field in anna.ids or field in {"search", "searchFor"}):
            path = f"{endpoint.path}?{name}={anna.ids.get(name, anna.mark)}"
            answer = stranger.get(path)
            if answer.status_code == 200:
                assert answer.json()["totalCount"] <= everything.json().get("totalCount", 0)
                if answer.json()["totalCount"] or leaks(anna, answer, path):
                    told[path] = answer.text
    assert not told


def test_her_things_cannot_be_told_from_things_that_are_not_there(
    stranger: Api, anna: Estate, strangers_organization: str
) -> None:
    """Every operation on an id of hers answers as for an id that nothing has, and changes nothing."""
    before = _snapshot(anna)
    wrong = []
    for endpoint in with_ids():
        if is_seen(endpoint, strangers_organization):
            continue  # the tests of templates say what a colleague may do
        path = fill(endpoint, anna)
        answer = ask(stranger, endpoint, path)
        nowhere = ask(stranger, endpoint, fill(endpoint, anna, new_id()))
        expected = {403} if endpoint.path.startswith(ADMINISTRATION) else {404}
        same = (answer.status_code, without_ids(answer.text)) == (nowhere.status_code, without_ids(nowhere.text))
        if answer.status_code not in expected or not same or leaks(anna, answer, path):
            wrong.append((name_of(endpoint), answer.status_code, answer.text, nowhere.status_code, nowhere.text))
    assert not wrong, "\n".join(map(str, wrong))
    assert _snapshot(anna) == before


@pytest.mark.parametrize("organization", ["elsewhere", "acme"])
def test_her_things_are_not_parts_of_other_peoples_things(
    installation: Installation, anna: Estate, organization: str
) -> None:
    """Below what is one's own, somebody else's version, log or member is not found."""
    eve = an_estate(installation, "eve", organization)
    before = _snapshot(anna)
    wrong = []
    for endpoint in with_ids():
        if endpoint.path.count("{") < 2 or endpoint.path.startswith(ADMINISTRATION):
            continue
        path = fill(endpoint, eve, anna)
        answer = ask(eve.api, endpoint, path)
        if answer.status_code != 404 or leaks(anna, answer, path):
            wrong.append((name_of(endpoint), answer.status_code, answer.text))
    assert not wrong, "\n".join(map(str, wrong))
    assert _snapshot(anna) == before


@pytest.mark.parametrize("organization", ["elsewhere", "acme"])
def test_nothing_of_hers_can_be_used(installation: Installation, anna: Estate, organization: str) -> None:
    """Ids of hers in a body are refused as if they did not exist, where one's own are accepted."""
    eve = an_estate(installation, "eve", organization)
    settle(installation)
    before = _snapshot(anna)
    wrong: list[tuple[str, str, str, int, str]] = []
    checked = []
    for endpoint in endpoints():
        for name in id_fields(endpoint) if not endpoint.path.startswith(ADMINISTRATION) else []:
            if name == "templateId" and organization == "acme":
                continue  # colleagues may use it
            path = fill(endpoint, eve)
            meant = MEANT.get((name_of(endpoint), name), name)
            settle(installation)
            hers = ask(eve.api, endpoint, path, _fields(endpoint, eve, name, anna.id_at(meant)))
            nobodys = ask(eve.api, endpoint, path, _fields(endpoint, eve, name, new_id()))
            settle(installation)
            own = ask(eve.api, endpoint, path, _fields(endpoint, eve, name, eve.id_at(meant)))
            case = (name_of(endpoint), name)
            checked.append(case)
            if not is_refused(hers) or leaks(anna, hers, str(anna.id_at(meant))):
                wrong.append((*case, "hers", hers.status_code, hers.text))
            if (hers.status_code, without_ids(hers.text)) != (nobodys.status_code, without_ids(nobodys.text)):
                wrong.append((*case, "not as nobody's", hers.status_code, f"{hers.text} {nobodys.text}"))
            if is_refused(own) and case not in PARTS:
                wrong.append((*case, "own", own.status_code, own.text))
    assert not wrong, "\n".join(map(str, wrong))
    assert len(checked) > 10
    settle(installation)
    assert _snapshot(anna) == before


def is_refused(answer: httpx.Response) -> bool:
    """By its status, or as what does not pass a validation."""
    return answer.status_code in {403, 404, 422} or '"status":"failing"' in answer.text


def _names(type_: Any) -> list[str]:
    return list(type_.__struct_encode_fields__)


def _fields(endpoint: Endpoint, estate: Estate, name: str, value: str) -> dict[str, Any]:
    """The ids that a request names: the estate's own, but ``value`` in the field ``name``."""
    type_ = endpoint.parameters.get("body") or endpoint.form_type
    assert type_ is not None
    required = [field for field in id_fields(endpoint) if field in a_request(endpoint).get("json", {})]
    others = {field: estate.id_at(field) for field in required}
    others |= {field: estate.id_at(field) for field in FIELDS.get(name_of(endpoint), ())}
    return others | {name: [value] if takes_list(endpoint, name) else value}


def _snapshot(estate: Estate) -> dict[str, tuple[int, str]]:
    """All that the owner can read, to compare."""
    found = {}
    for endpoint in [*reads(with_ids=False), *reads(with_ids=True)]:
        answer = estate.api.get(fill(endpoint, estate) + query_of(endpoint, estate))
        is_file = "download" in endpoint.path or endpoint.path.endswith("/file/")
        found[endpoint.path] = (answer.status_code, "" if is_file else answer.text)
    return found
