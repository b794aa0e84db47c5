"""Folders that user code made deeper than recursion goes."""

import os
import stat
from pathlib import Path

import pytest

from modelyard.compute.folders import give_away, remove_folder, take_over
from tests.deep_folders import NAME, make_deep

OTHER_USER = 12345


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives folders away")
def test_a_deep_folder_is_given_away_to_its_end(tmp_path: Path) -> None:
    make_deep(tmp_path / "deep")
    give_away(tmp_path / "deep", OTHER_USER)
    descriptor = os.open(tmp_path / "deep", os.O_RDONLY | os.O_DIRECTORY)
    owners = {os.fstat(descriptor).st_uid}
    while (names := os.listdir(descriptor)) == [NAME]:  # noqa: PTH208 - of an open folder
        below = os.open(NAME, os.O_RDONLY | os.O_DIRECTORY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
        owners.add(os.fstat(descriptor).st_uid)
    status = os.stat(*names, dir_fd=descriptor, follow_symlinks=False)
    os.close(descriptor)
    remove_folder(tmp_path / "deep")  # pytest cannot
    assert stat.S_ISREG(status.st_mode)
    assert owners | {status.st_uid} == {OTHER_USER}


def test_a_deep_folder_is_not_taken_over_and_is_removed(tmp_path: Path) -> None:
    make_deep(tmp_path / "deep")
    with pytest.raises(OSError, match="too many levels of folders"):
        take_over(tmp_path / "deep")
    remove_folder(tmp_path / "deep")
    assert not (tmp_path / "deep").exists()
