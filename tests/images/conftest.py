"""Builders for image stores: small packages come from an index of the tests' own."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelyard.environments.images.runner_files import RunnerFiles, find_runner
from modelyard.environments.images.spec import ImageSpec, RequirementsFile
from modelyard.environments.images.store import ImageStore
from modelyard.kernel.clock import SystemClock
from tests.images.packages import PackageIndex, serving


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The downloads of the whole run."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[PackageIndex]:
    with serving(tmp_path / "index") as index:
        yield index


@pytest.fixture
def bare_runner() -> RunnerFiles:
    """The real runner without its requirements, which the tests' index does not have."""
    return replace(find_runner(), requirements="")


@pytest.fixture
def store(tmp_path: Path, index: PackageIndex, bare_runner: RunnerFiles) -> ImageStore:
    """A store of its own that installs from the tests' index."""
    return ImageStore(
        tmp_path / "images",
        cache_dir=tmp_path / "cache",
        clock=SystemClock(),
        index_url=index.url,
        runner=bare_runner,
    )


@pytest.fixture
def a_real_store(tmp_path: Path, shared_cache: Path) -> Callable[..., ImageStore]:
    """Stores that install from the Python Package Index."""

    def make(**options: Any) -> ImageStore:
        root = options.pop("root", tmp_path / "real_images")
        return ImageStore(root, cache_dir=shared_cache, clock=SystemClock(), **options)

    return make


def a_spec(*texts: str, lock: str | None = None) -> ImageSpec:
    """A spec of requirements files with these texts."""
    names = ["requirements.txt"] if len(texts) == 1 else [f"requirements {number}" for number in range(len(texts))]
    return ImageSpec(tuple(RequirementsFile(*each) for each in zip(names, texts, strict=True)), lock)


def never() -> bool:
    return False


def left_over(root: Path) -> list[str]:
    """What builds left in the staging folder."""
    folder = root / ".staging"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
