"""Several builders and collectors at once, and builders that die."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from modelyard.environments.images.errors import BuildCancelledError
from modelyard.environments.images.file_lock import FileLock
from modelyard.environments.images.runner_files import RunnerFiles
from modelyard.environments.images.store import ImageStore
from tests.images.conftest import a_spec, left_over, never
from tests.images.packages import PackageIndex
from tests.waiting import wait_until

PROJECT = Path(__file__).parents[2]


def a_slow_package(index: PackageIndex, gate: Path) -> Path:
    """Publish ``slow``, whose build waits for ``gate``; the file that tells how often it has begun."""
    begun = gate.with_name("begun")
    index.add_source(
        "slow",
        backend=f"import time\nwith open({str(begun)!r}, 'a') as file: file.write(f'{{os.getpid()}}\\n')\n"
        f"deadline = time.monotonic() + 60\n"
        f"while not os.path.exists({str(gate)!r}) and time.monotonic() < deadline: time.sleep(0.01)\n",
    )
    return begun


def a_builder(tmp_path: Path, index: PackageIndex, log: Path) -> subprocess.Popen[bytes]:
    """A process that builds ``slow``."""
    arguments = [str(tmp_path / "images"), str(tmp_path / "cache"), index.url, "slow", str(log)]
    command = [sys.executable, "-m", "tests.images.building", *arguments]
    return subprocess.Popen(command, cwd=PROJECT, env=os.environ | {"PYTHONPATH": str(PROJECT)})


def contains(file: Path, text: str) -> Callable[[], bool]:
    return lambda: file.exists() and text in file.read_text()


def test_two_builders_of_one_digest_build_once(store: ImageStore, index: PackageIndex, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    begun = a_slow_package(index, gate)
    logs = [tmp_path / "log1", tmp_path / "log2"]

    first = a_builder(tmp_path, index, logs[0])
    wait_until(begun.exists, what="the build to begin")
    second = a_builder(tmp_path, index, logs[1])
    wait_until(contains(logs[1], "waiting for it"), what="the second builder to wait")
    gate.touch()

    assert [first.wait(30), second.wait(30)] == [0, 0]
    assert len(begun.read_text().split()) == 1
    assert contains(logs[0], "Built in")()
    assert contains(logs[1], "is built already")()
    assert store.find(store.digest(a_spec("slow"))) is not None


def test_a_waiting_builder_can_be_cancelled(store: ImageStore, index: PackageIndex, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    begun = a_slow_package(index, gate)
    builder = a_builder(tmp_path, index, tmp_path / "log1")
    wait_until(begun.exists, what="the build to begin")

    with pytest.raises(BuildCancelledError):
        store.build(a_spec("slow"), tmp_path / "log2", contains(tmp_path / "log2", "waiting for it"))

    gate.touch()
    assert builder.wait(30) == 0


def test_a_killed_builder_leaves_nothing_after_collection(
    store: ImageStore, index: PackageIndex, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    begun = a_slow_package(index, gate)
    builder = a_builder(tmp_path, index, tmp_path / "log")
    wait_until(begun.exists, what="the build to begin")
    store.collect([])
    assert left_over(tmp_path / "images") != []  # a living builder keeps its folder

    builder.send_signal(signal.SIGKILL)
    builder.wait(10)
    store.collect([])
    assert left_over(tmp_path / "images") != []  # its installer still works there
    gate.touch()

    def is_clean() -> bool:
        store.collect([])
        return left_over(tmp_path / "images") == []

    wait_until(is_clean, what="an empty staging folder")
    assert store.find(store.digest(a_spec("slow"))) is None
    image = store.build(a_spec("slow"), tmp_path / "log", never)
    assert image.is_dir()


def test_images_that_nobody_refers_to_are_collected(store: ImageStore, index: PackageIndex, tmp_path: Path) -> None:
    index.add_wheel("first")
    index.add_wheel("second")
    kept, dropped = (store.build(a_spec(name), tmp_path / "log", never) for name in ("first", "second"))

    assert store.collect([kept.name]) == [dropped.name]

    assert store.find(kept.name) == kept
    assert store.find(dropped.name) is None
    assert sorted(path.name for path in (tmp_path / "images").iterdir() if path.name[0] != ".") == [kept.name]
    assert [path.name for path in (tmp_path / "images" / ".locks").iterdir()] == [kept.name]


def test_an_image_in_use_is_not_collected(store: ImageStore, index: PackageIndex, tmp_path: Path) -> None:
    index.add_wheel("first")
    image = store.build(a_spec("first"), tmp_path / "log", never)

    with store.hold(image.name) as held:
        assert held == image
        assert store.collect([]) == []
    assert store.collect([]) == [image.name]


class LaterClock:
    def __init__(self, ahead: timedelta) -> None:
        self._ahead = ahead

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead


def test_young_images_are_not_collected(
    store: ImageStore, index: PackageIndex, bare_runner: RunnerFiles, tmp_path: Path
) -> None:
    index.add_wheel("first")
    image = store.build(a_spec("first"), tmp_path / "log", never)
    in_an_hour = ImageStore(
        tmp_path / "images", cache_dir=tmp_path / "cache", clock=LaterClock(timedelta(hours=1)), runner=bare_runner
    )

    assert store.collect([], min_age_s=60) == []
    assert in_an_hour.collect([], min_age_s=60) == [image.name]


def test_bytecode_that_nobody_shares_is_collected_after_a_month(
    store: ImageStore, index: PackageIndex, bare_runner: RunnerFiles, tmp_path: Path
) -> None:
    index.add_wheel("first")
    store.build(a_spec("first"), tmp_path / "log", never)
    bytecode = tmp_path / "cache" / "bytecode"
    later = ImageStore(
        tmp_path / "images", cache_dir=tmp_path / "cache", clock=LaterClock(timedelta(days=31)), runner=bare_runner
    )

    store.collect([])
    assert any(path.is_file() for path in bytecode.rglob("*"))
    later.collect([])
    assert not any(path.is_file() for path in bytecode.rglob("*"))


def test_what_a_dead_collector_left_is_removed(store: ImageStore, tmp_path: Path) -> None:
    trash = tmp_path / "images" / ".staging" / "0123456789abcdef"
    (trash / "lib").mkdir(parents=True)
    (trash.with_suffix(".lock")).touch()
    (trash.with_name("fedcba9876543210")).mkdir()

    store.collect([])

    assert left_over(tmp_path / "images") == []


def test_a_lock_whose_file_was_removed_guards_nothing(tmp_path: Path) -> None:
    first, second, third = (FileLock(tmp_path / "lock") for _ in range(3))
    assert first.try_acquire()
    waiting = threading.Event()
    acquired: list[bool] = []

    def give_up() -> bool:
        waiting.set()
        return False

    thread = threading.Thread(target=lambda: acquired.append(second.acquire(give_up)))
    thread.start()
    assert waiting.wait(5)
    first.release(remove=True)
    thread.join(5)

    assert acquired == [True]
    assert not third.try_acquire()
    second.release()
