"""The ``git`` program, kept on a short leash.

It reads no configuration but ours, has no home, asks nobody, runs no hook, filter, credential helper or submodule,
speaks one protocol with one host at the addresses that were checked, and has limits on time, memory and disk. What it
fetched is only ever read as objects: no work tree is made.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, Final

from modelyard.repositories.locations import GitLocation

OLDEST: Final = (2, 37)
"""The first version of git that connects to the addresses it is given (``http.curloptResolve``)."""
LOOK_S: Final = 0.01
LOOK_LATER_S: Final = 0.2
MEMORY_BYTES: Final = 4 << 30
MAX_LISTING_BYTES: Final = 64 << 20
SHOWN_CHARACTERS: Final = 400
_LIMITED: Final = 'ulimit -c 0; ulimit -f "$1"; ulimit -v "$2"; ulimit -t "$3"; shift 3; exec "$@"'
_TELLING: Final = ("fatal:", "error:", "ERROR", "remote: ERROR")
_TOLD_BY_SSH: Final = ("Permission denied", "Host key verification failed", "ssh: connect to host", "timed out")
_SETTINGS: Final = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.askPass": "",
    "core.bigFileThreshold": "32m",
    "core.packedGitWindowSize": "32m",
    "core.packedGitLimit": "256m",
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "fetch.writeCommitGraph": "false",
    "fetch.negotiationAlgorithm": "noop",
    "gc.auto": "0",
    "http.followRedirects": "false",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "60",
    "http.proxy": "",
    "maintenance.auto": "false",
    "pack.threads": "2",
    "protocol.version": "2",
    "submodule.recurse": "false",
    "transfer.bundleURI": "false",
}
_SSH: Final = (
    "BatchMode=yes",
    "ClearAllForwardings=yes",
    "ConnectTimeout=30",
    "ControlMaster=no",
    "ControlPath=none",
    "GlobalKnownHostsFile=/etc/ssh/ssh_known_hosts",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "LogLevel=ERROR",
    "PermitLocalCommand=no",
    "PreferredAuthentications=publickey",
    "ProxyCommand=none",
    "ServerAliveInterval=15",
    "StrictHostKeyChecking=accept-new",
    "UpdateHostKeys=no",
)


class GitError(Exception):
    """Git could not do it; ``message`` is for the user and repeats no secret."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True)
class Leash:
    """How long and how much. ``check`` is called often and may raise, which stops git."""

    deadline: float
    """Of ``time.monotonic``."""
    timeout_s: float
    max_bytes: int
    check: Callable[[], None]


@dataclass
class Git:
    """A bare repository in ``folder``, whose ``origin`` is ``location`` at the checked ``addresses``."""

    folder: Path
    location: GitLocation
    addresses: Sequence[str]
    leash: Leash
    known_hosts: Path
    authorization: str | None = None
    key: str | None = None
    secrets: Sequence[str] = field(default=(), repr=False)

    def prepare(self, object_format: str) -> None:
        """Makes the repository, of no template and with nothing in its configuration but its format."""
        for name in ("objects", "refs"):
            (self.folder / "repository" / name).mkdir(parents=True)
        (self.folder / "home").mkdir()
        (self.folder / "repository" / "HEAD").write_text("ref: refs/heads/none\n")
        (self.folder / "repository" / "config").write_text(
            "[core]\n\trepositoryformatversion = 1\n\tbare = true\n"
            f"[extensions]\n\tpartialClone = origin\n\tobjectFormat = {object_format}\n"
        )

    def run(self, *words: str, given: bytes = b"", offline: bool = False, max_output: int = MAX_LISTING_BYTES) -> bytes:
        """What a git command prints. ``offline`` lets it speak to nobody. Raises ``GitError``."""
        with tempfile.TemporaryFile(dir=self.folder) as output:
            self.stream(words, output, given, offline=offline, max_output=max_output)
            output.seek(0)
            return output.read()

    def stream(
        self,
        words: Sequence[str],
        output: IO[bytes],
        given: bytes = b"",
        *,
        offline: bool = False,
        max_output: int | None = None,
    ) -> None:
        """Runs a git command until it ends, its output into a file. Raises ``GitError``, and what ``check`` raises."""
        with (
            tempfile.TemporaryFile(dir=self.folder) as source,
            tempfile.TemporaryFile(dir=self.folder) as errors,
        ):
            source.write(given)
            source.seek(0)
            process = subprocess.Popen(
                self._command(words),
                stdin=source,
                stdout=output,
                stderr=errors,
                env=self._environment(offline=offline),
                cwd=self.folder,
                start_new_session=True,
            )
            try:
                self._watch(process, output, max_output)
            finally:
                _end(process)
            if process.returncode != 0:
                errors.seek(0)
                raise GitError(self._told(errors.read(1 << 20), process.returncode))

    def _watch(self, process: subprocess.Popen[bytes], output: IO[bytes], max_output: int | None) -> None:
        started = time.monotonic()
        while process.poll() is None:
            self.leash.check()
            now = time.monotonic()
            if now > self.leash.deadline:
                raise GitError(f"The pull took longer than the {self.leash.timeout_s:.0f} s that are allowed.")
            if max_output is not None and os.fstat(output.fileno()).st_size > max_output:
                raise GitError("The repository lists more files or refs than can be read.")
            if now - started > 1 and _size_of(self.folder) > self.leash.max_bytes * 2 + MAX_LISTING_BYTES:
                raise GitError(f"The repository sends more than the {self.leash.max_bytes} bytes that are allowed.")
            time.sleep(LOOK_S if now - started < 2 else LOOK_LATER_S)

    def _command(self, words: Sequence[str]) -> list[str]:
        file_blocks = (self.leash.max_bytes + 2 * MAX_LISTING_BYTES) // 512
        seconds = int(self.leash.timeout_s) + 1
        limits = [str(file_blocks), str(MEMORY_BYTES // 1024), str(seconds)]
        program = ["timeout", "--kill-after=5", str(seconds), "git", *words]
        if setpriv := shutil.which("setpriv"):  # timeout hands on to all of git what it gets when this process dies
            program = [setpriv, "--pdeathsig", "TERM", *program]
        return ["/bin/sh", "-c", _LIMITED, "sh", *limits, *program]

    def _environment(self, *, offline: bool) -> dict[str, str]:
        """Everything git is told: it inherits nothing. The secret is here, which only this user's processes can see."""
        home = str(self.folder / "home")
        settings = dict(_SETTINGS) | {
            "remote.origin.url": self.location.url,
            "remote.origin.promisor": "true",
            "remote.origin.tagOpt": "--no-tags",
        }
        if self.location.scheme != "ssh":
            if ":" not in self.location.host:
                addresses = ",".join(f"[{one}]" if ":" in one else one for one in self.addresses)
                settings["http.curloptResolve"] = f"{self.location.host}:{self.location.port}:{addresses}"
            if self.authorization is not None and not offline:
                settings[f"http.{self.location.url}.extraHeader"] = f"Authorization: {self.authorization}"
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": home,
            "XDG_CONFIG_HOME": home,
            "TMPDIR": str(self.folder),
            "LC_ALL": "C",
            "GIT_DIR": str(self.folder / "repository"),
            "GIT_ALLOW_PROTOCOL": "none" if offline else self.location.scheme,
            "GIT_ASKPASS": "/bin/false",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_TERMINAL_PROMPT": "0",
            "SSH_ASKPASS": "/bin/false",
            "SSH_ASKPASS_REQUIRE": "never",
            **self._ssh(),
            **_numbered(settings),
        }
        if "SSL_CERT_FILE" in os.environ:
            environment["GIT_SSL_CAINFO"] = os.environ["SSL_CERT_FILE"]
        return environment

    def _ssh(self) -> dict[str, str]:
        if self.location.scheme != "ssh":
            return {"GIT_SSH_COMMAND": "/bin/false"}
        options = [
            *_SSH,
            f"HostName={self.addresses[0]}",
            f"HostKeyAlias={self._host_key_name()}",
            f'UserKnownHostsFile="{self.known_hosts}"',
            f"IdentityFile={self.key or 'none'}",
        ]
        words = ["ssh", "-F", "none", *(word for option in options for word in ("-o", option))]
        return {"GIT_SSH_COMMAND": shlex.join(words), "GIT_SSH_VARIANT": "ssh"}

    def _host_key_name(self) -> str:
        """What the host's key is remembered by, as ssh itself would."""
        host, port = self.location.host, self.location.port
        return host if port == 22 else f"[{host}]:{port}"

    def _told(self, errors: bytes, code: int) -> str:
        """What git said, in one line and without secrets: what the server sends is in there."""
        text = errors.decode("utf-8", "replace")
        for secret in self.secrets:
            text = text.replace(secret, "***")
        lines = [re.sub(r"[^\x20-\x7e]+", " ", line).strip() for line in text.splitlines()]
        wanted = [line for line in lines if line.startswith(_TELLING) or any(text in line for text in _TOLD_BY_SSH)]
        said = "; ".join(dict.fromkeys(line.removeprefix("fatal: ") for line in wanted or lines if line))[
            :SHOWN_CHARACTERS
        ]
        if code < 0 or code in {124, 137, 152, 153}:
            said = f"{said} (git was stopped at a limit: time, memory, or {self.leash.max_bytes} bytes)".strip()
        return said or f"git ended with {code}"


@cache
def check_version() -> None:
    """Raises ``GitError`` where git is missing, or so old that it would silently not heed a setting of ours."""
    git = shutil.which("git")
    if git is None:
        raise GitError("This server has no git program; who runs it must install git.")
    told = subprocess.run([git, "version"], capture_output=True, check=False, timeout=30, text=True).stdout
    found = re.search(r"(\d+)\.(\d+)", told)
    if found is None or (int(found.group(1)), int(found.group(2))) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise GitError(
            f"This server's git is too old ({told.strip()[:80]}); who runs it must install {oldest} or later."
        )


def _numbered(settings: Mapping[str, str]) -> dict[str, str]:
    numbered = {"GIT_CONFIG_COUNT": str(len(settings))}
    for index, (name, value) in enumerate(settings.items()):
        numbered |= {f"GIT_CONFIG_KEY_{index}": name, f"GIT_CONFIG_VALUE_{index}": value}
    return numbered


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the command and all that it started; what it wrote is thrown away with its folder."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _size_of(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118 # hot, and only a size
            except FileNotFoundError:
                continue
    return total
