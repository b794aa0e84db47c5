"""Building images in the background, and collecting those that nothing refers to."""

import contextlib
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from modelyard.compute.executor import Executor
from modelyard.compute.free_space import SPACE_PAUSE_S
from modelyard.compute.services.tables import Service, Wanted
from modelyard.environments import builds
from modelyard.environments.context import read_context, survey_context
from modelyard.environments.images.errors import BuildCancelledError, BuildError
from modelyard.environments.images.spec import ImageSpec
from modelyard.environments.images.store import ImageStore
from modelyard.environments.requirements import RequirementsError
from modelyard.environments.service import CONTEXT_LIMITS
from modelyard.environments.tables import OPEN_BUILD, Build, BuildStatus, Environment, EnvironmentVersion, ImageUse
from modelyard.kernel.database import Database
from modelyard.kernel.settings import Settings
from modelyard.operations.work import Cancelled, Handler, OperationFailed, Waiting, Work
from modelyard.storage.blobs import BlobStore, store_stream
from modelyard.workspaces import service as workspaces
from modelyard.workspaces.service import NewFile

SHOW_LOG_EVERY_S = 0.3
MAX_LOG_BYTES = 4 << 20
TOUCH_EVERY_S = 600


def unpack(work: Work) -> None:
    """Puts the files of an environment version's archive into a workspace."""
    with work.database.read() as session:
        build = _own_build(session, work)
        version = session.get(EnvironmentVersion, build.environment_version_id) if build else None
    if version is None or version.context_digest is None or version.workspace_id is not None:
        return
    blobs = work.parts.get(BlobStore)  # type: ignore[type-abstract]
    with blobs.open(version.context_digest) as file:
        context = survey_context(file, CONTEXT_LIMITS)
        files = []
        for path, content in read_context(file, context, CONTEXT_LIMITS):
            work.checkpoint()
            blob = store_stream(blobs, content)
            files.append(NewFile(path, blob.digest, blob.size_bytes))
    with work.unit() as session:
        row = session.get(EnvironmentVersion, version.id)
        if row is not None:
            workspace = workspaces.create(session, files, max_files=CONTEXT_LIMITS.members)
            row.workspace_id, row.context_digest = workspace.id, None


Trial = Callable[[Work, str, str, Callable[[str], None]], None]
"""Tries what a build was for: a subject (an id) with its image (a digest), and what is told goes into the log."""


def build_image(work: Work, trials: Mapping[str, Trial]) -> None:
    """Make the image of a build's subject, with its log on show while it is made; ``trials`` by kind of subject."""
    wait_for_space(work, work.say)
    images = work.parts.get(ImageStore)
    with work.unit() as session:
        build = _own_build(session, work)
        if build is None:
            return
        version = session.get_one(EnvironmentVersion, build.environment_version_id)
        spec = builds.spec_of(version, build.requirements)
        digest = build.image_digest = images.digest(spec)
        earlier = builds.log_of(session, build)
        if build.status == BuildStatus.PROCESSING.value:
            earlier += "The build was interrupted; it starts again.\n"
        build.status = BuildStatus.PROCESSING.value
        if build.subject_kind == builds.ENVIRONMENT_VERSION and version.build_status != BuildStatus.SUCCESS.value:
            version.build_status = BuildStatus.PROCESSING.value
        _touch(session, digest)
    show = _LogShow(work, _log_file(work), earlier)
    try:
        images.build(spec, show.file, show.cancelled)
        if (trial := trials.get(build.subject_kind)) is not None:
            show.refresh()
            with show.file.open("a", encoding="utf-8") as log:
                trial(work, build.subject_id, digest, lambda line: print(line, file=log, flush=True))
    except BuildError as error:
        show.refresh()
        raise OperationFailed(error.message) from error
    except BuildCancelledError:
        work.checkpoint()
        raise OperationFailed(f"The build took longer than {show.timeout_s:.0f} s and was stopped.") from None
    else:
        show.refresh()
    finally:
        show.file.unlink(missing_ok=True)
    info = images.info(digest)
    libraries = [f"{package.name}=={package.version}" for package in info.packages] if info else None
    with work.unit() as session:
        build = _own_build(session, work)
        if build is not None:
            builds.end_build(session, build, BuildStatus.SUCCESS, libraries=libraries)


def wait_for_space(work: Work, say: Callable[[str], None] | None) -> None:
    """Raise ``Waiting`` while the disk is too full to start a workload; ``say`` is told."""
    missing = work.parts.get(Executor).missing_space()  # type: ignore[type-abstract]
    if missing is not None:
        work.checkpoint()
        if say is not None:
            say(f"{missing[0].upper()}{missing[1:]}.")
        raise Waiting(SPACE_PAUSE_S)


def ensure_image(
    work: Work,
    spec: ImageSpec,
    say: Callable[[str], None] | None = None,
    keep_log: Callable[[str], None] | None = None,
) -> Path:
    """The image of ``spec`` for an operation that needs it, built now if it is not there.

    ``say`` is told that it has to be built, ``keep_log`` is given the log of the build, however that ended.
    Raises ``OperationFailed`` with what is wrong with the requirements, what ``work.checkpoint()`` raises, and
    ``Waiting`` while the disk is too full to build or run anything.
    """
    wait_for_space(work, say)
    images = work.parts.get(ImageStore)
    try:
        digest = images.digest(spec)
    except RequirementsError as error:
        raise OperationFailed(f"The requirements do not parse: {error}") from error
    with work.database.read() as session:
        is_fresh = (use := session.get(ImageUse, digest)) is not None and _was_touched(use)
    if not is_fresh:
        with work.unit() as session:
            _touch(session, digest)
    found = images.find(digest)
    if found is not None:
        return found
    if say is not None:
        say("Building the environment.")
    log_file = _log_file(work)
    try:
        return images.build(spec, log_file, work.cancelled)
    except BuildError as error:
        raise OperationFailed(f"The environment could not be built: {error.message}") from error
    except BuildCancelledError:
        work.checkpoint()
        raise Cancelled(work.id) from None
    finally:
        if keep_log is not None and log_file.exists():
            keep_log(_tail(log_file, log_file.stat().st_size))
        log_file.unlink(missing_ok=True)


def _own_build(session: Session, work: Work) -> Build | None:
    """The build that this operation works for; None when it was deleted, canceled or started anew."""
    build = session.get(Build, work.payload["build_id"])
    if build is None or build.operation_id != work.id or build.status not in OPEN_BUILD:
        return None
    return build


def _log_file(work: Work) -> Path:
    """A file for this attempt; what an attempt that was killed left goes first."""
    folder = work.parts.get(Settings).data_dir / "spool"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"build-{work.id}.log"
    file.unlink(missing_ok=True)
    return file


class _LogShow:
    """Copies a growing log file into the build's row. The image store asks ``cancelled`` all the time it works."""

    def __init__(self, work: Work, file: Path, earlier: str) -> None:
        self.file = file
        self._work = work
        self._earlier = earlier
        self._shown_bytes = 0
        self._shown_at = self._started_at = time.monotonic()
        self.timeout_s = work.parts.get(Settings).build_timeout_s

    def cancelled(self) -> bool:
        now = time.monotonic()
        if now - self._shown_at >= SHOW_LOG_EVERY_S:
            self.refresh()
        return self._work.cancelled() or now - self._started_at > self.timeout_s

    def refresh(self) -> None:
        """Shows what is new."""
        self._shown_at = time.monotonic()
        size = self.file.stat().st_size if self.file.exists() else 0
        if size == self._shown_bytes or self._work.lost:
            return
        text = self._earlier + _tail(self.file, size)
        with self._work.unit() as session:
            build = _own_build(session, self._work)
            if build is not None:
                build.log = text
        self._shown_bytes = size


def _tail(file: Path, size: int) -> str:
    with file.open("rb") as log:
        log.seek(max(0, size - MAX_LOG_BYTES))
        text = log.read(MAX_LOG_BYTES).decode("utf-8", "replace").replace("\0", "")
    return text if size <= MAX_LOG_BYTES else f"[{size - MAX_LOG_BYTES} bytes of older output were dropped]\n{text}"


def _touch(session: Session, digest: str) -> None:
    now = datetime.now(UTC)
    use = session.get(ImageUse, digest)
    if use is None:
        with contextlib.suppress(IntegrityError), session.begin_nested():  # somebody may note the same just now
            session.add(ImageUse(digest=digest, used_at=now))
    elif not _was_touched(use):
        use.used_at = now


def _was_touched(use: ImageUse) -> bool:
    return datetime.now(UTC) - use.used_at <= timedelta(seconds=TOUCH_EVERY_S)


def _fail(work: Work, message: str) -> None:
    with work.unit() as session:
        build = _own_build(session, work)
        if build is not None:
            build.log = builds.log_of(session, build) or f"Failed: {message}\n"
            builds.end_build(session, build, BuildStatus.FAILED, error=message)


def _cancel(work: Work) -> None:
    _fail(work, "The build was canceled.")


def handlers(trials: Mapping[str, Trial]) -> list[Handler]:
    """The handler of builds; what was built for a kind of subject is tried with the trial of that kind."""
    return [Handler(builds.KIND, (unpack, partial(build_image, trials=trials)), on_failure=_fail, on_cancel=_cancel)]


def live_image_digests(session: Session, *, used_since: datetime) -> set[str]:
    """The images that something refers to: versions, builds, services, and whatever was used since that moment."""
    versions = (
        select(EnvironmentVersion.image_digest)
        .join(Environment, Environment.id == EnvironmentVersion.environment_id)
        .where(Environment.deleted_at.is_(None))
    )
    live = set(session.scalars(versions)) | set(session.scalars(select(Build.image_digest)))
    live |= set(session.scalars(select(ImageUse.digest).where(ImageUse.used_at >= used_since)))
    for spec, serving in session.execute(
        select(Service.spec, Service.serving_spec).where(Service.wanted != Wanted.REMOVED.value)
    ):
        live |= {(each or {}).get("image_digest") for each in (spec, serving)}
    return {digest for digest in live if digest}


def collect_images(database: Database, images: ImageStore, *, age_s: float) -> list[str]:
    """Removes the images that nothing refers to and that were not built or used for ``age_s``; their digests."""
    used_since = datetime.now(UTC) - timedelta(seconds=age_s)
    with database.read() as session:
        live = live_image_digests(session, used_since=used_since)
    removed = images.collect(live, min_age_s=age_s)
    if removed:
        with database.write() as session:
            for use in session.scalars(select(ImageUse).where(ImageUse.digest.in_(removed))):
                session.delete(use)
    return removed
