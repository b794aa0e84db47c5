"""Resource bundles: the built-in ones, those of a setting, and what is refused."""

from collections.abc import Callable
from typing import Any

import pytest

from modelyard.compute.bundles import find_bundle, usable_bundle
from modelyard.kernel.errors import Invalid
from modelyard.kernel.settings import GIB, Settings
from tests.conftest import Installation

PATH = "/mlops/compute/bundles/"


def test_the_built_in_bundles_are_cpu_bundles_of_growing_size(installation: Installation) -> None:
    listed = installation.api.get(PATH).json()
    ids = [one["id"] for one in listed["data"]]
    assert (ids[0], ids[-1]) == ("cpu.nano", "cpu.2xlarge")
    sizes = [(one["memoryBytes"], one["cpuCount"]) for one in listed["data"]]
    assert sizes == sorted(sizes)
    assert [one["id"] for one in listed["data"] if one["isDefault"]] == ["cpu.small"]
    assert installation.api.get(f"{PATH}cpu.nano/").json() == listed["data"][0]


def test_gpu_bundles_are_offered_where_there_are_gpus(an_installation: Callable[..., Installation]) -> None:
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
