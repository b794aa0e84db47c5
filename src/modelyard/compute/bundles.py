"""Resource bundles: named amounts of CPU, memory and GPU that workloads are given (seed 004, ``ResourceBundles``).

The bundles are a setting, so they need no table. The built-in GPU bundles appear only where the installation says
that it has GPUs: a bundle that nothing can run would be a promise that a deployment breaks.
"""

from dataclasses import dataclass

from modelyard.kernel.errors import Invalid
from modelyard.kernel.settings import GIB, MIB, BundleSetting, Settings

USE_CASES = ("customApplication", "customJob", "customModel")


@dataclass(frozen=True)
class Bundle:
    """``memory_bytes`` is a limit, ``cpu_count`` a share of a busy machine; ``gpu_memory_bytes`` is of all its GPUs."""

    id: str
    name: str
    description: str
    cpu_count: int
    memory_bytes: int
    gpu_count: int = 0
    gpu_maker: str | None = None
    gpu_memory_bytes: int = 0
    use_cases: tuple[str, ...] = USE_CASES
    is_default: bool = False


_CPU = (
    ("nano", 1, 512 * MIB),
    ("micro", 1, 1 * GIB),
    ("small", 1, 2 * GIB),
    ("medium", 2, 4 * GIB),
    ("large", 4, 8 * GIB),
    ("xlarge", 8, 16 * GIB),
    ("2xlarge", 16, 32 * GIB),
)
_GPU = (("small", 1, 4, 16 * GIB), ("medium", 1, 8, 32 * GIB), ("large", 2, 16, 64 * GIB), ("xlarge", 4, 32, 128 * GIB))
_DEFAULT_ID = "cpu.small"


def bundles(settings: Settings) -> list[Bundle]:
    """The bundles of this installation: those of the setting, or else the built-in ones."""
    if settings.resource_bundles is not None:
        return [_from_setting(one) for one in settings.resource_bundles]
    return [*_cpu_bundles(), *_gpu_bundles(settings)]


def find_bundle(settings: Settings, bundle_id: str) -> Bundle | None:
    """The bundle of this id."""
    return next((bundle for bundle in bundles(settings) if bundle.id == bundle_id), None)


def usable_bundle(settings: Settings, bundle_id: str, use_case: str, field: str = "resourceBundleId") -> Bundle:
    """The bundle of this id, if it serves ``use_case``; raises ``Invalid`` on ``field`` naming those that do."""
    fitting = [bundle for bundle in bundles(settings) if use_case in bundle.use_cases]
    for bundle in fitting:
        if bundle.id == bundle_id:
            return bundle
    text = f"there is no resource bundle {bundle_id!r} for {use_case}; there are {', '.join(one.id for one in fitting)}"
    raise Invalid(f"{field}: {text}", {field: text})


def _cpu_bundles() -> list[Bundle]:
    return [
        Bundle(
            id=f"cpu.{size}",
            name=f"CPU {size}",
            description=f"{cpu_count} CPU | {_size(memory_bytes)} memory",
            cpu_count=cpu_count,
            memory_bytes=memory_bytes,
            is_default=f"cpu.{size}" == _DEFAULT_ID,
        )
        for size, cpu_count, memory_bytes in _CPU
    ]


def _gpu_bundles(settings: Settings) -> list[Bundle]:
    return [
        Bundle(
            id=f"gpu.{size}",
            name=f"GPU {size}",
            description=f"{gpu_count} GPU | {cpu_count} CPU | {_size(memory_bytes)} memory",
            cpu_count=cpu_count,
            memory_bytes=memory_bytes,
            gpu_count=gpu_count,
            gpu_maker=settings.gpu_maker,
            gpu_memory_bytes=gpu_count * settings.gpu_memory_bytes,
        )
        for size, gpu_count, cpu_count, memory_bytes in _GPU
        if gpu_count <= settings.gpu_count
    ]


def _from_setting(setting: BundleSetting) -> Bundle:
    return Bundle(
        id=setting.id,
        name=setting.name or setting.id,
        description=setting.description or f"{setting.cpu_count} CPU | {_size(setting.memory_bytes)} memory",
        cpu_count=setting.cpu_count,
        memory_bytes=setting.memory_bytes,
        gpu_count=setting.gpu_count,
        gpu_maker=setting.gpu_maker if setting.gpu_count else None,
        gpu_memory_bytes=setting.gpu_memory_bytes if setting.gpu_count else 0,
        use_cases=tuple(setting.use_cases),
        is_default=setting.is_default,
    )


def _size(size_bytes: int) -> str:
    return f"{size_bytes // GIB} GiB" if size_bytes % GIB == 0 else f"{size_bytes // MIB} MiB"
