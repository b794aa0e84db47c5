"""The one thread that loads and calls the model: user code is not assumed to be thread-safe.

Jobs wait in order. Those that carry the same `alike` key and arrived while the model was busy are scored together;
if that fails each is scored alone, so that one bad row does not hurt the others.
"""

import asyncio
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from queue import SimpleQueue
from typing import Any

from modelyard_runner.problems import LoadError, ModelFault, Refusal, describe
from modelyard_runner.wire.http_server import Request, Response
from modelyard_runner.wire.prediction_request import refused


class Job:
    """One request for the model.

    `run` answers it alone; jobs with an equal `alike` that is not None may be answered together. `started` and
    `timer` belong to the thread and to the event loop.
    """

    __slots__ = ("alike", "content", "request", "run", "started", "timer")

    def __init__(
        self, request: Request, run: Callable[[], Response], alike: Hashable = None, content: Any = None
    ) -> None:
        self.request = request
        self.run = run
        self.alike = alike
        self.content = content
        self.started = False
        self.timer: asyncio.TimerHandle | None = None


class ModelThread:
    """Runs `load` and then the jobs. `deliver` is called on the event loop with each finished job and its answer."""

    def __init__(
        self,
        load: Callable[[], None],
        run_together: Callable[[Sequence[Job]], list[Response]],
        deliver: Callable[[list[tuple[Job, Response]]], None],
        max_batch_rows: int,
    ) -> None:
        self._load = load
        self._run_together = run_together
        self._deliver = deliver
        self._max_batch_rows = max_batch_rows
        self._loop = asyncio.get_running_loop()
        self._arrived: SimpleQueue[Job] = SimpleQueue()
        self._waiting: deque[Job] = deque()
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self.loaded: asyncio.Future[None] = self._loop.create_future()

    def start(self) -> None:
        """Start loading; `loaded` gets the result."""
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Add a job."""
        self._arrived.put(job)

    def _run(self) -> None:
        try:
            self._load()
        except LoadError as error:
            self._loop.call_soon_threadsafe(self.loaded.set_exception, error)
            return
        except BaseException as error:  # noqa: BLE001  whatever the model's code raises, the loop hears of it
            traceback.print_exc()
            failure = LoadError(f"Loading the model failed: {describe(error)}")
            self._loop.call_soon_threadsafe(self.loaded.set_exception, failure)
            return
        self._loop.call_soon_threadsafe(self.loaded.set_result, None)
        while True:
            jobs = self._next_jobs()
            if not jobs:
                continue
            finished = self._answers(jobs)
            self._loop.call_soon_threadsafe(self._deliver, finished)

    def _next_jobs(self) -> list[Job]:
        """The oldest job, and those waiting that may be answered with it; without those nobody waits for."""
        waiting = self._waiting
        if not waiting:
            waiting.append(self._arrived.get())
        while not self._arrived.empty():
            waiting.append(self._arrived.get())
        first = waiting.popleft()
        chosen = [first]
        if first.alike is not None and waiting:
            others: deque[Job] = deque()
            for job in waiting:
                alike = len(chosen) < self._max_batch_rows and job.alike == first.alike
                (chosen if alike else others).append(job)
            self._waiting = others
        jobs = [job for job in chosen if not job.request.is_abandoned]
        for job in jobs:
            job.started = True
        return jobs

    def _answers(self, jobs: list[Job]) -> list[tuple[Job, Response]]:
        if len(jobs) > 1:
            try:
                return list(zip(jobs, self._run_together(jobs), strict=True))
            except BaseException:  # noqa: BLE001, S110  each job is run alone below and reports its own failure
                pass
        return [(job, _answer(job)) for job in jobs]


def _answer(job: Job) -> Response:
    try:
        return job.run()
    except Refusal as refusal:
        return refused(refusal)
    except BaseException as error:  # noqa: BLE001  a model that calls sys.exit() still serves the next request
        traceback.print_exc()
        return refused(ModelFault(f"The model failed: {describe(error)}"))


def seconds_since(start_s: float) -> float:
    """The time that has passed since a reading of `time.perf_counter()`."""
    return time.perf_counter() - start_s
