"""What deployments do in the background: bringing services up and down, collecting logs, erasing."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import delete
from sqlalchemy.orm import Session

from modelyard.compute.executor import Executor
from modelyard.compute.services.service import (
    ServiceStatus,
    put_service,
    revert_service,
    service_status,
    stop_service,
)
from modelyard.compute.services.tables import ServiceState
from modelyard.deployments import events, logs
from modelyard.deployments import operations as kinds
from modelyard.deployments.challengers import rows as challengers
from modelyard.deployments.service import release_model, remember_model, set_model
from modelyard.deployments.settings import DeploymentSettings, read_settings
from modelyard.deployments.tables import Deployment, DeploymentLog, DeploymentStatus, LogKind
from modelyard.deployments.views import KIND
from modelyard.environments.images.store import ImageStore
from modelyard.environments.work import ensure_image
from modelyard.events.service import forget_events
from modelyard.identity import audit
from modelyard.kernel.settings import Settings
from modelyard.models import usage
from modelyard.models.serving import (
    Association,
    Servable,
    batching_allowed,
    image_of,
    load_servable,
    packed_note,
    replica_count,
    service_spec,
)
from modelyard.models.usage import UserKind
from modelyard.monitoring.usage import forget_usage
from modelyard.operations import service as operations
from modelyard.operations.work import Handler, OperationFailed, Waiting, Work
from modelyard.registry.tables import ModelPackage
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces.runtime_parameters import Value

SERVICE_KIND = "deployment"
LOOK_AGAIN_S = 0.1
GONE = "The deployment was deleted."
STOPPED = "The deployment was stopped."
UNDER_WAY = frozenset({DeploymentStatus.LAUNCHING.value, DeploymentStatus.REPLACING_MODEL.value})


# bringing a service up: the steps of deploying, starting, replacing a model, and of changed parameters and settings


def make_image(work: Work) -> dict[str, Any] | None:
    """Has the image of the wanted package's version made, unless it is there."""
    if not _restarts(work):
        return None
    with work.unit() as session:
        row, package, servable = _wanted(session, work)
        logs.begin(session, work.id, row.id, LogKind.LAUNCH)
        logs.write(session, work.id, f"{package.name}: version {servable.version.label} of {servable.model.name}")
        blobs = work.parts.get(BlobStore)  # type: ignore[type-abstract]
        spec = image_of(session, blobs, servable)
        if note := packed_note(session, blobs, servable):
            logs.write(session, work.id, note)

    def say(text: str) -> None:
        work.say(text)
        _write(work, text)

    def keep(text: str) -> None:
        with work.unit() as session:
            logs.append(session, work.id, text)

    ensure_image(work, spec, say, keep)
    _write(work, "The environment is ready.")
    return {"image_digest": work.parts.get(ImageStore).digest(spec)}


def launch(work: Work) -> dict[str, Any] | None:
    """Asks for the service of the wanted package; what runs goes on until that is ready."""
    if not _restarts(work):
        return None
    settings = work.parts.get(Settings)
    with work.unit() as session:
        row, package, servable = _wanted(session, work)
        if row.launch_operation_id != work.id:
            chosen = read_settings(row.settings)
            spec = service_spec(
                settings,
                servable,
                work.state["image_digest"],
                parameters=servable.parameters(_parameter_values(row, work)),
                acts_for=work.payload.get("acts_for_id", row.acts_for_id),
                deployment_id=row.id,
                threshold=package.prediction_threshold,
                batches=chosen.prediction_batching.enabled and batching_allowed(session, servable.version.id),
                association=_association(chosen),
                bundle_id=chosen.predictions_settings.resource_bundle_id,
            )
            replicas = chosen.predictions_settings.replicas(replica_count(servable))
            row.launch_generation = put_service(session, row.id, SERVICE_KIND, spec, replicas)
            row.launch_operation_id = work.id
            logs.write(session, work.id, f"Starting {replicas} replica{'s' if replicas > 1 else ''}.")
        generation = row.launch_generation
    work.say("Starting the model.")
    return {"generation": generation}


def await_ready(work: Work) -> None:
    """Waits until the service answers with what was asked for."""
    if not _restarts(work):
        return
    with work.database.read() as session:
        _wanted_still(session, work)
        status = service_status(session, work.payload["deployment_id"])
    if status is None or status.generation != work.state["generation"]:
        raise OperationFailed("Another change of the deployment took the place of this one.")
    if status.state is ServiceState.FAILED:
        raise OperationFailed(f"The model could not be started: {status.reason or 'it gave no reason'}")
    if status.serving_generation != status.generation:
        raise Waiting(LOOK_AGAIN_S)


def finish(work: Work) -> None:
    """Tells that the wanted package answers now."""
    output = _output(work) if _restarts(work) else ""
    with work.unit() as session:
        if _restarts(work) and _is_finished(_living(session, work), work):
            return
        row, package, servable = _wanted(session, work)
        if not _restarts(work):
            return
        is_new = row.model_deployed_at is None
        before = session.get(ModelPackage, row.package_id)
        previous_id = row.package_id
        if work.kind != kinds.APPLY_SETTINGS:
            set_model(row, package, servable)
            remember_model(session, row)
            row.parameter_values = msgspec.to_builtins(_parameter_values(row, work))
            challengers.remove_package(session, row.id, package.id)
            row.acts_for_id = work.payload.get("acts_for_id", row.acts_for_id)
        if is_new or work.kind in {kinds.DEPLOY, kinds.REPLACE_MODEL}:
            row.model_deployed_at = datetime.now(UTC)
        if before is not None and before.id != package.id:
            release_model(session, row.id, before, kept_version_id=package.custom_model_version_id)
        row.status = DeploymentStatus.ACTIVE.value
        row.error = None
        logs.append(session, work.id, output)
        logs.write(session, work.id, "The deployment is active.")
        audit.record(session, None, "activate", KIND, row.id, {"packageId": package.id})
        if is_new:
            events.tell_created(session, row)
        elif work.kind == kinds.REPLACE_MODEL:
            events.tell_replaced(session, row, previous_id, work.payload.get("reason"))


def launch_failed(work: Work, message: str) -> None:
    """Puts back what answered before; where nothing did, the deployment is errored, with the reason."""
    if not _restarts(work):
        return
    output = _output(work)
    with work.unit() as session:
        row = session.get(Deployment, work.payload["deployment_id"], with_for_update=True)
        if row is None or row.deleted_at is not None:
            return
        logs.begin(session, work.id, row.id, LogKind.LAUNCH)
        logs.append(session, work.id, output)
        logs.write(session, work.id, f"Failed: {message}")
        audit.record(session, None, "fail", KIND, row.id, {"kind": work.kind, "message": message})
        _let_go_of_wanted(session, work, row)
        if row.status not in UNDER_WAY:
            return
        status = service_status(session, row.id)
        if status is not None and status.serving_generation is not None:
            if status.generation == row.launch_generation and row.launch_operation_id == work.id:
                revert_service(session, row.id)
            row.status = DeploymentStatus.ACTIVE.value
            row.error = None
            logs.write(session, work.id, "The deployment goes on with what it ran before.")
        else:
            row.status = DeploymentStatus.ERRORED.value
            row.error = message
            events.tell_errored(session, row, message)


def launch_canceled(work: Work) -> None:
    launch_failed(work, "The change was canceled.")


def _let_go_of_wanted(session: Session, work: Work, row: Deployment) -> None:
    package = session.get(ModelPackage, work.payload["package_id"])
    if work.kind == kinds.APPLY_SETTINGS:
        row.settings = work.payload["settings_before"]
    if work.kind == kinds.REPLACE_MODEL and package is not None and package.id != row.package_id:
        release_model(session, row.id, package, kept_version_id=row.custom_model_version_id)


def _restarts(work: Work) -> bool:
    """Whether replicas are started at all: settings that do not concern them are in force as they are."""
    return bool(work.payload.get("restarts", True))


def _wanted(session: Session, work: Work) -> tuple[Deployment, ModelPackage, Servable]:
    row = _wanted_still(session, work)
    package = session.get(ModelPackage, work.payload["package_id"])
    if package is None:
        raise OperationFailed("The model package was deleted.")
    return row, package, load_servable(session, package.custom_model_version_id)


def _wanted_still(session: Session, work: Work) -> Deployment:
    row = _living(session, work)
    if _restarts(work) and row.status not in UNDER_WAY:
        raise OperationFailed(STOPPED)
    return row


def _is_finished(row: Deployment, work: Work) -> bool:
    """Whether the last step was done by a controller that ended before it could note so."""
    return row.status == DeploymentStatus.ACTIVE.value and row.launch_operation_id == work.id


def _living(session: Session, work: Work) -> Deployment:
    row = session.get(Deployment, work.payload["deployment_id"])
    if row is None or row.deleted_at is not None:
        raise OperationFailed(GONE)
    return row


def _parameter_values(row: Deployment, work: Work) -> list[Value]:
    return msgspec.convert(work.payload.get("parameter_values", row.parameter_values), list[Value])


def _association(chosen: DeploymentSettings) -> Association | None:
    wanted = chosen.association_id
    if not wanted.column_names:
        return None
    return Association(wanted.column_names[0], wanted.required_in_prediction_requests, wanted.auto_generate_id)


def _output(work: Work) -> str:
    """What the replicas of this launch wrote."""
    generation = work.state.get("generation")
    if generation is None:
        return ""
    executor = work.parts.get(Executor)  # type: ignore[type-abstract]
    return logs.replica_output(work.database, executor, work.payload["deployment_id"], generation)


def _write(work: Work, text: str) -> None:
    with work.unit() as session:
        logs.write(session, work.id, text)


# bringing it down


def await_stopped(work: Work) -> None:
    """Waits until nothing runs any more."""
    with work.database.read() as session:
        _living(session, work)
        status = service_status(session, work.payload["deployment_id"])
    if not _has_stopped(status):
        raise Waiting(LOOK_AGAIN_S)
    with work.unit() as session:
        row = _living(session, work)
        row.status = DeploymentStatus.INACTIVE.value
        row.error = None


def stop_failed(work: Work, message: str) -> None:
    """A stop is never given up: the service stays unwanted, and the deployment says that it is being stopped."""
    with work.unit() as session:
        row = session.get(Deployment, work.payload["deployment_id"])
        if row is not None and row.deleted_at is None:
            stop_service(session, row.id)
            row.status = DeploymentStatus.INACTIVE.value
            row.error = message


def _has_stopped(status: ServiceStatus | None) -> bool:
    return status is None or status.state is ServiceState.STOPPED


# logs and erasing


def collect_logs(work: Work) -> None:
    """Keeps what the replicas wrote until now, as a log of its own."""
    deployment_id = work.payload["deployment_id"]
    executor = work.parts.get(Executor)  # type: ignore[type-abstract]
    output = logs.replica_output(work.database, executor, deployment_id)
    with work.unit() as session:
        _living(session, work)
        row = logs.begin(session, work.id, deployment_id, LogKind.RUNTIME)
        row.text = output


def erase(work: Work) -> None:
    """Drops everything that is kept of deleted deployments."""
    for deployment_id in work.payload["deployment_ids"]:
        with work.unit() as session:
            row = session.get(Deployment, deployment_id)
            if row is None or row.deleted_at is None:
                continue
            if operations.open_operations(session, deployment_id):
                raise Waiting(LOOK_AGAIN_S)  # what the deletion canceled comes to its end first
            operations.forget(session, [deployment_id])
            for user_kind in (UserKind.DEPLOYMENT, UserKind.CHALLENGER):
                usage.forget(session, user_kind, deployment_id)
            forget_usage(session, deployment_id)
            forget_events(session, deployment_id)
            session.execute(delete(DeploymentLog).where(DeploymentLog.deployment_id == deployment_id))
            session.delete(row)
            audit.record(session, None, "erase", KIND, deployment_id, {"label": row.label})


def handlers() -> list[Handler]:
    launching = (make_image, launch, await_ready, finish)
    up = (kinds.DEPLOY, kinds.START, kinds.REPLACE_MODEL, kinds.SET_PARAMETERS, kinds.APPLY_SETTINGS)
    return [
        *(Handler(kind, launching, on_failure=launch_failed, on_cancel=launch_canceled) for kind in up),
        Handler(kinds.STOP, (await_stopped,), on_failure=stop_failed),
        Handler(kinds.COLLECT_LOGS, (collect_logs,)),
        Handler(kinds.ERASE, (erase,)),
    ]
