"""What happens to runs while too little of the server's disk is free."""

import pytest

from modelyard.compute.process_executor import ProcessExecutor
from modelyard.environments import work as environment_work
from modelyard.jobs.runs import work as run_work
from tests.jobs.builders import Workshop
from tests.waiting import wait_until


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter pauses."""
    for module in (run_work, environment_work):
        monkeypatch.setattr(module, "SPACE_PAUSE_S", 0.1)


def test_a_run_waits_for_disk_space_and_starts_by_itself(workshop: Workshop) -> None:
    assert isinstance(workshop.executor, ProcessExecutor)
    job = workshop.a_job("print('hello')\n")
    workshop.executor.min_free_bytes = 1 << 60
    run = workshop.start(job)

    waiting = wait_until(
        lambda: found if (found := workshop.read(run))["waitingFor"] == "disk space" else None, 20, "the run to wait"
    )

    assert waiting["phase"] == "preparing"
    assert waiting["reason"].startswith("waiting for disk space: ")
    assert "MODELYARD_MIN_FREE_BYTES" in waiting["reason"]
    assert workshop.executor.ids() == []
    workshop.executor.min_free_bytes = 0
    ended = workshop.ended(run)
    assert (ended["status"], ended["reason"]) == ("succeeded", None)


def test_a_run_that_waits_can_be_canceled(workshop: Workshop) -> None:
    assert isinstance(workshop.executor, ProcessExecutor)
    job = workshop.a_job()
    workshop.executor.min_free_bytes = 1 << 60
    run = workshop.start(job)
    wait_until(lambda: workshop.read(run)["waitingFor"] == "disk space", 20, "the run to wait")
    workshop.cancel(run)
    assert workshop.ended(run)["status"] == "canceled"


def test_uploads_are_refused_meanwhile(shelf: Workshop) -> None:
    assert isinstance(shelf.executor, ProcessExecutor)
    shelf.executor.min_free_bytes = 1 << 60
    answer = shelf.api.post("/datasets/fromFile/", files=[("file", ("people.csv", b"a,b\n1,2\n"))])
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "60"
    assert "MODELYARD_MIN_FREE_BYTES" in answer.json()["message"]
    shelf.executor.min_free_bytes = 0
    assert shelf.api.post("/datasets/fromFile/", files=[("file", ("a.csv", b"a,b\n1,2\n"))]).status_code == 202
