"""What the engine promises to handlers and loops, on both databases."""

import itertools
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from modelyard.kernel.errors import NotFound, Unavailable
from modelyard.kernel.outages import StoreOutage
from modelyard.operations import engine as engine_module
from modelyard.operations import leases
from modelyard.operations.engine import Loop
from modelyard.operations.owners import lease_owner
from modelyard.operations.work import Cancelled, Handler, OperationFailed, Waiting, Work
from tests.operations.conftest import Workshop
from tests.waiting import wait_until


def until_cancelled(work: Work) -> None:
    while True:
        work.checkpoint()
        work.pause(0.01)


def a_raiser(error: Exception) -> Callable[[Work], None]:
    def step(_work: Work) -> None:
        raise error

    return step


def test_steps_add_up_and_the_last_names_the_result(workshop: Workshop) -> None:
    def first(work: Work) -> dict[str, Any]:
        work.say("half way", "counting")
        return {"count": work.payload["start"] + 1}

    def second(work: Work) -> dict[str, Any]:
        return {"count": work.state["count"] + 1, "result_path": "/things/1/"}

    operation = workshop.start("count", start=40)
    with workshop.engine(Handler("count", (first, second))):
        done = workshop.wait_for(operation, "COMPLETED")
    assert done.state["count"] == 42
    assert (done.result_path, done.message, done.description) == ("/things/1/", "", "counting")
    assert (done.lease_owner, done.lease_token, done.lease_expires_at) == (None, None, None)
    assert done.started_at is not None


def test_a_claim_follows_its_commit_at_once(workshop: Workshop) -> None:
    claimed: dict[str, float] = {}
    handler = Handler("timed", (lambda work: claimed.__setitem__(work.id, time.monotonic()),))
    delays_s = []
    with workshop.engine(handler):
        workshop.wait_for(workshop.start("timed"), "COMPLETED")
        for _ in range(20):
            operation = workshop.start("timed")
            committed = time.monotonic()
            workshop.wait_for(operation, "COMPLETED")
            delays_s.append(claimed[operation] - committed)
    median_s = statistics.median(delays_s)
    print(f"commit to claim: median {median_s * 1000:.0f} ms, longest {max(delays_s) * 1000:.0f} ms")
    assert median_s < 0.2


def test_a_canceled_operation_never_begins(workshop: Workshop) -> None:
    ended: list[str] = []
    operation = workshop.start("idle")
    workshop.cancel(operation)
    workshop.run_once(Handler("idle", (until_cancelled,), on_cancel=lambda work: ended.append(work.id)))
    row = workshop.wait_for(operation, "ABORTED")
    assert ended == [operation]
    assert row.message == "Canceled on request."


def test_cancel_reaches_a_step_that_runs(workshop: Workshop) -> None:
    ended: list[str] = []
    with workshop.engine(Handler("idle", (until_cancelled,), on_cancel=lambda work: ended.append(work.id))):
        operation = workshop.start("idle")
        wait_until(lambda: workshop.read(operation).status == "RUNNING", what="the step to begin")
        workshop.cancel(operation)
        workshop.wait_for(operation, "ABORTED", timeout_s=5)
    assert ended == [operation]


def test_cancel_does_not_wait_for_what_is_waited_for(workshop: Workshop) -> None:
    called = threading.Event()

    def wait_long(_work: Work) -> None:
        called.set()
        raise Waiting(3600)

    with workshop.engine(Handler("long", (wait_long,))):
        operation = workshop.start("long")
        wait_until(lambda: called.is_set() and workshop.read(operation).lease_token is None, what="it to wait")
        workshop.cancel(operation)
        workshop.wait_for(operation, "ABORTED", timeout_s=5)


def test_a_cancel_that_comes_while_a_step_decides_to_wait_is_not_missed(workshop: Workshop) -> None:
    def cancelled_just_now(work: Work) -> None:
        workshop.cancel(work.id)
        raise Waiting(3600)

    operation = workshop.start("late")
    workshop.run_once(Handler("late", (cancelled_just_now,)))
    assert workshop.read(operation).status == "ABORTED"


def test_a_finished_operation_stays_as_it_is(workshop: Workshop) -> None:
    operation = workshop.start("quick")
    workshop.run_once(Handler("quick", (lambda _work: None,)))
    workshop.cancel(operation)
    workshop.run_once(Handler("quick", (until_cancelled,)))
    row = workshop.read(operation)
    assert (row.status, row.cancel_requested_at) == ("COMPLETED", None)


def test_more_operations_wait_than_there_are_workers(workshop: Workshop) -> None:
    gate = threading.Event()

    def wait_for_gate(_work: Work) -> None:
        if not gate.is_set():
            raise Waiting(0.05)

    handlers = (Handler("gated", (wait_for_gate,)), Handler("quick", (lambda _work: None,)))
    waiting = [workshop.start("gated") for _ in range(10)]
    with workshop.engine(*handlers, workers=2):
        wait_until(lambda: all(workshop.read(one).started_at for one in waiting), what="all to have begun")
        workshop.wait_for(workshop.start("quick"), "COMPLETED", timeout_s=10)
        assert {workshop.read(one).status for one in waiting} == {"RUNNING"}
        gate.set()
        for operation in waiting:
            workshop.wait_for(operation, "COMPLETED")


def test_an_error_is_tried_again_later_and_then_given_up(workshop: Workshop) -> None:
    tried: list[float] = []
    failed: list[str] = []

    def fail(_work: Work) -> None:
        tried.append(time.monotonic())
        raise ZeroDivisionError("no way")

    operation = workshop.start("broken")
    with workshop.engine(
        Handler("broken", (fail,), on_failure=lambda _work, message: failed.append(message), max_attempts=2)
    ):
        row = workshop.wait_for(operation, "ERROR")
    assert len(tried) == 2
    assert tried[1] - tried[0] > 0.9, "there is a pause before the second try"
    assert row.message == "Failed 2 times; the last time: ZeroDivisionError: no way"
    assert failed == [row.message]
    assert row.code == 1


def test_an_error_that_passes_is_forgotten(workshop: Workshop) -> None:
    tried: list[int] = []

    def flaky(work: Work) -> None:
        tried.append(work.attempts)
        if len(tried) == 1:
            raise Unavailable("the store is away")

    operation = workshop.start("flaky")
    with workshop.engine(Handler("flaky", (flaky,), max_attempts=2)):
        row = workshop.wait_for(operation, "COMPLETED")
    assert tried == [0, 1]
    assert row.attempts == 0


def test_outages_are_waited_for_and_count_as_no_attempt(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "OUTAGE_PAUSE_S", 0.01)
    tried: list[int] = []

    def needing_blobs(work: Work) -> None:
        tried.append(work.attempts)
        if len(tried) <= 20:
            raise StoreOutage("connection refused")
        if len(tried) == 21:
            raise ZeroDivisionError

    operation = workshop.start("needing")
    with workshop.engine(Handler("needing", (needing_blobs,), max_attempts=3)):
        wait_until(lambda: "blob store cannot be used" in (workshop.read(operation).message or ""), 10, "the reason")
        row = workshop.wait_for(operation, "COMPLETED")
    assert tried == [0] * 21 + [1]
    assert row.message == ""


@pytest.mark.parametrize("wanted", ["ERROR", "ABORTED"])
def test_an_end_that_an_outage_prevents_comes_later(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    monkeypatch.setattr(engine_module, "OUTAGE_PAUSE_S", 0.01)
    tried: list[int] = []

    def end(_work: Work, *_: str) -> None:
        tried.append(1)
        if len(tried) <= 10:
            raise StoreOutage("connection refused")

    operation = workshop.start("ending")
    if wanted == "ABORTED":
        workshop.cancel(operation)
    with workshop.engine(
        Handler("ending", (a_raiser(OperationFailed("bad luck")),), on_failure=end, on_cancel=end, max_attempts=2)
    ):
        workshop.wait_for(operation, wanted)
    assert len(tried) == 11


def test_a_cancel_that_an_outage_prevents_is_tried_at_the_pace_of_outages(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engine_module, "OUTAGE_PAUSE_S", 0.4)
    tried: list[float] = []

    def end(_work: Work, *_: str) -> None:
        tried.append(time.monotonic())
        if len(tried) <= 3:
            raise StoreOutage("connection refused")

    operation = workshop.start("ending")
    workshop.cancel(operation)
    with workshop.engine(Handler("ending", (until_cancelled,), on_cancel=end)):
        workshop.wait_for(operation, "ABORTED")
    assert len(tried) == 4
    assert min(later - earlier for earlier, later in itertools.pairwise(tried)) >= 0.39
    lines = [record.message for record in caplog.records if operation in record.message]
    assert [line.partition(":")[0] for line in lines] == [
        f"operation {operation} (ending) waits",
        f"operation {operation} (ending) waits no longer",
    ]


def test_a_failure_says_why_at_once(workshop: Workshop) -> None:
    failed: list[str] = []
    handlers = [
        Handler(kind, (a_raiser(error),), on_failure=lambda _work, message: failed.append(message))
        for kind, error in {"told": OperationFailed("bad luck", code=7), "http": NotFound("no such thing")}.items()
    ]
    told, http = workshop.start("told"), workshop.start("http")
    workshop.run_once(*handlers)
    assert failed == ["bad luck", "no such thing"]
    assert [(workshop.read(one).message, workshop.read(one).code) for one in (told, http)] == [
        ("bad luck", 7),
        ("no such thing", 1),
    ]


def test_an_operation_ends_even_if_its_end_cannot_be_put_right(workshop: Workshop) -> None:
    def broken(_work: Work, *_: str) -> None:
        raise ZeroDivisionError

    operation, canceled = workshop.start("told"), workshop.start("told")
    workshop.cancel(canceled)
    workshop.run_once(Handler("told", (a_raiser(OperationFailed("bad luck")),), on_failure=broken, on_cancel=broken))
    assert (workshop.read(operation).status, workshop.read(operation).message) == ("ERROR", "bad luck")
    assert workshop.read(canceled).status == "ABORTED"


def test_a_step_may_call_its_own_work_off(workshop: Workshop) -> None:
    operation = workshop.start("off")
    workshop.run_once(Handler("off", (a_raiser(Cancelled("gone")),)))
    assert workshop.read(operation).status == "ABORTED"


def test_a_long_step_keeps_its_lease(workshop: Workshop) -> None:
    count: list[int] = []

    def long(work: Work) -> None:
        count.append(1)
        deadline = time.monotonic() + 2.5
        while time.monotonic() < deadline:
            work.checkpoint()
            work.pause(0.02)

    operation = workshop.start("long")
    with workshop.engine(Handler("long", (long,)), lease_s=1.0):
        workshop.wait_for(operation, "COMPLETED")
    assert (len(count), workshop.read(operation).crashes) == (1, 0)


def test_a_process_does_not_claim_what_it_still_works_on(workshop: Workshop) -> None:
    """After a sleep of the whole machine, say: its lease is over, but its thread goes on."""
    count: list[int] = []
    gate = threading.Event()

    def step(work: Work) -> None:
        count.append(1)
        workshop.change(work.id, lease_expires_at=work.created_at)
        gate.wait(10)

    operation = workshop.start("slept")
    with workshop.engine(Handler("slept", (step,)), Handler("quick", (lambda _work: None,))):
        wait_until(lambda: count, what="the step to begin")
        for _ in range(3):
            workshop.wait_for(workshop.start("quick"), "COMPLETED")
        gate.set()
        workshop.wait_for(operation, "COMPLETED")
    assert len(count) == 1


def test_a_loop_that_raises_goes_on(workshop: Workshop) -> None:
    rounds: list[float] = []

    def turn() -> float | None:
        rounds.append(time.monotonic())
        if len(rounds) == 1:
            raise ZeroDivisionError
        return 0.05

    with workshop.engine(loops=[Loop("shaky", turn, 60.0)]):
        wait_until(lambda: len(rounds) >= 4, what="four rounds")


def test_a_loop_is_woken_by_a_commit(workshop: Workshop) -> None:
    rounds: list[float] = []
    with workshop.engine(loops=[Loop("woken", lambda: rounds.append(time.monotonic()), 60.0)]):
        wait_until(lambda: rounds, what="the first round")
        for _ in range(3):
            rounds.clear()
            workshop.start("nobody's")
            wait_until(lambda: rounds, 2.0, "the loop to see the commit")


def test_a_database_that_hangs_up_is_only_an_interruption(workshop: Workshop) -> None:
    with workshop.engine(Handler("quick", (lambda _work: None,)), loops=[Loop("looks", lambda: None, 0.1)]):
        workshop.wait_for(workshop.start("quick"), "COMPLETED")
        if not workshop.database.is_sqlite:
            with workshop.database.write() as session:
                session.execute(
                    text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                         " AND datname = current_database()")
                )  # fmt: skip
        workshop.wait_for(workshop.start("quick"), "COMPLETED", timeout_s=10)


def test_of_several_one_holds_a_named_lease(workshop: Workshop) -> None:
    database = workshop.database
    assert leases.hold(database, "night", "elsewhere/x/1/1", 0.3)
    assert not leases.hold(database, "night", lease_owner(), 30)
    wait_until(lambda: leases.hold(database, "night", lease_owner(), 30), 5, "the lease to end")
    assert not leases.hold(database, "night", "elsewhere/x/1/1", 30)
    leases.give_back(database, lease_owner())
    assert leases.hold(database, "night", "elsewhere/x/1/1", 30)


def test_one_of_many_takes_a_new_lease(workshop: Workshop) -> None:
    start = threading.Barrier(8)
    won: list[str] = []

    def take(owner: str) -> None:
        start.wait()
        if leases.hold(workshop.database, "first", owner, 30):
            won.append(owner)

    threads = [threading.Thread(target=take, args=(f"elsewhere/x/{number}/1",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(won) == 1
