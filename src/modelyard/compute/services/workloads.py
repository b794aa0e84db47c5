"""From a service's spec to a workload on this machine: the one place that knows both."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from modelyard.compute.services.service import ServiceSpec
from modelyard.compute.supervisor.output import Masker
from modelyard.compute.workload import Kind, Limits, Network, OpenedVariables, Workload, with_opened
from modelyard.kernel.errors import ModelyardError

WITHHELD = "what it said is withheld, because its secrets cannot be masked any more"


@dataclass(frozen=True)
class Materials:
    """Where the things that a spec names lie on this machine. Each raises ``ModelyardError`` when it cannot be had.

    ``variables`` opens credentials (ids by the name of their variable) on behalf of a user (an id).
    """

    image: Callable[[str], Path]
    folder: Callable[[str], Path]
    variables: Callable[[str | None, Mapping[str, str]], OpenedVariables]


def workload_of(spec: ServiceSpec, workload_id: str, materials: Materials, labels: dict[str, str]) -> Workload:
    """One replica of ``spec``, with its secrets opened."""
    workload = Workload(
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
    return with_opened(workload, _opened(spec, materials)) if spec.credentials else workload


def without_secrets(text: str, spec: ServiceSpec | None, materials: Materials) -> str:
    """What the code of a replica said, fit to be shown: its secrets are masked as they are in its log."""
    if spec is None or not spec.credentials:
        return text
    try:
        opened = _opened(spec, materials)
    except ModelyardError:
        return WITHHELD
    masker = Masker([*opened.secrets.values(), *opened.masked])
    return masker.mask(text.encode("utf-8", "surrogateescape")).decode("utf-8", "replace")


def _opened(spec: ServiceSpec, materials: Materials) -> OpenedVariables:
    return materials.variables(spec.acts_for, spec.credentials)


def _limits(spec: ServiceSpec) -> Limits:
    limits = Limits(memory_bytes=spec.memory_bytes, cpu_count=spec.cpu_count, processes=spec.processes)
    if spec.disk_bytes is not None:
        limits = replace(limits, disk_bytes=spec.disk_bytes)
    if spec.log_bytes is not None:
        limits = replace(limits, log_bytes=spec.log_bytes)
    return limits
