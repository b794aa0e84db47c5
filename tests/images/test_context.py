"""Contexts of environments: archives read without trust, and what the executor can make of them."""

import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping

import pytest

from modelyard.environments.context import read_context, refuse_what_needs_containers, survey_context
from modelyard.kernel.errors import Invalid
from modelyard.storage.archive_checks import ArchiveLimits


def a_zip(files: Mapping[str, str]) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return buffer


def a_tar(files: Mapping[str, str], mode: str = "w") -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for path, text in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return buffer


def a_tar_gz(files: Mapping[str, str]) -> io.BytesIO:
    return a_tar(files, "w:gz")


Archive = Callable[[Mapping[str, str]], io.BytesIO]


@pytest.mark.parametrize("archive", [a_zip, a_tar, a_tar_gz])
@pytest.mark.parametrize("folder", ["", "my_env/"])
def test_files_are_read_with_or_without_a_top_folder(archive: Archive, folder: str) -> None:
    files = {"Dockerfile": "FROM python", "requirements.txt": "numpy\n", "code/start.py": "print()"}
    file = archive({folder + path: text for path, text in files.items()})

    context = survey_context(file)
    contents = {path: content.read().decode() for path, content in read_context(file, context)}

    assert contents == files
    assert context.requirements == b"numpy\n"
    assert (context.has_requirements, context.has_start_script, context.has_dockerfile) == (True, False, True)


def test_what_macos_adds_is_left_out() -> None:
    file = a_zip({"env/requirements.txt": "numpy", "__MACOSX/env/._requirements.txt": "x", "env/.DS_Store": "x"})

    context = survey_context(file)

    assert context.paths == ("requirements.txt",)
    assert [path for path, _ in read_context(file, context)] == ["requirements.txt"]


def test_requirements_deeper_down_are_not_the_contexts_own() -> None:
    context = survey_context(a_zip({"start_server.sh": "#!/bin/sh", "lib/requirements.txt": "numpy"}))

    assert (context.has_requirements, context.has_start_script) == (False, True)


@pytest.mark.parametrize("archive", [a_zip, a_tar, a_tar_gz])
@pytest.mark.parametrize("path", ["../evil", "/etc/evil", "a/../../evil", "a\\..\\evil"])
def test_a_member_that_escapes_is_refused(archive: Archive, path: str) -> None:
    with pytest.raises(Invalid, match="evil"):
        survey_context(archive({"requirements.txt": "", path: "x"}))


@pytest.mark.parametrize(
    ("kind", "word"), [(tarfile.SYMTYPE, "link"), (tarfile.LNKTYPE, "link"), (tarfile.CHRTYPE, "device")]
)
def test_links_and_devices_are_refused(kind: bytes, word: str) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("requirements.txt")
        info.type = kind
        info.linkname = "/etc/passwd"
        archive.addfile(info)

    with pytest.raises(Invalid, match=word):
        survey_context(buffer)


@pytest.mark.parametrize("archive", [a_zip, a_tar_gz])
def test_a_bomb_is_refused(archive: Archive) -> None:
    with pytest.raises(Invalid, match="bytes"):
        survey_context(archive({"requirements.txt": "0" * 2_000_000}), ArchiveLimits(total_bytes=1_000_000))


def test_too_many_members_are_refused() -> None:
    with pytest.raises(Invalid, match="more than 3"):
        survey_context(a_zip({f"file{number}": "" for number in range(9)}), ArchiveLimits(members=3))


@pytest.mark.parametrize("content", [b"", b"not an archive at all" * 100, b"PK\x03\x04 broken"])
def test_what_is_no_archive_is_refused(content: bytes) -> None:
    with pytest.raises(Invalid):
        survey_context(io.BytesIO(content))


def test_a_dockerfile_alone_takes_the_container_executor() -> None:
    context = survey_context(a_zip({"Dockerfile": "FROM python"}))

    with pytest.raises(Invalid, match="container executor"):
        refuse_what_needs_containers(context, "process")
    refuse_what_needs_containers(context, "container")


@pytest.mark.parametrize("other", ["requirements.txt", "start_server.sh"])
def test_a_dockerfile_beside_something_to_build_is_passed_over(other: str) -> None:
    refuse_what_needs_containers(survey_context(a_zip({"Dockerfile": "FROM python", other: ""})), "process")


def test_a_context_with_nothing_to_build_is_refused() -> None:
    with pytest.raises(Invalid, match="holds readme"):
        refuse_what_needs_containers(survey_context(a_zip({"readme.md": "hello"})), "process")
