"""Training: an operation that takes a model from phase to phase, and survives whoever does it."""

import os
import shutil
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from modelyard.compute.executor import Executor, Observation, State
from modelyard.compute.log_keeping import keep_log
from modelyard.compute.nodes import observe
from modelyard.compute.shared_files import is_folder_below
from modelyard.compute.watching import awaited
from modelyard.environments.builds import image_spec
from modelyard.environments.images.store import ImageStore
from modelyard.environments.tables import EnvironmentVersion
from modelyard.environments.work import ensure_image
from modelyard.kernel.ids import new_id
from modelyard.kernel.settings import Settings
from modelyard.learning import queue
from modelyard.learning.chains import ARTIFACTS, MAX_FILES, features_of, plan_of
from modelyard.learning.evaluation import Evaluation, WrongPredictionsError, evaluate, read_weights
from modelyard.learning.models import TRAIN
from modelyard.learning.partitions import Fit, Partitioning, fits
from modelyard.learning.progress import read_progress
from modelyard.learning.projects import score_of
from modelyard.learning.results import MAX_MESSAGE_LENGTH, OUTPUT_FOLDER, Result, read_result
from modelyard.learning.table_files import TableStore
from modelyard.learning.tables import LearningModel, ModelStatus, Project
from modelyard.learning.transforms import TransformCache, keys_of
from modelyard.learning.workloads import chain_workload
from modelyard.operations.work import Cancelled, Handler, OperationFailed, Waiting, Work
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces import service as workspaces
from modelyard.workspaces.collecting import Limits as CollectLimits
from modelyard.workspaces.collecting import collect_files
from modelyard.workspaces.service import NewFile
from modelyard.workspaces.tables import Workspace

LABEL = "training"
LOOK_AGAIN_S = 30.0
WATCH_S = 10.0
"""A training that waits is woken when its turn comes, one under way when its workload ends; so often in any case."""
END_GRACE_S = 10.0
STOP_WAIT_S = 15.0
MAX_LAUNCHES = 3
"""A training touches nothing outside, so one whose supervisor was killed begins anew, but not for ever."""


def handlers() -> list[Handler]:
    return [Handler(TRAIN, (advance,), on_failure=_on_failure, on_cancel=_on_cancel)]


def executing(session: Session) -> Iterable[tuple[str, str]]:
    """The workloads of trainings under way, with their operations (``compute.watching``)."""
    return awaited(session, LearningModel, LearningModel.workload_id.is_not(None))


def advance(work: Work) -> None:
    """Takes the training through its phases; gives the thread back while there is nothing to do but wait."""
    while True:
        work.checkpoint()
        with work.database.read() as session:
            model = session.get(LearningModel, work.payload["model_id"])
            project = session.get_one(Project, model.project_id) if model else None
        if model is None or project is None:
            raise OperationFailed("The model was deleted.")
        match ModelStatus(model.status):
            case ModelStatus.QUEUED:
                _wait_for_place(work, model)
            case ModelStatus.PREPARING:
                _launch(work, project, model)
            case ModelStatus.TRAINING:
                _watch(work, project, model)
            case ModelStatus.COMPLETED:
                return
            case ModelStatus.CANCELED:
                raise Cancelled(work.id)
            case ModelStatus.ERRORED:
                raise OperationFailed(model.reason or "The training failed.")


def _wait_for_place(work: Work, model: LearningModel) -> None:
    with work.database.write() as session:  # not a unit, whose operation would be locked before the queue
        queue.let_in(session, work.parts.get(Settings), model.organization_id)
        if _locked(session, model.id).status != ModelStatus.QUEUED.value:
            return
    raise Waiting(LOOK_AGAIN_S)


def _launch(work: Work, project: Project, model: LearningModel) -> None:
    """Makes image, files and data ready, and starts the workload, which is written down before."""
    settings, executor = work.parts.get(Settings), work.parts.get(Executor)  # type: ignore[type-abstract]
    blobs = work.parts.get(BlobStore)  # type: ignore[type-abstract]
    with work.database.read() as session:
        workspace = session.get_one(Workspace, model.workspace_id)
        files = workspaces.files_in(session, workspace)
        spec = image_spec(session, blobs, session.get_one(EnvironmentVersion, model.environment_version_id), workspace)
    image = ensure_image(work, spec, work.say)
    digest = work.parts.get(ImageStore).digest(spec)
    if model.row_weights_column is not None:
        read_weights(blobs, settings.data_dir / "spool", project, model.row_weights_column)
    table = work.parts.get(TableStore).path(project.table_digest)
    cached = _cached(work, project, model, digest)
    workload_id = new_id()
    folder = _plan_folder(settings, workload_id)
    _write_readable(folder / "plan.json", msgspec.json.encode(_plan(project, model, table, folder, cached)))
    _write_readable(folder / "partition.bin", blobs.read(str(project.partition_digest)))
    kept = [Path(path) for paths in cached.values() for path in paths if path is not None]
    command = ("train", "--plan", str(folder / "plan.json"))
    labels = {LABEL: model.id}
    workload = chain_workload(work, workload_id, model, image, files, command, [table, folder, *kept], labels)
    with work.unit() as session:
        row = _locked(session, model.id)
        row.status = ModelStatus.TRAINING.value
        row.workload_id, row.node_id = workload_id, executor.node_id
        row.image_digest = digest
        row.started_at = row.started_at or datetime.now(UTC)
        row.launches += 1
    work.checkpoint()  # a controller that was away for long must not start what another has taken over
    executor.start(workload)


def _plan(
    project: Project, model: LearningModel, table: Path, folder: Path, cached: dict[str, list[str | None]]
) -> dict[str, Any]:
    """What the runner is to do; docs/decisions/0033-training-in-the-runner.md has its form."""
    return {
        "targetType": project.target_type,
        "targetName": project.target or "",
        "labels": project.class_labels,
        "table": str(table),
        "features": [column["name"] for column in features_of(project, model.row_weights_column)],
        "target": project.target,
        "weights": model.row_weights_column,
        "partition": str(folder / "partition.bin"),
        "fits": _fits(project),
        "tasks": [plan_of(task) | {"code": f"tasks/{number}"} for number, task in enumerate(model.tasks)],
        "calibrate": model.calibrate,
        "workers": min(len(_fits(project)), os.cpu_count() or 1),
        "cached": cached,
        "keepTransforms": len(model.tasks) > 1,
    }


def _fits(project: Project) -> list[Fit]:
    return fits(msgspec.convert(project.partitioning, Partitioning))


def _cached(work: Work, project: Project, model: LearningModel, image_digest: str) -> dict[str, list[str | None]]:
    """The folders of what earlier trainings fitted and transformed, as far as each chain begins like theirs."""
    cache = work.parts.get(TransformCache)
    keys = keys_of(project, model, image_digest, _fits(project))
    found: dict[str, list[str | None]] = {}
    for fit_id, of_tasks in keys.items():
        paths = [cache.find(key) for key in of_tasks]
        known = next((number for number, path in enumerate(paths) if path is None), len(paths))
        found[fit_id] = [str(path) if number < known else None for number, path in enumerate(paths)]
    return found


def _watch(work: Work, project: Project, model: LearningModel) -> None:
    executor = work.parts.get(Executor)  # type: ignore[type-abstract]
    workload_id = str(model.workload_id)
    seen = observe(executor, model)
    if seen.is_alive:
        raise Waiting(WATCH_S)
    executor.stop(workload_id, 0)  # kills what a lost one may have left
    is_lost = seen.state is State.LOST and model.launches < MAX_LAUNCHES
    if seen.state is State.ABSENT or is_lost:  # whoever was to start it ended just before, or the machine restarted
        with work.unit() as session:
            row = _locked(session, model.id)
            if row.workload_id == workload_id:
                row.status, row.workload_id = ModelStatus.PREPARING.value, None
        _clear(work, workload_id)
        return
    _conclude(work, project, model, seen)


def _conclude(work: Work, project: Project, model: LearningModel, seen: Observation) -> None:
    """Keeps what the training left: the log in any case, artifacts and metrics if it went well."""
    executor, settings = work.parts.get(Executor), work.parts.get(Settings)  # type: ignore[type-abstract]
    blobs = work.parts.get(BlobStore)  # type: ignore[type-abstract]
    workload_id = str(model.workload_id)
    folder = executor.work(workload_id)
    result, steps_done = read_result(folder), len(read_progress(folder))
    reason = _why_it_failed(seen, result, project, model)
    evaluation: Evaluation | None = None
    if reason is None and result is not None:
        try:
            evaluation = evaluate(blobs, settings.data_dir / "spool", project, model, _fits(project), folder)
        except WrongPredictionsError as error:
            reason = str(error)
    artifacts: list[NewFile] = []
    if evaluation is not None:
        lost: list[str] = []
        if is_folder_below(folder, f"{OUTPUT_FOLDER}/{ARTIFACTS}"):
            limits = CollectLimits(MAX_FILES, settings.max_work_bytes)
            artifacts = collect_files(blobs, folder / OUTPUT_FOLDER / ARTIFACTS, limits, lost.append, source="training")
        if lost:  # without them the model would be another than the one that was measured
            reason, evaluation = "what the tasks fitted cannot be kept: " + "; ".join(lost)[:MAX_MESSAGE_LENGTH], None
    kept = keep_log(blobs, executor.logs(workload_id), reason).finish()
    with work.unit() as session:
        row = _locked(session, model.id)
        if (row.workload_id, row.status) != (workload_id, ModelStatus.TRAINING.value):
            return
        row.log_digest, row.log_first_offset = kept["digest"], kept["first_offset"]
        row.steps_done = steps_done
        row.peak_memory_bytes = seen.peak_memory_bytes
        if seen.started_at and seen.ended_at:
            row.training_seconds = (seen.ended_at - seen.started_at).total_seconds()
        if evaluation is None or result is None:
            _finish(session, settings, row, ModelStatus.ERRORED, reason)
        else:
            _complete(session, settings, project, row, result, evaluation, artifacts)
    if evaluation is not None:
        _keep_transforms(work, project, model, folder)
    _clear(work, workload_id)


def _why_it_failed(seen: Observation, result: Result | None, project: Project, model: LearningModel) -> str | None:
    if seen.reason is not None or seen.exit_code is None:
        return seen.reason or "the training was interrupted"
    if result is not None and result.error is not None:
        error = result.error
        if error.task is None or not 0 <= error.task < len(model.tasks):
            return error.text
        task = model.tasks[error.task]
        where = f" of {error.fit}" if error.fit in {fit.id for fit in _fits(project)} else ""
        return f"task {error.task + 1}, {task['name']} {task['label']}, {error.phase}{where}: {error.text}"
    if seen.exit_code != 0 or result is None:
        return f"the training ended with exit code {seen.exit_code} and no result"
    if not result.is_of([fit.id for fit in _fits(project)], len(model.tasks)):
        return "the training ended with a result of other fits than those that were asked for"
    return None


def _complete(
    session: Session,
    settings: Settings,
    project: Project,
    row: LearningModel,
    result: Result,
    evaluation: Evaluation,
    artifacts: list[NewFile],
) -> None:
    base = session.get_one(Workspace, row.workspace_id)
    placed = [replace(file, path=f"{ARTIFACTS}/{file.path}") for file in artifacts]
    trained, _ = workspaces.derive(session, base, placed, max_files=2 * MAX_FILES)
    row.trained_workspace_id = trained.id
    row.artifact_bytes = sum(file.size_bytes for file in artifacts)
    row.metrics, row.score_distribution = evaluation.metrics, evaluation.distribution
    row.folds = [
        {
            "id": fit.id,
            "rows": fit.rows,
            "trainRows": fit.train_rows,
            "metrics": evaluation.by_fit.get(fit.id, {}),
            "predictSeconds": fit.predict_seconds,
            "peakMemory": fit.peak_memory_bytes,
        }
        for fit in result.fits
    ]
    row.tasks = [task | result.of_task(number) for number, task in enumerate(row.tasks)]
    row.score = score_of(project, evaluation.metrics)
    _finish(session, settings, row, ModelStatus.COMPLETED, None)


def _keep_transforms(work: Work, project: Project, model: LearningModel, folder: Path) -> None:
    cache = work.parts.get(TransformCache)
    for fit_id, keys in keys_of(project, model, str(model.image_digest), _fits(project)).items():
        for number, key in enumerate(keys):
            made = f"{OUTPUT_FOLDER}/transforms/{fit_id}/{number}"
            if is_folder_below(folder, made):
                cache.keep(key, folder / made)


def _finish(session: Session, settings: Settings, row: LearningModel, status: ModelStatus, reason: str | None) -> None:
    """The end of the training, whose place is given to the next in the same transaction."""
    row.status, row.reason = status.value, reason
    row.ended_at = datetime.now(UTC)
    row.workload_id = None
    session.flush()
    queue.let_in(session, settings, row.organization_id)


def _on_failure(work: Work, message: str) -> None:
    _end_early(work, ModelStatus.ERRORED, message)


def _on_cancel(work: Work) -> None:
    _end_early(work, ModelStatus.CANCELED, "canceled")


def _end_early(work: Work, status: ModelStatus, reason: str) -> None:
    """Stops what runs, keeps its log, and ends the model; one that ended already stays as it is."""
    executor, settings = work.parts.get(Executor), work.parts.get(Settings)  # type: ignore[type-abstract]
    blobs = work.parts.get(BlobStore)  # type: ignore[type-abstract]
    with work.database.read() as session:
        model = session.get(LearningModel, work.payload["model_id"])
    if model is None or model.ended_at is not None:
        return
    steps_done = 0
    if model.workload_id is not None and executor.observe(model.workload_id).state is not State.ABSENT:
        executor.stop(model.workload_id, END_GRACE_S)
        waited_s = 0.0
        while executor.observe(model.workload_id).is_alive and waited_s < STOP_WAIT_S:
            work.pause(0.05)
            waited_s += 0.05
        kept = keep_log(blobs, executor.logs(model.workload_id), reason).finish()
        steps_done = len(read_progress(executor.work(model.workload_id)))
    else:
        kept = keep_log(blobs, None, reason).finish()
    with work.unit(partial(queue.PLACES.lock, organization_id=model.organization_id)) as session:  # it may still wait
        row = _locked(session, model.id)
        if row.ended_at is None:
            row.log_digest, row.log_first_offset = kept["digest"], kept["first_offset"]
            row.steps_done = steps_done
            _finish(session, settings, row, status, reason)
    if model.workload_id is not None:
        _clear(work, model.workload_id)


def _clear(work: Work, workload_id: str) -> None:
    """Removes what is left of a workload that is over."""
    work.parts.get(Executor).remove(workload_id)  # type: ignore[type-abstract]
    shutil.rmtree(_plan_folder(work.parts.get(Settings), workload_id), ignore_errors=True)


def _locked(session: Session, model_id: str) -> LearningModel:
    row = session.get(LearningModel, model_id, with_for_update=True)
    if row is None:
        raise OperationFailed("The model was deleted.")
    return row


def _plan_folder(settings: Settings, workload_id: str) -> Path:
    return settings.data_dir / "trainings" / workload_id


def remove_plans(settings: Settings, executor: Executor, older_than: datetime) -> int:
    """Removes the plans of workloads that are gone; whoever was to do it may have ended just then."""
    folder = settings.data_dir / "trainings"
    living = set(executor.ids())
    left = [one for one in folder.iterdir() if one.name not in living] if folder.is_dir() else []
    old = [one for one in left if one.stat().st_mtime < older_than.timestamp()]
    for one in old:
        shutil.rmtree(one, ignore_errors=True)
    return len(old)


def _write_readable(path: Path, content: bytes) -> None:
    """A file that the sandbox's user may read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o755)
    path.write_bytes(content)
    path.chmod(0o644)
