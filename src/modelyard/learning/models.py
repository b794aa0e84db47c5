"""Models of projects: starting, reading, ranking, cancelling and deleting trainings."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.compute.executor import Executor
from modelyard.identity import audit
from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.kernel.errors import Conflict, NotFound
from modelyard.kernel.ids import new_id
from modelyard.kernel.paging import Page, page
from modelyard.kernel.problems import Problems
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import changes, moment
from modelyard.learning import queue
from modelyard.learning.chains import build_workspace, environment_of, read_chain
from modelyard.learning.progress import progress_of
from modelyard.learning.projects import KIND, erase_models, find_project
from modelyard.learning.schemas import (
    ChainTask,
    FoldResponse,
    LearningModelCreate,
    LearningModelListQuery,
    LearningModelResponse,
)
from modelyard.learning.tables import LearningModel, LearningPrediction, ModelStatus, Project, ProjectStatus
from modelyard.models import usage
from modelyard.models.holders import refuse_deployed
from modelyard.models.usage import UserKind
from modelyard.operations import service as operations
from modelyard.operations.places import COUNTED
from modelyard.operations.tables import Operation
from modelyard.storage.blobs import BlobStore

TRAIN = "learningModel.train"
MAX_NAME_LENGTH = 512
ORDERS = {
    "score": (LearningModel.score.desc().nulls_last(), LearningModel.id.desc()),
    "created": (LearningModel.id.asc(),),
    "-created": (LearningModel.id.desc(),),
}


def create_model(
    session: Session, caller: Caller, settings: Settings, blobs: BlobStore, project_id: str, body: LearningModelCreate
) -> tuple[LearningModel, Operation]:
    """A chain of tasks that is being trained, or waits for a place. Every wrong field is in one ``Invalid``."""
    project = find_project(session, caller, project_id, Permission.EDIT, lock=True)
    if project.status != ProjectStatus.READY.value:
        raise Conflict(f"Project {project_id} is {project.status}: {project.reason or 'wait until it is ready'}")
    given = changes(body)
    problems = Problems()
    with problems.collecting():
        links = read_chain(session, caller, project, body, problems)
    weights_column = given.get("row_weights_column")
    if weights_column is not None:
        _check_weights(project, weights_column, problems)
    if given.get("calibrate") and project.target_type != "Anomaly":
        problems.add("calibrate", f"is for anomaly scores; this project's target is {project.target_type}")
    if not given.get("name", "unread").strip():
        problems.add("name", "must not be blank")
    problems.raise_all()
    queue.require_room(session, settings, project.organization_id)
    environment = environment_of(session, links)
    calibrate = given.get("calibrate", bool(links[-1].task.calibrate_predictions))
    calibrate = calibrate and project.target_type == "Anomaly"
    workspace = build_workspace(session, blobs, project, links, weights_column=weights_column, calibrated=calibrate)
    model = LearningModel(
        id=new_id(),
        project_id=project.id,
        organization_id=project.organization_id,
        created_by_id=caller.user_id,
        created_at=datetime.now(UTC),
        name=given.get("name", " → ".join(link.task.name for link in links)[:MAX_NAME_LENGTH]),
        tasks=[link.record() for link in links],
        row_weights_column=weights_column,
        calibrate=calibrate,
        environment_id=environment.environment_id,
        environment_version_id=environment.id,
        memory_bytes=max(
            (link.version.maximum_memory_bytes or link.task.maximum_memory_bytes or 0 for link in links), default=0
        )
        or settings.default_training_memory_bytes,
        workspace_id=workspace.id,
        status=ModelStatus.QUEUED.value,
        metrics={},
        folds=[],
    )
    operation = operations.start(
        session,
        caller,
        TRAIN,
        status_type="LearningModel",
        payload={"model_id": model.id},
        resource_id=model.id,
        result_path=f"/projects/{project.id}/models/{model.id}/",
        description=f"Training {model.name}",
    )
    model.operation_id = operation.id
    session.add(model)
    session.flush()
    for link in {link.version.id: link for link in links}.values():
        usage.add(session, link.version.id, UserKind.LEARNING_MODEL, model.id, parent_id=project.id)
    project.model_count += 1
    audit.record(session, caller, "train", KIND, project.id, {"modelId": model.id, "name": model.name})
    queue.let_in(session, settings, model.organization_id)
    session.flush()
    return model, operation


def _check_weights(project: Project, name: str, problems: Problems) -> None:
    faults = {column["name"]: column["weightFault"] for column in project.columns}
    if name not in faults:
        problems.add("rowWeightsColumn", f"there is no column {name!r} in the project's data")
    elif name == project.target:
        problems.add("rowWeightsColumn", f"{name!r} is the target")
    elif faults[name] is not None:
        problems.add("rowWeightsColumn", faults[name])


def find_model(
    session: Session,
    caller: Caller,
    project_id: str,
    model_id: str,
    permission: Permission = Permission.VIEW,
    *,
    lock: bool = False,
) -> LearningModel:
    """The model, if the caller's role on its project allows ``permission``."""
    find_project(session, caller, project_id, permission)
    model = session.get(LearningModel, model_id, with_for_update=lock)
    if model is None or model.project_id != project_id:
        raise NotFound(f"Project {project_id} has no model {model_id}.")
    return model


def list_models(
    session: Session,
    caller: Caller,
    executor: Executor,
    project_id: str,
    query: LearningModelListQuery,
    request: RequestInfo,
) -> Page[LearningModelResponse]:
    """The leaderboard: the models of a project, best first unless ``orderBy`` says otherwise."""
    project = find_project(session, caller, project_id)
    statement = select(LearningModel).where(LearningModel.project_id == project_id).order_by(*ORDERS[query.order_by])
    return page(
        session,
        statement,
        query,
        request,
        lambda rows: view_models(session, executor, project, rows),
        total=project.model_count,
    )


def read_model(
    session: Session, caller: Caller, executor: Executor, project_id: str, model_id: str
) -> LearningModelResponse:
    project = find_project(session, caller, project_id)
    return view_models(session, executor, project, [find_model(session, caller, project_id, model_id)])[0]


def cancel_training(session: Session, caller: Caller, project_id: str, model_id: str) -> None:
    """Stops a training. ``Conflict`` for one that has ended."""
    model = find_model(session, caller, project_id, model_id, Permission.EDIT)
    if model.ended_at is not None:
        raise Conflict(f"The training of model {model_id} has ended: it is {model.status}.")
    if model.operation_id is not None:
        operations.request_cancel(session, model.operation_id)
    audit.record(session, caller, "cancel training", KIND, project_id, {"modelId": model_id})


def delete_model(session: Session, caller: Caller, request: RequestInfo, project_id: str, model_id: str) -> None:
    """Deletes a model with what it predicted. ``Conflict`` while it is trained or predicts, or is deployed.

    A custom model that was made of it stays.
    """
    project = find_project(session, caller, project_id, Permission.EDIT, lock=True)
    model = find_model(session, caller, project_id, model_id, lock=True)
    if model.ended_at is None:
        raise Conflict(f"Model {model_id} is {model.status}; cancel the training first, or wait for its end.")
    open_prediction = session.scalar(
        select(LearningPrediction.id).where(
            LearningPrediction.model_id == model_id, LearningPrediction.ended_at.is_(None)
        )
    )
    if open_prediction is not None:
        raise Conflict(f"Model {model_id} is asked for the predictions {open_prediction}; wait for their end.")
    if model.custom_model_id is not None:
        refuse_deployed(session, request, [model.custom_model_id], f"Model {model_id}", only_active=True)
    erase_models(session, [model_id])
    project.model_count -= 1
    audit.record(session, caller, "delete model", KIND, project_id, {"modelId": model_id, "name": model.name})
    session.flush()


def view_models(
    session: Session, executor: Executor, project: Project, models: Sequence[LearningModel]
) -> list[LearningModelResponse]:
    """The wire form of models of one project."""
    waiting = {}
    if any(model.status == ModelStatus.QUEUED.value for model in models):
        waiting = queue.PLACES.positions(session, project.organization_id)
    return [
        LearningModelResponse(
            id=model.id,
            project_id=model.project_id,
            name=model.name,
            status=model.status,  # type: ignore[arg-type]
            reason=model.reason,
            status_id=model.operation_id,
            progress=progress_of(executor, project, model, waiting.get(model.id, COUNTED)),
            tasks=msgspec.convert(model.tasks, list[ChainTask]),
            target_type=project.target_type,  # type: ignore[arg-type]
            row_weights_column=model.row_weights_column,
            calibrate=model.calibrate,
            metrics=model.metrics,
            folds=msgspec.convert(model.folds, list[FoldResponse]),
            score_distribution=model.score_distribution,
            training_seconds=model.training_seconds,
            peak_memory=model.peak_memory_bytes,
            artifact_size=model.artifact_bytes,
            execution_environment_id=model.environment_id,
            execution_environment_version_id=model.environment_version_id,
            image_digest=model.image_digest,
            custom_model_id=model.custom_model_id,
            created=moment(model.created_at),
            started=None if model.started_at is None else moment(model.started_at),
            ended=None if model.ended_at is None else moment(model.ended_at),
            created_by=model.created_by_id,
        )
        for model in models
    ]
