"""Files that a workload hides from whoever counts them: all of them count."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.compute.isolation import Isolation
from modelyard.compute.process_executor import ProcessExecutor
from modelyard.compute.supervisor import held_files
from modelyard.compute.supervisor.folder_sizes import measure_folder
from modelyard.compute.supervisor.held_files import HeldFiles
from modelyard.compute.supervisor.in_flight import QueuePeek
from modelyard.compute.supervisor.system import read_text
from modelyard.compute.supervisor.usage import DiskWatch
from modelyard.compute.workload import MIB
from tests.compute.hiding import (
    ATTACKS,
    DISK_LIMITS,
    MEASURED,
    MEMORY_ATTACKS,
    MEMORY_LIMITS,
    OUT_OF_MEMORY,
    OWN_TABLES,
    UNMEASURABLE,
    UNMEASURED,
)
from tests.compute.workshop import Workshop
from tests.waiting import wait_until

SO_PEEK_OFF = 42


@pytest.fixture(scope="module")
def endings(tmp_path_factory: pytest.TempPathFactory, isolation: Isolation, image: Path) -> Iterator[dict[str, str]]:
    """How each attack ended; all run at once."""
    if not isolation.is_sandboxed:
        pytest.skip(f"no sandbox here: {isolation.sandbox.why}")
    folder = tmp_path_factory.mktemp("hiding")
    shop = Workshop(ProcessExecutor(folder / "workloads", folder / "run", isolation), image, folder / "code")
    shop.folder.mkdir()
    started = {name: shop.start(script, limits=DISK_LIMITS) for name, script in (ATTACKS | UNMEASURABLE).items()}
    started |= {name: shop.start(script, limits=MEMORY_LIMITS) for name, script in MEMORY_ATTACKS.items()}
    yield {name: f"{shop.wait(one).reason}; {shop.text(one)}" for name, one in started.items()}
    shop.clear()


@pytest.mark.parametrize("name", ATTACKS)
def test_hidden_files_count_against_the_disk_limit(endings: dict[str, str], name: str) -> None:
    assert endings[name].startswith(MEASURED)


@pytest.mark.parametrize("name", UNMEASURABLE)
def test_what_cannot_be_counted_ends_the_workload(endings: dict[str, str], name: str) -> None:
    assert endings[name].startswith((UNMEASURED, MEASURED))  # counted where it was seen before


@pytest.mark.parametrize("name", MEMORY_ATTACKS)
def test_files_in_memory_count_against_the_memory_limit(endings: dict[str, str], name: str) -> None:
    assert endings[name].startswith(OUT_OF_MEMORY)


def test_queues_are_left_as_they_were() -> None:
    """Who waits for descriptors gets every one, and the offset at which the socket is peeked at stays."""
    seen: list[os.stat_result] = []
    sender, receiver = socket.socketpair()
    with sender, receiver, tempfile.TemporaryFile() as file:
        receiver.setsockopt(socket.SOL_SOCKET, SO_PEEK_OFF, 1)
        for _ in range(3):
            socket.send_fds(sender, [b"xy"], [file.fileno()])
        before = set(Path("/proc/self/fd").iterdir())
        peek = QueuePeek(seen.append)
        peek.look(receiver.fileno())
        assert (len(seen), {status.st_ino for status in seen}, peek.missed) == (
            3,
            {os.fstat(file.fileno()).st_ino},
            None,
        )
        assert set(Path("/proc/self/fd").iterdir()) == before
        assert receiver.getsockopt(socket.SOL_SOCKET, SO_PEEK_OFF) == 1
        assert os.get_blocking(receiver.fileno())
        assert receiver.recv(1, socket.MSG_PEEK) == b"y"
        for _ in range(3):
            data, descriptors, _, _ = socket.recv_fds(receiver, 2, 9)
            assert (data, len(descriptors)) == (b"xy", 1)
            os.close(descriptors[0])


def test_sockets_of_ordinary_programs_are_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring costs nothing for connections of the network, however many there are."""
    read: list[str] = []
    monkeypatch.setattr(held_files, "read_text", lambda path: read.append(path) or read_text(path))
    script = (
        "import socket, sys\ns = socket.create_server(('127.0.0.1', 0), backlog=99)\n"
        "held = [socket.create_connection(s.getsockname()) for _ in range(50)]\nprint('up', flush=True)\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        held = HeldFiles(os.getpid(), [])
        for expected in (51, 0):
            read.clear()
            held.measure(set())
            assert len([path for path in read if f"/{process.pid}/" in path and "/fdinfo/" in path]) == expected
        process.communicate()


@pytest.mark.parametrize("name", OWN_TABLES)
def test_threads_own_tables_are_measured(tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-c", OWN_TABLES[name]]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(2):
            assert process.stdout.readline() == b"hidden\n"
        held = HeldFiles(os.getpid(), [])
        held.measure({tmp_path.stat().st_dev})
        process.kill()
    assert sum(held.sizes.values()) >= 10 * MIB
    assert held.missed is None


@pytest.mark.parametrize("name", OWN_TABLES)
def test_threads_of_a_sandbox_have_no_tables_of_their_own(workshop: Workshop, name: str) -> None:
    workload_id = workshop.start(OWN_TABLES[name])
    workshop.wait_for(workload_id, "AssertionError")


def test_a_workload_that_cannot_be_measured_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that measures does not end silently."""

    def fail(_self: HeldFiles, _devices: set[int]) -> None:
        raise RuntimeError("for the test")

    monkeypatch.setattr(HeldFiles, "measure", fail)
    watch = DiskWatch([str(tmp_path)], [], MIB, 0, os.getpid(), watches_memory=False)
    verdict = wait_until(lambda: watch.verdict, 10, "the verdict")
    assert verdict == UNMEASURED + "RuntimeError: for the test"


def test_moved_folders_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A walk that could be led out of the folder, or past a part of it, says so."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "counted" / "inner").mkdir(parents=True)
    (tmp_path / "counted" / "file").write_bytes(bytes(10_000))
    assert measure_folder(str(tmp_path / "counted"), MIB) == (12288 + 4096, None)
    scandir = os.scandir

    def moving(fd: int) -> "os._ScandirIterator[str]":
        inner = tmp_path / "counted" / "inner"
        if inner.exists() and os.path.samestat(os.fstat(fd), inner.stat()):
            inner.rename(tmp_path / "outside" / "inner")
        return scandir(fd)

    monkeypatch.setattr(os, "scandir", moving)
    assert measure_folder(str(tmp_path / "counted"), MIB)[1] == "folders were moved while they were measured"
