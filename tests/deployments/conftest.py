"""Installations in which models can be deployed."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Installation
from tests.deployments.serving import Workshop
from tests.deployments.shelf import Shelf


@pytest.fixture
def workshop(an_installation: Callable[..., Installation], shared_images: dict[str, Path]) -> Workshop:
    """An installation whose images are shared with other tests."""
    settings: dict[str, Any] = dict(shared_images)
    installation = an_installation(**settings)
    found = installation.api.get("/executionEnvironments/").json()["data"]
    plain = [one["id"] for one in found if re.search(r"Python [\d.]+ Drop-In", one["name"])]
    return Workshop(installation, plain[0])


@pytest.fixture
def shelf(installation: Installation) -> Shelf:
    """A fresh installation for deployments that are only looked at."""
    return Shelf(installation)
