"""The processes of the fits: forked, watched and ended. What a process tells comes as JSON lines through a pipe."""

import json
import os
import selectors
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelyard_runner.problems import describe
from modelyard_runner.tasks.faults import TaskError

Message = dict[str, Any]
LONGEST_WAIT_S = 0.2
"""How late an end is noticed whose pipe something that the process started still holds."""
ENDING_WAIT_S = 0.002


@dataclass(slots=True)
class Child:
    """A fit's process. `task` and `phase` are what it was last heard to do."""

    name: str
    process: int
    pipe: int
    received: bytearray = field(default_factory=bytearray)
    is_silent: bool = False
    task: int = 0
    phase: str = "fit"
    result: Message | None = None
    fault: str | None = None
    peak_memory_bytes: int = 0


def fork(name: str, work: Callable[[Callable[[Message], None]], Message]) -> Child:
    """Run `work` in a process of its own; it is given a function that tells something to this one."""
    sys.stdout.flush()
    sys.stderr.flush()
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        code = 1
        try:
            os.close(reader)
            code = _run(work, writer)
        finally:
            os._exit(code)
    os.close(writer)
    os.set_blocking(reader, False)
    with suppress(OSError):
        os.setpgid(process, process)
    return Child(name, process, reader)


def _run(work: Callable[[Callable[[Message], None]], Message], writer: int) -> int:
    with suppress(OSError):
        os.setpgid(0, 0)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    with suppress(OSError):
        # where memory runs out, this process goes, not the one that tells of it
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")

    def tell(message: Message) -> None:
        line = json.dumps(message).encode() + b"\n"
        while line:
            line = line[os.write(writer, line) :]

    try:
        result = work(tell)
        sys.stdout.flush()
        tell({"result": result})
    except TaskError as error:
        tell({"fault": error.message})
        return 1
    except BaseException as error:  # noqa: BLE001  told, whatever it is
        traceback.print_exc()
        tell({"fault": f"the training itself failed: {describe(error)}"})
        return 1
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
    return 0


class Children:
    """The processes that run. `hear` is called with each thing that one has done."""

    def __init__(self, hear: Callable[[Message], None]) -> None:
        self._hear = hear
        self._running: dict[int, Child] = {}
        self._pipes = selectors.DefaultSelector()

    def __len__(self) -> int:
        return len(self._running)

    def add(self, child: Child) -> None:
        """Watch one more."""
        self._running[child.process] = child
        self._pipes.register(child.pipe, selectors.EVENT_READ, child)

    def next_ended(self) -> list[Child]:
        """Wait until one or more have ended; each has a result or a fault."""
        while True:
            is_ending = any(child.is_silent for child in self._running.values())
            for key, _ in self._pipes.select(ENDING_WAIT_S if is_ending else LONGEST_WAIT_S):
                self._read(key.data)
            ended = [child for child in list(self._running.values()) if self._has_ended(child)]
            if ended:
                return ended

    def end_all(self) -> None:
        """End those that still run, and what they started."""
        for child in list(self._running.values()):
            _end_group(child.process)
            os.waitpid(child.process, 0)
            self._forget(child)
        self._pipes.close()

    def _has_ended(self, child: Child) -> bool:
        process, status, usage = os.wait4(child.process, os.WNOHANG)
        if process == 0:
            return False
        self._read(child)
        _end_group(child.process)
        self._forget(child)
        child.peak_memory_bytes = usage.ru_maxrss * 1024
        if child.result is None and child.fault is None:
            child.fault = _end_of(os.waitstatus_to_exitcode(status))
        return True

    def _forget(self, child: Child) -> None:
        del self._running[child.process]
        with suppress(KeyError):
            self._pipes.unregister(child.pipe)
        os.close(child.pipe)

    def _read(self, child: Child) -> None:
        while True:
            try:
                content = os.read(child.pipe, 65536)
            except BlockingIOError:
                break
            if not content:
                child.is_silent = True
                with suppress(KeyError):
                    self._pipes.unregister(child.pipe)
                break
            child.received += content
        *lines, rest = child.received.split(b"\n")
        child.received = bytearray(rest)
        for line in lines:
            # what a task itself wrote there is nothing to be told
            with suppress(ValueError, TypeError, KeyError, RecursionError):
                self._take(child, json.loads(line))

    def _take(self, child: Child, message: Message) -> None:
        if "begin" in message:
            task, phase = message["begin"]
            child.task, child.phase = int(task), str(phase)
        elif "done" in message:
            self._hear(message["done"])
        elif "fault" in message:
            child.fault = str(message["fault"])
        else:
            child.result = dict(message["result"])


def _end_group(process: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process, signal.SIGKILL)


def _end_of(code: int) -> str:
    if code == -signal.SIGKILL:
        return "the process was killed, most likely because it took more memory than it may"
    if code < 0:
        return f"the process was ended by the signal {signal.Signals(-code).name}"
    return f"the process ended by itself with the code {code}"
