"""Use cases of datasets, and what other slices ask about them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec
import polars as pl
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from modelyard.datasets.profile import Column
from modelyard.datasets.reading import texts_of_csv
from modelyard.datasets.schemas import DatasetFromUrl, DatasetListQuery, DatasetUpdate, DatasetVersionResponse
from modelyard.datasets.tables import Dataset, DatasetVersion, ProcessingState
from modelyard.datasets.unpacking import local_file, plain_file
from modelyard.identity import audit
from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.identity.sharing import forget, grant_owner, require, scoped
from modelyard.identity.tables import ResourceKind
from modelyard.kernel.errors import Conflict, NotFound, TooLarge, invalid
from modelyard.kernel.ids import new_id
from modelyard.kernel.multipart import Form
from modelyard.kernel.paging import Page, PageQuery, page
from modelyard.kernel.problems import Problems
from modelyard.kernel.routing import Download, RequestInfo
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import UNSET, changes, moment
from modelyard.operations import service as operations
from modelyard.operations.tables import Operation
from modelyard.storage.blobs import Blob, BlobStore
from modelyard.storage.web_fetch import FetchError, parse_url

KIND = ResourceKind.DATASET
PROCESS = "dataset.process"
DEFAULT_CATEGORIES = ("TRAINING", "PREDICTION")


def create(
    session: Session, caller: Caller, settings: Settings, form: Form[Blob], categories: Sequence[str]
) -> tuple[DatasetVersion, Operation]:
    """A dataset with its first version from an uploaded file; the operation reads it."""
    file_name, blob = _one_file(form, settings)
    version = _create(session, caller, categories, _version(caller, file_name, blob))
    return version, _start(session, caller, version, f"/datasets/{version.dataset_id}/")


def create_from_url(
    session: Session, caller: Caller, settings: Settings, body: DatasetFromUrl
) -> tuple[DatasetVersion, Operation]:
    """A dataset with its first version from a file of the web; the operation fetches and reads it.

    Raises ``Invalid`` for what is no URL of a public host, as far as can be told at once.
    """
    problems = Problems()
    with problems.collecting():
        try:
            target = parse_url(body.url, settings.allowed_private_hosts)
        except FetchError as error:
            problems.add("url", error.message)
    if body.do_snapshot is False:
        problems.add("doSnapshot", "must be true: a dataset is a snapshot of the file")
    if body.persist_data_after_ingestion is False:
        problems.add("persistDataAfterIngestion", "must be true: the file is kept")
    if body.sample_size is not None:
        problems.add("sampleSize", "is not supported: the whole file is read")
    problems.raise_all()
    name = unquote(urlsplit(body.url).path.rsplit("/", 1)[-1]).replace("\0", "") or target.host
    row = _version(caller, name[-255:], None)
    row.source_url = body.url
    version = _create(session, caller, [] if body.categories is UNSET else body.categories, row)
    return version, _start(session, caller, version, f"/datasets/{version.dataset_id}/")


def _create(session: Session, caller: Caller, categories: Sequence[str], version: DatasetVersion) -> DatasetVersion:
    dataset = Dataset(
        id=new_id(),
        name=version.file_name,
        categories=list(categories) or list(DEFAULT_CATEGORIES),
        latest_version_id=version.id,
        created_by=caller.user_id,
        created_at=version.created_at,
    )
    session.add(dataset)
    session.flush()
    version.dataset_id, version.number = dataset.id, 1
    session.add(version)
    session.flush()
    grant_owner(session, caller, KIND, dataset.id)
    audit.record(session, caller, "create", KIND, dataset.id, {"fileName": version.file_name})
    return version


def add_version(
    session: Session, caller: Caller, settings: Settings, dataset_id: str, form: Form[Blob], categories: Sequence[str]
) -> tuple[DatasetVersion, Operation]:
    """A new version of a dataset; it becomes the latest once it was read as a table."""
    require(session, caller, KIND, dataset_id, Permission.EDIT)
    file_name, blob = _one_file(form, settings)
    dataset = session.get_one(Dataset, dataset_id, with_for_update=True)
    dataset.version_count += 1
    dataset.categories = list(categories) or dataset.categories
    version = _version(caller, file_name, blob)
    version.dataset_id, version.number = dataset_id, dataset.version_count
    session.add(version)
    session.flush()
    audit.record(session, caller, "add version", KIND, dataset_id, {"fileName": file_name})
    return version, _start(session, caller, version, f"/datasets/{dataset_id}/versions/{version.id}/")


def _one_file(form: Form[Blob], settings: Settings) -> tuple[str, Blob]:
    files = form.files_of("file")
    if len(files) != 1:
        raise invalid(file=f"one file is needed, as the multipart part 'file'; there are {len(files)}")
    blob = files[0].stored
    if blob.size_bytes > settings.max_dataset_bytes:
        raise TooLarge(f"The file has {blob.size_bytes} bytes; a dataset may have {settings.max_dataset_bytes}.")
    return (files[0].base_name.replace("\0", "") or "dataset")[-255:], blob


def _version(caller: Caller, file_name: str, blob: Blob | None) -> DatasetVersion:
    return DatasetVersion(
        id=new_id(),
        file_name=file_name,
        digest=blob.digest if blob else None,
        size_bytes=blob.size_bytes if blob else 0,
        processing_state=ProcessingState.RUNNING.value,
        created_by=caller.user_id,
        created_at=datetime.now(UTC),
    )


def _start(session: Session, caller: Caller, version: DatasetVersion, result_path: str) -> Operation:
    return operations.start(
        session,
        caller,
        PROCESS,
        status_type="Dataset",
        payload={"version_id": version.id},
        resource_id=version.dataset_id,
        result_path=result_path,
        description=f"Reading {version.file_name}",
    )


def store_fetched(session: Session, version_id: str, blob: Blob, file_name: str) -> None:
    """Records that the file of a version has been fetched."""
    session.execute(
        update(DatasetVersion)
        .where(DatasetVersion.id == version_id)
        .values(digest=blob.digest, size_bytes=blob.size_bytes, file_name=file_name[-255:])
    )


def finish(session: Session, version_id: str, *, table_digest: str, row_count: int, columns: Sequence[Column]) -> None:
    """Records that a version is a table and, unless a newer one already is, the dataset's latest."""
    version = session.get(DatasetVersion, version_id)
    if version is None:
        return
    version.processing_state = ProcessingState.COMPLETED.value
    version.error = None
    version.table_digest = table_digest
    version.row_count = row_count
    version.columns = [msgspec.to_builtins(column) for column in columns]
    session.execute(
        update(Dataset)
        .where(Dataset.id == version.dataset_id, Dataset.latest_version_id < version.id)
        .values(latest_version_id=version.id)
    )


def fail(session: Session, version_id: str, message: str) -> None:
    """Records why a version is no table."""
    session.execute(
        update(DatasetVersion)
        .where(DatasetVersion.id == version_id, DatasetVersion.processing_state != ProcessingState.COMPLETED.value)
        .values(processing_state=ProcessingState.ERROR.value, error=message)
    )


def list_datasets(
    session: Session, caller: Caller, query: DatasetListQuery, request: RequestInfo
) -> Page[DatasetVersionResponse]:
    """The datasets that the caller may view, each as its latest version."""
    statement = scoped(session, caller, KIND, Dataset, Dataset.id)
    if query.search_for:
        statement = statement.where(Dataset.name.icontains(query.search_for, autoescape=True))
    column = Dataset.name if query.order_by.endswith("name") else Dataset.id
    order = column.desc() if query.order_by.startswith("-") else column.asc()

    def view_all(datasets: Sequence[Dataset]) -> list[DatasetVersionResponse]:
        latest = [dataset.latest_version_id for dataset in datasets]
        versions = {row.id: row for row in session.scalars(select(DatasetVersion).where(DatasetVersion.id.in_(latest)))}
        return [view(dataset, versions[dataset.latest_version_id], request) for dataset in datasets]

    return page(session, statement.order_by(order, Dataset.id), query, request, view_all)


def list_versions(
    session: Session, caller: Caller, dataset_id: str, query: PageQuery, request: RequestInfo
) -> Page[DatasetVersionResponse]:
    """The versions of a dataset, newest first."""
    dataset = find(session, caller, dataset_id)
    statement = select(DatasetVersion).where(DatasetVersion.dataset_id == dataset_id).order_by(DatasetVersion.id.desc())
    return page(session, statement, query, request, lambda rows: [view(dataset, row, request) for row in rows])


def find(session: Session, caller: Caller, dataset_id: str, permission: Permission = Permission.VIEW) -> Dataset:
    require(session, caller, KIND, dataset_id, permission)
    dataset = session.get(Dataset, dataset_id)
    if dataset is None:
        raise NotFound(f"There is no dataset {dataset_id} that you may see.")
    return dataset


def find_version(session: Session, caller: Caller, dataset_id: str, version_id: str | None = None) -> DatasetVersion:
    """A version of a dataset that the caller may view, the latest where none is named; ready or not."""
    dataset = find(session, caller, dataset_id)
    version = session.get(DatasetVersion, version_id or dataset.latest_version_id)
    if version is None or version.dataset_id != dataset_id:
        raise NotFound(f"Dataset {dataset_id} has no version {version_id}.")
    return version


def change(session: Session, caller: Caller, dataset_id: str, body: DatasetUpdate) -> Dataset:
    dataset = find(session, caller, dataset_id, Permission.EDIT)
    wanted = changes(body)
    for name, value in wanted.items():
        setattr(dataset, name, value)
    audit.record(session, caller, "update", KIND, dataset_id, wanted)
    return dataset


def remove(session: Session, caller: Caller, dataset_id: str) -> None:
    """Deletes a dataset with all its versions; what still reads one of them is canceled."""
    dataset = find(session, caller, dataset_id, Permission.DELETE)
    for operation in operations.open_operations(session, dataset_id):
        operations.request_cancel(session, operation.id)
    forget(session, KIND, dataset_id)
    session.delete(dataset)
    audit.record(session, caller, "delete", KIND, dataset_id, {"name": dataset.name})


def download(
    session: Session, caller: Caller, blobs: BlobStore, dataset_id: str, version_id: str | None = None
) -> Download:
    """The file as it was uploaded."""
    version = find_version(session, caller, dataset_id, version_id)
    if version.digest is None:
        raise Conflict(f"The file of dataset {dataset_id} was not fetched: {version.error or 'it is on its way'}")
    return Download(
        blobs.iter_chunks(version.digest), version.file_name, headers={"Content-Length": str(version.size_bytes)}
    )


def features(session: Session, caller: Caller, dataset_id: str, version_id: str | None = None) -> list[Column]:
    """The columns of a version, in the order of the table."""
    return columns_of(ready(find_version(session, caller, dataset_id, version_id)))


def ready(version: DatasetVersion) -> DatasetVersion:
    """The version itself, if it is a table by now; raises ``Conflict`` that says why it is not."""
    if version.processing_state == ProcessingState.RUNNING.value:
        raise Conflict(f"Dataset {version.dataset_id} is still being read; ask again when it is COMPLETED.")
    if version.processing_state == ProcessingState.ERROR.value:
        raise Conflict(f"Dataset {version.dataset_id} is not a table: {version.error}")
    return version


def columns_of(version: DatasetVersion) -> list[Column]:
    return msgspec.convert(version.columns or [], list[Column])


def column_names(version: DatasetVersion) -> list[str]:
    """The names of a table's columns, in order."""
    return [column.name for column in columns_of(version)]


@contextmanager
def open_table(blobs: BlobStore, version: DatasetVersion, folder: Path) -> Iterator[pl.LazyFrame]:
    """The rows of a version that is a table, lazily. ``folder`` takes a copy meanwhile where blobs are remote."""
    if version.table_digest is None:
        ready(version)
        raise Conflict(f"Dataset {version.dataset_id} has no table.")
    with local_file(blobs, version.table_digest, folder) as path:
        yield pl.scan_parquet(path)


def read_texts(blobs: BlobStore, version: DatasetVersion, folder: Path, settings: Settings) -> pl.DataFrame | None:
    """The rows of a version that was read from CSV, each cell as it is written there; ``None`` for any other file."""
    ready(version)
    if version.digest is None:
        return None
    with local_file(blobs, version.digest, folder) as uploaded:
        return texts_of_csv(*plain_file(uploaded, version.file_name, folder, settings.max_dataset_bytes), folder)


def view(dataset: Dataset, version: DatasetVersion, request: RequestInfo) -> DatasetVersionResponse:
    return DatasetVersionResponse(
        dataset_id=dataset.id,
        name=dataset.name,
        version_id=version.id,
        version_number=version.number,
        is_latest_version=version.id == dataset.latest_version_id,
        file_name=version.file_name,
        dataset_size=version.size_bytes,
        row_count=version.row_count,
        column_count=None if version.columns is None else len(version.columns),
        processing_state=version.processing_state,  # type: ignore[arg-type]
        error=version.error,
        categories=dataset.categories,  # type: ignore[arg-type]
        created_by=version.created_by,
        creation_date=moment(version.created_at),
        data_source_type="url" if version.source_url else "file",
        uri=version.source_url or f"{request.api_url}/datasets/{dataset.id}/versions/{version.id}/file/",
    )
