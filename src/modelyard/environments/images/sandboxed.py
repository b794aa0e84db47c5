"""Running the commands of a build as workloads of an executor that isolates."""

import itertools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from modelyard.compute.ending import end_and_remove
from modelyard.compute.executor import Executor
from modelyard.compute.workload import Kind, Limits, Mount, Network, Workload
from modelyard.environments.images.commands import Cancelled, Folder, Log
from modelyard.environments.images.errors import BuildCancelledError, BuildError
from modelyard.kernel.errors import ModelyardError

POLL_S = 0.05
END_TIMEOUT_S = 30.0


class SandboxRunner:
    """Each command is a run of the executor: it sees its mounts and, with ``network``, the public internet.

    ``isolates`` is false where the executor runs without a sandbox, because that was asked for.
    """

    def __init__(self, executor: Executor, limits: Limits, *, isolates: bool = True) -> None:
        self.isolates = isolates
        self._executor = executor
        self._limits = limits
        self._numbers = itertools.count()

    def run(
        self,
        argv: Sequence[str],
        *,
        mounts: Sequence[Folder],
        environment: Mapping[str, str],
        network: bool,
        log: Log,
        cancelled: Cancelled,
    ) -> int:
        if cancelled():
            raise BuildCancelledError
        staging = next(mount.path for mount in mounts if mount.writable).parent
        workload = Workload(
            id=f"{_prefix(staging)}{next(self._numbers)}",
            kind=Kind.RUN,
            command=tuple(argv),
            mounts=tuple(
                Mount(mount.path, str(mount.path), mount.writable, counted=mount.writable) for mount in mounts
            ),
            environment=dict(environment),
            limits=self._limits,
            network=Network.PUBLIC if network else Network.NONE,
            labels={"purpose": "build"},
        )
        try:
            self._executor.start(workload)
        except ModelyardError as error:
            raise BuildError(f"The build could not be started: {error.message}") from error
        try:
            return self._follow(workload.id, log, cancelled)
        finally:
            end_and_remove(self._executor, workload.id, END_TIMEOUT_S)

    def stop_all(self, folder: Path) -> None:
        """End and delete the workloads of a builder that died."""
        for workload_id in self._executor.ids():
            if workload_id.startswith(_prefix(folder)):
                end_and_remove(self._executor, workload_id, END_TIMEOUT_S)

    def _follow(self, workload_id: str, log: Log, cancelled: Cancelled) -> int:
        offset = 0
        while True:
            observation = self._executor.observe(workload_id)
            offset = self._pass_on(workload_id, offset, log)
            if not observation.is_alive:
                break
            if cancelled():
                raise BuildCancelledError
            time.sleep(POLL_S)
        if observation.reason:
            log(f"The build was ended: {observation.reason}.")
        if observation.exit_code is None:
            raise BuildError(f"The sandbox of the build was lost ({observation.reason or 'it did not start'}).")
        return observation.exit_code

    def _pass_on(self, workload_id: str, offset: int, log: Log) -> int:
        while True:
            part = self._executor.logs(workload_id).part(offset, times=False)
            for line in part.data.decode(errors="replace").splitlines():
                log(line)
            if part.next_offset == offset:
                return offset
            offset = part.next_offset


def _prefix(staging: Path) -> str:
    """Ids name the staging folder, so that a collector finds the workloads of a builder that died."""
    return f"build-{staging.name}-"
