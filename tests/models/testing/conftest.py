"""Models on a real environment, with a dataset to test them on."""

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.api_client import Api
from tests.conftest import Installation

ROWS = 120
CSV = "x,colour,y\n" + "".join(f"{i / 10},{('red', 'blue', 'green')[i % 3]},{i / 5}\n" for i in range(ROWS))

GOOD = """
    import pandas as pd

    def load_model(code_dir):
        print("the model was loaded")
        return "model"

    def score(data, model, **kwargs):
        return pd.DataFrame({"Predictions": data["x"].fillna(0).astype(float) * 2})
"""


@dataclass(frozen=True)
class Bench:
    """An installation with a dataset, ready to test models."""

    installation: Installation
    dataset_id: str
    environment_id: str

    @property
    def api(self) -> Api:
        return self.installation.api

    def a_version(self, source: str = GOOD, *, files: dict[str, str] | None = None, **model: Any) -> dict[str, Any]:
        fields = {"name": "m", "customModelType": "inference", "targetType": "Regression", "targetName": "y"} | model
        created = self.api.post("/customModels/", json=fields)
        assert created.status_code == 201, created.text
        parts: list[tuple[str, Any]] = []
        for path, text in {"custom.py": textwrap.dedent(source), **(files or {})}.items():
            parts += [("file", (path, text.encode())), ("filePath", (None, path))]
        parts += [("isMajorUpdate", (None, "false")), ("baseEnvironmentId", (None, self.environment_id))]
        version = self.api.post(f"/customModels/{created.json()['id']}/versions/", files=parts)
        assert version.status_code == 201, version.text
        found: dict[str, Any] = version.json()
        return found

    def start(self, version: dict[str, Any], **body: Any) -> Any:
        body = {"datasetId": self.dataset_id} | body
        asked = {"customModelId": version["customModelId"], "customModelVersionId": version["id"], **body}
        return self.api.post("/customModelTests/", json={k: v for k, v in asked.items() if v is not None})

    def run(self, version: dict[str, Any], **body: Any) -> dict[str, Any]:
        started = self.start(version, **body)
        assert started.status_code == 202, started.text
        self.installation.run_operations()
        done = self.api.get(started.headers["Location"])
        assert done.status_code in {200, 303}, done.text
        listed = self.api.get(f"/customModelTests/?customModelId={version['customModelId']}&limit=1").json()["data"][0]
        assert started.json()["customModelTestId"] == listed["id"]
        if done.status_code == 303:
            assert self.api.get(done.headers["Location"]).json() == listed
        found: dict[str, Any] = listed
        return found


@pytest.fixture
def bench(an_installation: Callable[..., Installation], shared_images: dict[str, Any]) -> Bench:
    installation = an_installation(**shared_images)
    api = installation.api
    uploaded = api.post("/datasets/fromFile/", files={"file": ("rows.csv", CSV.encode())})
    assert uploaded.status_code == 202, uploaded.text
    installation.run_operations()
    found = api.get("/executionEnvironments/?searchFor=scikit-learn").json()["data"]
    return Bench(installation, uploaded.json()["catalogId"], found[0]["id"])
