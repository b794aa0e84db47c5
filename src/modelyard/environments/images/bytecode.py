"""Compiling the bytecode of an image, with a cache that all images of a machine share."""

import hashlib
import importlib.util
import os
import secrets
import shutil
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from modelyard.environments.images import compile_program
from modelyard.environments.images.commands import Cancelled, CommandRunner, Folder, Log
from modelyard.environments.images.installer import LinkMode
from modelyard.environments.images.interpreter import Interpreter
from modelyard.environments.images.tree import make_folder, remove_tree

UNUSED_DAYS = 30
MAX_WORKERS = 4
WORKER_MEMORY_BYTES = 1 << 30
_MAX_BYTECODE_BYTES = 4 * compile_program.MAX_SOURCE_BYTES


@dataclass(frozen=True)
class Toolchain:
    """What a build compiles with. ``runner`` isolates wherever the machine can."""

    interpreter: Interpreter
    runner: CommandRunner
    link_mode: LinkMode
    log: Log
    cancelled: Cancelled


class BytecodeCache:
    """Compiled modules, a folder for each package with exactly these sources.

    Compiling reads what strangers wrote, so it runs in the sandbox, one package at a time: its output is kept under
    the digest of all sources that were there, so that a package which took the compiler over could only change what
    is compiled for the same package. This process never unmarshals it. See ``compile_program``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def compile(self, site_packages: Path, staging: Path, tools: Toolchain) -> None:
        """Put bytecode beside every module. What cannot be compiled within the limits is named in the log.

        Args:
            site_packages: the folder of packages, which were checked and are this process's own.
            staging: a folder of this process's own, for what is being compiled.
            tools: how to compile.
        """
        tag = f"{sys.implementation.cache_tag}-{importlib.util.MAGIC_NUMBER.hex()}"
        for name in sorted(os.listdir(site_packages)):  # noqa: PTH208 - only names are wanted
            package = _Package.of(site_packages, name)
            if package.sources:
                folder = self._folder / tag / package.digest
                if folder.is_dir():
                    package.place(folder, tools.link_mode)
                else:
                    self._compile(package, folder, staging, tools)

    def _compile(self, package: "_Package", folder: Path, staging: Path, tools: Toolchain) -> None:
        output = staging / f"bytecode-{secrets.token_hex(4)}"
        output.mkdir(mode=0o755)
        fresh = folder.with_name(f".{secrets.token_hex(8)}")
        fresh.mkdir(mode=0o755, parents=True)
        try:
            code = _run_program(package, output, tools)
            package.take(output, fresh)
            if code == 0:
                with suppress(OSError):  # another build was faster
                    fresh.rename(folder)
                    fresh = folder
            elif code != compile_program.INCOMPLETE:
                tools.log(f"Compiling {package.name} ended with exit code {code}: it is compiled when it is imported.")
            package.place(fresh, tools.link_mode)
        finally:
            remove_tree(output)
            if fresh != folder:
                remove_tree(fresh)

    def prune(self, now: datetime) -> None:
        """Remove what no image shares and is older than 30 days; it is compiled again where it is needed again."""
        oldest = now.timestamp() - UNUSED_DAYS * 24 * 3600
        for parent, _, names in os.walk(self._folder, topdown=False):
            statuses = [Path(parent, name).lstat() for name in names]
            if all(status.st_nlink == 1 and status.st_mtime < oldest for status in statuses):
                for name in names:
                    Path(parent, name).unlink(missing_ok=True)
            with suppress(OSError):  # not empty
                if (Path(parent) != self._folder and Path(parent).stat().st_mtime < oldest) or names:
                    Path(parent).rmdir()


@dataclass(frozen=True)
class _Package:
    """A folder or a single module in site-packages, with the digests of its sources."""

    site_packages: Path
    name: str
    sources: dict[str, str]
    digest: str

    @classmethod
    def of(cls, site_packages: Path, name: str) -> "_Package":
        whole = hashlib.sha256()
        sources = {}
        for path in compile_program.find_sources(str(site_packages / name)):
            content = compile_program.read_source(path)
            if content is not None:
                sources[path] = hashlib.sha256(content).hexdigest()
                whole.update(f"{os.path.relpath(path, site_packages)}\0{sources[path]}\n".encode())
        return cls(site_packages, name, sources, whole.hexdigest())

    def take(self, output: Path, folder: Path) -> None:
        """Copy what the compiler wrote for these sources, if it is of the right form."""
        for path, digest in self.sources.items():
            content = compile_program.read_source(path)
            data = _read_output(output / digest)
            if content is not None and data is not None and data.startswith(compile_program.header_of(content)):
                (folder / digest).write_bytes(data)
                (folder / digest).chmod(0o644)

    def place(self, folder: Path, mode: LinkMode) -> None:
        """Put the bytecode beside the sources, in the place of any that came with them."""
        for path, digest in self.sources.items():
            compiled = folder / digest
            if compiled.is_file():
                target = Path(importlib.util.cache_from_source(path))
                make_folder(target.parent)
                _put(compiled, target, mode)


def _run_program(package: _Package, output: Path, tools: Toolchain) -> int:
    program = Path(compile_program.__file__)
    python = tools.interpreter.executable
    workers = min(os.cpu_count() or 1, MAX_WORKERS, len(package.sources))
    arguments = [package.site_packages, package.name, output, workers, WORKER_MEMORY_BYTES]
    return tools.runner.run(
        [str(python), "-I", "-S", str(program), *map(str, arguments)],
        mounts=[
            Folder(output, writable=True),
            Folder(package.site_packages / package.name),
            Folder(tools.interpreter.prefix),
            Folder(program),
        ],
        environment={"LANG": "C.UTF-8"},
        network=False,
        log=tools.log,
        cancelled=tools.cancelled,
    )


def _put(compiled: Path, target: Path, mode: LinkMode) -> None:
    """A new file under the name: what had it before may be shared with other images."""
    staging = target.with_name(f".{secrets.token_hex(8)}")
    if mode == "hardlink":
        with suppress(OSError):  # another file system, or more links than it can count
            staging.hardlink_to(compiled)
    with suppress(FileNotFoundError):  # pruned just now
        if not staging.exists():
            shutil.copyfile(compiled, staging)
        staging.replace(target)


def _read_output(path: Path) -> bytes | None:
    """What the compiler wrote; None where it wrote no regular file of a sensible size."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        data = file.read(_MAX_BYTECODE_BYTES + 1)
    return data if len(data) <= _MAX_BYTECODE_BYTES else None
