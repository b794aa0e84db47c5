"""Installations in which jobs run."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Installation
from tests.jobs.builders import Workshop, plain_environment


@pytest.fixture
def a_workshop(an_installation: Callable[..., Installation], shared_images: dict[str, Path]) -> Callable[..., Workshop]:
    """Makes installations with these settings, whose images are shared with other tests."""

    def make(**settings: Any) -> Workshop:
        installation = an_installation(**(shared_images | settings))
        return Workshop(installation.api, plain_environment(installation.api), installation=installation)

    return make


@pytest.fixture
def shelf(a_workshop: Callable[..., Workshop]) -> Workshop:
    """An installation without a controller: nothing is run."""
    return a_workshop()


@pytest.fixture
def workshop(a_workshop: Callable[..., Workshop]) -> Iterator[Workshop]:
    """An installation whose controller works."""
    found = a_workshop()
    with found.working():
        yield found
