"""Packages that try to do harm while they are installed."""

from pathlib import Path

import pytest

from modelyard.compute.folders import remove_folder
from modelyard.environments.images.commands import DirectRunner
from modelyard.environments.images.errors import BuildError
from modelyard.environments.images.interpreter import this_interpreter
from modelyard.environments.images.runner_files import RunnerFiles
from modelyard.environments.images.store import ImageStore
from modelyard.kernel.clock import SystemClock
from tests.deep_folders import make_deep
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
        ("os.rename(site, venv / 'moved')\nos.symlink('../../moved', site)", "site-packages, or put something else"),
        ("os.rename(venv, venv.with_name('moved'))\nos.symlink('moved', venv)", "venv, or put something else"),
        ("open(os.fsencode(site) + b'/\\xff.py', 'w').close()", "whose name is not UTF-8"),
    ],
)
def test_what_a_build_script_leaves_beside_or_takes_away_is_refused(
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


def test_a_package_of_deep_folders_is_refused_and_removed(
    store: ImageStore, index: PackageIndex, tmp_path: Path
) -> None:
    index.add_wheel("first", files={f"{'d/' * 1500}first.py": "", "first.py": ""})

    with pytest.raises(BuildError, match="a path of more than 1024 bytes"):
        store.build(a_spec("first"), tmp_path / "log", never)

    assert left_over(tmp_path / "images") == []
    remove_folder(tmp_path / "cache")  # the download; what cleans up after tests cannot go so deep


def test_deep_folders_beside_the_environment_are_removed(
    store: ImageStore, index: PackageIndex, tmp_path: Path
) -> None:
    index.add_source(
        "first",
        backend="here = os.getcwd()\nos.chdir(os.environ['TMPDIR'])\n"
        "for _ in range(1200):\n    os.mkdir('d' * 200)\n    os.chdir('d' * 200)\nos.chdir(here)",
    )

    store.build(a_spec("first"), tmp_path / "log", never)

    assert left_over(tmp_path / "images") == []


def test_what_a_builder_that_died_left_is_collected_however_deep(store: ImageStore, tmp_path: Path) -> None:
    left = tmp_path / "images" / ".staging" / "0123456789abcdef"
    make_deep(left)
    (left.parent / f"{left.name}.lock").touch()

    store.collect([])

    assert left_over(tmp_path / "images") == []


def test_a_file_that_images_share_is_not_written_to(
    index: PackageIndex, bare_runner: RunnerFiles, tmp_path: Path
) -> None:
    """Images link to the files of one download: what a wheel calls as we call ours must not be one for all."""
    names = ("image.json", "lock.txt", "pyvenv.cfg")
    index.add_wheel("first", files={f"first-1.0.data/data/{name}": "the wheel's" for name in names})
    index.add_wheel("second")
    isolating = DirectRunner()
    isolating.isolates = True
    cache = tmp_path / "cache"
    store = ImageStore(
        tmp_path / "images",
        cache_dir=cache,
        clock=SystemClock(),
        index_url=index.url,
        sandbox=isolating,
        runner=bare_runner,
    )

    one = store.build(a_spec("first"), tmp_path / "log", never)
    other = store.build(a_spec("first\nsecond"), tmp_path / "log", never)

    assert [path.read_text() for name in names for path in cache.rglob(name)] == ["the wheel's"] * 3
    info = store.info(one.name)
    assert info is not None
    assert [package.name for package in info.packages] == ["first"]
    assert not any((one / name).samefile(other / name) for name in names)


@pytest.mark.parametrize(
    "attacks",
    [
        (
            "(venv / 'image.json').mkdir()",
            "(venv / 'lock.txt').mkdir()",
            "(site / '__pycache__').touch()",
            "os.symlink('loop.py', site / 'loop.py')",
            "os.symlink('nothing', site / 'dangling.py')",
        ),
        (
            "os.symlink('nothing', venv / 'image.json')",
            "os.symlink('nothing', venv / 'lock.txt')",
            "os.symlink('nothing', site / '__pycache__')",
            "(site / '\\x1b[2Jevil-1.0.dist-info').touch()",
        ),
    ],
)
def test_what_stands_in_the_place_of_our_files_is_replaced(
    store: ImageStore, index: PackageIndex, tmp_path: Path, attacks: tuple[str, ...]
) -> None:
    find = IN_VENV + "site = next(venv.glob('lib/python*/site-packages'))\n"
    index.add_source("first", backend=find + "\n".join(attacks))

    image = store.build(a_spec("first"), tmp_path / "log", never)

    assert not any((image / name).is_symlink() for name in ("image.json", "lock.txt"))
    info = store.info(image.name)
    assert info is not None
    assert [package.name for package in info.packages] == ["first"]


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
