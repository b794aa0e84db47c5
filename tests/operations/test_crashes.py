"""Controllers that are killed: what they did is kept, what they did not finish is done by another."""

import signal
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from modelyard.operations.owners import is_dead, lease_owner
from modelyard.operations.work import Handler, LeaseLost, Work
from tests.operations.conftest import Workshop
from tests.operations.recorder import KIND, MAX_ATTEMPTS, STEPS
from tests.waiting import wait_until

Start = Callable[..., "subprocess.Popen[str]"]


def test_work_goes_on_at_the_last_finished_step(workshop: Workshop, an_engine_process: Start) -> None:
    for dying in range(1, STEPS + 1):
        operation = workshop.start(KIND, die_in=dying)
        assert an_engine_process().wait(20) == -signal.SIGKILL
        left = workshop.read(operation)
        assert (left.status, left.steps_done) == ("RUNNING", dying - 1)
        heir = an_engine_process()
        done = workshop.wait_for(operation, "COMPLETED")
        heir.terminate()
        assert heir.wait(20) == 0
        ran = [run.step for run in workshop.runs(operation)]
        assert ran == sorted([*range(1, STEPS + 1), dying])
        assert done.state == {"step1": 1, "step2": 2, "step3": 3}
        assert done.crashes == 0, "a finished step starts counting anew"


def test_a_controller_beside_takes_over_at_once(workshop: Workshop, an_engine_process: Start) -> None:
    engines = [an_engine_process(lease_s=600), an_engine_process(lease_s=600)]
    operation = workshop.start(KIND, hold_s=0.5)
    began = wait_until(lambda: workshop.runs(operation), what="the first step to begin")[0]
    first, second = sorted(engines, key=lambda engine: engine.pid != began.pid)
    first.kill()
    workshop.wait_for(operation, "COMPLETED", timeout_s=15)
    runs = workshop.runs(operation)
    assert [run.step for run in runs] == [1, 1, 2, 3]
    assert [run.pid for run in runs] == [first.pid, second.pid, second.pid, second.pid]
    assert runs[1].began - runs[0].began < 5, "nobody waits for the lease of a process that is known to be gone"


def test_what_kills_every_controller_is_given_up(workshop: Workshop, an_engine_process: Start) -> None:
    operation = workshop.start(KIND, die_always=True)
    for _ in range(MAX_ATTEMPTS):
        assert an_engine_process().wait(20) == -signal.SIGKILL
    survivor = an_engine_process()
    ended = workshop.wait_for(operation, "ERROR")
    assert f"{MAX_ATTEMPTS} controllers ended" in ended.message
    assert [run.step for run in workshop.runs(operation)] == [1] * MAX_ATTEMPTS + [0], "on_failure is the last"
    assert survivor.poll() is None


def test_a_controller_of_another_machine_is_waited_for_until_its_lease_ends(workshop: Workshop) -> None:
    began: list[datetime] = []
    handler = Handler("quick", (lambda _work: began.append(datetime.now(UTC)),))
    operation = workshop.start("quick")
    expires_at = datetime.now(UTC) + timedelta(seconds=1.5)
    workshop.change(operation, lease_owner="elsewhere/boot-1/77/88", lease_token="t" * 24, lease_expires_at=expires_at)
    with workshop.engine(handler):
        workshop.wait_for(operation, "COMPLETED")
    assert began[0] >= expires_at
    assert began[0] - expires_at < timedelta(seconds=2)


def test_a_stopped_controller_gives_its_work_back_when_its_thread_has_ended(
    workshop: Workshop, an_engine_process: Start
) -> None:
    engines = [an_engine_process(lease_s=600), an_engine_process(lease_s=600)]
    operation = workshop.start(KIND, hold_s=0.5)
    began = wait_until(lambda: workshop.runs(operation), what="the first step to begin")[0]
    first, second = sorted(engines, key=lambda engine: engine.pid != began.pid)
    first.terminate()
    assert first.wait(20) == 0
    workshop.wait_for(operation, "COMPLETED", timeout_s=15)
    runs = workshop.runs(operation)
    assert [run.step for run in runs] == [1, 1, 2, 3]
    assert {run.pid for run in runs[1:]} == {second.pid}
    assert workshop.read(operation).crashes == 0, "being stopped is no crash"


def test_two_engines_never_do_the_same_at_the_same_time(workshop: Workshop, an_engine_process: Start) -> None:
    engines = [an_engine_process(), an_engine_process()]
    operations = [workshop.start(KIND, waits=number % 2, hold_s=0.002) for number in range(200)]
    for operation in operations:
        workshop.wait_for(operation, "COMPLETED", timeout_s=90)
    by_operation: dict[str, list[tuple[float, float, int, int]]] = {}
    for run in workshop.runs():
        assert run.ended is not None
        by_operation.setdefault(run.operation_id, []).append((run.began, run.ended, run.step, run.pid))
    for number, operation in enumerate(operations):
        runs = by_operation[operation]
        assert [step for _, _, step, _ in runs] == ([1, 1, 2, 2, 3, 3] if number % 2 else [1, 2, 3])
        assert all(before[1] <= after[0] for before, after in pairwise(runs)), runs
    shares = [sum(run[3] == engine.pid for runs in by_operation.values() for run in runs) for engine in engines]
    assert min(shares) > 0, shares


def test_nothing_is_written_back_without_the_lease(workshop: Workshop) -> None:
    lost: list[bool] = []

    def robbed(work: Work) -> dict[str, str]:
        workshop.change(work.id, lease_token="another controller's", lease_owner="elsewhere/x/1/1")
        try:
            work.say("still here")
        except LeaseLost:
            lost.append(work.lost)
        return {"mine": "yes"}

    operation = workshop.start("robbed")
    workshop.run_once(Handler("robbed", (robbed,)))
    row = workshop.read(operation)
    assert lost == [True]
    assert (row.status, row.steps_done, row.state, row.message) == ("RUNNING", 0, {}, "")


def test_a_lease_that_could_not_be_extended_is_lost_without_asking_anybody(workshop: Workshop) -> None:
    seen: list[bool] = []

    def late(work: Work) -> None:
        work.hold_until(0.0)
        seen.append(work.cancelled())
        work.checkpoint()

    operation = workshop.start("late")
    workshop.run_once(Handler("late", (late,)))
    assert seen == [True]
    assert workshop.read(operation).steps_done == 0


def test_owners_are_told_apart() -> None:
    me = lease_owner()
    host, machine, pid, ticks = me.rsplit("/", 3)
    assert not is_dead(me)
    assert is_dead(f"{host}/{machine}/{pid}/{int(ticks) + 1}"), "the number was given to a new process"
    assert not is_dead(f"{host}/elsewhere/{pid}/1"), "a container with the same host name cannot be looked into"
    assert not is_dead("gone/1/1.00")
    gone = subprocess.Popen(["true"])
    gone.poll()
    wait_until(lambda: is_dead(f"{host}/{machine}/{gone.pid}/1"), what="a process that ended but was not collected")
    gone.wait()
