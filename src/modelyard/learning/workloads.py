"""The workload in which the runner trains a chain, or predicts with one."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from modelyard.compute.workload import Kind, Limits, Mount, Workload
from modelyard.kernel.settings import Settings
from modelyard.learning.chains import surroundings_of
from modelyard.learning.results import OUTPUT_FOLDER
from modelyard.learning.tables import LearningModel
from modelyard.operations.work import Work
from modelyard.workspaces.checkout import Checkouts
from modelyard.workspaces.service import StoredFile


def chain_workload(
    work: Work,
    workload_id: str,
    model: LearningModel,
    image: Path,
    files: Iterable[StoredFile],
    command: Sequence[str],
    mounted: Iterable[Path],
    labels: dict[str, str],
) -> Workload:
    """A command of the runner on the files of a chain; what is ``mounted`` has the same path inside, to be read."""
    settings = work.parts.get(Settings)
    output = "{work}/" + OUTPUT_FOLDER
    return Workload(
        id=workload_id,
        kind=Kind.RUN,
        command=("{image}/bin/python", "-m", "modelyard_runner", *command, "--output", output),
        image=image,
        code=work.parts.get(Checkouts).path(files),
        mounts=tuple(Mount(path, str(path)) for path in dict.fromkeys(mounted)),
        environment={
            "MODELYARD_CODE_DIR": "{code}",
            "MODELYARD_OUTPUT_DIR": output,
            "PYTHONHASHSEED": "0",  # or the order of a set would differ from time to time
        },
        literals=surroundings_of(model.tasks).variables(),
        limits=Limits(
            memory_bytes=model.memory_bytes,
            time_limit_s=settings.training_timeout_s,
            processes=settings.max_processes,
            file_bytes=settings.max_work_bytes,
            disk_bytes=settings.max_work_bytes,
            log_bytes=settings.max_log_bytes,
        ),
        labels=labels,
    )
