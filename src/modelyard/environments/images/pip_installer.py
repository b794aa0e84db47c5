"""pip as the installer, for machines where uv does not run."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelyard.environments.images.errors import InstallerError
from modelyard.environments.images.installer import Job
from modelyard.environments.images.locks import Pin, keep_wanted_hashes, lock_text, parse_lock

_RELOCATABLE = b"#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/'python' \"$0\" \"$@\"\n' '''\n"


class PipInstaller:
    """Runs the pip of the base interpreter. Slower than uv, and it prefers no pins: it resolves afresh."""

    name = "pip"

    def create(self, job: Job) -> None:
        argv = [str(job.interpreter.executable), "-I", "-m", "venv", "--without-pip", "--symlinks", str(job.venv)]
        job.run(argv, job.environment())

    def resolve(self, job: Job, preferred: str | None) -> str:  # pip knows no preferences
        wanted_file = job.write_input("requirements.in", job.wanted.requirements_text())
        report_file = job.new_output()
        options = ["--dry-run", "--ignore-installed", "--quiet", "--report", str(report_file)]
        self._pip(job, *options, "-r", str(wanted_file))
        pins = list(_pins(json.loads(job.read_output(report_file))))
        return keep_wanted_hashes(lock_text(sorted(pins, key=lambda pin: pin.name)), job.wanted)

    def install(self, job: Job, lock: str) -> None:
        pins = parse_lock(lock)
        if not pins:
            return
        options = ["--no-deps", "--no-compile", "--require-hashes"]
        if not all(pin.hashes for pin in pins):  # a git commit is its own hash
            options.remove("--require-hashes")
        options_text = "".join(f"{option.name} {option.value}".strip() + "\n" for option in job.wanted.options)
        options_file = job.write_input("options.in", options_text)
        self._pip(job, *options, "-r", str(job.write_input("lock.txt", lock)), "-r", str(options_file))

    def finish(self, venv: Path) -> None:
        """Let scripts find the Python beside them: pip writes the absolute path of the staging folder."""
        for script in (venv / "bin").iterdir():
            if script.is_symlink() or not script.is_file():
                continue
            body = _body_of_script(script.read_bytes())
            if body is not None:
                script.write_bytes(_RELOCATABLE + body)

    def _pip(self, job: Job, *arguments: str) -> None:
        environment = job.environment() | {
            "PIP_CACHE_DIR": str(job.cache_dir / "pip"),
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INPUT": "1",
            "PIP_PROGRESS_BAR": "off",
            "PIP_ROOT_USER_ACTION": "ignore",
        }
        if job.index_url and not job.wanted.has_option("--index-url", "--no-index"):
            environment["PIP_INDEX_URL"] = job.index_url
        if certificates := environment.get("SSL_CERT_FILE"):
            environment["PIP_CERT"] = certificates
        wheels = ["--only-binary", ":all:"] if job.wheels_only else []
        python = str(job.interpreter.executable)
        argv = [python, "-I", "-m", "pip", "--python", str(job.venv / "bin" / "python"), "install", *wheels, *arguments]
        try:
            job.run(argv, environment)
        except InstallerError as error:
            if job.wheels_only and "No matching distribution found" in error.output:
                raise InstallerError(error.output, needs_source=True) from error  # pip does not tell the two apart
            raise


def _body_of_script(content: bytes) -> bytes | None:
    """What follows the lines that name the environment's Python; None for a script of something else.

    A path that is too long for a first line stands in a shell's ``exec`` on the second, with a third to close it.
    """
    first, _, rest = content.partition(b"\n")
    if first.startswith(b"#!") and first.endswith(b"/venv/bin/python"):
        return rest
    second, _, after = rest.partition(b"\n")
    if first == b"#!/bin/sh" and second.startswith(b"'''exec' ") and b"/venv/bin/python" in second:
        return after.partition(b"\n")[2]
    return None


def _pins(report: dict[str, Any]) -> Iterator[Pin]:
    """The pins of pip's installation report (format version 1, "Installation Report" in pip's documentation)."""
    for item in report["install"]:
        metadata, download = item["metadata"], item["download_info"]
        archive = download.get("archive_info", {})
        hashes = tuple(f"{name}:{value}" for name, value in archive.get("hashes", {}).items() if name == "sha256")
        if "vcs_info" in download:
            url = f"git+{download['url']}@{download['vcs_info']['commit_id']}"
            yield Pin(f"{metadata['name']} @ {url}", ())
        elif item["is_direct"]:
            yield Pin(f"{metadata['name']} @ {download['url']}", hashes)
        else:
            yield Pin(f"{metadata['name']}=={metadata['version']}", hashes)
