"""Pulling from a bucket of Amazon S3, or of a server that speaks like it."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from modelyard.credentials.service import OpenCredential
from modelyard.repositories.locations import BucketLocation
from modelyard.repositories.pulled import Found, Limits, PullError, sort_out
from modelyard.storage.blobs import Blob, BlobStore
from modelyard.storage.web_fetch import FetchError, locate

FETCH_BYTES = 8 << 20
FOREIGN_REGION = "us-east-1"


def open_bucket(
    location: BucketLocation, credential: OpenCredential | None, allowed_private_hosts: Collection[str]
) -> S3Store:
    """The bucket, with the credential's keys or as anybody. Nothing of this server's own environment is used."""
    keys = {} if credential is None else dict(credential.fields)
    endpoint = location.endpoint or "https://s3.amazonaws.com"
    region = FOREIGN_REGION if location.endpoint else _region(location, allowed_private_hosts)
    if location.endpoint is None:
        endpoint = f"https://s3.{region}.amazonaws.com"
    login: dict[str, Any] = {
        "access_key_id": keys.get("awsAccessKeyId", ""),
        "secret_access_key": keys.get("awsSecretAccessKey", ""),
        "token": keys.get("awsSessionToken"),
        "expires_at": None,
    }
    return S3Store(
        location.bucket,
        endpoint=endpoint,
        region=region,
        skip_signature=credential is None,
        virtual_hosted_style_request=False,
        client_options={"allow_http": endpoint.startswith("http://"), "timeout": "60s", "connect_timeout": "30s"},
        retry_config={"max_retries": 2},
        credential_provider=None if credential is None else lambda: login,  # type: ignore[arg-type]
    )


def find(store: S3Store, location: BucketLocation, wanted: Sequence[str], limits: Limits) -> list[Found]:
    """The wanted files of the bucket. Raises ``PullError``."""
    try:
        return sort_out(_listed(store, location, wanted), wanted, limits)
    except (BaseError, OSError) as error:
        raise _cannot(location, error) from None


def read(
    store: S3Store, location: BucketLocation, found: Sequence[Found], blobs: BlobStore, check: Callable[[], None]
) -> list[Blob]:
    """Stores the files, in their order; each must still have the size that was listed. Raises ``PullError``."""
    return [_read_one(store, location, one, blobs, check) for one in found]


def _read_one(
    store: S3Store, location: BucketLocation, one: Found, blobs: BlobStore, check: Callable[[], None]
) -> Blob:
    with blobs.writer() as writer:
        size = 0
        try:
            for chunk in obstore.get(store, one.key).stream(min_chunk_size=FETCH_BYTES):
                check()
                size += len(chunk)
                if size > (one.size_bytes or 0):
                    break
                writer.write(bytes(chunk))
        except (BaseError, OSError) as error:
            raise _cannot(location, error) from None
        if size != one.size_bytes:
            raise PullError(f"'{one.repository_path}' changed while it was pulled; pull again.")
        return writer.finish()


def _listed(store: S3Store, location: BucketLocation, wanted: Sequence[str]) -> Iterator[tuple[str, str, int]]:
    """Every object once. A key that ends in ``/`` is how consoles show a folder, and no file."""
    seen: set[str] = set()
    for one in wanted or ("",):
        folder = f"{location.prefix}{one}"
        if one:
            try:
                meta = obstore.head(store, folder)
                if folder not in seen:
                    seen.add(folder)
                    yield one, folder, meta["size"]
            except FileNotFoundError:
                pass
        for page in obstore.list(store, prefix=folder or None, chunk_size=1000):
            for item in page:
                key = item["path"]
                if key in seen or key.endswith("/"):
                    continue
                seen.add(key)
                yield key[len(location.prefix) :], key, item["size"]


def _region(location: BucketLocation, allowed_private_hosts: Collection[str]) -> str:
    """Where Amazon keeps the bucket: it says so to everybody who names it."""
    url = f"https://s3.amazonaws.com/{location.bucket}"
    try:
        there = locate(url, method="HEAD", allowed_private_hosts=allowed_private_hosts)
    except FetchError as error:
        raise PullError(f"The bucket {location.bucket} cannot be asked for: {error.message}") from None
    if there.status == 404:
        raise PullError(f"There is no bucket {location.bucket}.")
    return there.headers.get("x-amz-bucket-region", FOREIGN_REGION)


def _cannot(location: BucketLocation, error: Exception) -> PullError:
    """What the store said, without the request: the first line, cut."""
    text = str(error)
    for words, meaning in (
        (("AccessDenied", "403", "Forbidden", "Unauthorized", "Unauthenticated"), "the login may not read it"),
        (("NoSuchBucket", "404"), "there is no such bucket"),
        (("SignatureDoesNotMatch", "InvalidAccessKeyId"), "the keys of the credential are wrong"),
    ):
        if any(word in text for word in words):
            return PullError(f"The bucket {location.bucket} cannot be read: {meaning}.")
    return PullError(f"The bucket {location.bucket} cannot be read ({type(error).__name__}).")
