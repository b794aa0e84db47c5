"""The server's disk is not filled to its end: who writes is stopped, and nothing new starts."""

from pathlib import Path

import pytest

from modelyard.compute import process_executor
from modelyard.compute.free_space import NoSpace
from modelyard.compute.process_executor import ProcessExecutor
from modelyard.compute.supervisor.usage import FreeSpace
from modelyard.compute.workload import MIB, Limits
from tests.compute.workshop import Workshop

WRITING = "import time\nwhile True:\n    open('f', 'ab').write(bytes(2**20))\n    time.sleep(0.05)"


def test_nothing_starts_while_too_little_space_is_free(workshop: Workshop) -> None:
    workshop.executor.min_free_bytes = 1 << 60
    with pytest.raises(NoSpace, match=r"waiting for disk space: .* MODELYARD_MIN_FREE_BYTES"):
        workshop.start("print('hello')")
    assert workshop.executor.ids() == []
    workshop.executor.min_free_bytes = 0
    assert workshop.run("print('hello')")[1] == "hello\n"


def test_what_writes_is_stopped_and_what_does_not_goes_on(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop.executor.min_free_bytes = 1 << 60
    monkeypatch.setattr(process_executor, "missing_space", lambda _folder, _min: None)  # there was enough a moment ago
    quiet = workshop.start("import sys, time\nprint('up', flush=True)\ntime.sleep(60)", limits=Limits(grace_s=0))
    workshop.wait_for(quiet, "up")
    ended, text = workshop.run(WRITING, limits=Limits(time_limit_s=25, grace_s=0))
    assert str(ended.reason).startswith("it was writing while only ")
    assert "(MODELYARD_MIN_FREE_BYTES)" in str(ended.reason)
    assert str(ended.reason) in text
    assert workshop.executor.observe(quiet).is_alive


def test_a_start_that_is_repeated_needs_no_space(workshop: Workshop) -> None:
    workload_id = workshop.start("import time\nprint('up', flush=True)\ntime.sleep(60)")
    workshop.wait_for(workload_id, "up")
    workload = workshop.executor.describe(workload_id)
    assert workload is not None
    workshop.executor.min_free_bytes = 1 << 60
    workshop.executor.start(workload)
    assert workshop.executor.observe(workload_id).is_alive


def test_slow_writing_adds_up(tmp_path: Path) -> None:
    free = FreeSpace([str(tmp_path)], 1 << 60)
    assert free.look(100 * 1024) is None
    assert [free.look(size * 100 * 1024) is None for size in (2, 5, 10)] == [True, True, True]
    assert free.look(11 * 100 * 1024) is not None


def test_what_was_written_in_better_times_is_accepted(tmp_path: Path) -> None:
    free = FreeSpace([str(tmp_path)], 0)
    assert free.look(500 * MIB) is None
    short = FreeSpace([str(tmp_path)], 1 << 60)
    short._accepted_bytes = free._accepted_bytes
    assert short.look(500 * MIB) is None
    assert short.look(502 * MIB) is not None


def test_the_setting_reaches_the_executor(tmp_path: Path, workshop: Workshop) -> None:
    executor = ProcessExecutor(tmp_path / "w", tmp_path / "r", workshop.executor.isolation, min_free_bytes=1 << 60)
    assert executor.missing_space() is not None
