"""The process of `start_server.sh`: found, started with the environment of the contract, watched, ended."""

import asyncio
import os
import signal
import stat
from contextlib import suppress
from pathlib import Path

from modelyard_runner.options import ServeOptions
from modelyard_runner.problems import LoadError

SCRIPT = "start_server.sh"
KILL_WAIT_S = 5.0


def find_script(code_dir: Path, environment_dir: Path | None) -> Path:
    """`start_server.sh` of the code folder, else of the environment. Raises LoadError when neither has one."""
    for folder in (code_dir, environment_dir):
        if folder is not None and (folder / SCRIPT).is_file():
            return folder / SCRIPT
    raise LoadError(f"Neither the model's code nor its environment has a {SCRIPT}.")


def command_of(script: Path) -> list[str]:
    """How to run the script: as it is when it is executable and names its interpreter, else by bash or sh."""
    mode = script.stat().st_mode
    with script.open("rb") as file:
        names_interpreter = file.read(2) == b"#!"
    if mode & stat.S_IXUSR and names_interpreter and os.access(script, os.X_OK):
        return [str(script)]
    shell = next((path for path in ("/bin/bash", "/usr/bin/bash") if Path(path).exists()), "/bin/sh")
    return [shell, str(script)]


def environment_of(options: ServeOptions) -> dict[str, str]:
    """The variables of the contract, `URL_PREFIX` and `PORT`, and our own `MODELYARD_*`."""
    target = options.model.target
    environment = dict(os.environ)
    environment |= {
        "URL_PREFIX": options.url_prefix,
        "PORT": str(options.upstream_port),
        "MODELYARD_CODE_DIR": str(options.code_dir),
        "MODELYARD_TARGET_TYPE": target.kind.value,
        "MODELYARD_TARGET_NAME": target.name,
        "MODELYARD_CLASS_LABELS": "\n".join(target.labels),
        "MODELYARD_POSITIVE_CLASS_LABEL": target.positive_label,
        "MODELYARD_NEGATIVE_CLASS_LABEL": target.negative_label,
        "MODELYARD_PREDICTION_THRESHOLD": str(target.threshold),
    }
    if options.environment_dir is not None:
        environment["MODELYARD_ENVIRONMENT_DIR"] = str(options.environment_dir)
    return environment


class UpstreamProcess:
    """A started `start_server.sh` in a process group of its own, whose folder is its working directory."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, options: ServeOptions) -> "UpstreamProcess":
        """Start the script. Raises LoadError when there is none or it cannot be run."""
        script = find_script(options.code_dir, options.environment_dir)
        try:
            process = await asyncio.create_subprocess_exec(
                *command_of(script),
                cwd=script.parent,
                env=environment_of(options),
                preexec_fn=os.setpgrp,  # uvloop takes no process_group
            )
        except OSError as error:
            raise LoadError(f"{script} cannot be started: {error.strerror}.") from error
        return cls(process)

    async def wait(self) -> int:
        """The exit code once it has ended; 128 and the signal's number when a signal ended it."""
        code = await self._process.wait()
        return code if code >= 0 else 128 - code

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the whole process group."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    async def stop(self, grace_s: float) -> None:
        """End the group: politely, then after `grace_s` by force."""
        if self._process.returncode is None:
            self.send(signal.SIGTERM)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), grace_s)
        self.send(signal.SIGKILL)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), KILL_WAIT_S)
