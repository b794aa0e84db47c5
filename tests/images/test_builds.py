"""Builds that succeed: what is in an image, and where it can be used."""

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard.environments.images.commands import DirectRunner
from modelyard.environments.images.interpreter import this_interpreter
from modelyard.environments.images.locks import parse_lock
from modelyard.environments.images.metadata import Package
from modelyard.environments.images.runner_files import RunnerFiles
from modelyard.environments.images.store import ImageStore
from modelyard.kernel.clock import SystemClock
from tests.images.conftest import a_spec, left_over, never
from tests.images.packages import PackageIndex


class TrustedRunner(DirectRunner):
    """Counts as isolated, so that the store links instead of copying."""

    isolates = True


def in_image(image: Path, code: str) -> str:
    """What the image's Python prints."""
    command = [str(image / "bin" / "python"), "-I", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout.strip()


def test_an_image_from_the_package_index(a_real_store: Callable[..., ImageStore], tmp_path: Path) -> None:
    store = a_real_store()
    spec = a_spec("# small\niniconfig==2.0.0\npackaging>=24\n")

    image = store.build(spec, tmp_path / "log", never)

    assert store.find(store.digest(spec)) == image
    info = store.info(image.name)
    assert info is not None
    names = {package.name for package in info.packages}
    assert {"iniconfig", "packaging", "orjson"} <= names
    assert Package("iniconfig", "2.0.0") in info.packages
    assert info.size_bytes == sum(file.lstat().st_size for file in image.rglob("*") if _is_counted(file))
    pins = {pin.name: pin for pin in parse_lock((image / "lock.txt").read_text())}
    assert pins["iniconfig"].version == "2.0.0"
    assert all(pin.hashes for pin in pins.values())
    assert in_image(image, "import iniconfig, orjson; print(iniconfig.__file__)").startswith(str(image))
    log = (tmp_path / "log").read_text()
    assert "Requirements: iniconfig==2.0.0, packaging>=24." in log
    assert "Resolved " in log
    assert " + iniconfig==2.0.0" in log
    assert "Built in " in log


def _is_counted(file: Path) -> bool:
    return file.is_file() and not file.is_symlink() and file.name != "image.json"


def test_the_runner_is_in_the_image_and_everything_is_compiled(
    store: ImageStore, index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    index.add_wheel(
        "first", files={"first/__init__.py": "", "first/tests/test_it.py": "x = 1\n", "first/broken.py": "?"}
    )

    image = store.build(a_spec("first"), tmp_path / "log", never)

    site_packages = this_interpreter().site_packages(image)
    runner = in_image(image, "import modelyard_runner; print(modelyard_runner.__file__, modelyard_runner.__cached__)")
    source, cached = runner.split()
    assert Path(source).is_relative_to(site_packages)
    assert Path(cached).is_file()
    assert Path(importlib.util.cache_from_source(str(site_packages / "first" / "__init__.py"))).is_file()
    assert not (site_packages / "first" / "tests" / "__pycache__").exists()


def test_compiled_code_names_the_files_of_the_image(store: ImageStore, index: PackageIndex, tmp_path: Path) -> None:
    index.add_wheel("first", files={"first.py": "def fail():\n    raise ValueError('x')\n"})

    image = store.build(a_spec("first"), tmp_path / "log", never)

    assert in_image(image, "import first; print(first.fail.__code__.co_filename)") == str(
        this_interpreter().site_packages(image) / "first.py"
    )


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
def test_an_image_works_elsewhere_with_nothing_but_the_base_interpreter(
    a_real_store: Callable[..., ImageStore], tmp_path: Path
) -> None:
    image = a_real_store().build(a_spec("iniconfig==2.0.0\nhttpx"), tmp_path / "log", never)
    prefix = str(this_interpreter().prefix)
    system = [part for folder in ("/usr", "/lib", "/lib64", "/bin") for part in ("--ro-bind-try", folder, folder)]
    command = ["bwrap", *system, "--ro-bind", prefix, prefix, "--ro-bind", str(image), "/opt/image", "--proc", "/proc"]
    code = "import iniconfig, orjson, modelyard_runner, sys; print(iniconfig.__file__, sys.prefix)"

    ran = subprocess.run(
        [*command, "--clearenv", "/opt/image/bin/python", "-c", code], capture_output=True, text=True, check=False
    )
    script = subprocess.run(
        [*command, "--clearenv", "--setenv", "PATH", "/usr/bin:/bin", "/opt/image/bin/httpx", "--help"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.stdout.split() == [f"/opt/image/lib/python{this_interpreter().minor_version}/site-packages/iniconfig/__init__.py", "/opt/image"], ran.stderr  # fmt: skip  # noqa: E501 # one value
    assert script.returncode in {0, 1}, script.stderr  # 1: its optional parts are missing, which it says itself
    assert "httpx" in script.stdout


def test_files_are_shared_with_the_cache_only_where_workloads_are_isolated(
    index: PackageIndex, bare_runner: RunnerFiles, tmp_path: Path
) -> None:
    index.add_wheel("first")
    links = {}
    for name, sandbox in (("isolated", TrustedRunner()), ("open", None)):
        store = ImageStore(
            tmp_path / name,
            cache_dir=tmp_path / "cache",
            clock=SystemClock(),
            index_url=index.url,
            runner=bare_runner,
            sandbox=sandbox,
        )
        module = this_interpreter().site_packages(store.build(a_spec("first"), tmp_path / "log", never)) / "first.py"
        cached = Path(importlib.util.cache_from_source(str(module)))
        links[name] = (module.stat().st_nlink > 1, cached.stat().st_nlink > 1)

    assert links == {"isolated": (True, True), "open": (False, False)}


def test_the_same_digest_is_built_once(store: ImageStore, index: PackageIndex, tmp_path: Path) -> None:
    index.add_wheel("first")
    image = store.build(a_spec("first"), tmp_path / "log", never)
    inode = image.stat().st_ino

    again = store.build(a_spec("first  # the same"), tmp_path / "second", never)

    assert again == image
    assert again.stat().st_ino == inode
    assert (tmp_path / "second").read_text() == "The image with these requirements is built already.\n"


def test_a_lock_that_has_everything_is_taken_as_it_is(store: ImageStore, index: PackageIndex, tmp_path: Path) -> None:
    old = index.add_wheel("first", "1.0")
    other = index.add_wheel("other", "1.0")
    index.add_wheel("first", "2.0")
    lock = f"first==1.0 --hash=sha256:{old}\nother==1.0 --hash=sha256:{other}\n"

    image = store.build(a_spec("first", lock=lock), tmp_path / "log", never)

    assert "nothing to resolve" in (tmp_path / "log").read_text()
    assert in_image(image, "import first, other; print(first.version, other.version)") == "1.0 1.0"


def test_a_lock_that_lacks_something_is_preferred(store: ImageStore, index: PackageIndex, tmp_path: Path) -> None:
    old = index.add_wheel("first", "1.0")
    index.add_wheel("first", "2.0")
    index.add_wheel("second", requires=("first",))
    lock = f"first==1.0 --hash=sha256:{old}\n"

    image = store.build(a_spec("first", "second", lock=lock), tmp_path / "log", never)

    assert in_image(image, "import first, second; print(first.version)") == "1.0"


def test_the_last_files_version_is_installed(store: ImageStore, index: PackageIndex, tmp_path: Path) -> None:
    index.add_wheel("first", "1.0")
    index.add_wheel("first", "2.0")

    image = store.build(a_spec("first==2.0", "first==1.0"), tmp_path / "log", never)

    assert in_image(image, "import first; print(first.version)") == "1.0"


def test_no_requirements_make_an_image_too(store: ImageStore, tmp_path: Path) -> None:
    image = store.build(a_spec(""), tmp_path / "log", never)

    assert in_image(image, "import modelyard_runner; print('there')") == "there"


def test_a_package_without_a_wheel_is_built_from_its_source(
    store: ImageStore, index: PackageIndex, tmp_path: Path
) -> None:
    index.add_source("first", backend="pass")

    image = store.build(a_spec("first"), tmp_path / "log", never)

    assert in_image(image, "import first; print(first.built)") == "True"
    assert "building it from its source, without a sandbox" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("line", ["--trusted-host 127.0.0.1", "--no-binary second"])
def test_options_that_weaken_what_is_shared_are_not_for_the_host(
    store: ImageStore, index: PackageIndex, tmp_path: Path, line: str
) -> None:
    index.add_wheel("first")

    store.build(a_spec(f"{line}\nfirst"), tmp_path / "log", never)

    assert "installing them, without a sandbox" in (tmp_path / "log").read_text()
    assert not any((tmp_path / "cache" / "uv").rglob("first*"))


def test_a_direct_url_and_its_options_are_installed(store: ImageStore, index: PackageIndex, tmp_path: Path) -> None:
    index.add_wheel("first", "3.0")
    url = f"{index.host}/files/first-3.0-py3-none-any.whl"
    index.add_wheel("second", requires=("first",))

    image = store.build(a_spec(f"--extra-index-url {index.url}\n{url}\nsecond\n"), tmp_path / "log", never)

    assert in_image(image, "import first, second; print(first.version)") == "3.0"


def test_the_index_comes_from_the_setting_and_not_from_the_environment(
    store: ImageStore, index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.setenv(name, "https://nowhere.invalid/simple")
    index.add_wheel("first")

    assert store.build(a_spec("first"), tmp_path / "log", never).is_dir()


def test_nothing_is_left_in_the_staging_folder(store: ImageStore, index: PackageIndex, tmp_path: Path) -> None:
    index.add_wheel("first")
    store.build(a_spec("first"), tmp_path / "log", never)

    assert left_over(tmp_path / "images") == []


def test_the_interpreter_is_the_base_one() -> None:
    interpreter = this_interpreter()

    assert not interpreter.executable.is_symlink()
    assert interpreter.executable.samefile(getattr(sys, "_base_executable", sys.executable))
