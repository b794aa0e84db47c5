"""What other users of the machine see of an installation: nothing but what they need to run its workloads."""

import contextlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from modelyard.compute.isolation import Isolation
from modelyard.compute.process_executor import ProcessExecutor
from modelyard.compute.workload import Kind, Workload
from modelyard.environments.images.runner_files import RunnerFiles
from modelyard.environments.images.store import ImageStore
from modelyard.kernel.clock import SystemClock
from modelyard.storage.folders import made_once
from tests.images.conftest import a_spec, bare_runner, index, never  # noqa: F401 - fixtures
from tests.images.packages import PackageIndex
from tests.servers import Server, a_server
from tests.waiting import wait_until

UID = 12345

EXPECTED = (
    # the first pattern that fits a path counts
    (".", 0o700),
    ("blobs", 0o700),
    ("blobs/.incoming", 0o700),
    ("blobs/.lock", 0o600),
    ("blobs/??", 0o700),
    ("blobs/??/*", 0o400),
    ("modelyard.db*", 0o600),
    ("node", 0o600),
    ("processes", 0o700),
    ("processes/*", 0o600),
    ("run", 0o700),
    ("secret.key", 0o600),
    ("setup.lock", 0o600),
    ("spool", 0o700),
    ("spool/*", None),
    ("up.lock", 0o600),
    ("workloads", 0o700),
    ("workloads/.etc", 0o755),
    ("workloads/.etc/*", 0o644),
)
"""The modes of a data directory that is used; None stands for files and folders that only we may read."""


@contextlib.contextmanager
def _folder(uid: int) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="modelyard-"))
    try:
        os.chown(folder, uid, uid)
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture(params=["root", "an ordinary user"] if os.getuid() == 0 else ["an ordinary user"])
def used(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that took over a data directory which others could read, and whose API was used."""
    is_other = os.getuid() == 0 and request.param != "root"
    uid = UID if is_other else os.getuid()
    prefix = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups") if is_other else ()
    if is_other and (why := _why_not(prefix)):
        pytest.skip(f"another user cannot run sandboxes with this Python: {why}")
    with _folder(uid) as folder:
        data_dir = folder / "data"
        data_dir.mkdir()
        (data_dir / "spool").mkdir()
        for path in (data_dir, data_dir / "spool"):
            path.chmod(0o755)
            os.chown(path, uid, uid)
        with a_server(data_dir, prefix=prefix, home=folder) as server:
            answer = server.api.post("/datasets/fromFile/", files=[("file", ("people.csv", b"a,b\n1,2\n" * 200_000))])
            assert answer.status_code == 202
            status = answer.headers["location"]
            wait_until(lambda: server.api.get(status.partition("/api/v2")[2]).status_code == 303, 30, "the dataset")
            yield server


def _why_not(prefix: tuple[str, ...]) -> str:
    """Why a server cannot run with this prefix, or nothing where it can."""
    program = "import sys, modelyard.app; from modelyard.compute.isolation import probe; sys.exit(probe().sandbox.why)"
    asked = subprocess.run([*prefix, sys.executable, "-c", program], capture_output=True, text=True, check=False)
    return (asked.stderr.strip().splitlines() or ["it ends without a word"])[-1] if asked.returncode else ""


def test_every_mode_of_a_used_data_directory(used: Server) -> None:
    wrong = {}
    paths = [used.data_dir, *used.data_dir.rglob("*")]
    for path in paths:
        name = str(path.relative_to(used.data_dir))
        mode = stat.S_IMODE(path.lstat().st_mode)
        expected = next((mode for pattern, mode in EXPECTED if fnmatch(name, pattern)), -1)
        if mode != expected if expected is not None else mode & 0o077:
            wrong[name] = oct(mode)
    assert wrong == {}
    names = {str(path.relative_to(used.data_dir)) for path in paths}
    assert {"blobs", "modelyard.db", "modelyard.db-wal", "secret.key", "spool", "run", "workloads"} <= names
    assert {path.lstat().st_uid for path in paths} == {used.data_dir.stat().st_uid}


@pytest.fixture
def private_umask() -> Iterator[None]:
    """The umask of a server's processes."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def _unreadable(folder: Path) -> list[str]:
    """What another user could not read in a folder that they are shown."""
    paths = [path for path in (folder, *folder.rglob("*")) if not path.is_symlink()]
    wanted = {path: 0o555 if path.is_dir() else 0o444 for path in paths}
    return [str(path) for path, mode in wanted.items() if path.stat().st_mode & mode != mode]


@pytest.mark.usefixtures("private_umask")
def test_images_stay_readable(tmp_path: Path, index: PackageIndex, bare_runner: RunnerFiles) -> None:  # noqa: F811
    index.add_wheel("first", files={"first/__init__.py": "", "first/deep/__init__.py": "x = 1\n"})
    store = ImageStore(
        tmp_path / "images", cache_dir=tmp_path / "cache", clock=SystemClock(), index_url=index.url, runner=bare_runner
    )
    assert _unreadable(store.build(a_spec("first"), tmp_path / "log", never)) == []
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600


@pytest.mark.usefixtures("private_umask")
def test_code_and_tables_stay_readable(tmp_path: Path) -> None:
    def make(folder: Path) -> None:
        (folder / "deep" / "er").mkdir(parents=True)
        (folder / "deep" / "er" / "file").write_text("x")

    folder = made_once(tmp_path / "checkouts", "name", make)
    assert _unreadable(folder) == []
    assert stat.S_IMODE((tmp_path / "checkouts").stat().st_mode) == 0o700


@pytest.mark.usefixtures("private_umask")
def test_a_workload_runs_and_leaves_nothing_readable(tmp_path: Path, isolation: Isolation) -> None:
    executor = ProcessExecutor(tmp_path / "workloads", tmp_path / "run", isolation)
    executor.start(Workload(id="w", kind=Kind.RUN, command=("/bin/sh", "-c", "echo secret | tee file")))
    wait_until(lambda: not executor.observe("w").is_alive, 20, "the workload")
    assert executor.observe("w").exit_code == 0
    folder = tmp_path / "workloads" / "w"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    kept = [path for path in folder.rglob("*") if not path.is_relative_to(folder / "work")]
    assert [path for path in kept if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
    executor.remove("w")


def test_a_folder_of_sockets_that_another_user_made_is_refused(tmp_path: Path) -> None:
    """In one line, at the start, and before anything is listened on."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "shared")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MODELYARD_")}
    environment |= {"MODELYARD_RUNTIME_DIR": str(tmp_path / "run"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    for role in ("up", "gateway"):
        command = [sys.executable, "-m", "modelyard.cli.main", role, "--data-dir", str(tmp_path / "data")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.splitlines()[0].startswith(f"error: {tmp_path / 'run'} is a link")
        assert "MODELYARD_RUNTIME_DIR" in done.stderr
        assert "Traceback" not in done.stderr
    assert list((tmp_path / "shared").iterdir()) == []
