"""Short ways to make remote repositories through the API, and to pull from them."""

from typing import Any

from tests.api_client import Api
from tests.conftest import Installation
from tests.models.builders import a_model, an_environment_id


def a_remote(api: Api, location: str, **fields: Any) -> dict[str, Any]:
    body = {"name": "Churn code", "location": location, "sourceType": "git"} | fields
    made = api.post("/remoteRepositories/", json=body)
    assert made.status_code == 201, made.text
    return dict(made.json())


def start_pull(api: Api, model_id: str, repository_id: str, method: str = "POST", **fields: Any) -> str:
    """Asks for a version; the address of the operation's status."""
    body = {"repositoryId": repository_id, "baseEnvironmentId": an_environment_id(api), **fields}
    answer = api.request(method, f"/customModels/{model_id}/versions/fromRepository/", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.headers["Location"])


def pulled(
    installation: Installation, repository_id: str, model_id: str | None = None, **fields: Any
) -> dict[str, Any]:
    """The version that a pull makes."""
    api = installation.api
    location = start_pull(api, model_id or a_model(api)["id"], repository_id, **fields)
    installation.run_operations()
    status = api.get(location)
    assert status.status_code == 303, status.text
    return dict(api.get(status.headers["Location"]).json())


def refused(installation: Installation, repository_id: str, **fields: Any) -> str:
    """Why a pull fails; nothing is left of it, in the database or in a folder."""
    api = installation.api
    model_id = a_model(api)["id"]
    before = installation.stored()
    location = start_pull(api, model_id, repository_id, **fields)
    installation.run_operations()
    status = api.get(location)
    assert status.status_code == 200, status.text
    assert status.json()["status"] == "ERROR", status.text
    assert installation.stored() == before
    assert api.get(f"/customModels/{model_id}/versions/").json()["totalCount"] == 0
    spool = installation.application.settings.data_dir / "spool"
    assert not list(spool.glob("pull-*"))
    return str(status.json()["message"])


def paths_of(version: dict[str, Any]) -> list[str]:
    return [item["filePath"] for item in version["items"]]
