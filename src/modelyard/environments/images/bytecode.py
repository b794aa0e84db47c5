"""Compiling the bytecode of an image, with a cache that all images of a machine share."""

import os
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

from modelyard.environments.images.commands import Cancelled, CommandRunner, Folder, Log
from modelyard.environments.images.installer import LinkMode
from modelyard.environments.images.interpreter import Interpreter

UNUSED_DAYS = 30


class BytecodeCache:
    """Compiled modules, named by the SHA-256 of their sources. See ``compile_program`` for how they are made."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def compile(
        self,
        site_packages: Path,
        interpreter: Interpreter,
        link_mode: LinkMode,
        *,
        runner: CommandRunner,
        log: Log,
        cancelled: Cancelled,
    ) -> None:
        """Put bytecode beside every module. ``runner`` must be one of the host's: nobody else may write the cache."""
        program = find_spec("modelyard.environments.images.compile_program")
        if program is None or program.origin is None:
            raise RuntimeError("compile_program.py is missing; install modelyard again")
        mode = "link" if link_mode == "hardlink" else "copy"
        argv = [str(interpreter.executable), "-I", "-S", program.origin, str(site_packages), str(self._folder), mode]
        code = runner.run(
            [*argv, str(os.cpu_count() or 1)],
            mounts=[Folder(site_packages, writable=True), Folder(self._folder, writable=True)],
            environment={"LANG": "C.UTF-8"},
            network=False,
            log=log,
            cancelled=cancelled,
        )
        if code != 0:
            log(f"Bytecode could not be compiled (exit code {code}): modules are compiled when they are imported.")

    def prune(self, now: datetime) -> None:
        """Remove what no image shares and is older than 30 days; it is compiled anew where it is needed again."""
        oldest = now.timestamp() - UNUSED_DAYS * 24 * 3600
        for parent, _, names in os.walk(self._folder):
            for name in names:
                path = Path(parent, name)
                status = path.lstat()
                if status.st_nlink == 1 and status.st_mtime < oldest:
                    path.unlink(missing_ok=True)
