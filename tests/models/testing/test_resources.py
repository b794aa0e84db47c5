"""The resources of a test: by the rules of models and versions, and stored as the test runs."""

from collections.abc import Callable
from typing import Any

import pytest

from modelyard.kernel.settings import GIB
from tests.api_client import Api
from tests.conftest import Installation
from tests.models.builders import a_model, a_version
from tests.models.testing.conftest import Bench

GPU = {"id": "gpu.one", "cpu_count": 1, "memory_bytes": GIB, "gpu_count": 1}
BUNDLES: list[dict[str, Any]] = [{"id": "small", "cpu_count": 1, "memory_bytes": GIB}, GPU]


@pytest.fixture
def api(an_installation: Callable[..., Installation]) -> Api:
    return an_installation(resource_bundles=BUNDLES, max_model_memory_bytes=2 * GIB, max_model_replicas=2).api


def refused(api: Api, version: dict[str, Any], **body: Any) -> dict[str, str]:
    """The wrong fields of a test without a dataset, but for the dataset."""
    asked = {"customModelId": version["customModelId"], "customModelVersionId": version["id"]} | body
    answer = api.post("/customModelTests/", json=asked)
    assert answer.status_code == 422, answer.text
    errors = dict(answer.json()["errors"])
    assert errors.pop("datasetId")
    return errors


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"resourceBundleId": "huge"}, {"resourceBundleId"}),
        ({"resourceBundleId": "gpu.one"}, {"resourceBundleId"}),
        ({"requiresHa": True}, {"requiresHa"}),
        ({"desiredMemory": 2**29, "maximumMemory": 2**28}, {"desiredMemory"}),
        ({"desiredMemory": 3 * GIB}, {"desiredMemory"}),
        ({"maximumMemory": 3 * GIB, "replicas": 3}, {"maximumMemory", "replicas"}),
        ({"maximumMemory": 2**28, "resourceBundleId": "small"}, {"maximumMemory"}),
        ({"desiredMemory": 2**28, "resourceBundleId": "none"}, {"desiredMemory", "resourceBundleId"}),
    ],
)
def test_wrong_resources_are_refused(api: Api, body: dict[str, Any], wrong: set[str]) -> None:
    version = a_version(api, a_model(api)["id"], {"custom.py": b""})
    assert refused(api, version, **body).keys() == wrong
    assert api.get(f"/customModelTests/?customModelId={version['customModelId']}").json()["data"] == []


def test_what_the_version_inherits_counts_too(api: Api) -> None:
    model = a_model(api, requiresHa=True, maximumMemory=2**28)
    version = a_version(api, model["id"], {"custom.py": b""})
    assert refused(api, version, desiredMemory=2**29).keys() == {"desiredMemory", "requiresHa"}
    assert refused(api, version, requiresHa=False, replicas=3).keys() == {"replicas"}


def test_a_task_is_not_tested(api: Api) -> None:
    task = a_model(api, customModelType="training", targetName=...)
    version = a_version(api, task["id"], {"custom.py": b""})
    asked = {"customModelId": task["id"], "customModelVersionId": version["id"]}
    answer = api.post("/customModelTests/", json=asked)
    assert (answer.status_code, list(answer.json()["errors"])) == (422, ["customModelId"])


def test_inherited_resources_are_stored_and_found(bench: Bench) -> None:
    version = bench.a_version(maximumMemory=2**29, replicas=2, networkEgressPolicy="DR_API_ACCESS", requiresHa=False)
    started = bench.start(version, desiredMemory=2**28)
    assert started.status_code == 202, started.text
    path = f"/customModelTests/?customModelId={version['customModelId']}"
    [test] = bench.api.get(path).json()["data"]
    assert (test["maximumMemory"], test["desiredMemory"], test["replicas"]) == (2**29, 2**28, 2)
    assert (test["requiresHa"], test["resourceBundleId"], test["networkEgressPolicy"]) == (False, None, None)
    assert test["customModelImageId"] is None
    for query, count in (
        (f"maximumMemory={2**29}&replicas=2", 1),
        (f"desiredMemory={2**28}&requiresHa=false", 1),
        (f"maximumMemory={2**28}", 0),
        ("replicas=1", 0),
    ):
        assert bench.api.get(f"{path}&{query}").json()["totalCount"] == count, query
