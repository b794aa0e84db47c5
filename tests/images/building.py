"""A builder for tests to kill: ``python -m tests.images.building ROOT CACHE INDEX_URL REQUIREMENTS LOG``."""

import sys
from dataclasses import replace
from pathlib import Path

from modelyard.environments.images.runner_files import find_runner
from modelyard.environments.images.store import ImageStore
from modelyard.kernel.clock import SystemClock
from tests.images.conftest import a_spec, never


def main(root: str, cache: str, index_url: str, requirements: str, log: str) -> None:
    store = ImageStore(
        Path(root),
        cache_dir=Path(cache),
        clock=SystemClock(),
        index_url=index_url,
        runner=replace(find_runner(), requirements=""),
    )
    store.build(a_spec(requirements), Path(log), never)


if __name__ == "__main__":
    main(*sys.argv[1:])
