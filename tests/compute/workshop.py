"""Short builders for workloads that run Python code, and what the tests ask about them."""

import itertools
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelyard.compute.executor import Observation, State
from modelyard.compute.process_executor import ProcessExecutor
from modelyard.compute.workload import Kind, Workload
from tests.waiting import wait_until


@dataclass
class Workshop:
    """An executor with an image, and a folder for code."""

    executor: ProcessExecutor
    image: Path
    folder: Path
    _numbers: Any = field(default_factory=itertools.count)

    def new_id(self) -> str:
        """A short id that no other test process uses at the same time: what is left of a workload is found by it."""
        return f"w{os.getpid():x}-{next(self._numbers)}"

    def start(self, script: str, **options: Any) -> str:
        """Starts a script of Python as a run; returns its id."""
        workload_id = options.pop("id", None) or self.new_id()
        code = self.folder / workload_id
        code.mkdir(exist_ok=True)
        (code / "main.py").write_text(script, encoding="utf-8")
        command = ("{image}/bin/python", "{code}/main.py")
        self.executor.start(
            Workload(id=workload_id, kind=Kind.RUN, command=command, image=self.image, code=code, **options)
        )
        return workload_id

    def start_command(self, *command: str, **options: Any) -> str:
        """Starts any command, without an image or code."""
        workload_id = self.new_id()
        self.executor.start(Workload(id=workload_id, kind=Kind.RUN, command=command, **options))
        return workload_id

    def wait(self, workload_id: str, timeout_s: float = 30.0) -> Observation:
        """Waits until it has ended."""

        def ended() -> Observation | None:
            seen = self.executor.observe(workload_id)
            return None if seen.is_alive else seen

        return wait_until(ended, timeout_s, f"the end of {workload_id}: {self.text(workload_id)[-2000:]}")

    def wait_for(self, workload_id: str, text: str, timeout_s: float = 20.0) -> None:
        """Waits until it has printed the text."""
        wait_until(lambda: text in self.text(workload_id), timeout_s, f"{text!r} from {workload_id}")

    def run(self, script: str, **options: Any) -> tuple[Observation, str]:
        """Runs a script to its end; returns how it ended and what it printed."""
        workload_id = self.start(script, **options)
        return self.wait(workload_id), self.text(workload_id)

    def text(self, workload_id: str) -> str:
        """What it has printed, without times."""
        return self.executor.logs(workload_id).read(0, 1 << 30, times=False).decode()

    def clear(self) -> None:
        """Ends and removes everything, and checks that nothing stays."""
        for workload_id in self.executor.ids():
            self.executor.stop(workload_id, 0)
        for workload_id in self.executor.ids():
            assert self.wait(workload_id).state is not State.RUNNING
            self.executor.remove(workload_id)
        assert self.executor.ids() == []
        wait_until(lambda: not marked_processes(str(self.executor.root)), 5, "the supervisors to be gone")


def marked_processes(mark: str) -> list[str]:
    """The command lines of all processes of this machine that hold a text."""
    return [line for line in command_lines() if mark in line]


def command_lines() -> list[str]:
    """The command lines of all processes of this machine."""
    return [_read(path / "cmdline") for path in Path("/proc").iterdir() if path.name.isdigit()]


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace").replace("\0", " ")
    except OSError:
        return ""
