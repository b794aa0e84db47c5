"""Collecting what nothing refers to any more: blobs, checked out folders, workloads, old operations."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import delete, inspect, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from modelyard.compute.executor import Executor
from modelyard.compute.services.tables import LIVE, Replica
from modelyard.datasets.tables import DatasetVersion
from modelyard.environments.images.store import ImageStore
from modelyard.environments.tables import EnvironmentVersion
from modelyard.environments.work import collect_images
from modelyard.events.service import drop_older
from modelyard.jobs.runs.workloads import LABEL as RUN_LABEL
from modelyard.jobs.tables import CustomJobRun, RunLog
from modelyard.kernel.database import Base, Database
from modelyard.kernel.errors import Conflict
from modelyard.kernel.parts import Parts
from modelyard.kernel.settings import Settings
from modelyard.learning.predictions import LABEL as PREDICTION_LABEL
from modelyard.learning.table_files import TableStore
from modelyard.learning.tables import LearningModel, LearningPrediction, Project
from modelyard.learning.training import LABEL as TRAINING_LABEL
from modelyard.learning.training import remove_plans
from modelyard.learning.transforms import TransformCache
from modelyard.models.testing.tables import OPEN as OPEN_TEST
from modelyard.models.testing.tables import CustomModelTest
from modelyard.monitoring.custom_metrics.tables import CustomMetricReport
from modelyard.operations.tables import Operation
from modelyard.operations.work import Handler, Waiting, Work
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces.checkout import Checkouts
from modelyard.workspaces.erasing import ERASE
from modelyard.workspaces.tables import File

log = structlog.get_logger(__name__)

BLOB_COLUMNS: tuple[InstrumentedAttribute[str] | InstrumentedAttribute[str | None], ...] = (
    File.digest,
    DatasetVersion.digest,
    DatasetVersion.table_digest,
    CustomModelTest.log_digest,
    EnvironmentVersion.context_digest,
    RunLog.digest,
    Project.table_digest,
    Project.partition_digest,
    LearningModel.log_digest,
    LearningPrediction.table_digest,
    LearningPrediction.result_digest,
)
"""Every column that names a blob. A test finds those that are forgotten here."""

OPERATION_DAYS = 30
REPORT_KEY_DAYS = 7
BATCH = 500


ERASE_AGE_S = 3600.0
"""Blobs and checkouts that were written or asked for later than this may be meant for something that is just being
made and has no row yet: erasing waits until they are so old."""


@dataclass(frozen=True)
class Collected:
    """How much of each kind was removed (``stopped``: workloads that nobody wanted any more)."""

    blobs: int = 0
    images: int = 0
    checkouts: int = 0
    tables: int = 0
    transforms: int = 0
    workloads: int = 0
    plans: int = 0
    stopped: int = 0
    operations: int = 0
    report_keys: int = 0
    events: int = 0


def collect(database: Database, parts: Parts, settings: Settings, *, age_s: float | None = None) -> Collected:
    """One round of collection. What is younger than ``age_s`` (the setting's value by default) is left alone.

    A kind that cannot be collected does not keep the others from it; the first error is raised in the end.
    """
    age_s = settings.garbage_age_s if age_s is None else age_s
    limit = datetime.now(UTC) - timedelta(seconds=age_s)
    executor, blobs = parts.get(Executor), parts.get(BlobStore)  # type: ignore[type-abstract]
    report_keys = timedelta(days=REPORT_KEY_DAYS)
    steps: dict[str, Callable[[], int]] = {
        "stopped": lambda: _stop_unwanted(database, executor),
        "workloads": lambda: _remove_ended(database, executor, limit),
        "plans": lambda: remove_plans(settings, executor, limit),
        "checkouts": lambda: parts.get(Checkouts).collect(_folders_in_use(executor), limit.timestamp()),
        "tables": lambda: parts.get(TableStore).collect(_mounted(executor), limit),
        "transforms": lambda: parts.get(TransformCache).collect(
            _mounted(executor), limit, settings.max_transform_cache_bytes
        ),
        "images": lambda: len(collect_images(database, parts.get(ImageStore), age_s=age_s)),
        "blobs": lambda: _delete_blobs(database, blobs, limit),
        "operations": lambda: _delete_before(
            database, Operation, Operation.finished_at, timedelta(days=OPERATION_DAYS)
        ),
        "report_keys": lambda: _delete_before(database, CustomMetricReport, CustomMetricReport.at, report_keys),
        "events": lambda: _drop_events(database, timedelta(seconds=settings.event_retention_s)),
    }
    counts: dict[str, int] = {}
    errors: list[Exception] = []
    for name, step in steps.items():
        try:
            counts[name] = step()
        except Exception as error:  # noqa: BLE001 # raised below
            log.warning("some garbage could not be collected", kind=name, error=str(error) or type(error).__name__)
            errors.append(error)
    log.info("collected garbage", **counts)
    if errors:
        raise errors[0]
    return Collected(**counts)


def erase(work: Work) -> None:
    """Delete the blobs and checkouts of what was erased, but for those that something else refers to or runs on."""
    settings, blobs = work.parts.get(Settings), work.parts.get(BlobStore)  # type: ignore[type-abstract]
    executor, checkouts = work.parts.get(Executor), work.parts.get(Checkouts)  # type: ignore[type-abstract]
    age_s = min(settings.garbage_age_s, ERASE_AGE_S)
    limit = datetime.now(UTC) - timedelta(seconds=age_s)
    is_done = True
    for digest in work.payload["blobs"]:
        work.checkpoint()
        with work.database.read() as session:
            used = is_blob_used(session, digest)
        if not used and blobs.exists(digest):
            is_done &= blobs.delete(digest, unused_since=limit)
    in_use = _folders_in_use(executor)
    for name in work.payload["checkouts"]:
        is_done &= name in in_use or checkouts.discard(name, limit.timestamp())
    if not is_done:
        raise Waiting(max(1.0, age_s / 10))


def handlers() -> list[Handler]:
    return [Handler(ERASE, (erase,))]


def is_blob_used(session: Session, digest: str) -> bool:
    """Whether any row refers to the blob."""
    return any(session.scalar(select(column).where(column == digest).limit(1)) is not None for column in BLOB_COLUMNS)


def _delete_blobs(database: Database, blobs: BlobStore, limit: datetime) -> int:
    removed = 0
    for digest in blobs.digests_older_than(limit):
        with database.read() as session:
            used = is_blob_used(session, digest)
        if not used and blobs.delete(digest, unused_since=limit):
            removed += 1
    blobs.delete_unfinished(limit)
    return removed


def _wanted_workloads(session: Session) -> tuple[set[str], set[str]]:
    """The workloads that should live, and those whose remains a row still speaks of."""
    replicas = dict(session.execute(select(Replica.id, Replica.state)).tuples().all())
    tests = session.scalars(
        select(CustomModelTest.workload_id).where(
            CustomModelTest.overall_status.in_([status.value for status in OPEN_TEST]),
            CustomModelTest.workload_id.is_not(None),
        )
    )
    runs = session.scalars(
        select(CustomJobRun.workload_id).where(CustomJobRun.ended_at.is_(None), CustomJobRun.workload_id.is_not(None))
    )
    learning = [
        session.scalars(select(row.workload_id).where(row.ended_at.is_(None), row.workload_id.is_not(None)))
        for row in (LearningModel, LearningPrediction)
    ]
    others = {one for found in (tests, runs, *learning) for one in found if one}
    living = {one for one, state in replicas.items() if state in LIVE} | others
    return living, living | set(replicas)


def _stop_unwanted(database: Database, executor: Executor) -> int:
    """Stops the workloads that no row wants; builds belong to operations that end them."""
    candidates = [
        one
        for one in executor.ids()
        if executor.observe(one).is_alive and (workload := executor.describe(one)) and workload.labels.keys() & _OWNED
    ]
    if not candidates:
        return 0
    with database.read() as session:
        living, _ = _wanted_workloads(session)
    unwanted = [one for one in candidates if one not in living]
    for one in unwanted:
        executor.stop(one)
    return len(unwanted)


_OWNED = frozenset({"service", "test", RUN_LABEL, TRAINING_LABEL, PREDICTION_LABEL})


def _remove_ended(database: Database, executor: Executor, limit: datetime) -> int:
    with database.read() as session:
        _, spoken_of = _wanted_workloads(session)
    removed = 0
    for one in executor.ids():
        seen = executor.observe(one)
        ended_at = seen.ended_at or seen.started_at
        if seen.is_alive or one in spoken_of or (ended_at is not None and ended_at > limit):
            continue
        try:
            executor.remove(one)
            removed += 1
        except Conflict:
            continue  # it is just ending; the next round takes it
    return removed


def _folders_in_use(executor: Executor) -> set[str]:
    """The names of the checkouts that living workloads have mounted."""
    used = set()
    for one in executor.ids():
        workload = executor.describe(one)
        if workload is not None and workload.code is not None and executor.observe(one).is_alive:
            used.add(workload.code.name)
    return used


def _mounted(executor: Executor) -> set[str]:
    """The folders that living workloads have mounted beside their code."""
    return {
        str(mount.source)
        for one in executor.ids()
        if (workload := executor.describe(one)) is not None and executor.observe(one).is_alive
        for mount in workload.mounts
    }


def _drop_events(database: Database, kept: timedelta) -> int:
    limit, removed = datetime.now(UTC) - kept, 0
    while True:
        with database.write() as session:
            dropped = drop_older(session, limit, BATCH)
        removed += dropped
        if dropped < BATCH:
            return removed


def _delete_before(database: Database, table: type[Base], column: InstrumentedAttribute[Any], kept: timedelta) -> int:
    """Deletes, in short transactions, the rows whose time in ``column`` is longer ago than ``kept``."""
    limit = datetime.now(UTC) - kept
    key = inspect(table).primary_key
    removed = 0
    while True:
        with database.write() as session:
            found = session.execute(select(*key).where(column < limit).limit(BATCH)).all()
            session.execute(delete(table).where(tuple_(*key).in_([tuple(one) for one in found])))
        removed += len(found)
        if len(found) < BATCH:
            return removed
