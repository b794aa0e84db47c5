"""Deployments whose environment cannot be built: the reason and the log are the user's."""

from collections.abc import Callable
from pathlib import Path

from tests.conftest import Installation
from tests.deployments.shelf import Shelf
from tests.environments.models import a_built_environment, a_model_version
from tests.images.packages import serving


def test_a_build_that_fails_leaves_its_log_with_the_deployment(
    an_installation: Callable[..., Installation], tmp_path: Path
) -> None:
    with serving(tmp_path / "index") as index:
        for name in ("httptools", "orjson", "uvloop", "apple"):
            index.add_wheel(name)
        installation = an_installation(package_index_url=index.url)
        api = installation.api
        version = a_model_version(api, a_built_environment(installation)["id"], "apple\nrhubarb\n")
        package = api.post(
            "/modelPackages/fromCustomModelVersion/", json={"customModelVersionId": version["id"]}
        ).json()
        made = Shelf(installation).deploy(package)
        assert made.status_code == 202, made.text
        installation.run_operations()
        ended = api.get(made.headers["Location"]).json()
    assert ended["status"] == "ERROR"
    assert "rhubarb" in ended["message"]
    deployment = api.get(f"/deployments/{made.json()['id']}/").json()
    assert (deployment["status"], deployment["hasError"]) == ("errored", True)
    assert "rhubarb" in deployment["statusMessage"]
    log = api.get(f"/customModelDeployments/{made.json()['id']}/logs/")
    assert log.headers["Content-Disposition"].startswith("attachment")
    assert "rhubarb" in log.text.partition("Building the environment.")[2].partition("Failed: The environment")[0]
    assert api.get(f"/modelPackages/{package['id']}/").json()["buildStatus"] == "failed"
    started = api.patch(f"/deployments/{made.json()['id']}/status/", json={"status": "active"})
    assert started.status_code == 202
    stopped = api.delete(f"/deployments/{made.json()['id']}/")
    assert stopped.status_code == 204
