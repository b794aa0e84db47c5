"""The images of this machine: found by digest, built once, collected when nothing refers to them."""

import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from ctypes import CDLL
from pathlib import Path

from modelyard.environments.images.assembly import Assembly, Sources
from modelyard.environments.images.bytecode import BytecodeCache
from modelyard.environments.images.commands import Allowance, Cancelled, CommandRunner, DirectRunner
from modelyard.environments.images.errors import BuildCancelledError, BuildError
from modelyard.environments.images.file_lock import FileLock, held
from modelyard.environments.images.installer import Installer
from modelyard.environments.images.interpreter import Interpreter, this_interpreter
from modelyard.environments.images.log import BuildLog
from modelyard.environments.images.metadata import METADATA_FILE, ImageInfo, read_info, write_info
from modelyard.environments.images.runner_files import RunnerFiles, find_runner
from modelyard.environments.images.spec import ImageSpec, WantedSet, digest_of, gather
from modelyard.environments.images.tree import remove_tree
from modelyard.environments.images.uv_installer import UvInstaller
from modelyard.environments.requirements import RequirementsError
from modelyard.kernel.clock import Clock

__all__ = ["ImageStore"]

PARTIAL_DOWNLOAD_AGE_S = 24 * 3600


class ImageStore:
    """Images under ``root``, each a folder named by its digest.

    ``cache_dir`` holds what builds share: the installer's downloads and compiled bytecode. ``sandbox`` runs the build
    scripts of source packages; without it they run as plain processes.
    ``allowance`` is what a command outside the sandbox may take. ``index_url`` takes the place of PyPI.
    """

    def __init__(
        self,
        root: Path,
        *,
        cache_dir: Path,
        clock: Clock,
        index_url: str | None = None,
        sandbox: CommandRunner | None = None,
        allowance: Allowance | None = None,
        installer: Installer | None = None,
        interpreter: Interpreter | None = None,
        runner: RunnerFiles | None = None,
    ) -> None:
        self._root = root
        self._staging = root / ".staging"
        self._locks = root / ".locks"
        self._clock = clock
        self._sandbox = sandbox
        self._allowance = allowance
        self._interpreter = interpreter or this_interpreter()
        self._runner = runner or find_runner()
        self._sources = Sources(
            cache_dir=cache_dir,
            bytecode=BytecodeCache(cache_dir / "bytecode"),
            index_url=index_url,
            installer=installer or UvInstaller(),
            interpreter=self._interpreter,
            runner=self._runner,
        )

    def digest(self, spec: ImageSpec) -> str:
        """The name of the image of this spec on this machine. Raises ``RequirementsError``."""
        return self._digest(spec, gather(spec.requirements, self._runner.requirements))

    def find(self, digest: str) -> Path | None:
        """The image's folder, if it is built: a virtual environment with ``lock.txt`` and ``image.json``."""
        folder = self._root / digest
        return folder if (folder / METADATA_FILE).is_file() else None

    def info(self, digest: str) -> ImageInfo | None:
        """What is known of a built image."""
        folder = self.find(digest)
        return read_info(folder) if folder else None

    def build(self, spec: ImageSpec, log_file: Path, cancelled: Cancelled) -> Path:
        """The image's folder, built now unless it is there or being built by somebody else, who is waited for.

        What happens is appended to ``log_file``. Raises ``BuildError``, which the log then ends with, and
        ``BuildCancelledError`` soon after ``cancelled()`` turns true; either way nothing of the build is left.
        """
        with BuildLog(log_file) as log:
            try:
                return self._build(spec, log, cancelled)
            except BuildError as error:
                log.write(f"Failed: {error.message}")
                raise
            except BuildCancelledError:
                log.write("Cancelled.")
                raise

    def _build(self, spec: ImageSpec, log: BuildLog, cancelled: Cancelled) -> Path:
        wanted = self._understood(spec)
        digest = self._digest(spec, wanted)
        if found := self.find(digest):
            log.write("The image with these requirements is built already.")
            return found
        self._locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._locks / digest)
        if not lock.try_acquire():
            log.write("The same image is being built already; waiting for it.")
            if not lock.acquire(cancelled):
                raise BuildCancelledError
        with held(lock):
            if found := self.find(digest):
                log.write("The image with these requirements is built already.")
                return found
            return self._assemble(spec, wanted, digest, log, cancelled)

    def _understood(self, spec: ImageSpec) -> WantedSet:
        own = self._interpreter.minor_version
        if spec.python_version not in {None, own}:
            raise BuildError(
                f"The environment needs Python {spec.python_version}; this machine builds for Python {own}."
            )
        for file in spec.requirements:
            try:
                gather([file], "")
            except RequirementsError as error:
                raise BuildError(f"{file.name} does not parse: {error}", error.errors[0][0], file.name) from error
        return gather(spec.requirements, self._runner.requirements)

    def _assemble(self, spec: ImageSpec, wanted: WantedSet, digest: str, log: BuildLog, cancelled: Cancelled) -> Path:
        started = time.monotonic()
        with self._staging_folder() as (staging, lock):
            direct = DirectRunner([lock.descriptor], self._allowance)
            assembly = Assembly(staging, self._sources, direct, self._sandbox or direct, log.write, cancelled)
            image, size = assembly.make(wanted, spec.lock)
            duration_s = time.monotonic() - started
            write_info(
                image,
                ImageInfo.of(
                    image,
                    digest=digest,
                    interpreter=self._interpreter,
                    installer=self._sources.installer.name,
                    size=size,
                    built_at=self._clock.now(),
                    duration_s=duration_s,
                ),
            )
            if cancelled():
                raise BuildCancelledError
            target = self._root / digest
            remove_tree(target)  # without metadata it is no image: the remains of a failed removal
            _sync(image)
            image.rename(target)
            _sync(target)
        log.write(f"Built in {duration_s:.1f} s: {size.files} files, {size.size_bytes / 1e6:.0f} MB.")
        return target

    @contextmanager
    def _staging_folder(self) -> Iterator[tuple[Path, FileLock]]:
        """A fresh folder that is gone afterwards, and whose lock keeps collectors away."""
        self._staging.mkdir(parents=True, exist_ok=True)
        while True:
            name = secrets.token_hex(8)
            lock = FileLock(self._staging / f"{name}.lock")
            if lock.try_acquire():  # a collector may have been quicker
                break
        folder = self._staging / name
        with held(lock, remove=True):
            folder.mkdir()
            try:
                yield folder, lock
            finally:
                remove_tree(folder)

    @contextmanager
    def hold(self, digest: str) -> Iterator[Path | None]:
        """The image, which is not collected within the block; None when it is not built."""
        self._locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._locks / digest)
        lock.acquire(lambda: False, shared=True)
        with held(lock):
            yield self.find(digest)

    def collect(self, live_digests: Iterable[str], *, min_age_s: float = 0.0) -> list[str]:
        """Remove the images nobody refers to and the remains of dead builders; the digests of the removed images.

        Images being built or held stay, as do those built less than ``min_age_s`` ago.
        """
        live = set(live_digests)
        self._collect_staging()
        dead = (name for name in self._names(self._root) if name not in live and not self._is_young(name, min_age_s))
        removed = [digest for digest in dead if self._remove(digest)]
        for digest in self._names(self._locks):
            self._remove_lock_of_absent(digest)
        self._sources.bytecode.prune(self._clock.now())
        self._remove_partial_downloads()
        return removed

    def _remove_partial_downloads(self) -> None:
        """Remove what an installer that was stopped left in its cache; others may be working there now."""
        oldest = self._clock.now().timestamp() - PARTIAL_DOWNLOAD_AGE_S
        folder = self._sources.cache_dir / self._sources.installer.name
        for path in [*folder.glob(".tmp*"), *folder.glob("*/.tmp*")]:
            if path.lstat().st_mtime < oldest:
                remove_tree(path)

    def _collect_staging(self) -> None:
        for name in self._names(self._staging):
            if not name.endswith(".lock"):
                if not (self._staging / f"{name}.lock").exists():  # what _remove was interrupted at
                    remove_tree(self._staging / name)
                continue
            lock = FileLock(self._staging / name)
            if lock.try_acquire():
                with held(lock, remove=True):
                    self._discard(self._staging / name.removesuffix(".lock"))

    def _discard(self, folder: Path) -> None:
        """Remove the staging folder of a builder that died."""
        if self._sandbox:
            self._sandbox.stop_all(folder)
        remove_tree(folder)

    def _remove(self, digest: str) -> bool:
        self._locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._locks / digest)
        if not lock.try_acquire():
            return False
        with held(lock, remove=True):
            self._staging.mkdir(parents=True, exist_ok=True)
            trash = self._staging / secrets.token_hex(8)
            (self._root / digest).rename(trash)
            remove_tree(trash)
        return True

    def _remove_lock_of_absent(self, digest: str) -> None:
        lock = FileLock(self._locks / digest)
        if lock.try_acquire():
            with held(lock, remove=not (self._root / digest).exists()):
                pass

    def _is_young(self, digest: str, min_age_s: float) -> bool:
        info = self.info(digest)
        return info is not None and (self._clock.now() - info.built_at).total_seconds() < min_age_s

    @staticmethod
    def _names(folder: Path) -> list[str]:
        """Names in a folder but those that begin with a dot."""
        if not folder.is_dir():
            return []
        return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))

    def _digest(self, spec: ImageSpec, wanted: WantedSet) -> str:
        return digest_of(
            wanted,
            spec.lock,
            python=spec.python_version or self._interpreter.minor_version,
            python_version=self._interpreter.version,
            executable=str(self._interpreter.executable),
            platform=self._interpreter.platform,
            runner=self._runner.digest,
        )


def _sync(folder: Path) -> None:
    """Bring everything of the folder's file system to the disk: what a rename shows must be there after a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        libc = CDLL(None)
        if hasattr(libc, "syncfs"):
            libc.syncfs(descriptor)
        else:  # macOS
            os.sync()
    finally:
        os.close(descriptor)
