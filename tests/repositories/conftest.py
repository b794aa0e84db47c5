"""A Git server, and an installation that may pull from it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Installation
from tests.repositories.git_server import GitServer, a_git_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with a_git_server(tmp_path / "repositories") as served:
        yield served


@pytest.fixture
def installation(an_installation: Callable[..., Installation]) -> Installation:
    return an_installation(allowed_private_hosts=("127.0.0.1",), max_pull_bytes=100_000, pull_timeout_s=20)
