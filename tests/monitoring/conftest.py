"""Deployments to measure, and metrics of them."""

import pytest

from tests.conftest import Installation
from tests.deployments.shelf import Shelf
from tests.monitoring.metrics import Metrics


@pytest.fixture
def shelf(installation: Installation) -> Shelf:
    """A fresh installation for deployments that are only looked at."""
    return Shelf(installation)


@pytest.fixture
def metrics(shelf: Shelf) -> Metrics:
    """The metrics of a deployment."""
    return Metrics(shelf, shelf.put("Churn"))
