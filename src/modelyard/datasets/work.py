"""Reading an uploaded file as a table, in the background."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelyard.datasets import service
from modelyard.datasets.profile import describe
from modelyard.datasets.reading import read_table
from modelyard.datasets.tables import DatasetVersion
from modelyard.datasets.unpacking import NotATableError, local_file, plain_file
from modelyard.kernel.settings import Settings
from modelyard.operations.work import Handler, OperationFailed, Work
from modelyard.storage.blobs import BlobStore, store_stream
from modelyard.storage.web_fetch import FetchError, fetch


def fetch_file(work: Work) -> None:
    """Stores the file of a version that is to come from a URL."""
    version_id = work.payload["version_id"]
    with work.database.read() as session:
        version = session.get(DatasetVersion, version_id)
    if version is None or version.source_url is None or version.digest is not None:
        return
    settings = work.parts.get(Settings)
    blobs = work.parts.get(BlobStore)  # type: ignore[type-abstract]
    with blobs.writer() as writer:
        try:
            name = fetch(
                version.source_url,
                writer.write,
                max_bytes=settings.max_dataset_bytes,
                allowed_private_hosts=settings.allowed_private_hosts,
                check=work.checkpoint,
            )
        except FetchError as error:
            raise OperationFailed(error.message) from error
        blob = writer.finish()
    with work.unit() as session:
        service.store_fetched(session, version_id, blob, name.replace("\0", "") or version.file_name)


def process(work: Work) -> dict[str, Any] | None:
    """Unpacks, checks and profiles the file, and stores its rows as Parquet."""
    version_id = work.payload["version_id"]
    with work.database.read() as session:
        version = session.get(DatasetVersion, version_id)
    if version is None or version.digest is None:
        return None  # deleted meanwhile
    settings = work.parts.get(Settings)
    blobs = work.parts.get(BlobStore)  # type: ignore[type-abstract]
    with _work_folder(work, settings) as folder, local_file(blobs, version.digest, folder) as uploaded:
        try:
            path, name = plain_file(uploaded, version.file_name, folder, settings.max_dataset_bytes)
            work.checkpoint()
            target = folder / "table.parquet"
            table = read_table(path, name, target)
            work.checkpoint()
            row_count, columns = describe(table)
        except NotATableError as error:
            raise OperationFailed(error.message) from error
        table_digest = version.digest if path == uploaded and not target.exists() else None
        if table_digest is None:
            with (target if target.exists() else path).open("rb") as file:
                table_digest = store_stream(blobs, file).digest
    with work.unit() as session:
        service.finish(session, version_id, table_digest=table_digest, row_count=row_count, columns=columns)
    return None


@contextmanager
def _work_folder(work: Work, settings: Settings) -> Iterator[Path]:
    """A folder for this operation alone; what an attempt that was killed left in it goes first."""
    folder = settings.data_dir / "spool" / f"dataset-{work.id}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fail(work: Work, message: str) -> None:
    with work.unit() as session:
        service.fail(session, work.payload["version_id"], message)


def _cancel(work: Work) -> None:
    _fail(work, "Reading the file was canceled.")


def handlers() -> list[Handler]:
    return [Handler(service.PROCESS, (fetch_file, process), on_failure=_fail, on_cancel=_cancel)]
