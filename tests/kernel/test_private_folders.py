"""Folders that another user of the machine could have a part in are refused."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from modelyard.kernel.data_dir import open_data_dir
from modelyard.kernel.private_folders import UnsafeFolderError, open_private_folder
from modelyard.kernel.settings import MAX_SOCKETS_DIR_BYTES, Settings

OTHER_USER = 12345
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can make another user's folders")


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def _refused(path: Path, why: str) -> None:
    with pytest.raises(UnsafeFolderError, match=why) as caught:
        open_private_folder(path, "MODELYARD_RUNTIME_DIR")
    assert str(caught.value).endswith("choose another folder with MODELYARD_RUNTIME_DIR.")
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_made_for_us_alone(tmp_path: Path) -> None:
    assert open_private_folder(tmp_path / "run", "X") == tmp_path / "run"
    assert _mode(tmp_path / "run") == 0o700


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o705, 0o711])
def test_one_that_others_may_read_is_closed(tmp_path: Path, mode: int) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(mode)
    open_private_folder(tmp_path / "run", "X")
    assert _mode(tmp_path / "run") == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o722, 0o1777])
def test_one_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(mode)
    _refused(tmp_path / "run", "can be written by others")


@as_root
@pytest.mark.parametrize("mode", [0o700, 0o755, 0o777])
def test_one_of_another_user_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "run").mkdir()
    os.chown(tmp_path / "run", OTHER_USER, OTHER_USER)
    (tmp_path / "run").chmod(mode)
    _refused(tmp_path / "run", f"belongs to the user {OTHER_USER}")


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir(mode=0o700)
    (tmp_path / "run").symlink_to(tmp_path / "own")
    _refused(tmp_path / "run", "is a link")


def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").symlink_to(tmp_path / "nothing")
    _refused(tmp_path / "run", "is a link")
    assert not (tmp_path / "nothing").exists()


def test_a_folder_above_it_that_others_may_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shared" / "ours").mkdir(parents=True)
    (tmp_path / "shared").chmod(0o777)
    _refused(tmp_path / "shared" / "ours" / "run", re.escape(f"is below {tmp_path / 'shared'}, which others may write"))
    (tmp_path / "shared").chmod(0o1777)  # as the system's temporary folder
    open_private_folder(tmp_path / "shared" / "ours" / "run", "X")


@as_root
def test_a_folder_above_it_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o755)
    os.chown(tmp_path / "theirs", OTHER_USER, OTHER_USER)
    _refused(tmp_path / "theirs" / "run", re.escape(f"is below {tmp_path / 'theirs'}, which belongs to"))


@as_root
def test_a_link_of_another_user_above_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir(mode=0o700)
    (tmp_path / "way").symlink_to(tmp_path / "own")
    open_private_folder(tmp_path / "way" / "run", "X")
    os.chown(tmp_path / "way", OTHER_USER, OTHER_USER, follow_symlinks=False)
    _refused(tmp_path / "way" / "run", "belongs to the user")


@as_root
def test_a_folder_above_it_that_another_user_makes_meanwhile_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, make = tmp_path / "theirs", Path.mkdir

    def after_another(path: Path, *arguments: Any, **options: Any) -> None:
        if not theirs.exists():
            make(theirs)
            theirs.chmod(0o777)
            os.chown(theirs, OTHER_USER, OTHER_USER)
        make(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", after_another)
    _refused(theirs / "run", re.escape(f"is below {theirs}, which belongs to the user {OTHER_USER}"))


def test_missing_folders_above_it_are_made_such_that_nobody_else_may_write(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        open_private_folder(tmp_path / "above" / "it" / "run", "X")
    finally:
        os.umask(before)
    assert [_mode(path) for path in (tmp_path / "above", tmp_path / "above" / "it")] == [0o755, 0o755]


def test_sockets_are_kept_where_their_paths_are_short_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1")
    short, long = Path("/srv/yard"), Path("/srv") / ("y" * 90)
    assert Settings(data_dir=short).sockets_dir() == short / "run"
    assert Settings(data_dir=long).sockets_dir().parent == Path("/run/user/1")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/" + "u" * 90)
    assert Settings(data_dir=long).sockets_dir().parent == Path("/tmp")
    edge = Path("/" + "e" * (MAX_SOCKETS_DIR_BYTES - len("//run")))
    assert Settings(data_dir=edge).sockets_dir() == edge / "run"
    assert len(str(edge / "run" / ("i" * 24) / "server.sock")) == 107


def test_what_an_older_version_left_open_is_closed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name in ("blobs", "workloads", "images"):
        (data / name).mkdir(parents=True)
    for name in ("modelyard.db", "modelyard.db-wal", "secret.key"):
        (data / name).touch()
        (data / name).chmod(0o644)
    data.chmod(0o755)
    open_data_dir(Settings(data_dir=data))
    modes = {path.name: _mode(path) for path in [data, *data.iterdir()]}
    assert modes == {
        "data": 0o700,
        "blobs": 0o700,
        "workloads": 0o700,
        "images": 0o755,
        "modelyard.db": 0o600,
        "modelyard.db-wal": 0o600,
        "secret.key": 0o600,
    }
