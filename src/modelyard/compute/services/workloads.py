"""From a service's spec to a workload on this machine: the one place that knows both."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from modelyard.compute.services.service import ServiceSpec
from modelyard.compute.workload import Kind, Limits, Network, Workload


@dataclass(frozen=True)
class Materials:
    """Where the things that a spec names lie on this machine. Each raises ``ModelyardError`` when it cannot be had."""

    image: Callable[[str], Path]
    folder: Callable[[str], Path]


def workload_of(spec: ServiceSpec, workload_id: str, materials: Materials, labels: dict[str, str]) -> Workload:
    """One replica of ``spec``."""
    return Workload(
        id=workload_id,
        kind=Kind.SERVICE,
        command=tuple(spec.command),
        image=materials.image(spec.image_digest) if spec.image_digest else None,
        code=materials.folder(spec.workspace_id) if spec.workspace_id else None,
        environment=dict(spec.environment),
        literals=dict(spec.literals),
        limits=_limits(spec),
        network=Network(spec.network),
        api_address=spec.api_address,
        labels={**labels, **spec.labels},
    )


def _limits(spec: ServiceSpec) -> Limits:
    limits = Limits(memory_bytes=spec.memory_bytes, cpu_count=spec.cpu_count, processes=spec.processes)
    if spec.disk_bytes is not None:
        limits = replace(limits, disk_bytes=spec.disk_bytes)
    if spec.log_bytes is not None:
        limits = replace(limits, log_bytes=spec.log_bytes)
    return limits
