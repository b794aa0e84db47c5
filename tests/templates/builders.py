"""Templates made through the API."""

import json
from typing import Any

import httpx

from tests.api_client import Api
from tests.environments.contexts import zipped

FILES = {"main.py": b"print('hi')\n", "lib/text.py": b"TEXT = 'hi'\n"}


def environment_of(api: Api) -> dict[str, str]:
    """The plain built-in environment and its version."""
    found = api.get("/executionEnvironments/?searchFor=Drop-In").json()["data"]
    plain = next(one for one in found if "Python" in one["name"] and one["isBuiltIn"])
    return {"environmentId": plain["id"], "environmentVersionId": plain["latestSuccessfulVersion"]["id"]}


def template_fields(api: Api, **fields: Any) -> dict[str, str]:
    """The form of a template; objects are sent as JSON, None leaves a field out."""
    form = {
        "name": "Nightly",
        "description": "Scores every night.",
        "templateType": "customJob",
        "templateSubType": "default",
        "defaultEnvironment": environment_of(api),
    } | fields
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in form.items()
        if value is not None
    }


def post_template(api: Api, files: dict[str, bytes] | bytes | None = None, **fields: Any) -> httpx.Response:
    content = files if isinstance(files, bytes) else zipped(FILES if files is None else files)
    answer: httpx.Response = api.post(
        "/customTemplates/", data=template_fields(api, **fields), files={"file": ("template.zip", content)}
    )
    return answer


def a_template(api: Api, files: dict[str, bytes] | None = None, **fields: Any) -> dict[str, Any]:
    made = post_template(api, files, **fields)
    assert made.status_code == 201, made.text
    return dict(made.json())
