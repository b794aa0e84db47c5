"""Short ways to make tasks and versions through the API."""

from collections.abc import Mapping
from typing import Any

import httpx

from tests.api_client import Api
from tests.models.builders import an_environment_id, send_version

CODE = b"def fit(X, y, output_dir, **kwargs):\n    pass\n"


def task_fields(**fields: Any) -> dict[str, Any]:
    """The body of a regression task, with ``fields`` put over it; ``...`` leaves one out."""
    base = {"name": "Ridge", "targetType": "Regression"}
    return {name: value for name, value in {**base, **fields}.items() if value is not ...}


def a_task(api: Api, **fields: Any) -> dict[str, Any]:
    made = api.post("/customTasks/", json=task_fields(**fields))
    assert made.status_code == 201, made.text
    return dict(made.json())


def post_version(api: Api, task_id: str, files: Mapping[str, bytes] | None = None, **fields: Any) -> httpx.Response:
    values = {"isMajorUpdate": "false", "baseEnvironmentId": an_environment_id(api), **fields}
    return send_version(api, "POST", f"/customTasks/{task_id}/versions/", files or {}, values)


def patch_version(api: Api, task_id: str, files: Mapping[str, bytes] | None = None, **fields: Any) -> httpx.Response:
    values = {"isMajorUpdate": "false", "baseEnvironmentId": an_environment_id(api), **fields}
    return send_version(api, "PATCH", f"/customTasks/{task_id}/versions/", files or {}, values)


def a_task_version(api: Api, task_id: str, files: Mapping[str, bytes] | None = None, **fields: Any) -> dict[str, Any]:
    """A version from scratch."""
    made = post_version(api, task_id, files, **fields)
    assert made.status_code == 201, made.text
    return dict(made.json())


def a_next_task_version(
    api: Api, task_id: str, files: Mapping[str, bytes] | None = None, **fields: Any
) -> dict[str, Any]:
    """A version on top of the latest."""
    made = patch_version(api, task_id, files, **fields)
    assert made.status_code == 201, made.text
    return dict(made.json())
