"""A version that changes one file of a thousand, and an upload of a gigabyte."""

import contextlib
import os
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path

from tests.journeys.story import PLAIN_PYTHON

from benchmarks.figures import Figure, Result, interleaved
from benchmarks.installation import Installation, an_installation
from benchmarks.memory import MIB, Growth
from benchmarks.requests import Client

FILES = 1000
FILE_BYTES = 2000
CHANGES = 40
UPLOAD_BYTES = 2**30
UPLOADS = 3


def measure() -> list[Result]:
    with an_installation() as installation, Client(installation.server.port, installation.token) as client:
        return [*_one_of_many(installation, client), *_large_upload(installation, client)]


def _one_of_many(installation: Installation, client: Client) -> list[Result]:
    path, fields = _versions(installation)
    files = [(f"package_{i // 50}/module_{i}.py", os.urandom(FILE_BYTES // 2).hex().encode()) for i in range(FILES)]
    first = client.send_form("POST", path, fields, files).json(201)
    assert len(first["items"]) == FILES

    def change() -> float:
        changed = os.urandom(FILE_BYTES // 2).hex().encode()
        answer = client.send_form("PATCH", path, fields, [(files[500][0], changed)])
        assert len(answer.json(201)["items"]) == FILES
        return answer.seconds * 1000

    with tempfile.TemporaryDirectory() as folder:
        repository = Repository(Path(folder), files)
        change()
        before = _stored_bytes(installation)
        took, git = interleaved(CHANGES, change, repository.change)
        stored = (_stored_bytes(installation) - before) / CHANGES
    return [
        Figure(f"a version that changes 1 of {FILES:,} files", took, "ms", 30, git, "git add and commit"),
        Figure("bytes that it stores", stored, "bytes", 5.0, FILE_BYTES, "the changed file", of_ratio=True),
    ]


def _versions(installation: Installation) -> tuple[str, dict[str, str]]:
    """Where versions of a new model are made, and the fields that each needs."""
    model_id = installation.story.a_model()["id"]
    fields = {"isMajorUpdate": "false", "baseEnvironmentId": installation.story.environment(PLAIN_PYTHON)}
    return f"/api/v2/customModels/{model_id}/versions/", fields


class Repository:
    """The same files under git."""

    def __init__(self, folder: Path, files: list[tuple[str, bytes]]) -> None:
        self._folder = folder
        self._changing = folder / files[500][0]
        for path, content in files:
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(content)
        self._git("init", "--quiet")
        self._git("add", ".")
        self._commit()

    def change(self) -> float:
        """The milliseconds of changing one file and committing it."""
        start = time.perf_counter()
        self._changing.write_bytes(os.urandom(FILE_BYTES // 2).hex().encode())
        self._git("add", str(self._changing))
        self._commit()
        return (time.perf_counter() - start) * 1000

    def _commit(self) -> None:
        self._git("-c", "user.name=Benchmark", "-c", "user.email=benchmark@invalid", "commit", "-qm", "Change")

    def _git(self, *words: str) -> None:
        subprocess.run(["git", "-C", str(self._folder), *words], check=True, capture_output=True)


def _stored_bytes(installation: Installation) -> int:
    """What the database's tables and the blobs hold together."""
    with contextlib.closing(sqlite3.connect(installation.database, timeout=10)) as connection:
        pages, free, page_bytes = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
    blobs = sum(file.stat().st_size for file in (installation.server.data_dir / "blobs").rglob("*") if file.is_file())
    return int((pages - free) * page_bytes + blobs)


def _large_upload(installation: Installation, client: Client) -> list[Result]:
    """A version with one large file; what the server does beside it, hashing, is the floor."""
    path, fields = _versions(installation)
    (api,) = installation.server.pids("api")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "large.bin"
        with file.open("wb") as content:
            for _ in range(UPLOAD_BYTES // MIB):
                content.write(os.urandom(MIB))

        def upload() -> float:
            with file.open("r+b") as content:
                content.write(os.urandom(64))  # what is there already would not be stored again
            answer = client.send_file("POST", path, fields, file)
            answer.json(201)
            return UPLOAD_BYTES / answer.seconds / MIB

        def checksum() -> float:
            start = time.perf_counter()
            subprocess.run(["sha256sum", str(file)], check=True, capture_output=True)
            return UPLOAD_BYTES / (time.perf_counter() - start) / MIB

        with Growth(api) as growth:
            rate, floor = interleaved(UPLOADS, upload, checksum)
    return [
        Figure("upload of 1 GiB", rate, "MiB/s", 0.5, floor, "sha256sum", at_least=True, of_ratio=True),
        Figure("memory of the API meanwhile", growth.bytes / MIB, "MiB more", 64),
    ]
