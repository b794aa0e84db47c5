"""From a version of a custom model to the service that answers for it: used by deployments and by tests alike."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from sqlalchemy.orm import Session

from modelyard.compute.bundles import MODEL, default_bundle, find_bundle, require_givable
from modelyard.compute.isolation import require_enforceable
from modelyard.compute.services.service import ServiceSpec
from modelyard.compute.workload import Network
from modelyard.environments import service as environments
from modelyard.environments.builds import image_spec
from modelyard.environments.context import START_SCRIPT
from modelyard.environments.images.spec import ImageSpec
from modelyard.environments.tables import EnvironmentVersion
from modelyard.identity.roles import Permission
from modelyard.kernel.database import Database
from modelyard.kernel.errors import Invalid, invalid
from modelyard.kernel.problems import Problems
from modelyard.kernel.settings import Settings
from modelyard.models import service as models
from modelyard.models.rules import default_memory_bytes
from modelyard.models.tables import CustomModel, CustomModelVersion
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces import service as workspaces
from modelyard.workspaces.checkout import Checkouts
from modelyard.workspaces.packed import packed_code
from modelyard.workspaces.parameter_variables import credential_ids, missing_names, parameter_variables
from modelyard.workspaces.runtime_parameters import Definition, RuntimeParameterUnified, Value, merge, views
from modelyard.workspaces.tables import Workspace

NEEDS_MACHINES = (
    "high availability needs replicas on several machines, and this installation runs them on one: "
    "set requiresHa to false, or run Modelyard on a cluster"
)
NETWORKS = {"NONE": Network.NONE, "PUBLIC": Network.PUBLIC, "DR_API_ACCESS": Network.DR_API_ACCESS}


@dataclass(frozen=True)
class Association:
    """The column that names each row for later: copied to answers, asked for, or filled in where it is empty."""

    column: str
    is_required: bool
    generates: bool


@dataclass(frozen=True)
class Servable:
    """A version with everything that its service is made from."""

    model: CustomModel
    version: CustomModelVersion
    environment: EnvironmentVersion
    workspace: Workspace
    has_own_server: bool
    """Its files, or those of its environment, bring a ``start_server.sh``."""

    def folder(self) -> str:
        """What the service's code folder is made of: the environment's files below, the model's above (C.6)."""
        if self.environment.has_start_script and self.environment.workspace_id:
            return f"{self.environment.workspace_id}+{self.workspace.id}"
        return self.workspace.id

    def parameters(self, overrides: Iterable[Value] = ()) -> list[RuntimeParameterUnified]:
        """The runtime parameters with their values, those of a deployment on top of the version's."""
        definitions = msgspec.convert(self.version.parameter_definitions, list[Definition])
        values = merge(msgspec.convert(self.version.parameter_values, list[Value]), overrides)
        return views(definitions, values)


def load_servable(session: Session, version_id: str) -> Servable:
    """The version with what it stands on; its permissions were checked before.

    Raises ``Invalid`` for a version without an environment, or on one that is not built.
    """
    model, version = models.find_version(session, None, version_id, Permission.VIEW)
    if version.base_environment_id is None:
        raise Invalid(f"Version {version.label} of model {model.name!r} has no environment to run in.")
    environment = environments.find_version(
        session, None, version.base_environment_id, version.base_environment_version_id
    )
    return servable_on(session, version, environment)


def servable_on(session: Session, version: CustomModelVersion, environment: EnvironmentVersion) -> Servable:
    """The version on an environment version that need not be its own, as a test may ask."""
    model = session.get_one(CustomModel, version.model_id)
    workspace = session.get_one(Workspace, version.workspace_id)
    own = workspaces.find_file(session, workspace, START_SCRIPT) is not None
    return Servable(model, version, environment, workspace, own or environment.has_start_script)


def image_of(session: Session, blobs: BlobStore, servable: Servable) -> ImageSpec:
    """What the image is made of: the environment's requirements and the model's own."""
    return image_spec(session, blobs, servable.environment, servable.workspace)


def packed_note(session: Session, blobs: BlobStore, servable: Servable) -> str | None:
    """What to tell of a version whose code is packed in an archive, where it is not found."""
    return packed_code(blobs, workspaces.files_in(session, servable.workspace))


def batching_allowed(session: Session, version_id: str) -> bool:
    """Whether rows of different requests may be scored together: a side-effects test showed them independent."""
    return bool(session.get_one(CustomModelVersion, version_id).side_effects_passed)


def replica_count(servable: Servable) -> int:
    """How many replicas the version, or else its model, wants."""
    return servable.version.replicas or servable.model.replicas or 1


def require_resources(settings: Settings, servable: Servable, bundle_id: str | None = None) -> None:
    """Raise ``Invalid`` for what the version, or else its model, needs and this installation cannot give.

    ``bundle_id`` takes the place of the version's.
    """
    problems = Problems()
    with problems.collecting():
        require_givable(settings, bundle_id or servable.version.resource_bundle_id)
    with problems.collecting():
        require_machines(servable)
    problems.raise_all()


def require_machines(servable: Servable, requires_ha: bool | None = None) -> None:
    """Raise ``Invalid`` where replicas on several machines are wanted: by ``requires_ha``, the version or the model."""
    said = (requires_ha, servable.version.requires_ha, servable.model.requires_ha)
    if next((one for one in said if one is not None), False):
        raise invalid(requiresHa=NEEDS_MACHINES)


def service_spec(
    settings: Settings,
    servable: Servable,
    image_digest: str,
    *,
    parameters: Sequence[RuntimeParameterUnified],
    acts_for: str,
    deployment_id: str | None = None,
    threshold: float | None = None,
    batches: bool = False,
    association: Association | None = None,
    memory_bytes: int | None = None,
    bundle_id: str | None = None,
    network_policy: str | None = None,
    requires_ha: bool | None = None,
) -> ServiceSpec:
    """One replica of the version.

    ``acts_for`` is the user (an id) whose credentials the parameters name; they are opened when it is started.
    ``memory_bytes``, ``bundle_id``, ``network_policy`` and ``requires_ha`` take the place of what the version and its
    model say. Without any policy a model may reach nothing. Raises ``Invalid`` for parameters that must be set and are
    not, for a policy that nothing would enforce and for what this installation cannot give.
    """
    version, model = servable.version, servable.model
    named = {} if association is None else {"MODELYARD_ASSOCIATION_ID": association.column}
    named_bundle = bundle_id or (None if memory_bytes else version.resource_bundle_id)
    require_givable(settings, named_bundle)
    require_machines(servable, requires_ha)
    bundle = find_bundle(settings, named_bundle or "")
    chosen = network_policy or version.network_egress_policy or model.network_egress_policy
    policy = chosen or "NONE"
    if chosen:
        require_enforceable(settings.sandbox, NETWORKS[chosen], "networkEgressPolicy")
    memory = memory_bytes or (bundle.memory_bytes if bundle_id and bundle else None) or version.maximum_memory_bytes
    memory = memory or (bundle.memory_bytes if bundle else None) or model.maximum_memory_bytes
    bundle = bundle or default_bundle(settings, MODEL)
    return ServiceSpec(
        command=_command(settings, servable, threshold, association, batches=batches),
        image_digest=image_digest,
        workspace_id=servable.folder(),
        environment=_environment(settings, servable, deployment_id, policy),
        literals=_names(model) | named | parameter_variables(parameters) | (version.required_metadata or {}),
        credentials=credential_ids(parameters),
        acts_for=acts_for,
        memory_bytes=min(memory or default_memory_bytes(settings), settings.max_model_memory_bytes),
        cpu_count=float(bundle.cpu_count) if bundle else None,
        network=NETWORKS[policy].value,
        api_address=_api_address(settings) if policy == "DR_API_ACCESS" else None,
        processes=settings.max_processes,
        disk_bytes=settings.max_work_bytes,
        log_bytes=settings.max_log_bytes,
        start_timeout_s=settings.model_start_timeout_s,
        stuck_timeout_s=settings.model_stuck_timeout_s,
        labels={"model_id": version.id},
    )


def check_parameters(parameters: Iterable[RuntimeParameterUnified]) -> None:
    """Raises ``Invalid`` with every parameter that must be set before a deployment and is not."""
    missing = missing_names(parameters)
    if missing:
        text = f"these runtime parameters must have a value before the model is deployed: {', '.join(missing)}"
        raise Invalid(f"runtimeParameterValues: {text}", {"runtimeParameterValues": text})


def folders(database: Database, checkouts: Checkouts) -> Callable[[str], Path]:
    """Finds what ``Servable.folder`` names: workspaces joined by ``+``, the files of the later over the earlier."""

    def folder(names: str) -> Path:
        ids = names.split("+")
        with database.read() as session:
            found = workspaces.files_by_id(session, ids)
        return checkouts.path({file.path: file for one in ids for file in found[one]}.values())

    return folder


def _command(
    settings: Settings, servable: Servable, threshold: float | None, association: Association | None, *, batches: bool
) -> tuple[str, ...]:
    model = servable.model
    command = ["{image}/bin/python", "-m", "modelyard_runner", "serve"]
    command += ["--socket", "{run}/server.sock", "--failure-file", "{run}/failure.json", "--code", "{code}"]
    command += ["--target-type", model.target_type]
    command += [f"--max-body-bytes={settings.max_prediction_bytes}"]
    command += [f"--max-columns={settings.max_prediction_columns}"]
    if model.is_unstructured_model_kind:
        command.append("--unstructured")
    chosen = threshold if threshold is not None else model.prediction_threshold
    if chosen is not None:
        command.append(f"--threshold={chosen!r}")
    if association is not None and association.is_required:
        command.append("--require-association-id")
    if association is not None and association.generates:
        command.append("--generate-association-id")
    if servable.has_own_server:
        command.append("--upstream")
    elif batches and not is_unstructured(model):
        command += ["--batch", "on"]
    return tuple(command)


def _names(model: CustomModel) -> dict[str, str]:
    """What people named: taken as it is, never as a place for the executor to fill in."""
    names = {"MODELYARD_TARGET_NAME": model.target_name or ""}
    if model.positive_class_label is not None and model.negative_class_label is not None:
        names["MODELYARD_POSITIVE_CLASS_LABEL"] = model.positive_class_label
        names["MODELYARD_NEGATIVE_CLASS_LABEL"] = model.negative_class_label
    if model.class_labels:
        names["MODELYARD_CLASS_LABELS"] = json.dumps(model.class_labels)
    return names


def is_unstructured(model: CustomModel) -> bool:
    """Whether the model is sent bytes as they are, not rows."""
    return model.is_unstructured_model_kind or model.target_type == "Unstructured"


def _environment(settings: Settings, servable: Servable, deployment_id: str | None, policy: str) -> dict[str, str]:
    environment = {"MODELYARD_CUSTOM_MODEL_ID": servable.model.id}
    environment["MODELYARD_CUSTOM_MODEL_VERSION_ID"] = servable.version.id
    if deployment_id is not None:
        environment["MLOPS_DEPLOYMENT_ID"] = deployment_id
    if policy == "DR_API_ACCESS":
        environment["DATAROBOT_ENDPOINT"] = "http://{api}/api/v2"
    elif policy == "PUBLIC":
        environment["DATAROBOT_ENDPOINT"] = f"{settings.workloads_api_url()}/api/v2"
    return environment


def _api_address(settings: Settings) -> str:
    return settings.workloads_api_url().partition("://")[2]
