"""From a run to the workload of one attempt."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from modelyard.compute.bundles import Bundle, default_bundle, find_bundle
from modelyard.compute.workload import Kind, Limits, Network, OpenedVariables, Workload, with_opened
from modelyard.jobs.runs.programs import EVENT_FILE, OUTPUT_FOLDER, command
from modelyard.jobs.tables import CustomJobRun
from modelyard.jobs.views import parameters_of
from modelyard.kernel.settings import Settings
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces.parameter_variables import parameter_variables
from modelyard.workspaces.service import StoredFile

LABEL = "run"
NETWORKS = {"none": Network.DR_API_ACCESS, "public": Network.PUBLIC}
"""A job works through the API, so ``none`` reaches that, and nothing else."""
ENDPOINT = "http://{api}/api/v2"


def workload_of(
    settings: Settings,
    blobs: BlobStore,
    run: CustomJobRun,
    files: Sequence[StoredFile],
    image: Path,
    code: Path,
    token: str,
    opened: OpenedVariables,
) -> Workload:
    """The run's program with its parameters, its limits and a token of its own."""
    entry = next(file for file in files if file.path == run.entry_point_path)
    literals = parameter_variables(parameters_of(run)) | run.required_metadata
    if run.event is not None:
        literals["MODELYARD_EVENT"] = msgspec.json.encode(run.event).decode()
    workload = Workload(
        id=str(run.workload_id),
        kind=Kind.RUN,
        command=command(blobs, entry),
        image=image,
        code=code,
        environment={
            "DATAROBOT_ENDPOINT": ENDPOINT,
            "MODELYARD_ENDPOINT": ENDPOINT,
            "MODELYARD_CODE_DIR": "{code}",
            "MODELYARD_OUTPUT_DIR": "{work}/" + OUTPUT_FOLDER,
            "MODELYARD_EVENT_FILE": "{work}/" + EVENT_FILE,
            "MODELYARD_JOB_ID": run.job_id,
            "MODELYARD_RUN_ID": run.id,
        },
        literals=literals,
        secrets={"DATAROBOT_API_TOKEN": token, "MODELYARD_API_TOKEN": token},
        limits=_limits(settings, run),
        network=NETWORKS[run.egress_policy],
        api_address=settings.workloads_api_url().partition("://")[2],
        labels={LABEL: run.id},
    )
    return with_opened(workload, opened)


def _limits(settings: Settings, run: CustomJobRun) -> Limits:
    bundle = _bundle(settings, run.resource_bundle_id)
    limits = Limits(
        time_limit_s=run.timeout_s,
        processes=settings.max_processes,
        disk_bytes=settings.max_work_bytes,
        log_bytes=settings.max_log_bytes,
    )
    if bundle is None:
        return replace(limits, memory_bytes=settings.default_model_memory_bytes)
    return replace(limits, memory_bytes=bundle.memory_bytes, cpu_count=float(bundle.cpu_count))


def _bundle(settings: Settings, bundle_id: str | None) -> Bundle | None:
    """The run's bundle, or else the default one for jobs."""
    return find_bundle(settings, bundle_id) if bundle_id is not None else default_bundle(settings, "customJob")
