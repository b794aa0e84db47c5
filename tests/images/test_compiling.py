"""Compiling bytecode reads what strangers wrote: it happens in the sandbox, within limits."""

import importlib.util
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from modelyard.compute.isolation import Isolation
from modelyard.compute.process_executor import ProcessExecutor
from modelyard.compute.workload import MIB, Limits
from modelyard.environments.images import bytecode, commands, compile_program
from modelyard.environments.images.commands import Allowance
from modelyard.environments.images.errors import BuildError
from modelyard.environments.images.interpreter import this_interpreter
from modelyard.environments.images.runner_files import RunnerFiles
from modelyard.environments.images.sandboxed import SandboxRunner
from modelyard.environments.images.store import ImageStore
from modelyard.kernel.clock import SystemClock
from tests.images.conftest import a_spec, left_over, never
from tests.images.packages import PackageIndex

GREEDY = "x = [" + "[[], [[]], {}], " * 60_000 + "]\n"
"""A source of one megabyte whose syntax tree takes several hundred."""


class SpyingRunner(SandboxRunner):
    """Notes what runs in the sandbox."""

    def __init__(self, executor: ProcessExecutor, limits: Limits) -> None:
        super().__init__(executor, limits)
        self.packages: list[str] = []
        self.mounts: list[list[str]] = []

    def run(self, argv: Sequence[str], *, environment: Mapping[str, str], **options: Any) -> int:
        if compile_program.__file__ in argv:
            self.packages.append(argv[5])
            self.mounts.append([mount.path.name for mount in options["mounts"]])
        return super().run(argv, environment=environment, **options)


@pytest.fixture
def sandbox(tmp_path: Path, isolation: Isolation) -> Iterator[SpyingRunner]:
    if not isolation.is_sandboxed:
        pytest.skip(isolation.sandbox.why)
    executor = ProcessExecutor(tmp_path / "workloads", tmp_path / "run", isolation)
    yield SpyingRunner(executor, Limits(time_limit_s=60, memory_bytes=1024 * MIB))
    assert executor.ids() == []


@pytest.fixture
def a_store(tmp_path: Path, index: PackageIndex, bare_runner: RunnerFiles, sandbox: SpyingRunner) -> ImageStore:
    return ImageStore(
        tmp_path / "images",
        cache_dir=tmp_path / "cache",
        clock=SystemClock(),
        index_url=index.url,
        runner=bare_runner,
        sandbox=sandbox,
    )


def _compiled(image: Path, path: str) -> Path:
    return Path(importlib.util.cache_from_source(str(this_interpreter().site_packages(image) / path)))


def test_a_source_that_takes_too_much_memory_is_left_out(
    a_store: ImageStore, index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bytecode, "WORKER_MEMORY_BYTES", 128 * MIB)
    monkeypatch.setattr(bytecode, "MAX_WORKERS", 1)
    index.add_wheel("first", files={"first/__init__.py": "", "first/greedy.py": GREEDY, "first/other.py": "y = 1\n"})
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss

    image = a_store.build(a_spec("first"), tmp_path / "log", never)

    assert "first/greedy.py (it takes too much memory)" in (tmp_path / "log").read_text()
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss <= max(before, 200 * 1024)
    assert _compiled(image, "first/__init__.py").is_file()
    assert _compiled(image, "first/other.py").is_file()
    assert not _compiled(image, "first/greedy.py").exists()
    assert left_over(tmp_path / "images") == []


def test_each_package_is_compiled_in_a_sandbox_that_sees_nothing_else(
    a_store: ImageStore, sandbox: SpyingRunner, index: PackageIndex, tmp_path: Path
) -> None:
    index.add_wheel("first", files={"first/__init__.py": "x = 1\n"})
    index.add_wheel("second", files={"second.py": "x = 2\n"})

    image = a_store.build(a_spec("first\nsecond"), tmp_path / "log", never)

    assert sandbox.packages == ["first", "modelyard_runner", "second.py"]
    assert sandbox.mounts[0][1:] == ["first", this_interpreter().prefix.name, "compile_program.py"]
    assert _compiled(image, "first/__init__.py").is_file()
    assert _compiled(image, "second.py").is_file()


def test_what_was_compiled_serves_every_image_with_the_same_package(
    a_store: ImageStore, sandbox: SpyingRunner, index: PackageIndex, tmp_path: Path
) -> None:
    index.add_wheel("first", files={"first/__init__.py": "x = 1\n"})
    index.add_wheel("second")
    first = a_store.build(a_spec("first"), tmp_path / "log", never)
    sandbox.packages.clear()

    second = a_store.build(a_spec("first\nsecond"), tmp_path / "log", never)

    assert sandbox.packages == ["second.py"]
    assert os.path.samestat(_compiled(first, "first/__init__.py").stat(), _compiled(second, "first/__init__.py").stat())


def test_a_source_that_crashes_the_compiler_does_not_keep_the_others_from_it(tmp_path: Path) -> None:
    package, output = tmp_path / "package", tmp_path / "output"
    package.mkdir()
    output.mkdir()
    for name in ("a", "b", "c"):
        (package / f"{name}.py").write_text(f"name = {name!r}\n")
    crashing = (
        "import os, sys, modelyard.environments.images.compile_program as program\n"
        "write = program.write_bytecode\n"
        "def crash(source, output):\n    os.abort() if source.endswith('b.py') else write(source, output)\n"
        "program.write_bytecode = crash\n"
        "sys.exit(program.main(*sys.argv[1:4], 1, 1 << 30))"
    )

    ran = subprocess.run(
        [sys.executable, "-c", crashing, str(tmp_path), "package", str(output)], capture_output=True, check=False
    )

    assert ran.returncode == compile_program.INCOMPLETE
    assert b"package/b.py (the compiler crashed)" in ran.stdout
    assert len(list(output.iterdir())) == 2


@pytest.mark.parametrize("content", [b"", b"no bytecode", compile_program.header_of(b"another source") + b"x"])
def test_output_that_is_no_bytecode_of_the_source_is_not_kept(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "site" / "first").mkdir(parents=True)
    (tmp_path / "site" / "first" / "module.py").write_text("x = 1\n")
    package = bytecode._Package.of(tmp_path / "site", "first")
    (tmp_path / "output").mkdir()
    (tmp_path / "kept").mkdir()
    (digest,) = package.sources.values()
    (tmp_path / "output" / digest).write_bytes(content)

    package.take(tmp_path / "output", tmp_path / "kept")

    assert list((tmp_path / "kept").iterdir()) == []


def test_a_wheel_that_fills_the_disk_is_stopped_while_it_is_unpacked(
    index: PackageIndex, bare_runner: RunnerFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "MEASURE_EVERY_S", 0.01)
    index.add_wheel("first", files={f"first/part{number}.txt": "x" * 16 * MIB for number in range(20)})
    store = ImageStore(
        tmp_path / "images",
        cache_dir=tmp_path / "cache",
        clock=SystemClock(),
        index_url=index.url,
        runner=bare_runner,
        allowance=Allowance(memory_bytes=1024 * MIB, written_bytes=32 * MIB),
    )

    with pytest.raises(BuildError, match="they take more than 32 MiB of disk"):
        store.build(a_spec("first"), tmp_path / "log", never)

    assert left_over(tmp_path / "images") == []


def test_partial_downloads_are_collected_after_a_day(store: ImageStore, tmp_path: Path) -> None:
    old, new = tmp_path / "cache" / "uv" / "archive-v0" / ".tmpOld", tmp_path / "cache" / "uv" / ".tmpNew"
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "file").touch()
    os.utime(old, (1, 1))

    store.collect([])

    assert (old.exists(), new.exists()) == (False, True)
