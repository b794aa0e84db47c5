"""Which blob store a setting means."""

from pathlib import Path

from obstore.store import from_url

from modelyard.kernel.clock import Clock
from modelyard.storage.blobs import BlobStore
from modelyard.storage.local_blobs import LocalBlobStore
from modelyard.storage.remote_blobs import RemoteBlobStore


def open_blob_store(location: str | Path, spool_folder: Path, clock: Clock) -> BlobStore:
    """The store at a local folder, or at a URL such as ``s3://bucket/prefix``, ``gs://…``, ``az://…``.

    Keys, region and endpoint of a remote store come from its own environment variables (``AWS_ACCESS_KEY_ID``,
    ``AWS_ENDPOINT``, ``GOOGLE_SERVICE_ACCOUNT``, ``AZURE_STORAGE_ACCOUNT_NAME`` and so on, as obstore reads them).
    ``spool_folder`` holds an upload to a remote store until it is complete.
    """
    text = str(location)
    if text.startswith("file://"):
        return LocalBlobStore(Path(text.removeprefix("file://")))
    if "://" not in text:
        return LocalBlobStore(Path(location))
    spool_folder.mkdir(parents=True, exist_ok=True)
    return RemoteBlobStore(from_url(text), spool_folder, clock)
