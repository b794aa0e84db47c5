"""pip in the place of uv."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from modelyard.environments.images.errors import BuildError
from modelyard.environments.images.interpreter import this_interpreter
from modelyard.environments.images.pip_installer import PipInstaller, _body_of_script
from modelyard.environments.images.runner_files import RunnerFiles
from modelyard.environments.images.store import ImageStore
from modelyard.kernel.clock import SystemClock
from tests.images.conftest import a_spec, left_over, never
from tests.images.packages import PackageIndex


@pytest.fixture
def pip_store(tmp_path: Path, index: PackageIndex, bare_runner: RunnerFiles) -> ImageStore:
    return ImageStore(
        tmp_path / "images",
        cache_dir=tmp_path / "cache",
        clock=SystemClock(),
        index_url=index.url,
        installer=PipInstaller(),
        runner=bare_runner,
    )


def test_pip_builds_from_the_package_index_with_hashes(
    a_real_store: Callable[..., ImageStore], bare_runner: RunnerFiles, tmp_path: Path
) -> None:
    store = a_real_store(installer=PipInstaller(), runner=replace(bare_runner, requirements=""))

    image = store.build(a_spec("iniconfig==2.0.0"), tmp_path / "log", never)

    assert (image / "lock.txt").read_text().startswith("iniconfig==2.0.0 \\\n    --hash=sha256:")
    info = store.info(image.name)
    assert info is not None
    assert info.installer == "pip"
    command = [str(image / "bin" / "python"), "-I", "-c", "import iniconfig; print(iniconfig.__cached__)"]
    assert Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()).is_file()


def test_scripts_of_pip_can_be_moved(pip_store: ImageStore, index: PackageIndex, tmp_path: Path) -> None:
    entry_points = "[console_scripts]\nfirst = first:main\n"
    index.add_wheel(
        "first",
        files={
            "first.py": "import sys\ndef main(): print('hello from', sys.prefix)\n",
            "first-1.0.dist-info/entry_points.txt": entry_points,
        },
    )

    image = pip_store.build(a_spec("first"), tmp_path / "log", never)

    moved = image.rename(tmp_path / "moved")
    ran = subprocess.run([str(moved / "bin" / "first")], capture_output=True, text=True, check=True)
    assert ran.stdout == f"hello from {moved}\n"


@pytest.mark.parametrize(
    "first", [b"#!/a/venv/bin/python", b"#!/bin/sh\n'''exec' /long/venv/bin/python \"$0\" \"$@\"\n' '''"]
)
def test_both_ways_of_naming_python_are_known(first: bytes) -> None:
    assert _body_of_script(first + b"\nimport sys\n") == b"import sys\n"
    assert _body_of_script(b"#!/bin/sh\necho hello\n") is None
    assert _body_of_script(b"\x7fELF") is None


def test_pip_names_the_line_that_fails(pip_store: ImageStore, index: PackageIndex, tmp_path: Path) -> None:
    index.add_wheel("first")

    with pytest.raises(BuildError) as caught:
        pip_store.build(a_spec("first\nfirts==1.0\n"), tmp_path / "log", never)

    assert caught.value.line == 2
    assert "firts" in caught.value.message
    assert left_over(tmp_path / "images") == []


def test_pip_builds_from_source_and_takes_dependencies(
    pip_store: ImageStore, index: PackageIndex, tmp_path: Path
) -> None:
    index.add_source("first", backend="pass")
    index.add_wheel("second", requires=("first",))

    image = pip_store.build(a_spec("second"), tmp_path / "log", never)

    assert (this_interpreter().site_packages(image) / "first.py").is_file()
    assert "building it from its source" in (tmp_path / "log").read_text()
