"""``/datasets/``: uploading tables, and looking at them."""

from typing import Any

from sqlalchemy.orm import Session

from modelyard.datasets import service
from modelyard.datasets.profile import Column
from modelyard.datasets.schemas import (
    DatasetFromUrl,
    DatasetListQuery,
    DatasetUpdate,
    DatasetVersionResponse,
    FeatureResponse,
    UploadForm,
    UploadResponse,
)
from modelyard.datasets.tables import Dataset, DatasetVersion
from modelyard.identity import access_lists
from modelyard.identity.access_lists import AccessControlResponse, SharingUpdateOrRemoveWithGrant
from modelyard.identity.caller import Caller
from modelyard.kernel.form_input import FormInput
from modelyard.kernel.paging import Page, PageQuery, slice_page
from modelyard.kernel.routing import Answer, Download, RequestInfo, endpoint
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import UNSET
from modelyard.operations import service as operations
from modelyard.operations.tables import Operation
from modelyard.storage.blobs import BlobStore

TAG = "Datasets"


@endpoint("POST", "/datasets/fromFile/", status=202, tag=TAG, errors=(413, 422), location=True, form=UploadForm)
def create_dataset(
    session: Session, caller: Caller, form: FormInput[Any], settings: Settings, request: RequestInfo
) -> UploadResponse | Answer:
    """Upload a table as a new dataset.

    CSV (UTF-8), JSON lines or Parquet, plain, gzipped or alone in a zip, as the multipart part ``file``.
    """
    version, operation = service.create(session, caller, settings, form.form, _categories(form))
    return _accepted(request, version, operation)


@endpoint("POST", "/datasets/fromURL/", status=202, tag=TAG, errors=(422,), location=True)
def create_dataset_from_url(
    session: Session, caller: Caller, body: DatasetFromUrl, settings: Settings, request: RequestInfo
) -> UploadResponse | Answer:
    """Make a dataset from a file of a public web server."""
    version, operation = service.create_from_url(session, caller, settings, body)
    return _accepted(request, version, operation)


@endpoint(
    "POST",
    "/datasets/{datasetId}/versions/fromFile/",
    status=202,
    tag=TAG,
    errors=(403, 404, 413, 422),
    location=True,
    form=UploadForm,
)
def create_version(
    session: Session, caller: Caller, dataset_id: str, form: FormInput[Any], settings: Settings, request: RequestInfo
) -> UploadResponse | Answer:
    """Upload a new version of a dataset. Categories that are sent with it replace those of the dataset."""
    version, operation = service.add_version(session, caller, settings, dataset_id, form.form, _categories(form))
    return _accepted(request, version, operation)


def _categories(form: FormInput[Any]) -> list[str]:
    """Those that were sent, be it one or several."""
    wanted = form.read(UploadForm).categories
    return [] if wanted is UNSET else [*wanted] if isinstance(wanted, list) else [str(wanted)]


def _accepted(request: RequestInfo, version: DatasetVersion, operation: Operation) -> Answer:
    body = UploadResponse(catalog_id=version.dataset_id, catalog_version_id=version.id, status_id=operation.id)
    return operations.accepted(request, operation, body)


@endpoint("GET", "/datasets/", tag=TAG)
def list_datasets(
    session: Session, caller: Caller, query: DatasetListQuery, request: RequestInfo
) -> Page[DatasetVersionResponse]:
    """List the datasets you may see, each as its latest version."""
    return service.list_datasets(session, caller, query, request)


@endpoint("GET", "/datasets/{datasetId}/", tag=TAG, errors=(404,))
def read_dataset(session: Session, caller: Caller, dataset_id: str, request: RequestInfo) -> DatasetVersionResponse:
    """Read a dataset as its latest version."""
    return _view_latest(session, caller, service.find(session, caller, dataset_id), request)


@endpoint("PATCH", "/datasets/{datasetId}/", tag=TAG, errors=(403, 404, 422))
def update_dataset(
    session: Session, caller: Caller, dataset_id: str, body: DatasetUpdate, request: RequestInfo
) -> DatasetVersionResponse:
    """Rename a dataset or change what it is for."""
    return _view_latest(session, caller, service.change(session, caller, dataset_id, body), request)


def _view_latest(session: Session, caller: Caller, dataset: Dataset, request: RequestInfo) -> DatasetVersionResponse:
    return service.view(dataset, service.find_version(session, caller, dataset.id), request)


@endpoint("DELETE", "/datasets/{datasetId}/", status=204, tag=TAG, errors=(403, 404))
def delete_dataset(session: Session, caller: Caller, dataset_id: str) -> None:
    """Delete a dataset with all its versions."""
    service.remove(session, caller, dataset_id)


@endpoint("GET", "/datasets/{datasetId}/accessControl/", tag=TAG, errors=(404,))
def list_access(
    session: Session, caller: Caller, dataset_id: str, query: PageQuery, request: RequestInfo
) -> Page[AccessControlResponse]:
    """List the users that a dataset is shared with."""
    service.find(session, caller, dataset_id)
    return access_lists.list_access(session, service.KIND, dataset_id, query, request)


@endpoint("PATCH", "/datasets/{datasetId}/accessControl/", status=204, tag=TAG, errors=(403, 404, 409, 422))
def change_access(
    session: Session, caller: Caller, dataset_id: str, body: SharingUpdateOrRemoveWithGrant, settings: Settings
) -> None:
    """Share a dataset, or take a user's role away."""
    access_lists.change_access(session, caller, settings, service.KIND, dataset_id, body)


@endpoint("GET", "/datasets/{datasetId}/versions/", tag=TAG, errors=(404,))
def list_versions(
    session: Session, caller: Caller, dataset_id: str, query: PageQuery, request: RequestInfo
) -> Page[DatasetVersionResponse]:
    """List the versions of a dataset, newest first."""
    return service.list_versions(session, caller, dataset_id, query, request)


@endpoint("GET", "/datasets/{datasetId}/versions/{versionId}/", tag=TAG, errors=(404,))
def read_version(
    session: Session, caller: Caller, dataset_id: str, version_id: str, request: RequestInfo
) -> DatasetVersionResponse:
    """Read one version of a dataset."""
    version = service.find_version(session, caller, dataset_id, version_id)
    return service.view(service.find(session, caller, dataset_id), version, request)


@endpoint("GET", "/datasets/{datasetId}/file/", tag=TAG, errors=(404, 409), download=True)
def download_dataset(session: Session, caller: Caller, dataset_id: str, blobs: BlobStore) -> Download:
    """Download the latest version's file as it was uploaded."""
    return service.download(session, caller, blobs, dataset_id)


@endpoint("GET", "/datasets/{datasetId}/versions/{versionId}/file/", tag=TAG, errors=(404, 409), download=True)
def download_version(session: Session, caller: Caller, dataset_id: str, version_id: str, blobs: BlobStore) -> Download:
    """Download a version's file as it was uploaded."""
    return service.download(session, caller, blobs, dataset_id, version_id)


@endpoint("GET", "/datasets/{datasetId}/allFeaturesDetails/", tag=TAG, errors=(404, 409))
def list_features(
    session: Session, caller: Caller, dataset_id: str, query: PageQuery, request: RequestInfo
) -> Page[FeatureResponse]:
    """List the columns of the latest version, with what is in them."""
    columns = service.features(session, caller, dataset_id)
    return slice_page(_view_columns(columns), query, request)


@endpoint("GET", "/datasets/{datasetId}/versions/{versionId}/allFeaturesDetails/", tag=TAG, errors=(404, 409))
def list_version_features(
    session: Session, caller: Caller, dataset_id: str, version_id: str, query: PageQuery, request: RequestInfo
) -> Page[FeatureResponse]:
    """List the columns of a version, with what is in them."""
    columns = service.features(session, caller, dataset_id, version_id)
    return slice_page(_view_columns(columns), query, request)


def _view_columns(columns: list[Column]) -> list[FeatureResponse]:
    return [
        FeatureResponse(
            id=number,
            name=column.name,
            feature_type=column.type,
            data_type=column.data_type,
            na_count=column.missing_count,
            unique_count=column.unique_count,
            min=column.min,
            max=column.max,
            mean=column.mean,
            std_dev=column.standard_deviation,
        )
        for number, column in enumerate(columns)
    ]
