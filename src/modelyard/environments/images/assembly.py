"""Making one image in a staging folder: lock, packages, runner, bytecode."""

from dataclasses import dataclass, replace
from pathlib import Path

from packaging.requirements import Requirement

from modelyard.environments.images.blame import explain
from modelyard.environments.images.bytecode import BytecodeCache, Toolchain
from modelyard.environments.images.commands import Cancelled, CommandRunner, Log
from modelyard.environments.images.errors import BuildError, InstallerError
from modelyard.environments.images.installer import Installer, Job, LinkMode
from modelyard.environments.images.interpreter import Interpreter
from modelyard.environments.images.locks import covers, parse_lock
from modelyard.environments.images.metadata import LOCK_FILE
from modelyard.environments.images.runner_files import RunnerFiles
from modelyard.environments.images.spec import Wanted, WantedSet
from modelyard.environments.images.tree import (
    TreeSize,
    check_tree,
    link_python,
    remove_tree,
    require_folder,
    write_new,
)

WELL_KNOWN_INDEXES = frozenset({"https://pypi.org/simple", "https://download.pytorch.org/whl/cpu"})
"""Public indexes that this process may fetch from itself; any other URL is fetched in the sandbox."""


@dataclass(frozen=True)
class Sources:
    """What all builds of a store have in common."""

    cache_dir: Path
    bytecode: BytecodeCache
    index_url: str | None
    installer: Installer
    interpreter: Interpreter
    runner: RunnerFiles


class Assembly:
    """One build. ``direct`` runs what is ours on the host; ``sandbox`` runs what may execute users' code."""

    def __init__(
        self,
        staging: Path,
        sources: Sources,
        direct: CommandRunner,
        sandbox: CommandRunner,
        log: Log,
        cancelled: Cancelled,
    ) -> None:
        self._staging = staging
        self._sources = sources
        self._direct = direct
        self._sandbox = sandbox
        self._log = log
        self._cancelled = cancelled
        self._link_mode: LinkMode = "hardlink" if sandbox.isolates else "copy"

    def make(self, wanted: WantedSet, lock: str | None) -> tuple[Path, TreeSize]:
        """The finished image, still in the staging folder. Raises ``BuildError``, ``BuildCancelledError``."""
        _require_hashes(wanted)
        image = self._install(wanted, lock)
        check_tree(image)
        interpreter = self._sources.interpreter
        for folder in (image / "bin", interpreter.site_packages(image)):
            require_folder(image, folder)
        self._sources.installer.finish(image)
        link_python(image, interpreter.executable, interpreter.minor_version)
        site_packages = interpreter.site_packages(image)
        self._sources.runner.copy_to(site_packages)
        tools = Toolchain(interpreter, self._sandbox, self._link_mode, self._log, self._cancelled)
        self._sources.bytecode.compile(site_packages, self._staging, tools)
        return image, check_tree(image)

    def _install(self, wanted: WantedSet, lock: str | None) -> Path:
        names = ", ".join(each.dependency.requirement for each in wanted.wanted if each.file is not None)
        self._log(f"Requirements: {names or 'none'}.")
        if self._may_fetch(wanted):
            try:
                return self._attempt(wanted, lock, wheels_only=True)
            except InstallerError as error:
                if not error.needs_source:
                    raise explain(error.output, wanted) from error
                self._log("A package has no wheel for this platform: building it from its source" + self._where())
        else:
            self._log("The requirements name URLs or source builds: installing them" + self._where())
        try:
            return self._attempt(wanted, lock, wheels_only=False)
        except InstallerError as error:
            raise explain(error.output, wanted) from error

    def _where(self) -> str:
        return " in the sandbox." if self._sandbox.isolates else ", without a sandbox."

    def _may_fetch(self, wanted: WantedSet) -> bool:
        """Whether this process may do it: nothing but wheels, from nowhere but known indexes, over checked TLS."""
        known = WELL_KNOWN_INDEXES | {self._sources.index_url}
        return not wanted.has_option("--no-binary", "--trusted-host") and all(
            url.rstrip("/") in known for url in wanted.urls()
        )

    def _attempt(self, wanted: WantedSet, lock: str | None, *, wheels_only: bool) -> Path:
        """One virtual environment from one lock, in a folder of its own."""
        job = self._job(wanted, wheels_only=wheels_only)
        job.prepare()
        installer = self._sources.installer
        installer.create(job)
        if lock is not None and covers(lock, wanted, self._sources.interpreter.markers):
            self._log("The environment's lock has everything: nothing to resolve.")
        else:
            try:
                lock = self._resolve(job, lock)
            except (ValueError, KeyError) as error:  # only users' code makes it so
                raise BuildError(f"What {installer.name} resolved was tampered with: {error}.") from error
        installer.install(job, lock)
        require_folder(job.folder, job.venv)
        image = job.venv.rename(self._staging / "image")
        remove_tree(job.folder)
        write_new(image / LOCK_FILE, lock)
        return image

    def _job(self, wanted: WantedSet, *, wheels_only: bool) -> Job:
        shared = self._sources.cache_dir / self._sources.installer.name
        shared.mkdir(parents=True, exist_ok=True)
        name = "wheels" if wheels_only else "sources"
        return Job(
            folder=self._staging / name,
            inputs=self._staging / f"{name}-inputs",
            wanted=wanted,
            interpreter=self._sources.interpreter,
            # A build script can write what it likes into the cache that it sees: it gets one for itself.
            cache_dir=shared if wheels_only else self._staging / name / "cache",
            link_mode=self._link_mode if wheels_only else "hardlink",
            wheels_only=wheels_only,
            index_url=self._sources.index_url,
            runner=self._direct if wheels_only else self._sandbox,
            log=self._log,
            cancelled=self._cancelled,
        )

    def _resolve(self, job: Job, preferred: str | None) -> str:
        """The lock. The runner asks for its usual versions first, then for any version that fits the user's."""
        relaxed = replace(job, wanted=_relaxed(job.wanted))
        try:
            lock = self._sources.installer.resolve(job, preferred)
        except InstallerError as error:
            if relaxed.wanted == job.wanted or error.needs_source:
                raise
            lock = self._sources.installer.resolve(relaxed, preferred)
        pins = parse_lock(lock)
        self._log(f"Resolved {len(pins)} packages: {', '.join(pin.requirement.partition(' ;')[0] for pin in pins)}.")
        return lock


def _require_hashes(wanted: WantedSet) -> None:
    if not wanted.has_option("--require-hashes"):
        return
    for each in wanted.wanted:
        if each.file is not None and not each.dependency.hashes:
            number = each.dependency.line_number
            raise BuildError(
                f"--require-hashes is given, but line {number} of {each.file} has no --hash.", number, each.file
            )


def _relaxed(wanted: WantedSet) -> WantedSet:
    """The same with any version of what only the runner asks for."""

    def relaxed(each: Wanted) -> Wanted:
        if each.file is not None:
            return each
        parsed = Requirement(each.dependency.requirement)
        marker = f" ; {parsed.marker}" if parsed.marker else ""
        return Wanted(replace(each.dependency, requirement=f"{each.dependency.canonical_name}{marker}"), None)

    return WantedSet(tuple(relaxed(each) for each in wanted.wanted), wanted.options)
