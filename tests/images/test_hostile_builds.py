"""Packages that try to do harm while they are installed."""

from pathlib import Path

import pytest

from modelyard.environments.images.errors import BuildError
from modelyard.environments.images.interpreter import this_interpreter
from modelyard.environments.images.store import ImageStore
from tests.images.conftest import a_spec, left_over, never
from tests.images.packages import PackageIndex


def test_a_wheel_runs_nothing_while_it_is_installed(store: ImageStore, index: PackageIndex, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    code = f"import pathlib; pathlib.Path({str(marker)!r}).touch()\n"
    index.add_wheel(
        "first", files={"first.pth": code, "sitecustomize.py": code, "usercustomize.py": code, "first.py": code}
    )

    image = store.build(a_spec("first"), tmp_path / "log", never)

    assert (this_interpreter().site_packages(image) / "first.pth").is_file()
    assert not marker.exists()


def test_a_wheel_cannot_take_the_place_of_the_runner(store: ImageStore, index: PackageIndex, tmp_path: Path) -> None:
    index.add_wheel(
        "first",
        files={
            "modelyard_runner/__init__.py": "hacked = True\n",
            "modelyard_runner/evil.py": "hacked = True\n",
            "first-1.0.data/data/pyvenv.cfg": "home = /nowhere\n",
        },
    )

    image = store.build(a_spec("first"), tmp_path / "log", never)

    assert f"home = {this_interpreter().executable.parent}" in (image / "pyvenv.cfg").read_text()
    runner = this_interpreter().site_packages(image) / "modelyard_runner"
    assert "hacked" not in (runner / "__init__.py").read_text()
    assert not (runner / "evil.py").exists()


IN_VENV = "venv = pathlib.Path(os.environ['TMPDIR']).parent / 'venv'\n"


def test_bytecode_in_a_wheel_is_replaced(store: ImageStore, index: PackageIndex, tmp_path: Path) -> None:
    tag = f"cpython-{this_interpreter().minor_version.replace('.', '')}"
    index.add_wheel("first", files={"first.py": "value = 1\n", f"__pycache__/first.{tag}.pyc": "not bytecode"})

    image = store.build(a_spec("first"), tmp_path / "log", never)

    compiled = this_interpreter().site_packages(image) / "__pycache__" / f"first.{tag}.pyc"
    assert b"not bytecode" not in compiled.read_bytes()


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        ("os.symlink('/etc', site / 'outside')", "a link that leads out of the image"),
        ("os.symlink('../../../../../..', site / 'outside')", "a link that leads out of the image"),
        ("os.mkfifo(site / 'pipe')", "neither a file nor a folder"),
    ],
)
def test_what_a_build_script_leaves_beside_is_refused(
    store: ImageStore, index: PackageIndex, tmp_path: Path, attack: str, reason: str
) -> None:
    find = IN_VENV + "site = next(venv.glob('lib/python*/site-packages'))\n"
    index.add_source("first", backend=find + attack)

    with pytest.raises(BuildError, match=reason):
        store.build(a_spec("first"), tmp_path / "log", never)

    assert left_over(tmp_path / "images") == []


def test_folders_that_forbid_their_removal_are_removed(store: ImageStore, index: PackageIndex, tmp_path: Path) -> None:
    index.add_source(
        "first",
        backend="folder = pathlib.Path(os.environ['TMPDIR'], 'locked', 'in')\n"
        "folder.mkdir(parents=True)\n(folder / 'file').touch()\nfolder.chmod(0)\nfolder.parent.chmod(0o500)\n",
    )

    store.build(a_spec("first"), tmp_path / "log", never)

    assert left_over(tmp_path / "images") == []


def test_a_build_script_sees_nothing_of_the_servers_environment(
    store: ImageStore, index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELYARD_BOOTSTRAP_TOKEN", "s3cret" * 6)
    index.add_source("first", backend="files['first.py'] = 'environment = ' + repr(dict(os.environ))")

    image = store.build(a_spec("first"), tmp_path / "log", never)

    seen = (this_interpreter().site_packages(image) / "first.py").read_text()
    assert "TMPDIR" in seen
    assert "s3cret" not in seen


def test_a_build_script_does_not_reach_the_shared_cache(store: ImageStore, index: PackageIndex, tmp_path: Path) -> None:
    index.add_source("first", backend="files['first.py'] = 'cache = ' + repr(os.environ['UV_CACHE_DIR'])")

    image = store.build(a_spec("first"), tmp_path / "log", never)

    cache = (this_interpreter().site_packages(image) / "first.py").read_text()
    assert str(tmp_path / "images" / ".staging") in cache
    assert str(tmp_path / "cache") not in cache
