"""Every write checks the caller's right first: also one that is incomplete, or that would change nothing."""

from collections.abc import Iterator
from typing import Any

import pytest

from modelyard.app import endpoints
from modelyard.identity.sharing import grant
from modelyard.identity.tables import ResourceKind
from modelyard.kernel.routing import Endpoint
from tests.api_client import Api
from tests.conftest import Installation
from tests.hostile.bodies import a_request, empty_lists
from tests.hostile.estate import Estate, an_estate, fill, settle

KINDS = {
    "customModelId": ResourceKind.CUSTOM_MODEL,
    "customTaskId": ResourceKind.CUSTOM_MODEL,
    "customJobId": ResourceKind.CUSTOM_JOB,
    "customTemplateId": ResourceKind.CUSTOM_TEMPLATE,
    "environmentId": ResourceKind.ENVIRONMENT,
    "datasetId": ResourceKind.DATASET,
    "credentialId": ResourceKind.CREDENTIAL,
    "remoteRepositoryId": ResourceKind.REPOSITORY,
    "projectId": ResourceKind.PROJECT,
    "registeredModelId": ResourceKind.REGISTERED_MODEL,
    "predictionEnvironmentId": ResourceKind.PREDICTION_ENVIRONMENT,
    "deploymentId": ResourceKind.DEPLOYMENT,
}
"""What is shared, by the parameter that names it in a path."""

NOT_SHARED = {
    "DELETE /apiTokens/{tokenId}/": "nobody has a role on another's token",
    "DELETE /status/{statusId}/": "nobody has a role on another's operation",
}
ALLOWED = {
    "POST /executionEnvironments/{environmentId}/versions/{versionId}/prepare/": "makes early what using it makes",
    "POST /deployments/{deploymentId}/model/validation/": "asks what would happen, and changes nothing",
    "POST /customModelDeployments/{deploymentId}/logs/": "collects the logs that the caller may read",
}
"""What who may view a thing may ask for, though it is no GET."""
DOCUMENTED_AS_404 = (
    "/customModels/{customModelId}/versions/",
    "/customTasks/{customTaskId}/versions/",
    "/customModelTests/{customModelTestId}/",
)
"""Beginnings of paths whose operations answer 404 for a missing right, as they are documented."""


def refusals(endpoint: Endpoint) -> set[int]:
    return {403, 404} if endpoint.path.startswith(DOCUMENTED_AS_404) else {403}


def writes() -> Iterator[Endpoint]:
    """Every operation that changes a thing that can be shared."""
    for endpoint in endpoints():
        name = f"{endpoint.method} {endpoint.path}"
        if endpoint.is_write and "{" in endpoint.path and name not in NOT_SHARED | ALLOWED:
            yield endpoint


def bodies(endpoint: Endpoint) -> Iterator[dict[str, Any]]:
    """A request that is right, and those that change nothing: an empty body, and lists of nothing."""
    yield a_request(endpoint)
    if "body" in endpoint.parameters:
        yield {"json": {}}
        if lists := empty_lists(endpoint):
            yield {"json": lists}
    elif "form" in endpoint.parameters:
        yield {"files": {"nothing": (None, b"")}}


@pytest.fixture
def anna(installation: Installation) -> Estate:
    estate = an_estate(installation, "anna", "acme")
    settle(installation)
    return estate


@pytest.mark.parametrize("role", ["READ_ONLY", "CONSUMER"])
def test_no_write_is_done_for_a_user_who_may_only_look(installation: Installation, anna: Estate, role: str) -> None:
    viewer = installation.a_user("viewer", organization="acme")
    share_all(installation, anna, viewer, role)
    wrong = []
    for endpoint in writes():
        for sent in bodies(endpoint):
            answer = viewer.request(endpoint.method, fill(endpoint, anna), **sent)
            if answer.status_code not in refusals(endpoint):
                wrong.append((endpoint.method, endpoint.path, list(sent.values()), answer.status_code, answer.text))
    assert not wrong, "\n".join(map(str, wrong))


def test_every_write_is_404_for_a_user_who_may_not_look_whatever_the_body(
    installation: Installation, anna: Estate
) -> None:
    stranger = installation.a_user("stranger", organization="acme")
    private = KINDS.keys() - {"customTemplateId"}  # all may look at templates
    wrong = []
    for endpoint in endpoints():
        if endpoint.is_write and any(f"{{{name}}}" in endpoint.path for name in private):
            for sent in bodies(endpoint):
                answer = stranger.request(endpoint.method, fill(endpoint, anna), **sent)
                if answer.status_code != 404:
                    wrong.append((endpoint.method, endpoint.path, list(sent.values()), answer.status_code))
    assert not wrong, "\n".join(map(str, wrong))


def share_all(installation: Installation, estate: Estate, receiver: Api, role: str) -> None:
    user_id = receiver.get("/account/info/").json()["uid"]
    ids = [(kind, estate.ids[name]) for name, kind in KINDS.items()]
    ids.append((ResourceKind.CUSTOM_JOB, estate.ids["/customJobsCleanup/{customJobId}"]))
    with installation.application.database.write() as session:
        for kind, resource_id in ids:
            grant(session, kind, resource_id, user_id, role, can_share=False)
