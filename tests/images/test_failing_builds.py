"""Builds that fail or are cancelled: the line that is to blame, and nothing left."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from modelyard.environments.images.errors import BuildCancelledError, BuildError
from modelyard.environments.images.spec import ImageSpec, RequirementsFile
from modelyard.environments.images.store import ImageStore
from tests.images.conftest import a_spec, left_over, never
from tests.images.packages import PackageIndex
from tests.waiting import wait_until


def the_error(store: ImageStore, spec: ImageSpec, log: Path) -> BuildError:
    with pytest.raises(BuildError) as caught:
        store.build(spec, log, never)
    assert log.read_text().splitlines()[-1] == f"Failed: {caught.value.message}"
    return caught.value


def test_a_mistyped_package_names_its_line(store: ImageStore, index: PackageIndex, tmp_path: Path) -> None:
    index.add_wheel("first")

    error = the_error(store, a_spec("# mine\nfirst\nfirts==1.0  # oops\n"), tmp_path / "log")

    assert (error.line, error.file) == (3, "requirements.txt")
    assert "there is no package firts in the package index" in error.message
    assert 'Line 3 of requirements.txt ("firts==1.0  # oops")' in error.message
    assert left_over(tmp_path / "images") == []


def test_a_version_that_does_not_exist_names_its_line(store: ImageStore, index: PackageIndex, tmp_path: Path) -> None:
    index.add_wheel("first", "1.0")
    index.add_wheel("second", "1.0")

    error = the_error(store, a_spec("second\nfirst==9.9\n"), tmp_path / "log")

    assert error.line == 2
    assert "there is no version first==9.9" in error.message


def test_a_range_without_a_version_names_its_line(store: ImageStore, index: PackageIndex, tmp_path: Path) -> None:
    index.add_wheel("first", "1.0")
    index.add_wheel("second", "1.0")

    error = the_error(store, a_spec("second\n\nfirst>2,<3\n"), tmp_path / "log")

    assert error.line == 3
    assert "first" in error.message


def test_requirements_that_contradict_each_other_name_their_lines(
    store: ImageStore, index: PackageIndex, tmp_path: Path
) -> None:
    index.add_wheel("first", "1.0")
    index.add_wheel("first", "2.0")
    index.add_wheel("second", requires=("first>=2",))
    index.add_wheel("third")

    error = the_error(store, a_spec("third\nsecond\nfirst<2\n"), tmp_path / "log")

    assert error.line in {2, 3}
    assert "Line 2 of" in error.message
    assert "Line 3 of" in error.message
    assert "Line 1 of" not in error.message


def test_a_dependency_of_a_dependency_names_the_users_line(
    store: ImageStore, index: PackageIndex, tmp_path: Path
) -> None:
    index.add_wheel("first", requires=("missing-thing",))
    index.add_wheel("second")

    error = the_error(store, a_spec("second\nfirst\n"), tmp_path / "log")

    assert error.line == 2
    assert "missing-thing" in error.message


def test_the_file_of_the_line_is_named(store: ImageStore, index: PackageIndex, tmp_path: Path) -> None:
    index.add_wheel("first")
    files = (
        RequirementsFile("requirements.txt of the environment", "first"),
        RequirementsFile("requirements.txt", "nope"),
    )

    error = the_error(store, ImageSpec(files), tmp_path / "log")

    assert (error.line, error.file) == (1, "requirements.txt")


def test_a_build_script_that_fails_names_its_line(store: ImageStore, index: PackageIndex, tmp_path: Path) -> None:
    index.add_wheel("second")
    index.add_source("first", backend='raise RuntimeError("no compiler for this")')

    error = the_error(store, a_spec("second\nfirst\n"), tmp_path / "log")

    assert error.line == 2
    assert "build script of first failed" in error.message
    assert "no compiler for this" in (tmp_path / "log").read_text()
    assert left_over(tmp_path / "images") == []


def test_a_wrong_hash_names_its_line(store: ImageStore, index: PackageIndex, tmp_path: Path) -> None:
    index.add_wheel("first")
    index.add_wheel("second")

    error = the_error(store, a_spec("second\nfirst==1.0 --hash=sha256:" + "0a" * 32), tmp_path / "log")

    assert error.line == 2
    assert "hash" in error.message


def test_require_hashes_names_the_line_without_one(store: ImageStore, index: PackageIndex, tmp_path: Path) -> None:
    digest = index.add_wheel("first")
    text = f"--require-hashes\nfirst==1.0 --hash=sha256:{digest}\n"

    assert the_error(store, a_spec(f"{text}second\n"), tmp_path / "log").line == 3
    assert store.build(a_spec(text), tmp_path / "log", never).is_dir()


def test_lines_that_do_not_parse_fail_the_build(store: ImageStore, tmp_path: Path) -> None:
    error = the_error(store, a_spec("numpy\n./local\n-r more.txt"), tmp_path / "log")

    assert error.line == 2
    assert "line 3" in error.message


def test_another_python_version_is_refused(store: ImageStore, tmp_path: Path) -> None:
    assert "needs Python 2.7" in the_error(store, ImageSpec(python_version="2.7"), tmp_path / "log").message


def test_an_index_without_the_runners_own_packages_is_told(
    a_real_store: Callable[..., ImageStore], index: PackageIndex, tmp_path: Path
) -> None:
    index.add_wheel("first")

    error = the_error(a_real_store(), a_spec(f"--index-url {index.url}\nfirst"), tmp_path / "log")

    assert "which the runner of every image needs" in error.message
    assert error.message.endswith("Use --extra-index-url instead of --index-url.")


def test_an_unreachable_index_is_no_lines_fault_and_its_password_stays_secret(
    a_real_store: Callable[..., ImageStore], tmp_path: Path
) -> None:
    store = a_real_store(index_url="http://user:s3cret@127.0.0.1:9/simple")

    error = the_error(store, a_spec("never-heard-of-it"), tmp_path / "log")

    assert "127.0.0.1:9" in error.message
    assert error.line is None
    assert "s3cret" not in (tmp_path / "log").read_text() + error.message


def test_a_package_that_cannot_be_unpacked_names_its_line(
    store: ImageStore, index: PackageIndex, tmp_path: Path
) -> None:
    index.add_wheel("second")
    index.add_wheel("first", files={"first-1.0.data/scripts/python3": "#!/bin/sh\n"})

    assert the_error(store, a_spec("second\nfirst"), tmp_path / "log").line == 2


def test_cancelling_kills_the_build_at_once(store: ImageStore, index: PackageIndex, tmp_path: Path) -> None:
    index.add_source(
        "first",
        backend="import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
        f"pathlib.Path({str(tmp_path / 'pids')!r}).write_text(f'{{os.getpid()}} {{child.pid}}')\n"
        "time.sleep(600)",
    )
    pids = tmp_path / "pids"
    asked_at: list[float] = []

    def cancelled() -> bool:
        if pids.exists() and pids.read_text() and not asked_at:
            asked_at.append(time.monotonic())
        return bool(asked_at)

    with pytest.raises(BuildCancelledError):
        store.build(a_spec("first"), tmp_path / "log", cancelled)

    assert time.monotonic() - asked_at[0] < 2
    assert left_over(tmp_path / "images") == []
    assert (tmp_path / "log").read_text().splitlines()[-1] == "Cancelled."
    for pid in map(int, pids.read_text().split()):
        wait_until(lambda pid=pid: not _is_running(pid), 5, f"the end of process {pid}")  # type: ignore[misc]
    assert store.find(store.digest(a_spec("first"))) is None


def test_what_is_cancelled_before_it_begins_does_nothing(store: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(BuildCancelledError):
        store.build(a_spec("first"), tmp_path / "log", lambda: True)

    assert left_over(tmp_path / "images") == []


def _is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
