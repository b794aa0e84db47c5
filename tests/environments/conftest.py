"""Installations whose builds install small packages from an index of the tests' own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Installation
from tests.images.packages import PackageIndex, serving

RUNNER_NEEDS = ("httptools", "orjson", "uvloop")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[PackageIndex]:
    with serving(tmp_path / "index") as index:
        for name in (*RUNNER_NEEDS, "apple", "pear"):
            index.add_wheel(name)
        yield index


@pytest.fixture
def installation(an_installation: Callable[..., Installation], index: PackageIndex) -> Installation:
    return an_installation(package_index_url=index.url)
