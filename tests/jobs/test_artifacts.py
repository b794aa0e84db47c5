"""What a run leaves in its output folder: the regular files, and never what they point to."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelyard.compute.log_keeping import keep_log
from modelyard.compute.logs import without_times
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces import collecting
from modelyard.workspaces.collecting import Limits, collect_files
from tests.jobs.builders import Workshop, path_of

HOSTILE = """
import os, socket, sys
os.chdir(os.environ["MODELYARD_OUTPUT_DIR"])
open("a.txt", "w").write("kept")
os.makedirs("deep/er")
open("deep/er/b.bin", "wb").write(bytes(range(256)))
open("empty", "w").close()
open("\\u00fcber.txt", "w").write("u")
os.symlink("/etc/passwd", "link")
os.symlink("/", "root")
os.symlink("a.txt", "inside")
os.mkfifo("pipe")
socket.socket(socket.AF_UNIX).bind("socket")
open("x" * 255, "w").write("long")
place = "."
for _ in range(40):
    place += "/" + "d" * 60
    os.mkdir(place)
os.chdir(place)
open("far", "w").write("far")
os.chdir(os.environ["MODELYARD_OUTPUT_DIR"])
open(b"not\\xffunicode", "w").write("n")
open("a\\nline", "w").write("n")
open("back\\\\slash", "w").write("n")
os.chmod("a.txt", 0)
with open("sparse", "wb") as file: file.truncate(1 << 33)
for number in range(30):
    open(f"many{number:02}", "w").write(str(number))
"""


def test_only_regular_files_are_kept(a_workshop: Callable[..., Workshop]) -> None:
    workshop = a_workshop(max_artifacts=25, max_work_bytes=64 << 20)
    with workshop.working():
        run = workshop.run(workshop.a_job(HOSTILE))
        assert run["status"] == "succeeded", workshop.log(run)
        found = workshop.artifacts(run)
        log = workshop.log(run)
        assert len(found) == 25
        assert found["a.txt"] == b"kept"
        assert found["deep/er/b.bin"] == bytes(range(256))
        assert found["empty"] == b""
        assert not found.keys() & {"link", "root", "inside", "pipe", "socket", "sparse", "a\nline"}
        assert not [path for path in found if path.startswith("d" * 60)], "below that depth nothing is kept"
        assert "a\\nline" in log
        assert "the first 25 files are kept" in log
        listed = workshop.api.get(f"{path_of(run)}artifacts/?limit=10&offset=20").json()
        assert (listed["count"], listed["totalCount"]) == (5, 25)
        one = listed["data"][0]
        answer = workshop.api.get(f"{path_of(run)}artifacts/{one['id']}/")
        assert one["fileName"] in answer.headers["Content-Disposition"]
        assert workshop.api.get(f"{path_of(run)}artifacts/{'0' * 24}/").status_code == 404
        assert workshop.artifacts(workshop.run(workshop.a_job("1\n"))) == {}


@pytest.fixture
def blobs(an_installation: Callable[..., Any]) -> BlobStore:
    store: BlobStore = an_installation().application.parts.get(BlobStore)
    return store


def keep(blobs: BlobStore, work: Path, files: int = 100, total_bytes: int = 1 << 20) -> tuple[list[str], list[str]]:
    said: list[str] = []
    kept = collect_files(blobs, work / "output", Limits(files, total_bytes), said.append, source="run")
    return [one.path for one in kept], said


def test_what_is_exchanged_after_it_was_listed_is_not_followed(
    blobs: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a sandbox a process may outlive its run, and change files under the collector's hands."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    output = tmp_path / "work" / "output"
    (output / "folder").mkdir(parents=True)
    for name in ("became_link", "became_pipe", "folder/file", "gone", "stays"):
        (output / name).write_text("x")
    store = collecting._store

    def exchange(*arguments: Any) -> Any:
        name = arguments[2]
        if name != "stays":
            os.unlink(name, dir_fd=arguments[1])
        if name == "became_link":
            os.symlink(secret, name, dir_fd=arguments[1])
        if name == "became_pipe":
            os.mkfifo(name, dir_fd=arguments[1])
        return store(*arguments)

    monkeypatch.setattr(collecting, "_store", exchange)
    kept, said = keep(blobs, tmp_path / "work")
    assert kept == ["stays"]
    assert len(said) == 4
    assert "no regular file any more" in "".join(said)


def test_an_output_folder_that_is_a_link_is_none(blobs: BlobStore, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret").write_text("x")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "output").symlink_to(tmp_path / "elsewhere")
    assert keep(blobs, tmp_path / "work") == ([], [])


def test_names_that_become_one_and_files_that_are_too_large_are_told(blobs: BlobStore, tmp_path: Path) -> None:
    output = tmp_path / "output"
    (output / "\u00fc").mkdir(parents=True)
    (output / "\u00fc" / "inside").write_text("composed")
    (output / "u\u0308").write_text("decomposed")
    (output / "e\u0301").write_text("first")
    (output / "\u00e9").write_text("second")
    (output / "big").write_bytes(b"x" * 600)
    (output / "large").write_bytes(b"x" * 600)
    kept, said = keep(blobs, tmp_path, total_bytes=1000)
    assert kept == ["big", "\u00e9", "\u00fc"]
    assert len(said) == 3
    assert "only 395 more are kept" in "".join(said)
    for number in range(40):
        (output / f"\\{number}").write_text("x")
    assert keep(blobs, tmp_path)[1][-1].endswith("more output files are not kept")


def test_a_tree_without_end_is_left_after_so_many_names(
    blobs: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is made of: empty folders, and files that cannot be kept, are not kept in mind either."""
    monkeypatch.setattr(collecting, "MAX_SCANNED", 50)
    for branch in "ab":
        for number in range(40):
            (tmp_path / "output" / branch / f"{number:02}").mkdir(parents=True)
            (tmp_path / "output" / branch / f"{number:02}" / "file").write_text("x")
    (tmp_path / "output" / "z").write_text("x")
    kept, said = keep(blobs, tmp_path)
    assert kept == [*(f"a/{number:02}/file" for number in range(7)), "z"]
    assert said[-1].endswith("it holds more than 50 files and folders")


def test_a_file_that_grows_while_it_is_read_is_not_kept(
    blobs: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "output").mkdir()
    file = tmp_path / "output" / "file"
    file.write_bytes(b"x" * 100)
    fstat = os.fstat

    def grow(descriptor: int) -> os.stat_result:
        found = fstat(descriptor)
        with file.open("ab") as end:
            end.truncate(1 << 20)
        return found

    monkeypatch.setattr(collecting.os, "fstat", grow)
    kept, said = keep(blobs, tmp_path, total_bytes=1000)
    assert kept == []
    assert "grows while it is read" in said[0]


def test_a_reason_of_several_lines_keeps_the_form_of_a_log(shelf: Workshop) -> None:
    """Readers take the time off each line."""
    blobs = shelf.installation.application.parts.get(BlobStore)  # type: ignore[type-abstract]
    log = keep_log(blobs, None, "it failed:\nfor two reasons, each of them longer than a time")
    digest = log.finish()["digest"]
    assert (
        without_times(blobs.read(digest))
        == b"[modelyard] it failed:\nfor two reasons, each of them longer than a time\n"
    )
