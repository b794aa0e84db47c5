"""Starts runners for a test or for a whole module, and ends them afterwards."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.runner.running import RunningRunner, StartRunner, a_code_folder
from tests.runner.training import Commands


@contextmanager
def _starter(folder: Path) -> Iterator[StartRunner]:
    started: list[RunningRunner] = []

    def start(
        files: Mapping[str, str | bytes] | Path,
        options: Sequence[str],
        *,
        ready: bool = True,
        environment: Mapping[str, str] | None = None,
    ) -> RunningRunner:
        code_dir = files if isinstance(files, Path) else a_code_folder(folder / f"code{len(started)}", files)
        runner = RunningRunner(code_dir, options, environment or {})
        started.append(runner)
        return runner.wait_ready() if ready else runner

    try:
        yield start
    finally:
        for runner in started:
            runner.stop()


@pytest.fixture
def start_runner(tmp_path: Path) -> Iterator[StartRunner]:
    """Starts runners that end with the test."""
    with _starter(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def start_shared_runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartRunner]:
    """Starts runners that end with the module."""
    with _starter(tmp_path_factory.mktemp("runner")) as start:
        yield start


@pytest.fixture(scope="module")
def commands() -> Iterator[Commands]:
    """Runs commands of the runner quickly."""
    runs = Commands()
    yield runs
    runs.stop()
