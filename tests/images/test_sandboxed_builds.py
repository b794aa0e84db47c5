"""Source packages whose build scripts run in the real sandbox."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.compute.isolation import probe
from modelyard.compute.process_executor import ProcessExecutor
from modelyard.compute.workload import Kind, Limits, Workload
from modelyard.environments.images.errors import BuildCancelledError, BuildError
from modelyard.environments.images.interpreter import this_interpreter
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


def test_a_build_reaches_nothing_of_the_machine_it_runs_on(
    sandboxed_store: ImageStore, executor: ProcessExecutor, index: PackageIndex, tmp_path: Path
) -> None:
    index.add_wheel("first")

    with pytest.raises(BuildError) as caught:
        sandboxed_store.build(a_spec(f"--index-url {index.url}\nfirst"), tmp_path / "log", never)

    assert "cannot be installed" in caught.value.message or "could not be" in caught.value.message
    assert "in the sandbox." in (tmp_path / "log").read_text()
    assert index.requests == []
    assert executor.ids() == []


def test_cancelling_ends_the_sandbox(sandboxed_store: ImageStore, executor: ProcessExecutor, tmp_path: Path) -> None:
    def cancelled() -> bool:
        return bool(executor.ids())

    with pytest.raises(BuildCancelledError):
        sandboxed_store.build(a_spec("docopt==0.6.2"), tmp_path / "log", cancelled)

    assert executor.ids() == []
    assert left_over(tmp_path / "images") == []


def test_the_workload_of_a_killed_builder_is_collected(
    sandboxed_store: ImageStore, executor: ProcessExecutor, tmp_path: Path
) -> None:
    staging = tmp_path / "images" / ".staging" / "0123456789abcdef"
    staging.mkdir(parents=True)
    (staging.parent / f"{staging.name}.lock").touch()
    workload = Workload(f"build-{staging.name}-0", Kind.RUN, ("/bin/sleep", "600"))
    executor.start(workload)
    wait_until(lambda: executor.observe(workload.id).is_alive, what="the workload to live")

    sandboxed_store.collect([])

    assert executor.ids() == []
    assert left_over(tmp_path / "images") == []
