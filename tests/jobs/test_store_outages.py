"""The blob store away while runs execute, end and are canceled: each ends truthfully once it is back."""

from collections.abc import Iterator
from threading import Event

import pytest

from modelyard.kernel.outages import StoreOutage
from modelyard.operations import engine
from modelyard.storage.blobs import BlobWriter
from modelyard.storage.local_blobs import LocalBlobStore
from tests.jobs.builders import Workshop
from tests.waiting import wait_until

QUICK = """
import os
open(os.environ["MODELYARD_OUTPUT_DIR"] + "/result", "w").write("right")
print("done")
"""
SLOW = "import time\nprint('began', flush=True)\ntime.sleep(600)\n"


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How often something was to be written while the store was away, which it is as long as ``away`` is set."""
    monkeypatch.setattr(engine, "OUTAGE_PAUSE_S", 0.05)
    counted: list[int] = []
    write = LocalBlobStore.writer

    def writer(store: LocalBlobStore) -> BlobWriter:
        if away.is_set():
            counted.append(1)
            raise StoreOutage("connection refused")
        return write(store)

    monkeypatch.setattr(LocalBlobStore, "writer", writer)
    yield counted
    away.clear()


away = Event()


def test_runs_end_when_the_store_is_back(workshop: Workshop, tries: list[int]) -> None:
    slow = workshop.start(workshop.a_job(SLOW))
    workshop.await_log(slow, "began")
    job = workshop.a_job(QUICK)
    away.set()
    quick = workshop.start(job)
    assert workshop.cancel(slow).status_code == 204
    wait_until(lambda: len(tries) > 40, 60, "many tries to write down the ends")  # far more than an operation has
    assert {workshop.read(run)["status"] for run in (quick, slow)} == {"running", "canceling"}
    away.clear()
    ended = workshop.ended(quick)
    assert (ended["status"], ended["attempt"], workshop.artifacts(ended)) == ("succeeded", 1, {"result": b"right"})
    assert "done" in workshop.log(ended)
    ended = workshop.ended(slow)
    assert ended["status"] == "canceled"
    assert "began" in workshop.log(ended)
    workshop.await_nothing_left()


def test_uploads_are_answered_503(workshop: Workshop, tries: list[int]) -> None:
    away.set()
    answer = workshop.api.post("/datasets/fromFile/", files={"file": ("rows.csv", b"a\n1\n")})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "blob store cannot be used at the moment (connection refused)" in answer.json()["message"]
    assert tries
