"""Stopping, killing, losing: whatever ends first, nothing of a workload stays behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelyard.compute.executor import State
from modelyard.compute.supervisor.system import descendants
from modelyard.compute.workload import Limits
from tests.compute.workshop import Workshop
from tests.waiting import wait_until

GRACEFUL = (
    "import signal, sys, time\n"
    "def end(*_): print('goodbye'); sys.exit(5)\n"
    "signal.signal(signal.SIGTERM, end)\nprint('up')\ntime.sleep(60)"
)
STUBBORN = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up')\ntime.sleep(60)"
DAEMON = (
    "import os, sys, time\n"
    "if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    if os.fork() == 0:\n"
    "        print('daemon up')\n"
    "        os.execvp('sleep', ['sleep', '{mark}'])\n"
    "    os._exit(0)\n"
    "{then}"
)


@pytest.fixture(params=["workshop", "bare_workshop"])
def any_workshop(request: pytest.FixtureRequest) -> Workshop:
    """With a sandbox, and without."""
    shop: Workshop = request.getfixturevalue(request.param)
    return shop


def test_stop_lets_the_workload_say_goodbye(any_workshop: Workshop) -> None:
    workload_id = any_workshop.start(GRACEFUL)
    any_workshop.wait_for(workload_id, "up")
    any_workshop.executor.stop(workload_id)
    ended = any_workshop.wait(workload_id)
    assert (ended.exit_code, ended.reason) == (5, "stopped on request")
    assert "goodbye" in any_workshop.text(workload_id)


def test_stop_ends_by_force_what_does_not_listen(any_workshop: Workshop) -> None:
    workload_id = any_workshop.start(STUBBORN)
    any_workshop.wait_for(workload_id, "up")
    begun = time.monotonic()
    any_workshop.executor.stop(workload_id, 0.4)
    ended = any_workshop.wait(workload_id)
    assert (ended.exit_code, ended.reason) == (137, "stopped on request, by force: it did not end in time")
    assert 0.4 <= time.monotonic() - begun < 4


def test_impatient_second_stop_shortens_the_grace(any_workshop: Workshop) -> None:
    workload_id = any_workshop.start(STUBBORN)
    any_workshop.wait_for(workload_id, "up")
    any_workshop.executor.stop(workload_id, 50)
    any_workshop.executor.stop(workload_id, 0)
    assert any_workshop.wait(workload_id, 5).exit_code == 137


def test_stop_is_heard_from_another_process_and_from_a_file_alone(workshop: Workshop) -> None:
    first, second = workshop.start(GRACEFUL), workshop.start(GRACEFUL)
    for workload_id in (first, second):
        workshop.wait_for(workload_id, "up")
    supervisor_pid = workshop.executor.observe(first).supervisor_pid
    subprocess.run(["kill", "-TERM", str(supervisor_pid)], check=True)
    (workshop.executor.root / second / "stop").write_text(json.dumps({"grace_s": 3}), encoding="ascii")
    assert [workshop.wait(workload_id).exit_code for workload_id in (first, second)] == [5, 5]


def test_stop_of_what_is_absent_or_over_changes_nothing(workshop: Workshop) -> None:
    workshop.executor.stop("never-there")
    assert workshop.executor.ids() == []
    ended, _ = workshop.run("pass", id="over")
    workshop.executor.stop("over", 0)
    assert workshop.executor.observe("over") == ended


@pytest.mark.parametrize("then", ["sys.exit(0)", "time.sleep(60)"], ids=["ends itself", "is stopped"])
def test_daemon_dies_with_the_workload(any_workshop: Workshop, then: str) -> None:
    mark = str(10_000_000 + os.getpid() * 10 + len(then))
    begin = "import time\n" if then.startswith("sys") else ""
    ending = f"time.sleep(0.3); {then}" if begin else then
    workload_id = any_workshop.start(DAEMON.format(mark=mark, then=ending))
    wait_until(lambda: _is_running(mark) or not any_workshop.executor.observe(workload_id).is_alive)
    if not begin:
        assert _is_running(mark)
        any_workshop.executor.stop(workload_id, 1)
    ended = any_workshop.wait(workload_id)
    assert ended.state is State.EXITED
    assert not _is_running(mark)


def _is_running(mark: str) -> bool:
    return subprocess.run(["pgrep", "-f", f"^sleep {mark}"], capture_output=True, check=False).returncode == 0


def test_killed_supervisor_takes_its_sandbox_along(workshop: Workshop) -> None:
    workload_id = workshop.start(DAEMON.format(mark="20000001", then="time.sleep(60)"))
    workshop.wait_for(workload_id, "daemon up")
    supervisor_pid = workshop.executor.observe(workload_id).supervisor_pid
    assert supervisor_pid is not None
    below = descendants(supervisor_pid)
    assert len(below) >= 4
    os.kill(supervisor_pid, signal.SIGKILL)
    lost = workshop.wait(workload_id)
    assert (lost.state, lost.exit_code, lost.ended_at) == (State.LOST, None, None)
    assert lost.reason == "its supervisor was killed while it was running"
    wait_until(lambda: not any(_is_alive(pid) for pid in below), 3, "the sandbox to be gone")
    workshop.start("print('again')", id=workload_id)
    assert workshop.executor.observe(workload_id).state is State.LOST
    workshop.executor.remove(workload_id)
    assert workshop.executor.observe(workload_id).state is State.ABSENT


def test_remains_of_a_killed_supervisor_are_killed_without_a_sandbox(bare_workshop: Workshop) -> None:
    workload_id = bare_workshop.start(DAEMON.format(mark="20000002", then="time.sleep(60)"))
    bare_workshop.wait_for(workload_id, "daemon up")
    supervisor_pid = bare_workshop.executor.observe(workload_id).supervisor_pid
    assert supervisor_pid is not None
    below = descendants(supervisor_pid)
    os.kill(supervisor_pid, signal.SIGKILL)
    assert bare_workshop.wait(workload_id).state is State.LOST
    bare_workshop.executor.stop(workload_id)
    wait_until(lambda: not any(_is_alive(pid) for pid in below), 3, "the remains to be gone")


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def test_restart_of_the_machine_loses_what_ran(workshop: Workshop) -> None:
    workload_id = workshop.start("import time\nprint('up')\ntime.sleep(60)")
    workshop.wait_for(workload_id, "up")
    supervisor_pid = workshop.executor.observe(workload_id).supervisor_pid
    assert supervisor_pid is not None
    os.kill(supervisor_pid, signal.SIGKILL)
    workshop.wait(workload_id)
    path = workshop.executor.root / workload_id / "supervisor.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="ascii")) | {"boot_id": "another"}), encoding="ascii")
    assert workshop.executor.observe(workload_id).reason == "the machine was restarted while it was running"


def test_pid_that_was_given_to_another_is_left_alone(workshop: Workshop) -> None:
    """A stop must not signal whoever has the supervisor's pid now."""
    workload_id = workshop.start(GRACEFUL)
    workshop.wait_for(workload_id, "up")
    path = workshop.executor.root / workload_id / "supervisor.json"
    with subprocess.Popen(["sleep", "60"]) as stranger:
        written = json.loads(path.read_text(encoding="ascii"))
        path.write_text(json.dumps(written | {"pid": stranger.pid}), encoding="ascii")
        workshop.executor.stop(workload_id)
        assert workshop.wait(workload_id).exit_code == 5
        assert stranger.poll() is None
        stranger.kill()


def test_workload_outlives_a_server_that_is_killed(workshop: Workshop) -> None:
    server = (
        "import sys, time\nfrom pathlib import Path\n"
        "from modelyard.compute.isolation import probe\n"
        "from modelyard.compute.process_executor import ProcessExecutor\n"
        "from modelyard.compute.workload import Kind, Workload\n"
        "executor = ProcessExecutor(Path(sys.argv[1]), Path(sys.argv[2]), probe())\n"
        "executor.start(Workload(id='service', kind=Kind.SERVICE, command=('/bin/sh', '-c', 'echo up; sleep 60')))\n"
        "print('started', flush=True)\ntime.sleep(60)\n"
    )
    folders = [str(workshop.executor.root), str(workshop.executor.runtime_dir)]
    with subprocess.Popen([sys.executable, "-c", server, *folders], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        process.kill()
    workshop.wait_for("service", "up")
    assert workshop.executor.observe("service").state is State.RUNNING
    workshop.executor.stop("service", 1)
    assert workshop.wait("service").reason == "stopped on request"


def test_workload_whose_folder_is_deleted_ends(any_workshop: Workshop) -> None:
    workload_id = any_workshop.start(DAEMON.format(mark="20000003", then="time.sleep(60)"))
    any_workshop.wait_for(workload_id, "daemon up")
    supervisor_pid = any_workshop.executor.observe(workload_id).supervisor_pid
    assert supervisor_pid is not None
    below = descendants(supervisor_pid)
    shutil.rmtree(any_workshop.executor.root / workload_id)
    wait_until(lambda: not any(map(_is_alive, [supervisor_pid, *below])), 5, "everything to be gone")


def test_stop_that_comes_before_the_command_prevents_it(workshop: Workshop) -> None:
    workload_id = workshop.start("print('ran')\nimport time; time.sleep(60)", limits=Limits(grace_s=0.2))
    workshop.executor.stop(workload_id)
    ended = workshop.wait(workload_id)
    assert ended.reason is not None
    assert ended.reason.startswith("stopped")
