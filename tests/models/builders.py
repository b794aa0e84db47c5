"""Short ways to make models and versions through the API."""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from tests.api_client import Api

NOBODY = "0123456789abcdef01234567"
GIT = {
    "refName": "main",
    "commitUrl": "https://git.example/team/churn/commit/1",
    "mainBranchCommitSha": "a" * 40,
    "pullRequestCommitSha": None,
}


def model_fields(**fields: Any) -> dict[str, Any]:
    """The body of a binary model, with ``fields`` put over it."""
    base = {"customModelType": "inference", "name": "Churn", "targetType": "Binary", "targetName": "churned"}
    return {name: value for name, value in {**base, **fields}.items() if value is not ...}


def a_model(api: Api, **fields: Any) -> dict[str, Any]:
    made = api.post("/customModels/", json=model_fields(**fields))
    assert made.status_code == 201, made.text
    return dict(made.json())


def refused_model(api: Api, **fields: Any) -> dict[str, str]:
    """The wrong fields of a model that is refused, and that nothing was left of."""
    before = api.get("/customModels/").json()["totalCount"]
    answer = api.post("/customModels/", json=model_fields(**fields))
    assert answer.status_code == 422, answer.text
    assert api.get("/customModels/").json()["totalCount"] == before
    return dict(answer.json()["errors"])


def an_environment_id(api: Api) -> str:
    """A built-in environment's."""
    found = api.get("/executionEnvironments/").json()["data"]
    return next(str(environment["id"]) for environment in found if environment["isBuiltIn"])


def parts(files: Mapping[str, bytes]) -> list[tuple[str, Any]]:
    """File and path alternating, as existing clients send them."""
    return [
        part
        for path, content in files.items()
        for part in (("file", (path.rsplit("/", 1)[-1], content)), ("filePath", (None, path.encode())))
    ]


def post_version(api: Api, model_id: str, files: Mapping[str, bytes] | None = None, **fields: Any) -> httpx.Response:
    values = {"isMajorUpdate": "false", "baseEnvironmentId": an_environment_id(api), **fields}
    return send_version(api, "POST", f"/customModels/{model_id}/versions/", files or {}, values)


def patch_version(api: Api, model_id: str, files: Mapping[str, bytes] | None = None, **fields: Any) -> httpx.Response:
    values = {"isMajorUpdate": "false", **fields}
    return send_version(api, "PATCH", f"/customModels/{model_id}/versions/", files or {}, values)


def a_version(api: Api, model_id: str, files: Mapping[str, bytes] | None = None, **fields: Any) -> dict[str, Any]:
    """A version from scratch."""
    made = post_version(api, model_id, files, **fields)
    assert made.status_code == 201, made.text
    return dict(made.json())


def a_next_version(api: Api, model_id: str, files: Mapping[str, bytes] | None = None, **fields: Any) -> dict[str, Any]:
    """A version on top of the latest."""
    made = patch_version(api, model_id, files, **fields)
    assert made.status_code == 201, made.text
    return dict(made.json())


def paths_of(version: Mapping[str, Any]) -> list[str]:
    return [item["filePath"] for item in version["items"]]


def item_ids(version: Mapping[str, Any]) -> dict[str, str]:
    return {item["filePath"]: item["id"] for item in version["items"]}


def send_version(
    api: Api, method: str, path: str, files: Mapping[str, bytes], values: Mapping[str, Any]
) -> httpx.Response:
    """The form of a version; ``...`` leaves a field out."""
    sent = [(name, (None, _text(item))) for name, value in values.items() if value is not ... for item in _each(value)]
    return api.request(method, path, files=[*sent, *parts(files)])


def _each(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> bytes:
    return str(value).encode()
