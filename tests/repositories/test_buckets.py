"""Pulling from a bucket: a small server that speaks as much of S3's protocol as listing and reading take."""

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote_plus, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

from modelyard.operations import service as operations
from modelyard.repositories.bucket_requests import Keys, signature
from modelyard.storage.blobs import BlobStore
from tests.conftest import Installation
from tests.credentials.builders import a_credential
from tests.models.builders import a_model
from tests.repositories.builders import a_remote, pulled, refused, start_pull
from tests.waiting import wait_until

KEY = "AKIAOFTHETESTS"
TIME = "2026-01-01T00:00:00.000Z"


@dataclass
class Bucket:
    url: str
    objects: dict[str, bytes] = field(default_factory=dict)
    is_private: bool = False
    asked: list[str] = field(default_factory=list)
    redirect: str | None = None
    """Where everything is said to be."""
    error: tuple[int, str] | None = None
    """A status and a code that everything is answered with."""
    page_keys: int = 1000
    is_dripping: bool = False
    """Whether objects are sent a byte at a time, without end."""
    together: threading.Barrier | None = None
    """Objects are sent only when as many are asked for at once."""
    over: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        bucket: Bucket = self.server.bucket  # type: ignore[attr-defined]
        parts = urlsplit(self.path)
        bucket.asked.append(self.headers.get("Authorization", ""))
        key = unquote(parts.path).removeprefix("/models").lstrip("/")
        if bucket.redirect is not None:
            self.send_response(307)
            self.send_header("Location", bucket.redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif bucket.error is not None:
            self._send(bucket.error[0], f"<Error><Code>{bucket.error[1]}</Code></Error>".encode())
        elif bucket.is_private and f"Credential={KEY}/" not in self.headers.get("Authorization", ""):
            self._send(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
        elif "list-type" in parts.query:
            self._send(200, self._listing(bucket, parse_qs(parts.query)))
        elif key in bucket.objects and bucket.is_dripping and self.command == "GET":
            self._drip(bucket.over)
        elif key in bucket.objects and not self._is_together(bucket):
            self._send(400, b"<Error><Code>Alone</Code></Error>")
        elif key in bucket.objects:
            self._send(200, bucket.objects[key])
        else:
            self._send(404, b"<Error><Code>NoSuchKey</Code><Message>no</Message></Error>")

    def _listing(self, bucket: Bucket, query: dict[str, list[str]]) -> bytes:
        prefix, after = (query.get(name, [""])[0] for name in ("prefix", "continuation-token"))
        keys = [one for one in sorted(bucket.objects) if one.startswith(prefix) and one > after]
        shown, rest = keys[: bucket.page_keys], keys[bucket.page_keys :]
        entries = "".join(
            f"<Contents><Key>{quote_plus(key, safe='/')}</Key><LastModified>{TIME}</LastModified>"
            f"<ETag>&quot;1&quot;</ETag><Size>{len(bucket.objects[key])}</Size></Contents>"
            for key in shown
        )
        more = f"<NextContinuationToken>{escape(shown[-1])}</NextContinuationToken>" if rest else ""
        return (
            f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><EncodingType>url</EncodingType>'
            f"<IsTruncated>{'true' if rest else 'false'}</IsTruncated>{entries}{more}</ListBucketResult>"
        ).encode()

    def _is_together(self, bucket: Bucket) -> bool:
        if bucket.together is None or self.command != "GET":
            return True
        try:
            bucket.together.wait(5)
        except threading.BrokenBarrierError:
            return False
        return True

    def _drip(self, over: threading.Event) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        with suppress(OSError):  # the client has had enough
            while not over.wait(0.05):
                self.wfile.write(b"x")
        self.close_connection = True

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("ETag", '"1"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the base class's name
        """Say nothing."""


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    bucket = Bucket(f"http://127.0.0.1:{server.server_port}/models")
    server.bucket = bucket  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield bucket
    bucket.over.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_files_and_folders_of_a_bucket(installation: Installation, bucket: Bucket) -> None:
    bucket.objects |= {"churn/custom.py": b"x", "churn/data/a.csv": b"a\n", "churner/no.py": b"", "top.txt": b"t"}
    remote = a_remote(installation.api, bucket.url, sourceType="s3")["id"]
    version = pulled(installation, remote, sourcePath=["churn", "top.txt"])
    assert {item["filePath"]: item["repositoryFilePath"] for item in version["items"]} == {
        "custom.py": "churn/custom.py",
        "data/a.csv": "churn/data/a.csv",
        "top.txt": "top.txt",
    }
    item = version["items"][0]
    assert (item["fileSource"], item["repositoryName"], item["commitSha"], item["ref"]) == ("s3", "models", None, None)
    assert len(pulled(installation, remote)["items"]) == 4
    below = a_remote(installation.api, f"{bucket.url}/churn", sourceType="s3")["id"]
    assert [one["filePath"] for one in pulled(installation, below)["items"]] == ["custom.py", "data/a.csv"]


def test_a_private_bucket_opens_with_its_keys_only(
    installation: Installation, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-server")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    bucket.is_private = True
    bucket.objects["custom.py"] = b"x"
    api = installation.api
    message = refused(installation, a_remote(api, bucket.url, sourceType="s3")["id"])
    assert "the login may not read it" in message
    assert set(bucket.asked) == {""}
    keys = {"awsAccessKeyId": KEY, "awsSecretAccessKey": "secret-of-mine"}
    credential = a_credential(api, "keys", credentialType="s3", **keys)["credentialId"]
    remote = a_remote(api, bucket.url, sourceType="s3", credentialId=credential)["id"]
    assert len(pulled(installation, remote)["items"]) == 1


def test_what_a_bucket_does_not_have(installation: Installation, bucket: Bucket) -> None:
    remote = a_remote(installation.api, bucket.url, sourceType="s3")["id"]
    assert "has no files" in refused(installation, remote)
    bucket.objects |= {"a.bin": b"0" * 100_001, "b.py": b""}
    assert "There is no 'nothing'" in refused(installation, remote, sourcePath="nothing")
    assert "'a.bin' (100001 bytes)" in refused(installation, remote)
    bucket.objects["../out.py"] = b"x"
    assert "cannot be" in refused(installation, remote)


def test_a_bucket_has_no_ref(an_installation: Callable[..., Installation]) -> None:
    api = an_installation().api
    remote = a_remote(api, "s3://models", sourceType="s3")["id"]
    with pytest.raises(AssertionError, match='"ref"'):
        start_pull(api, a_model(api)["id"], remote, ref="main")


def test_folders_as_consoles_make_them_are_no_files(installation: Installation, bucket: Bucket) -> None:
    bucket.objects |= {"churn/": b"", "churn/custom.py": b"x", "churn/data/": b""}
    remote = a_remote(installation.api, bucket.url, sourceType="s3")["id"]
    assert [one["filePath"] for one in pulled(installation, remote)["items"]] == ["churn/custom.py"]
    assert [one["filePath"] for one in pulled(installation, remote, sourcePath="churn")["items"]] == ["custom.py"]


def test_odd_keys_are_read_and_those_that_cannot_be_are_named(installation: Installation, bucket: Bucket) -> None:
    odd = ["a b.py", "é.py", "a%20b.py", "a+b.py", "a#b?c.py", "a&<b>.py", "~x"]
    bucket.objects |= {f"good/{key}": key.encode() for key in odd} | {"bad//x.py": b"", "bad/a\nb": b""}
    remote = a_remote(installation.api, bucket.url, sourceType="s3")["id"]
    version = pulled(installation, remote, sourcePath=["good", *(f"good/{key}" for key in odd)])
    assert [one["filePath"] for one in version["items"]] == sorted(odd)
    message = refused(installation, remote)
    assert "'bad//x.py' has an empty name" in message
    assert r"'bad/a\nb' holds a control character" in message


def test_a_bucket_of_many_pages(installation: Installation, bucket: Bucket) -> None:
    bucket.page_keys = 2
    bucket.objects |= {f"{number}.py": b"x" for number in range(5)}
    remote = a_remote(installation.api, bucket.url, sourceType="s3")["id"]
    assert len(pulled(installation, remote)["items"]) == 5


def test_a_bucket_that_redirects_leads_nowhere(installation: Installation, bucket: Bucket) -> None:
    other = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    other.server_close()
    bucket.redirect = f"http://127.0.0.1:{other.server_port}/models"
    remote = a_remote(installation.api, bucket.url, sourceType="s3")["id"]
    assert "redirects to another address, which is not followed" in refused(installation, remote)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ((403, "SignatureDoesNotMatch"), "the keys of the credential are wrong"),
        ((403, "AccessDenied"), "the login may not read it"),
        ((404, "NoSuchBucket"), "there is no such bucket"),
        ((400, "ExpiredToken"), "has expired"),
        ((503, "SlowDown"), "answers 503 SlowDown"),
    ],
)
def test_what_a_bucket_says_is_told(
    installation: Installation, bucket: Bucket, error: tuple[int, str], text: str
) -> None:
    bucket.error = error
    assert text in refused(installation, a_remote(installation.api, bucket.url, sourceType="s3")["id"])


def test_a_bucket_that_drips_is_given_up(an_installation: Callable[..., Installation], bucket: Bucket) -> None:
    installation = an_installation(allowed_private_hosts=("127.0.0.1",), pull_timeout_s=1)
    bucket.objects["custom.py"] = b"x" * 100_000
    bucket.is_dripping = True
    assert "takes too long" in refused(installation, a_remote(installation.api, bucket.url, sourceType="s3")["id"])


def test_a_pull_from_a_bucket_can_be_canceled(installation: Installation, bucket: Bucket) -> None:
    bucket.objects["custom.py"] = b"x" * 100_000
    bucket.is_dripping = True
    api = installation.api
    remote = a_remote(api, bucket.url, sourceType="s3")["id"]
    location = start_pull(api, a_model(api)["id"], remote)
    working = threading.Thread(target=installation.run_operations)
    working.start()
    wait_until(lambda: len(bucket.asked) > 1, what="the object to be asked for")
    with installation.application.database.write() as session:
        operations.request_cancel(session, location.split("/")[-2])
    working.join(10)
    assert api.get(location).json()["status"] == "ABORTED"


def test_a_bucket_at_a_name_that_became_private(
    an_installation: Callable[..., Installation], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resolver is the one thing that is replaced: no public name of that kind is at hand."""
    installation = an_installation()
    remote = a_remote(installation.api, "https://minio.example.com/models", sourceType="s3")["id"]
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_options: found)
    assert "minio.example.com is private" in refused(installation, remote)


def test_requests_are_signed_as_amazon_shows_it() -> None:
    """The examples of "Authenticating Requests: Using the Authorization Header" in Amazon's documentation of S3."""
    keys = Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    headers = {
        "Host": "examplebucket.s3.amazonaws.com",
        "x-amz-content-sha256": hashlib.sha256(b"").hexdigest(),
    }
    for query, expected in (
        ("lifecycle=", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("max-keys=2&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ):
        signed = signature("GET", "/", query, headers, keys, "us-east-1", datetime(2013, 5, 24, tzinfo=UTC))
        assert signed["Authorization"].endswith(f"Signature={expected}")


def test_several_objects_are_read_at_once(installation: Installation, bucket: Bucket) -> None:
    bucket.together = threading.Barrier(4)
    bucket.objects |= {f"{number}.py": str(number).encode() for number in range(40)}
    remote = a_remote(installation.api, bucket.url, sourceType="s3")["id"]
    version = pulled(installation, remote)
    blobs = installation.application.parts.get(BlobStore)  # type: ignore[type-abstract]
    for item in version["items"]:
        assert blobs.read(item["storagePath"].rpartition("/")[2]).decode() == item["filePath"].removesuffix(".py")
