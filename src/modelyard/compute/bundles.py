"""Resource bundles: named amounts of CPU, memory and GPU that workloads are given (seed 004, ``ResourceBundles``).

The bundles are a setting, so they need no table. Of the built-in ones, those appear that fit into this machine, and
GPU bundles only where the installation says that it has GPUs: a bundle that nothing can run would be a promise that a
deployment breaks. A bundle with more memory than a model may have is none for models.
"""

from dataclasses import dataclass, replace

from modelyard.compute.machine import this_machine
from modelyard.kernel.errors import Invalid
from modelyard.kernel.settings import GIB, MIB, BundleSetting, Settings

MODEL = "customModel"
USE_CASES = ("customApplication", "customJob", MODEL)


@dataclass(frozen=True)
class Bundle:
    """``memory_bytes`` and ``cpu_count`` are limits; ``gpu_memory_bytes`` is of all its GPUs."""

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
    """The bundles to choose from: those of the setting, or else the built-in ones that fit into this machine."""
    if settings.resource_bundles is not None:
        return _all_bundles(settings)
    machine = this_machine()
    smallest = _CPU[0][0]
    return [
        one
        for one in _all_bundles(settings)
        if one.id == f"cpu.{smallest}" or machine.holds(one.cpu_count, one.memory_bytes)
    ]


def find_bundle(settings: Settings, bundle_id: str) -> Bundle | None:
    """The bundle of this id, also one that was chosen on a larger machine."""
    return next((bundle for bundle in _all_bundles(settings) if bundle.id == bundle_id), None)


def default_bundle(settings: Settings, use_case: str) -> Bundle | None:
    """The bundle of what names none."""
    return next((one for one in bundles(settings) if one.is_default and use_case in one.use_cases), None)


def require_givable(settings: Settings, bundle_id: str | None, field: str = "resourceBundleId") -> None:
    """Raise ``Invalid`` on ``field`` for a bundle that no workload can be given here: one with GPUs."""
    bundle = find_bundle(settings, bundle_id) if bundle_id else None
    if bundle is None or not bundle.gpu_count:
        return
    without = ", ".join(one.id for one in bundles(settings) if not one.gpu_count)
    text = (
        f"resource bundle {bundle.id!r} needs {bundle.gpu_count} GPU{'s' if bundle.gpu_count > 1 else ''}, which only "
        f"a cluster assigns: workloads on this machine are given none; choose one of {without}"
    )
    raise Invalid(f"{field}: {text}", {field: text})


def usable_bundle(settings: Settings, bundle_id: str, use_case: str, field: str = "resourceBundleId") -> Bundle:
    """The bundle of this id, if it serves ``use_case``; raises ``Invalid`` on ``field`` naming those that do."""
    fitting = [bundle for bundle in bundles(settings) if use_case in bundle.use_cases]
    for bundle in fitting:
        if bundle.id == bundle_id:
            return bundle
    text = f"there is no resource bundle {bundle_id!r} for {use_case}; there are {', '.join(one.id for one in fitting)}"
    found = find_bundle(settings, bundle_id)
    if use_case == MODEL and found is not None and found.memory_bytes > settings.max_model_memory_bytes:
        text += f" (it has {found.memory_bytes} bytes, a model may have {settings.max_model_memory_bytes})"
    raise Invalid(f"{field}: {text}", {field: text})


def _all_bundles(settings: Settings) -> list[Bundle]:
    if settings.resource_bundles is not None:
        found = [_from_setting(one) for one in settings.resource_bundles]
    else:
        found = [*_cpu_bundles(), *_gpu_bundles(settings)]
    return [_within(one, settings.max_model_memory_bytes) for one in found]


def _within(bundle: Bundle, max_model_bytes: int) -> Bundle:
    """The bundle, which serves no models if it has more memory than one may have."""
    if bundle.memory_bytes <= max_model_bytes:
        return bundle
    return replace(bundle, use_cases=tuple(one for one in bundle.use_cases if one != MODEL))


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
