"""The port behind which uv stands: resolve requirements to a lock, install a lock into a virtual environment."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from modelyard.environments.images.commands import Cancelled, CommandRunner, Folder, Log
from modelyard.environments.images.errors import InstallerError
from modelyard.environments.images.interpreter import Interpreter
from modelyard.environments.images.spec import WantedSet

LinkMode = Literal["hardlink", "copy"]

_PASSED_ON = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy")
_NEEDS_SOURCE = re.compile(
    r"building from source is disabled|has no usable wheels|has no wheels|--only-binary|--no-build"
)


@dataclass(frozen=True)
class Job:
    """One attempt at filling a virtual environment."""

    folder: Path
    """The attempt's own folder, writable: requirements, home and temporary files are in it."""
    venv: Path
    lock_file: Path
    wanted: WantedSet
    interpreter: Interpreter
    cache_dir: Path
    link_mode: LinkMode
    wheels_only: bool
    """Install wheels only: nothing that the packages' authors wrote runs."""
    index_url: str | None
    runner: CommandRunner
    log: Log
    cancelled: Cancelled

    def environment(self) -> dict[str, str]:
        """What a tool sees of this machine's environment: certificates, and the way out where it is not isolated."""
        names = _PASSED_ON if self.runner.isolates else (*_PASSED_ON, *_PROXIES)
        home = self.folder / "home"
        temporary = self.folder / "tmp"
        for folder in (home, temporary):
            folder.mkdir(exist_ok=True)
        return {
            "PATH": f"{self.interpreter.executable.parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(home),
            "TMPDIR": str(temporary),
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            **{name: os.environ[name] for name in names if name in os.environ},
        }

    def run(self, argv: Sequence[str], environment: Mapping[str, str], *, tools: Sequence[Path] = ()) -> None:
        """Run a tool, its output in the log. Raises ``InstallerError`` with the output when it fails."""
        output: list[str] = []

        def note(line: str) -> None:
            output.append(line)
            del output[:-2000]
            self.log(line)

        mounts = [
            Folder(self.folder, writable=True),
            Folder(self.interpreter.prefix),
            *(Folder(tool) for tool in tools),
        ]
        if not self.cache_dir.is_relative_to(self.folder):
            mounts.append(Folder(self.cache_dir, writable=True))
        code = self.runner.run(
            argv, mounts=mounts, environment=environment, network=True, log=note, cancelled=self.cancelled
        )
        if code != 0:
            text = "\n".join(output) or f"{Path(argv[0]).name} ended with exit code {code}"
            raise InstallerError(text, needs_source=self.wheels_only and bool(_NEEDS_SOURCE.search(text)))


class Installer(Protocol):
    """A tool that builds virtual environments."""

    name: str

    def create(self, job: Job) -> None:
        """Make an empty, relocatable virtual environment at ``job.venv``."""

    def resolve(self, job: Job) -> None:
        """Write the lock of ``job.wanted`` to ``job.lock_file``; pins already in that file are preferred."""

    def install(self, job: Job) -> None:
        """Install exactly what ``job.lock_file`` says, checking its hashes."""
