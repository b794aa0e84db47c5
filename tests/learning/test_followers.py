"""Who follows the log of a training while their right to it ends."""

import time
from collections.abc import Callable

import httpx

from tests.learning.builders import Lab, path_of, sent
from tests.learning.tasks import FILL, LOGISTIC, LOGISTIC_METADATA
from tests.servers import an_api_beside

ENDS_WITHIN_S = 2.0
SLACK_S = 3.0


def test_a_training_is_followed_no_longer_than_one_may(lab: Lab) -> None:
    project = lab.a_project()
    model = lab.train(project, lab.a_task(FILL, "Transform"), lab.a_task(LOGISTIC, metadata=LOGISTIC_METADATA))
    user = sent(lab.api.post("/users/", json={"username": "reader"}), 201)
    share = f"/projects/{project['id']}/accessControl/"

    def shared(role: str | None) -> None:
        body = {"data": [{"username": "reader", "role": role}]}
        assert lab.api.patch(share, json=body).status_code == 204

    def revoke(token_id: str) -> None:
        assert lab.api.delete(f"/apiTokens/{token_id}/").status_code == 204

    ends: list[tuple[Callable[[str], None], str]]
    ends = [(revoke, "revoked"), (lambda _: shared("NO_ROLE"), "project")]
    with an_api_beside(lab.installation.application) as server:
        for end, why in ends:
            shared("READ_ONLY")
            token = sent(lab.api.post("/apiTokens/", json={"name": "reading", "userId": user["id"]}), 201)
            url = f"{server.url}/api/v2{path_of(model)}log/?follow=true"
            headers = {"Authorization": f"Bearer {token['token']}"}
            with httpx.stream("GET", url, headers=headers, timeout=30) as answer:
                lines = answer.iter_lines()
                assert next(lines) == ": follows"
                end(token["id"])
                began = time.monotonic()
                rest = [line for line in lines if line]
            assert time.monotonic() - began < ENDS_WITHIN_S + SLACK_S
            assert rest[0] == "event: error"
            assert why in rest[1]
