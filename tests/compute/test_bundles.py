"""Resource bundles: the built-in ones, those of a setting, and what is refused."""

from collections.abc import Callable
from typing import Any

import pytest

from modelyard.compute.bundles import find_bundle, usable_bundle
from modelyard.compute.machine import Machine
from modelyard.kernel.errors import Invalid
from modelyard.kernel.settings import GIB, Settings
from modelyard.models.rules import default_memory_bytes
from tests.conftest import Installation
from tests.models.builders import a_model, post_version

PATH = "/mlops/compute/bundles/"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Has everything take this machine for another one."""

    def pretend(cpu_count: int, memory_bytes: int) -> None:
        monkeypatch.setattr("modelyard.compute.bundles.this_machine", lambda: Machine(cpu_count, memory_bytes))

    return pretend


def test_the_built_in_bundles_are_cpu_bundles_of_growing_size(
    installation: Installation, machine: Callable[[int, int], None]
) -> None:
    machine(16, 64 * GIB)
    listed = installation.api.get(PATH).json()
    ids = [one["id"] for one in listed["data"]]
    assert (ids[0], ids[-1]) == ("cpu.nano", "cpu.2xlarge")
    sizes = [(one["memoryBytes"], one["cpuCount"]) for one in listed["data"]]
    assert sizes == sorted(sizes)
    assert [one["id"] for one in listed["data"] if one["isDefault"]] == ["cpu.small"]
    assert installation.api.get(f"{PATH}cpu.nano/").json() == listed["data"][0]


def test_bundles_above_the_machine_are_not_offered(
    installation: Installation, machine: Callable[[int, int], None]
) -> None:
    api = installation.api
    model = a_model(api)
    machine(2, 4 * GIB * 15 // 16)
    offered = [one["id"] for one in api.get(PATH).json()["data"]]
    assert offered == ["cpu.nano", "cpu.micro", "cpu.small", "cpu.medium"]
    assert api.get(f"{PATH}cpu.large/").status_code == 404
    refused = post_version(api, model["id"], {"custom.py": b""}, resourceBundleId="cpu.large")
    assert (refused.status_code, list(refused.json()["errors"])) == (422, ["resourceBundleId"])
    machine(1, 2**20)
    assert [one["id"] for one in api.get(PATH).json()["data"]] == ["cpu.nano"]


def test_a_bundle_with_more_than_a_model_may_have_is_none_for_models(
    an_installation: Callable[..., Installation],
) -> None:
    api = an_installation(max_model_memory_bytes=GIB).api
    by_id = {one["id"]: one["useCases"] for one in api.get(PATH).json()["data"]}
    assert "customModel" in by_id["cpu.micro"]
    assert by_id["cpu.small"] == ["customApplication", "customJob"]
    assert all(one["id"] != "cpu.small" for one in api.get(f"{PATH}?useCases=customModel").json()["data"])
    refused = post_version(api, a_model(api)["id"], {"custom.py": b""}, resourceBundleId="cpu.small")
    assert list(refused.json()["errors"]) == ["resourceBundleId"]
    assert f"a model may have {GIB}" in refused.json()["message"]


def test_models_without_a_bundle_have_the_default_one() -> None:
    one = {"id": "usual", "cpu_count": 1, "memory_bytes": 3 * GIB, "is_default": True}
    settings = Settings(resource_bundles=(one,))  # type: ignore[arg-type]
    assert default_memory_bytes(settings) == 3 * GIB
    assert default_memory_bytes(Settings(resource_bundles=(one,), max_model_memory_bytes=GIB)) == GIB  # type: ignore[arg-type]
    assert default_memory_bytes(Settings(resource_bundles=(one,), default_model_memory_bytes=GIB)) == GIB  # type: ignore[arg-type]
    assert default_memory_bytes(Settings(resource_bundles=(one | {"is_default": False},))) == 2 * GIB  # type: ignore[arg-type]


def test_gpu_bundles_are_offered_where_there_are_gpus(
    an_installation: Callable[..., Installation], machine: Callable[[int, int], None]
) -> None:
    machine(16, 64 * GIB)
    api = an_installation(gpu_count=2, gpu_memory_bytes=8 * GIB).api
    gpus = [one for one in api.get(PATH).json()["data"] if one["hasGpu"]]
    assert [(one["id"], one["gpuCount"], one["gpuMemoryBytes"]) for one in gpus] == [
        ("gpu.small", 1, 8 * GIB),
        ("gpu.medium", 1, 8 * GIB),
        ("gpu.large", 2, 16 * GIB),
    ]


def test_the_list_is_filtered_and_paged(an_installation: Callable[..., Installation]) -> None:
    bundles: list[dict[str, Any]] = [
        {"id": f"cpu.{index}", "cpu_count": 1, "memory_bytes": GIB, "use_cases": [use_case]}
        for index, use_case in enumerate(("customModel", "customJob", "customModel"))
    ]
    api = an_installation(resource_bundles=bundles).api
    first = api.get(f"{PATH}?useCases=customModel&limit=1").json()
    assert ([one["id"] for one in first["data"]], first["totalCount"]) == (["cpu.0"], 2)
    assert [one["id"] for one in api.get(first["next"]).json()["data"]] == ["cpu.2"]
    assert api.get(f"{PATH}?limit=101").status_code == 422
    assert api.get(f"{PATH}?useCases=nothing").status_code == 422


def test_unknown_bundles_and_callers_are_refused(installation: Installation) -> None:
    assert installation.api.get(f"{PATH}cpu.huge/").status_code == 404
    assert installation.api.as_(None).get(PATH).status_code == 401


def test_a_bundle_is_found_for_what_it_serves() -> None:
    settings = Settings(
        resource_bundles=({"id": "job", "cpu_count": 1, "memory_bytes": GIB, "use_cases": ("customJob",)},)  # type: ignore[arg-type]
    )
    assert find_bundle(settings, "job") is not None
    assert usable_bundle(settings, "job", "customJob").memory_bytes == GIB
    with pytest.raises(Invalid, match="no resource bundle 'job' for customModel"):
        usable_bundle(settings, "job", "customModel")
