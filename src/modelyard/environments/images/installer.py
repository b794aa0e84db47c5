"""The port behind which uv stands: resolve requirements to a lock, install a lock into a virtual environment."""

import os
import re
import secrets
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from modelyard.environments.images.commands import Cancelled, CommandRunner, Folder, Log
from modelyard.environments.images.errors import InstallerError
from modelyard.environments.images.interpreter import Interpreter
from modelyard.environments.images.spec import WantedSet

LinkMode = Literal["hardlink", "copy"]

_MAX_OUTPUT_BYTES = 16 * 1024 * 1024
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy")
_NEEDS_SOURCE = re.compile(
    r"building from source is disabled|has no usable wheels|has no wheels|--only-binary|--no-build"
)


@dataclass(frozen=True)
class Job:
    """One attempt at filling a virtual environment.

    Users' code may have written anything at all into ``folder``: what this process reads from it or puts into it goes
    through ``read_output`` and ``new_output``. ``inputs`` is this process's own.
    """

    folder: Path
    """Writable by the commands: the virtual environment, home and temporary files are in it."""
    inputs: Path
    """Seen by the commands, and not writable."""
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

    @property
    def venv(self) -> Path:
        return self.folder / "venv"

    def prepare(self) -> None:
        """Make the folders, readable for whatever user the commands run as."""
        for folder in (self.folder, self.inputs, self.folder / "home", self.folder / "tmp"):
            folder.mkdir()
            folder.chmod(0o755)

    def write_input(self, name: str, text: str) -> Path:
        """A file that the commands can read."""
        path = self.inputs / name
        path.write_text(text)
        path.chmod(0o644)
        return path

    def new_output(self, text: str | None = None) -> Path:
        """A file that a command is to write: absent, or new with this text and the folder's owner."""
        path = self.folder / secrets.token_hex(8)
        if text is not None:
            owner = self.folder.lstat()
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644), "w") as file:
                file.write(text)
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        return path

    def read_output(self, path: Path) -> str:
        """What a command wrote into a file directly in ``folder``; never what a link there leads to."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise InstallerError(f"the output {path.name} cannot be read: {error.strerror}") from error
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_OUTPUT_BYTES:
                raise InstallerError(f"the output {path.name} was replaced or has more than {_MAX_OUTPUT_BYTES} bytes")
            return file.read(_MAX_OUTPUT_BYTES).decode(errors="replace")

    def environment(self) -> dict[str, str]:
        """What a tool sees of this machine's environment: certificates, and the way out where it is not isolated."""
        names = () if self.runner.isolates else _PROXIES
        return {
            "PATH": f"{self.interpreter.executable.parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            **{name: os.environ[name] for name in names if name in os.environ},
            **{name: str(path) for name, path in _certificates().items()},
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
            Folder(self.inputs),
            Folder(self.interpreter.prefix),
            *(Folder(tool) for tool in tools),
            *(Folder(path) for path in _certificates().values()),
        ]
        if not self.cache_dir.is_relative_to(self.folder):
            mounts.append(Folder(self.cache_dir, writable=True))
        code = self.runner.run(
            argv, mounts=mounts, environment=environment, network=True, log=note, cancelled=self.cancelled
        )
        if code != 0:
            text = "\n".join(output) or f"{Path(argv[0]).name} ended with exit code {code}"
            raise InstallerError(text, needs_source=self.wheels_only and bool(_NEEDS_SOURCE.search(text)))


def _certificates() -> dict[str, Path]:
    """The files and folders of authorities that variables name, where they really are: a sandbox is shown those."""
    named = {name: Path(os.environ[name]) for name in _CERTIFICATES if os.environ.get(name)}
    return {name: path.resolve() for name, path in named.items() if path.exists()}


class Installer(Protocol):
    """A tool that builds virtual environments. Every verb raises ``InstallerError`` and ``BuildCancelledError``."""

    name: str

    def create(self, job: Job) -> None:
        """Make an empty virtual environment at ``job.venv``."""

    def resolve(self, job: Job, preferred: str | None) -> str:
        """A lock of what ``job.wanted`` asks for; the pins of the lock ``preferred`` are kept where they fit."""

    def install(self, job: Job, lock: str) -> None:
        """Install exactly what the lock says, checking its hashes."""

    def finish(self, venv: Path) -> None:
        """Whatever makes the filled virtual environment one that can be moved. It was checked before."""
