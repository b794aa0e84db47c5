"""Wrong query parameters are 422, and 400 where the operation documents that."""

import pytest

from tests.api_client import Api
from tests.models.builders import a_model
from tests.tasks.builders import a_task

WRONG = ("limit=0", "limit=many", "offset=-1", "offset=99999999999999999999999", "limit=%00")


@pytest.mark.parametrize("wrong", WRONG)
def test_a_query_is_a_bad_request_where_the_operation_says_so(api: Api, wrong: str) -> None:
    model, task = a_model(api)["id"], a_task(api)["id"]
    field = wrong.partition("=")[0]
    for path in (
        "/customModelDeployments/",
        f"/customModels/{model}/accessControl/",
        f"/customModels/{model}/versions/",
        f"/customTasks/{task}/accessControl/",
        f"/customTasks/{task}/versions/",
    ):
        refused = api.get(f"{path}?{wrong}")
        assert (refused.status_code, list(refused.json()["errors"])) == (400, [field]), path
    for path in ("/customModels/", "/customTasks/", "/deployments/"):
        assert api.get(f"{path}?{wrong}").status_code == 422, path
