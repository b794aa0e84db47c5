"""What a workload may use: over a limit it ends, and says why; the machine does not notice."""

import itertools
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard.compute.executor import Observation
from modelyard.compute.isolation import SUPERVISOR
from modelyard.compute.logs import LogFile
from modelyard.compute.supervisor.cgroups import make_groups
from modelyard.compute.supervisor.system import descendants
from modelyard.compute.workload import MIB, Limits
from tests.compute.workshop import Workshop

GROW = "held = []\nwhile True: held.append(bytearray(4 * 1024 * 1024)); held[-1][::4096] = b'x' * 1024\n"
FORK = "import os, time\ntry:\n    while True: os.fork()\nexcept OSError: time.sleep(60)\n"


@pytest.fixture
def no_groups(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Makes this machine one without control groups: the supervisor sees none where they are mounted."""
    monkeypatch.setattr("modelyard.compute.process_executor.SUPERVISOR", _blind_supervisor(tmp_path))


def _blind_supervisor(folder: Path) -> Path:
    """A copy of the supervisor that looks for control groups on a machine that has none mounted."""
    copy = folder / "blind" / "supervisor"
    shutil.copytree(SUPERVISOR, copy)
    source = (copy / "cgroups.py").read_text(encoding="utf-8")
    blind = source.replace('"/proc/self/mounts"', '"/dev/null"')
    assert blind != source
    (copy / "cgroups.py").write_text(blind, encoding="utf-8")
    return copy


def test_memory_bomb_is_ended_with_the_reason(workshop: Workshop) -> None:
    ended, text = workshop.run(GROW, limits=Limits(memory_bytes=96 * MIB))
    assert ended.reason == "memory limit of 96 MiB exceeded"
    assert ended.exit_code == 137
    assert ended.peak_memory_bytes is not None
    assert 96 * MIB <= ended.peak_memory_bytes < 200 * MIB
    assert "memory limit of 96 MiB exceeded" in text


def test_memory_of_children_counts(workshop: Workshop) -> None:
    script = (
        f"import os, time\nfor _ in range(3): os.fork()\nheld = bytearray(30 * {MIB})\n"
        "held[::4096] = b'x' * len(held[::4096])\ntime.sleep(60)"
    )
    ended, _ = workshop.run(script, limits=Limits(memory_bytes=128 * MIB))
    assert ended.reason == "memory limit of 128 MiB exceeded"


@pytest.mark.usefixtures("no_groups")
def test_memory_is_watched_where_the_kernel_does_not(workshop: Workshop) -> None:
    slow = "import time\n" + GROW.replace("held[-1]", "time.sleep(0.05); held[-1]")
    ended, _ = workshop.run(slow, limits=Limits(memory_bytes=96 * MIB))
    assert ended.reason == "memory limit of 96 MiB exceeded"


@pytest.mark.usefixtures("no_groups")
def test_processes_are_counted_where_the_kernel_does_not(bare_workshop: Workshop) -> None:
    script = "import os, time\nfor _ in range(40): os.fork() or time.sleep(60)\ntime.sleep(60)"
    ended, _ = bare_workshop.run(script, limits=Limits(processes=20))
    assert ended.reason == "limit of 20 processes exceeded"


def test_fork_bomb_stays_small(workshop: Workshop) -> None:
    workload_id = workshop.start(FORK, limits=Limits(processes=40, time_limit_s=1.5, grace_s=0))
    most = 0
    while (seen := workshop.executor.observe(workload_id)).is_alive:
        if seen.supervisor_pid is not None:
            most = max(most, len(descendants(seen.supervisor_pid)))
    assert 30 < most <= 40 + 6  # and those that make up the sandbox
    assert workshop.wait(workload_id).reason == "time limit of 1.5 s exceeded"


@pytest.mark.parametrize(
    "script",
    [
        "for n in range(10**6): open(f'f{n}', 'wb').write(bytes(2**20))",
        "import os\nf = open('f', 'wb'); os.unlink('f')\nwhile True: f.write(bytes(2**20)); f.flush()",
        "for n in range(10**6): open(f'f{n}', 'wb')",
        (
            "import os\nos.mkdir('d'); os.chdir('d'); os.chmod('.', 0o300)\n"
            "for n in range(10**6): open(f'f{n}', 'wb').write(bytes(2**20))"
        ),
        "for n in range(10**6): open(f'/run/modelyard/f{n}', 'wb').write(bytes(2**20))",
    ],
    ids=["many files", "a deleted file", "empty files", "a hidden folder", "the socket folder"],
)
def test_full_disk_is_prevented(workshop: Workshop, script: str) -> None:
    slow = script.replace("write(bytes", "write(time.sleep(0.005) or bytes").replace("'wb')", "'wb')", 1)
    ended, _ = workshop.run(f"import time\n{slow}", limits=Limits(disk_bytes=24 * MIB, time_limit_s=25))
    assert ended.reason == "disk limit of 24 MiB exceeded"


def test_one_file_has_a_limit(workshop: Workshop) -> None:
    _, text = workshop.run(
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "try: open('f', 'wb').write(bytes(9 * 2**20))\nexcept OSError as e: print(e.strerror)\n"
        "import resource; print(resource.getrlimit(resource.RLIMIT_CORE))",
        limits=Limits(file_bytes=4 * MIB),
    )
    assert text == "File too large\n(0, 0)\n"


def test_private_folders_are_limited(workshop: Workshop) -> None:
    _, text = workshop.run(
        "import os\nfor p in ('/tmp', '/dev/shm'):\n    s = os.statvfs(p); print(s.f_blocks * s.f_frsize)"
    )
    assert text == f"{1024 * MIB}\n{1024 * MIB}\n"


def test_time_limit_ends_a_hang(workshop: Workshop) -> None:
    begun = time.monotonic()
    ended, text = workshop.run(
        "import signal, time\nsignal.signal(signal.SIGTERM, lambda *_: print('asked'))\n"
        "print('up')\nwhile True: time.sleep(60)",
        limits=Limits(time_limit_s=0.6, grace_s=0.5),
    )
    assert ended.reason == "time limit of 0.6 s exceeded"
    assert ended.exit_code == 137
    assert "asked" in text
    assert 1.0 < time.monotonic() - begun < 5


def test_hundred_megabytes_of_output_neither_stall_nor_grow(workshop: Workshop) -> None:
    line = "0123456789" * 8
    workload_id = workshop.start(
        f"import sys\nblock = '{line}\\n' * 10000\nfor _ in range(124): sys.stdout.write(block)\nprint('the end')",
        limits=Limits(log_bytes=8 * MIB),
    )
    most = 0
    begun = time.monotonic()
    while (seen := workshop.executor.observe(workload_id)).is_alive:
        if seen.supervisor_pid is not None:
            most = max(most, _resident_bytes(seen.supervisor_pid))
    assert time.monotonic() - begun < 15
    assert 0 < most < 64 * MIB
    log = workshop.executor.logs(workload_id)
    assert log.size > 124 * 10000 * 81
    assert log.tail(1, times=False) == ["the end"]
    kept = log.size - log.first_offset
    assert 3 * MIB < kept <= 8 * MIB
    folder = workshop.executor.root / workload_id / "log"
    assert sum(path.stat().st_size for path in folder.iterdir()) == kept
    first, second, *_ = log.read(0, 1000, times=False).decode().splitlines()
    assert first == f"[modelyard] {log.first_offset} bytes of older output were dropped"
    assert second == line


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * 4096
    except OSError:
        return 0


def test_lines_without_end_and_bytes_without_sense_are_kept_readable(workshop: Workshop) -> None:
    _, text = workshop.run(
        "import sys\no = sys.stdout.buffer\no.write('é'.encode() * 100000 + b'\\n')\n"
        "o.write(b'bad \\xff\\xfe byte\\n')\n"
        "o.write(b'x' * 200000)"
    )
    lines = text.splitlines()
    assert [len(line.encode()) for line in lines[:4]] == [65536, 65536, 65536, 3392]
    assert set("".join(lines[:4])) == {"é"}
    assert lines[4] == "bad \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER} byte"
    assert "".join(lines[5:]) == "x" * 200000
    assert max(map(len, lines)) == 65536


def test_log_is_followed_over_the_borders_of_its_files(workshop: Workshop) -> None:
    workload_id = workshop.start(
        "import time\nfor n in range(3000):\n    print(n)\n    if n % 100 == 0: time.sleep(0.005)",
        limits=Limits(log_bytes=400_000),
    )
    seen = _follow(workshop.executor.logs(workload_id), lambda: workshop.executor.observe(workload_id))
    assert seen == [str(n) for n in range(3000)]
    assert workshop.executor.logs(workload_id).tail(3, times=False) == ["2997", "2998", "2999"]
    assert len(workshop.executor.logs(workload_id).tail(5000)) == 3000
    assert workshop.executor.logs(workload_id).tail(0) == []


def _follow(log: LogFile, observe: Callable[[], Observation]) -> list[str]:
    lines: list[str] = []
    offset = 0
    for _ in itertools.count():
        is_over = not observe().is_alive
        part = log.part(offset, 500, times=False)
        lines += part.data.decode().splitlines()
        if is_over and part.next_offset == offset:
            return lines
        offset = part.next_offset
    return lines


def test_groups_are_removed_with_the_workload(workshop: Workshop) -> None:
    groups = make_groups("modelyard-test-probe")
    groups.remove()
    if not groups.folders:
        pytest.skip("no control groups can be made here")
    limits = Limits(memory_bytes=64 * MIB, cpu_count=0.5)
    workload_id = workshop.start("import time\nprint('up')\ntime.sleep(60)", limits=limits)
    workshop.wait_for(workload_id, "up")
    supervisor = json.loads((workshop.executor.root / workload_id / "supervisor.json").read_text(encoding="ascii"))
    made = [Path(folder) for folder in supervisor["groups"]]
    assert {folder.parent for folder in made} == {Path(folder).parent for folder in groups.folders.values()}
    assert all(folder.is_dir() for folder in made)
    for folder in made:
        if (folder / "cpu.shares").exists():
            assert (folder / "cpu.shares").read_text(encoding="ascii").strip() == "512"
        if (folder / "cpu.cfs_quota_us").exists():
            assert (folder / "cpu.cfs_quota_us").read_text(encoding="ascii").strip() == "50000"
        if (folder / "cpu.max").exists():
            assert (folder / "cpu.max").read_text(encoding="ascii").split() == ["50000", "100000"]
    workshop.executor.stop(workload_id, 0)
    workshop.wait(workload_id)
    assert not any(folder.exists() for folder in made)


@pytest.mark.usefixtures("no_groups")
def test_without_groups_a_workload_is_bound_to_its_processors(workshop: Workshop) -> None:
    program = "import os\nprint(len(os.sched_getaffinity(0)))"
    there = len(os.sched_getaffinity(0))
    for cpu_count, bound in ((1.0, 1), (0.5, 1), (float(there + 1), there), (None, there)):
        ended, text = workshop.run(program, limits=Limits(cpu_count=cpu_count))
        assert (ended.exit_code, text.strip()) == (0, str(bound)), cpu_count
