"""What a build says of the model that it was for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelyard.compute.executor import Executor
from tests.conftest import Installation
from tests.models.testing.conftest import GOOD, Bench

TWO_VALUES = """
    from sklearn.linear_model import LinearRegression

    def load_model(code_dir):
        return LinearRegression().fit([[0.0], [1.0], [2.0]], [[0, 1], [1, 0], [2, 5]])
"""


@pytest.fixture
def bench(an_installation: Callable[..., Installation], shared_images: dict[str, Path], tmp_path: Path) -> Bench:
    """Images of its own, so that they are built: what is there already is a success at once."""
    installation = an_installation(**shared_images | {"images_dir": tmp_path / "images"})
    found = installation.api.get("/executionEnvironments/?searchFor=scikit-learn").json()["data"]
    return Bench(installation, "", found[0]["id"])


@pytest.mark.timeout(400)
def test_a_build_says_whether_its_model_can_be_served(bench: Bench) -> None:
    log = built(bench, bench.a_version(TWO_VALUES, files={"requirements.txt": "toolz==1.0.0\n"}))
    assert log.count("The model cannot be served with this image: The model gives 2 values for each row") == 1
    assert "choose one with a score hook in custom.py" in log
    log = built(bench, bench.a_version(GOOD, files={"requirements.txt": "pluggy==1.5.0\n"}))
    assert log.rstrip().endswith("The model can be served with this image.")
    executor = bench.installation.application.parts.get(Executor)  # type: ignore[type-abstract]
    assert executor.ids() == []


def built(bench: Bench, version: dict[str, Any]) -> str:
    """The log of a version's build, which succeeds."""
    path = f"/customModels/{version['customModelId']}/versions/{version['id']}/"
    assert bench.api.post(f"{path}dependencyBuild/").json()["buildStatus"] == "submitted"
    bench.installation.run_operations()
    build = bench.api.get(f"{path}dependencyBuild/").json()
    log = str(bench.api.get(f"{path}dependencyBuildLog/").text)
    assert build["buildStatus"] == "success", log
    return log
