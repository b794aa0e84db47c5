"""One server for the tests of a file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.story import Story
from tests.servers import a_server


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, shared_images: dict[str, Path]) -> Iterator[Story]:
    with a_server(tmp_path_factory.mktemp("server") / "data", **shared_images) as server:
        told = Story(server)
        yield told
        told.close()
