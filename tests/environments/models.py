"""Builders of custom models with requirements."""

from typing import Any

from tests.api_client import Api
from tests.conftest import Installation
from tests.environments.contexts import an_environment, push_requirements


def a_built_environment(installation: Installation, text: str = "apple\n") -> dict[str, Any]:
    """An environment whose version was built, and the build done."""
    made = an_environment(installation.api)
    version = push_requirements(installation.api, made["id"], text)
    installation.run_operations()
    assert installation.api.get(version["location"]).status_code == 303
    return made


def a_model_version(
    api: Api, environment_id: str, requirements: str | bytes | None, model_id: str | None = None
) -> dict[str, Any]:
    """A version of a (new) model, with this requirements.txt."""
    if model_id is None:
        body = {
            "name": "Fruit",
            "customModelType": "inference",
            "targetType": "Regression",
            "targetName": "weight",
        }
        model = api.post("/customModels/", json=body)
        assert model.status_code == 201, model.text
        model_id = model.json()["id"]
    files: dict[str, str | bytes] = {"custom.py": "def score(data, model):\n    return data\n"}
    if requirements is not None:
        files["requirements.txt"] = requirements
    answer = api.post(
        f"/customModels/{model_id}/versions/",
        data={"baseEnvironmentId": environment_id, "isMajorUpdate": "false", "filePath": list(files)},
        files=[("file", (name, text.encode() if isinstance(text, str) else text)) for name, text in files.items()],
    )
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def build_path(version: dict[str, Any], below: str = "dependencyBuild/") -> str:
    return f"/customModels/{version['customModelId']}/versions/{version['id']}/{below}"
