"""Pulling from a bucket of Amazon S3, or of a server that speaks like it."""

import http.client
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from queue import SimpleQueue
from typing import Final
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from modelyard.credentials.service import OpenCredential
from modelyard.repositories.bucket_requests import Bucket, Keys
from modelyard.repositories.locations import BucketLocation
from modelyard.repositories.logins import LoginError
from modelyard.repositories.pulled import Found, Limits, PullError, sort_out
from modelyard.storage.blobs import CHUNK_BYTES, Blob, BlobStore
from modelyard.storage.web_fetch import locate

FOREIGN_REGION: Final = "us-east-1"
READERS: Final = 8
MAX_PAGE_BYTES: Final = 16 << 20
_AMAZON: Final = re.compile(r"https?://s3[.-](?:dualstack\.)?([a-z]+-[a-z-]+-\d)\.amazonaws\.com(?:\.cn)?(?::\d+)?")


def open_bucket(
    location: BucketLocation,
    credential: OpenCredential | None,
    allowed_private_hosts: Collection[str],
    deadline: float,
    check: Callable[[], None],
) -> "closing[Bucket]":
    """The bucket, with the credential's keys or as anybody. Nothing of this server's own environment is used.

    ``deadline`` is of ``time.monotonic``; ``check`` is called often and may raise.
    """
    if location.endpoint is None:
        region = _region(location, allowed_private_hosts, check)
        endpoint = f"https://s3.{region}.amazonaws.com"
    else:
        endpoint = location.endpoint
        named = _AMAZON.fullmatch(endpoint)
        region = named.group(1) if named else FOREIGN_REGION
    keys = None if credential is None else _keys(credential)
    return closing(Bucket(location.bucket, endpoint, region, keys, allowed_private_hosts, deadline, check))


def find(bucket: Bucket, location: BucketLocation, wanted: Sequence[str], limits: Limits) -> list[Found]:
    """The wanted files of the bucket. Raises ``PullError``."""
    return sort_out(_listed(bucket, location, wanted), wanted, limits)


def read(bucket: Bucket, found: Sequence[Found], blobs: BlobStore) -> list[Blob]:
    """Stores the files, in their order, over several connections; each must still have the size that was listed.

    Raises ``PullError``.
    """
    with ExitStack() as stack, ThreadPoolExecutor(READERS, thread_name_prefix="bucket") as pool:
        idle: SimpleQueue[Bucket] = SimpleQueue()
        for _ in range(min(READERS, len(found))):
            idle.put(stack.enter_context(closing(bucket.twin())))

        def store(one: Found) -> Blob:
            free = idle.get()
            try:
                return _read_one(free, one, blobs)
            finally:
                idle.put(free)

        return list(pool.map(store, found))


def _read_one(bucket: Bucket, one: Found, blobs: BlobStore) -> Blob:
    changed = PullError(f"'{one.repository_path}' changed while it was pulled, or its server sent it only in part.")
    response = bucket.ask("GET", one.key)
    with blobs.writer() as writer:
        size = 0
        while response is not None and (chunk := _chunk(bucket, response)):
            bucket.check()
            size += len(chunk)
            if size > (one.size_bytes or 0):
                break
            writer.write(chunk)
        if response is None or size != one.size_bytes:
            bucket.close()
            raise changed
        return writer.finish()


def _chunk(bucket: Bucket, response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        bucket.close()  # raises why it was cut, if it was
        raise PullError(f"The bucket {bucket.name} stopped sending: {error or type(error).__name__}.") from error


def _listed(bucket: Bucket, location: BucketLocation, wanted: Sequence[str]) -> Iterator[tuple[str, str, int]]:
    """Every object once. A key that ends in ``/`` is how consoles show a folder, and no file."""
    seen: set[str] = set()
    for one in wanted or ("",):
        key = f"{location.prefix}{one}"
        if one and key not in seen and (size := _size(bucket, key)) is not None:
            seen.add(key)
            yield one, key, size
        for listed, size in _below(bucket, f"{key}/" if one else key):
            if listed not in seen and not listed.endswith("/"):
                seen.add(listed)
                yield listed[len(location.prefix) :], listed, size


def _size(bucket: Bucket, key: str) -> int | None:
    """The size of one object, in bytes; None if there is none."""
    response = bucket.ask("HEAD", key)
    if response is None:
        return None
    response.read()
    length = response.headers.get("Content-Length", "")
    if not length.isdecimal():
        raise PullError(f"The bucket {bucket.name} does not say how large '{key}' is.")
    return int(length)


def _below(bucket: Bucket, prefix: str) -> Iterator[tuple[str, int]]:
    """Keys and sizes of all objects whose keys begin with ``prefix``, page by page."""
    query = {"list-type": "2", "encoding-type": "url", "prefix": prefix}
    while True:
        response = bucket.ask("GET", query=query)
        page = b"" if response is None else _page(bucket, response)
        try:
            root = ElementTree.fromstring(page)  # noqa: S314 # expat fetches nothing and bounds what entities unfold to
            texts = {element.tag.rpartition("}")[2]: element.text or "" for element in root}
            decoded = unquote_plus if texts.get("EncodingType") == "url" else str
            for entry in root:
                if entry.tag.rpartition("}")[2] == "Contents":
                    fields = {element.tag.rpartition("}")[2]: element.text or "" for element in entry}
                    yield decoded(fields["Key"]), int(fields["Size"])
        except (ElementTree.ParseError, KeyError, ValueError):
            raise PullError(f"The bucket {bucket.name} cannot be read: its server's listing is not S3's.") from None
        token = texts.get("NextContinuationToken")
        if texts.get("IsTruncated") != "true" or not token or token == query.get("continuation-token"):
            return
        query["continuation-token"] = token


def _page(bucket: Bucket, response: http.client.HTTPResponse) -> bytes:
    parts, size = [], 0
    while chunk := _chunk(bucket, response):
        parts.append(chunk)
        size += len(chunk)
        if size > MAX_PAGE_BYTES:
            bucket.close()
            raise PullError(f"The bucket {bucket.name} cannot be read: its server's listing is too long.")
    return b"".join(parts)


def _keys(credential: OpenCredential) -> Keys:
    fields = credential.fields
    keys = Keys(fields["awsAccessKeyId"], fields["awsSecretAccessKey"], fields.get("awsSessionToken"))
    for text in (keys.key_id, keys.token or ""):
        if not text.isascii() or not (text or "-").isprintable():
            raise LoginError(f"The keys of the credential {credential.name!r} hold characters that no key has.")
    return keys


def _region(location: BucketLocation, allowed_private_hosts: Collection[str], check: Callable[[], None]) -> str:
    """Where Amazon keeps the bucket: it says so to everybody who names it."""
    url = f"https://s3.amazonaws.com/{location.bucket}"
    there = locate(url, method="HEAD", allowed_private_hosts=allowed_private_hosts, check=check)
    if there.status == 404:
        raise PullError(f"There is no bucket {location.bucket}.")
    region = there.headers.get("x-amz-bucket-region", FOREIGN_REGION)
    if not re.fullmatch(r"[a-z0-9-]{1,40}", region):
        raise PullError(f"The bucket {location.bucket} says that it is in no region.")
    return region
