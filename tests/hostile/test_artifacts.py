"""Output folders made to harm whoever collects them, and artifacts whose names are made to harm whoever loads them."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest

from modelyard.jobs.tables import CustomJobRun
from modelyard.storage.blobs import BlobStore, store_bytes
from modelyard.storage.local_blobs import LocalBlobStore
from modelyard.workspaces import service as workspaces
from modelyard.workspaces.collecting import MAX_DEPTH, MAX_SCANNED, Limits, collect_files
from tests.conftest import Installation
from tests.hostile.estate import an_estate

LIMITS = Limits(files=1000, total_bytes=1 << 20)
CONTROLS = [*range(1, 0x20), *range(0x7F, 0xA0)]


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return LocalBlobStore(tmp_path / "blobs")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "work" / "output"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def collect(blobs: BlobStore, output: Path) -> Callable[[], tuple[dict[str, bytes], list[str]]]:
    """Collects the output folder: contents by path, and what was said."""

    def found() -> tuple[dict[str, bytes], list[str]]:
        said: list[str] = []
        kept = collect_files(blobs, output, LIMITS, said.append, source="run")
        return {one.path: blobs.read(one.digest) for one in kept}, said

    return found


Collect = Callable[[], tuple[dict[str, bytes], list[str]]]


def test_names_with_control_characters_are_left_out_and_shown_harmlessly(collect: Collect, output: Path) -> None:
    for code in CONTROLS:
        (output / f"a{chr(code)}b").write_bytes(b"x")
        (output / f"folder{chr(code)}").mkdir()
        (output / f"folder{chr(code)}" / "inside").write_bytes(b"x")
    (output / "kept").write_bytes(b"x")
    kept, said = collect()
    assert set(kept) == {"kept"}
    assert said
    assert not [line for line in said if any(chr(code) in line for code in CONTROLS)]


@pytest.mark.parametrize("name", ["..\\..\\evil", "C:\\evil", "a\\b"])
def test_names_that_are_paths_elsewhere_are_left_out(collect: Collect, output: Path, name: str) -> None:
    (output / name).write_bytes(b"x")
    kept, said = collect()
    assert not [path for path in kept if "\\" in path], kept
    assert kept or said


@pytest.mark.parametrize("name", ["...", "..a", "a..", ".hidden", "-rf", "~", "$HOME", "a b", "%2e%2e", "a;b"])
def test_odd_names_that_stay_inside_are_kept_as_they_are(collect: Collect, output: Path, name: str) -> None:
    (output / name).write_bytes(b"x")
    assert set(collect()[0]) == {name}


def test_links_to_the_hosts_files_are_not_followed(collect: Collect, output: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.key"
    secret.write_bytes(b"secret")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inside").write_bytes(b"secret")
    (output / "absolute").symlink_to(secret)
    (output / "relative").symlink_to("../../secret.key")
    (output / "proc").symlink_to("/proc/self/environ")
    (output / "chain").symlink_to("absolute")
    (output / "circle").symlink_to("circle")
    (output / "folder").symlink_to(tmp_path / "folder")
    (output / "up").symlink_to("..")
    (output / "nowhere").symlink_to("/nonexistent")
    (output / "deep").mkdir()
    (output / "deep" / "link").symlink_to(secret)
    (output / "kept").write_bytes(b"x")
    kept, _ = collect()
    assert kept == {"kept": b"x"}


def test_what_is_no_regular_file_is_neither_opened_nor_waited_for(collect: Collect, output: Path) -> None:
    os.mkfifo(output / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(output)  # the address of a socket has 108 bytes
        try:
            listening.bind("socket")
        finally:
            os.chdir(here)
        if os.geteuid() == 0:  # nobody else can make devices
            os.mknod(output / "zero", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
            os.mknod(output / "disk", 0o666 | stat.S_IFBLK, os.makedev(7, 250))
        (output / "kept").write_bytes(b"x")
        kept, _ = collect()
    assert kept == {"kept": b"x"}


def test_deep_folders_are_left_at_a_depth(collect: Collect, output: Path) -> None:
    place = os.open(output, os.O_RDONLY)
    for _ in range(600):  # deeper than a path may be long, and than Python recurses
        os.mkdir("d" * 100, dir_fd=place)
        below = os.open("d" * 100, os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = below
    os.close(os.open("far", os.O_CREAT | os.O_WRONLY, dir_fd=place))
    os.close(place)
    (output / "kept").write_bytes(b"x")
    kept, said = collect()
    assert set(kept) == {"kept"}
    assert any(str(MAX_DEPTH) in line for line in said)


def test_twenty_thousand_entries_are_looked_at_and_no_more(collect: Collect, output: Path) -> None:
    place = os.open(output, os.O_RDONLY)
    for number in range(MAX_SCANNED + 500):
        os.symlink("nowhere", f"{number:06}", dir_fd=place)
    os.close(place)
    (output / "a-file-among-them").write_bytes(b"x")
    kept, said = collect()
    assert set(kept) <= {"a-file-among-them"}
    assert said[-1].endswith(f"it holds more than {MAX_SCANNED} files and folders")
    assert len(said) < 30


NAMES = ['q"uote', "semi;colon", "per%cent", "\u202egpj.exe", "\u00fcber \u2603.txt", "a'b", "x" * 200, "=cmd()"]


def test_a_name_cannot_forge_headers_of_its_download(installation: Installation) -> None:
    estate = an_estate(installation, "anna", "acme")
    job_id, run_id = estate.ids["customJobId"], estate.ids["customJobRunId"]
    blob = store_bytes(installation.application.parts.get(BlobStore), b"content")  # type: ignore[type-abstract]
    with installation.application.database.write() as session:
        files = [workspaces.NewFile(name, blob.digest, blob.size_bytes) for name in NAMES]
        row = session.get_one(CustomJobRun, run_id)
        row.artifacts_workspace_id = workspaces.create(session, files, max_files=100).id
    path = f"/customJobs/{job_id}/runs/{run_id}/artifacts/"
    listed = estate.api.get(path).json()["data"]
    assert {one["fileName"] for one in listed} == set(NAMES)
    for one in listed:
        answer = estate.api.get(f"{path}{one['id']}/")
        assert answer.content == b"content"
        header = answer.headers["Content-Disposition"]
        plain, _, encoded = header.removeprefix("attachment; filename=").rpartition("; filename*=UTF-8''")
        assert header.isascii()
        assert plain[0] == plain[-1] == '"'
        assert '"' not in plain[1:-1]
        assert unquote(encoded) == one["fileName"]
        assert ";" not in encoded
