"""Installations in which chains are trained."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Installation
from tests.journeys.story import SCIKIT_LEARN
from tests.learning.builders import Lab


@pytest.fixture
def a_lab(an_installation: Callable[..., Installation], shared_images: dict[str, Path]) -> Callable[..., Lab]:
    """Makes installations with these settings, whose images are shared with other tests."""

    def make(**settings: Any) -> Lab:
        installation = an_installation(**(shared_images | settings))
        found = installation.api.get("/executionEnvironments/").json()["data"]
        environment_id = next(str(one["id"]) for one in found if SCIKIT_LEARN in one["name"])
        return Lab(installation.api, environment_id, installation)

    return make


@pytest.fixture
def lab(a_lab: Callable[..., Lab]) -> Lab:
    """An installation without a controller: nothing is trained."""
    return a_lab()


@pytest.fixture
def working_lab(a_lab: Callable[..., Lab]) -> Iterator[Lab]:
    """An installation whose controller works."""
    found = a_lab()
    with found.working():
        yield found
