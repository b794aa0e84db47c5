"""The folders of a build that users' code may have written in."""

import os
from pathlib import Path

import pytest

from modelyard.environments.images.commands import DirectRunner
from modelyard.environments.images.errors import BuildError, InstallerError
from modelyard.environments.images.installer import Job
from modelyard.environments.images.interpreter import this_interpreter
from modelyard.environments.images.spec import WantedSet
from modelyard.environments.images.tree import check_tree, link_python, remove_tree
from tests.images.conftest import never


@pytest.fixture
def job(tmp_path: Path) -> Job:
    job = Job(
        folder=tmp_path / "folder",
        inputs=tmp_path / "inputs",
        wanted=WantedSet((), ()),
        interpreter=this_interpreter(),
        cache_dir=tmp_path / "cache",
        link_mode="copy",
        wheels_only=True,
        index_url=None,
        runner=DirectRunner(),
        log=print,
        cancelled=never,
    )
    job.prepare()
    return job


def test_an_output_that_became_a_link_is_not_read(job: Job, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    output = job.new_output("lock")
    assert job.read_output(output) == "lock"
    output.unlink()
    output.symlink_to(secret)

    with pytest.raises(InstallerError) as caught:
        job.read_output(output)
    assert "s3cret" not in caught.value.output


def test_an_output_that_became_a_pipe_is_not_waited_for(job: Job) -> None:
    output = job.new_output()
    os.mkfifo(output)

    with pytest.raises(InstallerError, match="was replaced"):
        job.read_output(output)


def test_an_output_without_end_is_not_read(job: Job) -> None:
    output = job.new_output("")
    os.truncate(output, 1 << 30)

    with pytest.raises(InstallerError, match="more than"):
        job.read_output(output)


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    folder = tmp_path / "venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "lib").mkdir()
    return folder


def test_links_inside_are_kept_and_rights_are_set(venv: Path) -> None:
    (venv / "lib64").symlink_to("lib")
    (venv / "lib" / "module.py").write_text("x = 1")
    (venv / "lib" / "module.py").chmod(0o4600)
    (venv / "bin" / "script").write_text("#!/bin/sh")
    (venv / "bin" / "script").chmod(0o777)
    (venv / "lib").chmod(0o700)

    size = check_tree(venv)

    assert (size.files, size.size_bytes) == (2, 14)
    rights = {path.name: path.lstat().st_mode & 0o7777 for path in venv.rglob("*") if not path.is_symlink()}
    assert rights == {"bin": 0o755, "lib": 0o755, "module.py": 0o644, "script": 0o755}
    assert (venv / "lib64").readlink() == Path("lib")


@pytest.mark.parametrize("target", ["/etc", "../..", "lib/../../elsewhere"])
def test_a_link_that_leads_out_is_refused(venv: Path, target: str) -> None:
    (venv / "outside").symlink_to(target)

    with pytest.raises(BuildError, match="'outside', a link that leads out"):
        check_tree(venv)


def test_bin_itself_may_not_lead_out(venv: Path, tmp_path: Path) -> None:
    (venv / "bin").rmdir()
    (venv / "bin").symlink_to(tmp_path)

    with pytest.raises(BuildError, match="'bin', a link that leads out"):
        check_tree(venv)


def test_python_is_linked_anew(venv: Path, tmp_path: Path) -> None:
    (venv / "bin" / "python").write_text("#!/bin/sh\necho hacked")
    (venv / "bin" / "python3").mkdir()
    (venv / "bin" / "evil").symlink_to("/bin/sh")
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (venv / "pyvenv.cfg").symlink_to(precious)

    link_python(venv, Path("/usr/bin/python3.11"), "3.11")

    links = {path.name: str(path.readlink()) for path in (venv / "bin").iterdir()}
    assert links == {"python": "/usr/bin/python3.11", "python3": "python", "python3.11": "python"}
    assert precious.read_text() == "precious"
    assert "home = /usr/bin\n" in (venv / "pyvenv.cfg").read_text()


def test_removing_follows_no_link(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(precious)
    folder.chmod(0o500)

    remove_tree(folder)
    remove_tree(folder)

    assert not folder.exists()
    assert (precious / "file").exists()
