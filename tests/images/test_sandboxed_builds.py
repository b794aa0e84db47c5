"""Source packages whose build scripts run in the real sandbox."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelyard.compute.isolation import probe
from modelyard.compute.process_executor import ProcessExecutor
from modelyard.compute.workload import Limits
from modelyard.environments.images.errors import BuildCancelledError, BuildError
from modelyard.environments.images.interpreter import this_interpreter
from modelyard.environments.images.runner_files import RunnerFiles
from modelyard.environments.images.sandboxed import SandboxRunner
from modelyard.environments.images.store import ImageStore
from modelyard.kernel.clock import SystemClock
from tests.images.conftest import a_spec, left_over, never
from tests.images.packages import PackageIndex
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")

IN_FOLDER = "folder = pathlib.Path(os.environ['TMPDIR']).parent\n"


@pytest.fixture
def executor(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessExecutor]:
    isolation = probe()
    if not isolation.is_sandboxed:
        pytest.skip(isolation.sandbox.why)
    # The tests' index is on the loopback interface, which no sandbox reaches: its wheels are handed on by a mount.
    executor = ProcessExecutor(tmp_path / "workloads", tmp_path_factory.mktemp("run"), isolation)
    yield executor
    for workload_id in executor.ids():
        executor.stop(workload_id, grace_s=0)


@pytest.fixture
def sandboxed_store(tmp_path: Path, shared_cache: Path, executor: ProcessExecutor) -> ImageStore:
    """Installs from the Python Package Index, source packages in the sandbox."""
    sandbox = SandboxRunner(executor, Limits(time_limit_s=120))
    return ImageStore(tmp_path / "images", cache_dir=shared_cache, clock=SystemClock(), sandbox=sandbox)


def test_a_source_package_of_the_index_is_built(
    sandboxed_store: ImageStore, executor: ProcessExecutor, tmp_path: Path
) -> None:
    image = sandboxed_store.build(a_spec("docopt==0.6.2"), tmp_path / "log", never)

    assert "in the sandbox." in (tmp_path / "log").read_text()
    assert (this_interpreter().site_packages(image) / "docopt.py").is_file()
    assert {path.lstat().st_uid for path in image.rglob("*")} == {image.lstat().st_uid}
    assert executor.ids() == []
    assert left_over(tmp_path / "images") == []
