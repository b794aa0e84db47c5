"""Pulling from a bucket: a small server that speaks as much of S3's protocol as listing and reading take."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

from tests.conftest import Installation
from tests.credentials.builders import a_credential
from tests.models.builders import a_model
from tests.repositories.builders import a_remote, pulled, refused, start_pull

KEY = "AKIAOFTHETESTS"
TIME = "2026-01-01T00:00:00.000Z"


@dataclass
class Bucket:
    url: str
    objects: dict[str, bytes] = field(default_factory=dict)
    is_private: bool = False
    asked: list[str] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        bucket: Bucket = self.server.bucket  # type: ignore[attr-defined]
        parts = urlsplit(self.path)
        bucket.asked.append(self.headers.get("Authorization", ""))
        key = unquote(parts.path).removeprefix("/models").lstrip("/")
        if bucket.is_private and f"Credential={KEY}/" not in self.headers.get("Authorization", ""):
            self._send(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
        elif "list-type" in parts.query:
            prefix = parse_qs(parts.query).get("prefix", [""])[0]
            found = [one for one in sorted(bucket.objects) if one.startswith(prefix)]
            self._send(200, self._listing(bucket, found))
        elif key in bucket.objects:
            self._send(200, bucket.objects[key])
        else:
            self._send(404, b"<Error><Code>NoSuchKey</Code><Message>no</Message></Error>")

    def _listing(self, bucket: Bucket, keys: list[str]) -> bytes:
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{TIME}</LastModified><ETag>&quot;1&quot;</ETag>"
            f"<Size>{len(bucket.objects[key])}</Size></Contents>"
            for key in keys
        )
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>".encode()

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
