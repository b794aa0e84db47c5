"""Predictions of a trained model for the rows of a dataset: use cases, and the work."""

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.compute.executor import Executor, Observation, State
from modelyard.compute.nodes import observe
from modelyard.compute.watching import awaited
from modelyard.datasets import service as datasets
from modelyard.datasets.tables import DatasetVersion
from modelyard.environments.builds import image_spec
from modelyard.environments.tables import EnvironmentVersion
from modelyard.environments.work import ensure_image
from modelyard.identity import audit
from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.kernel.errors import Conflict, Invalid, NotFound
from modelyard.kernel.ids import new_id
from modelyard.kernel.paging import Page, PageQuery, page
from modelyard.kernel.routing import Download, RequestInfo
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import UnsetType, moment
from modelyard.learning.chains import features_of
from modelyard.learning.evaluation import (
    WrongPredictionsError,
    check_predictions,
    read_predictions,
    width,
    with_both_classes,
)
from modelyard.learning.metrics import most_likely
from modelyard.learning.models import find_model
from modelyard.learning.projects import KIND
from modelyard.learning.results import read_result
from modelyard.learning.schemas import PredictionCreate, PredictionResponse
from modelyard.learning.table_files import SourceFile, TableStore, features
from modelyard.learning.tables import LearningModel, LearningPrediction, ModelStatus, PredictionStatus, Project
from modelyard.learning.workloads import chain_workload
from modelyard.operations import service as operations
from modelyard.operations.tables import Operation
from modelyard.operations.work import Cancelled, Handler, OperationFailed, Waiting, Work
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces import service as workspaces
from modelyard.workspaces.tables import Workspace

PREDICT = "learningModel.predict"
LABEL = "prediction"
WATCH_S = 10.0
MAX_LAUNCHES = 3
ROWS_AT_ONCE = 50_000


def create_prediction(
    session: Session, caller: Caller, project_id: str, model_id: str, body: PredictionCreate
) -> tuple[LearningPrediction, Operation]:
    """Predictions for all rows of a dataset version, being made. The dataset needs the columns that were trained on."""
    model = find_model(session, caller, project_id, model_id, Permission.EDIT, lock=True)
    version_id = None if isinstance(body.dataset_version_id, UnsetType) else body.dataset_version_id
    try:
        version = datasets.ready(datasets.find_version(session, caller, body.dataset_id, version_id))
    except (NotFound, Conflict) as error:
        raise Invalid(f"datasetId: {error.message}", {"datasetId": error.message}) from None
    project = session.get_one(Project, project_id)
    present = set(datasets.column_names(version))
    needed = [column["name"] for column in features_of(project, model.row_weights_column)]
    missing = [name for name in needed if name not in present]
    if missing:
        text = f"the dataset lacks columns that the model was trained on: {', '.join(map(repr, missing[:20]))}"
        raise Invalid(f"datasetId: {text}", {"datasetId": text})
    if model.status != ModelStatus.COMPLETED.value:
        raise Conflict(f"Model {model_id} is {model.status}; only one that is completed predicts.")
    row = LearningPrediction(
        id=new_id(),
        model_id=model_id,
        created_by_id=caller.user_id,
        created_at=datetime.now(UTC),
        dataset_id=version.dataset_id,
        dataset_version_id=version.id,
        table_digest=version.table_digest or "",
        status=PredictionStatus.RUNNING.value,
        row_count=version.row_count,
    )
    session.add(row)
    session.flush()
    audit.record(session, caller, "predict", KIND, project_id, {"modelId": model_id, "datasetId": version.dataset_id})
    operation = operations.start(
        session,
        caller,
        PREDICT,
        status_type="LearningPrediction",
        payload={"prediction_id": row.id},
        resource_id=row.id,
        result_path=f"/projects/{project_id}/models/{model_id}/predictions/{row.id}/",
        description=f"Predicting with {model.name}",
    )
    row.operation_id = operation.id
    return row, operation


def find_prediction(
    session: Session, caller: Caller, project_id: str, model_id: str, prediction_id: str
) -> LearningPrediction:
    find_model(session, caller, project_id, model_id)
    row = session.get(LearningPrediction, prediction_id)
    if row is None or row.model_id != model_id:
        raise NotFound(f"Model {model_id} has no predictions {prediction_id}.")
    return row


def list_predictions(
    session: Session, caller: Caller, project_id: str, model_id: str, query: PageQuery, request: RequestInfo
) -> Page[PredictionResponse]:
    """What the model was asked to predict, newest first."""
    find_model(session, caller, project_id, model_id)
    statement = select(LearningPrediction).where(LearningPrediction.model_id == model_id)
    statement = statement.order_by(LearningPrediction.id.desc())
    return page(session, statement, query, request, lambda rows: [view(row) for row in rows])


def download(
    session: Session, caller: Caller, blobs: BlobStore, project_id: str, model_id: str, prediction_id: str
) -> Download:
    """The predictions as CSV, a line for each row of the dataset, in its order."""
    row = find_prediction(session, caller, project_id, model_id, prediction_id)
    if row.result_digest is None:
        raise Conflict(f"The predictions {prediction_id} are {row.status}: {row.reason or 'wait until they are made'}")
    headers = {"Content-Length": str(row.result_bytes)}
    return Download(blobs.iter_chunks(row.result_digest), f"predictions-{row.id}.csv", "text/csv", headers)


def view(row: LearningPrediction) -> PredictionResponse:
    return PredictionResponse(
        id=row.id,
        model_id=row.model_id,
        dataset_id=row.dataset_id,
        dataset_version_id=row.dataset_version_id,
        status=row.status,  # type: ignore[arg-type]
        reason=row.reason,
        row_count=row.row_count,
        size=row.result_bytes,
        created=moment(row.created_at),
        ended=None if row.ended_at is None else moment(row.ended_at),
        created_by=row.created_by_id,
    )


def handlers() -> list[Handler]:
    return [Handler(PREDICT, (advance,), on_failure=_on_failure, on_cancel=_on_cancel)]


def executing(session: Session) -> Iterable[tuple[str, str]]:
    """The workloads that predict, with their operations (``compute.watching``)."""
    return awaited(session, LearningPrediction, LearningPrediction.workload_id.is_not(None))


def advance(work: Work) -> None:
    """Starts the workload, waits for its end, and keeps what it predicted."""
    executor = work.parts.get(Executor)  # type: ignore[type-abstract]
    while True:
        work.checkpoint()
        with work.database.read() as session:
            row = session.get(LearningPrediction, work.payload["prediction_id"])
        if row is None:
            raise OperationFailed("The predictions were deleted.")
        if row.status == PredictionStatus.COMPLETED.value:
            return
        if row.status == PredictionStatus.CANCELED.value:
            raise Cancelled(work.id)
        if row.status == PredictionStatus.ERRORED.value:
            raise OperationFailed(row.reason or "The predictions failed.")
        if row.workload_id is None:
            _launch(work, row)
            continue
        seen = observe(executor, row)
        if seen.is_alive:
            raise Waiting(WATCH_S)
        executor.stop(row.workload_id, 0)
        is_lost = seen.state is State.LOST and row.launches < MAX_LAUNCHES
        if seen.state is State.ABSENT or is_lost:  # whoever was to start it ended just before, or the machine restarted
            executor.remove(row.workload_id)
            _launch(work, row)
            continue
        _conclude(work, row, seen)


def _launch(work: Work, row: LearningPrediction) -> None:
    executor, blobs = work.parts.get(Executor), work.parts.get(BlobStore)  # type: ignore[type-abstract]
    with work.database.read() as session:
        model = session.get_one(LearningModel, row.model_id)
        base = session.get_one(Workspace, model.workspace_id)
        files = workspaces.files_in(session, session.get_one(Workspace, model.trained_workspace_id))
        spec = image_spec(session, blobs, session.get_one(EnvironmentVersion, model.environment_version_id), base)
        project = session.get_one(Project, model.project_id)
        version = session.get(DatasetVersion, row.dataset_version_id)
    image = ensure_image(work, spec, work.say)
    table = _table(work, row, version, features_of(project, model.row_weights_column))
    command = ("predict", "--chain", "{code}", "--table", str(table))
    workload = chain_workload(work, new_id(), model, image, files, command, [table], {LABEL: row.id})
    with work.unit() as session:
        locked = _locked(session, row.id)
        locked.workload_id, locked.node_id = workload.id, executor.node_id
        locked.launches += 1
    work.checkpoint()
    executor.start(workload)


def _table(work: Work, row: LearningPrediction, version: DatasetVersion | None, trained: list[dict[str, str]]) -> Path:
    """The rows as a model reads them from the CSV: a column of texts may hold only numbers or booleans this time."""
    store, settings = work.parts.get(TableStore), work.parts.get(Settings)
    table = store.path(row.table_digest)
    found = features(table)
    plain_text = {"kind": "text"}
    texts = [
        one["name"]
        for one in trained
        if {name: one[name] for name in one if name != "name"} == plain_text and found[one["name"]] != plain_text
    ]
    if not texts:
        return table
    if version is None or version.digest is None:
        raise OperationFailed("The dataset was deleted.")
    file = SourceFile(version.digest, version.file_name, settings.max_dataset_bytes)
    return store.path_with_texts(row.table_digest, file, texts)


def _conclude(work: Work, row: LearningPrediction, seen: Observation) -> None:
    executor = work.parts.get(Executor)  # type: ignore[type-abstract]
    blobs = work.parts.get(BlobStore)  # type: ignore[type-abstract]
    workload_id = str(row.workload_id)
    with work.database.read() as session:
        model = session.get_one(LearningModel, row.model_id)
        project = session.get_one(Project, model.project_id)
    reason, blob = _failure(seen, executor, workload_id), None
    if reason is None:
        try:
            found = read_predictions(
                executor.work(workload_id), "predictions.bin", row.row_count or 0, width(project), "the model"
            )
            check_predictions(project, found, "the model")
        except WrongPredictionsError as error:
            reason = str(error)
        else:
            with blobs.writer() as writer:
                for block in _csv(project, found):
                    writer.write(block)
                blob = writer.finish()
    with work.unit() as session:
        locked = _locked(session, row.id)
        if locked.ended_at is None:
            locked.status = (PredictionStatus.ERRORED if blob is None else PredictionStatus.COMPLETED).value
            locked.reason, locked.ended_at, locked.workload_id = reason, datetime.now(UTC), None
            if blob is not None:
                locked.result_digest, locked.result_bytes = blob.digest, blob.size_bytes
    executor.remove(workload_id)


def _failure(seen: Observation, executor: Executor, workload_id: str) -> str | None:
    if seen.reason is not None or seen.exit_code is None:
        return seen.reason or "the predictions were interrupted"
    result = read_result(executor.work(workload_id))
    if result is not None and result.error is not None:
        return result.error.text
    if seen.exit_code != 0:
        last = executor.logs(workload_id).tail(1, times=False)
        return f"the model ended with exit code {seen.exit_code}" + (f": {last[0]}" if last else "")
    return None


def _csv(project: Project, found: pl.DataFrame) -> Iterator[bytes]:
    """The columns of the prediction API's CSV answers (supporting-endpoints D.2)."""
    name = project.target or "anomaly_score"
    if project.target_type in {"Regression", "Anomaly"}:
        table = found.select(pl.col("0").alias(f"{name}_PREDICTION"))
    else:
        labels = project.class_labels
        values = with_both_classes(project, found)
        named = {f"{name}_{label}_PREDICTION": values[str(number)] for number, label in enumerate(labels)}
        chosen = most_likely(values).replace_strict(range(len(labels)), labels, return_dtype=pl.String)
        table = pl.DataFrame({**named, f"{name}_PREDICTION": chosen})
    head = io.StringIO()
    csv.writer(head, lineterminator="\n").writerow(table.columns)
    yield head.getvalue().encode()
    for start in range(0, table.height, ROWS_AT_ONCE):
        yield table.slice(start, ROWS_AT_ONCE).write_csv(include_header=False).encode()


def _on_failure(work: Work, message: str) -> None:
    _end_early(work, PredictionStatus.ERRORED, message)


def _on_cancel(work: Work) -> None:
    _end_early(work, PredictionStatus.CANCELED, "canceled")


def _end_early(work: Work, status: PredictionStatus, reason: str) -> None:
    executor = work.parts.get(Executor)  # type: ignore[type-abstract]
    with work.database.read() as session:
        row = session.get(LearningPrediction, work.payload["prediction_id"])
    if row is None or row.ended_at is not None:
        return
    if row.workload_id is not None and executor.observe(row.workload_id).is_alive:
        executor.stop(row.workload_id, 0)
        while executor.observe(row.workload_id).is_alive:
            work.pause(0.05)
    with work.unit() as session:
        locked = _locked(session, row.id)
        if locked.ended_at is None:
            locked.status, locked.reason, locked.ended_at = status.value, reason, datetime.now(UTC)
            locked.workload_id = None
    if row.workload_id is not None:
        executor.remove(row.workload_id)


def _locked(session: Session, prediction_id: str) -> LearningPrediction:
    row = session.get(LearningPrediction, prediction_id, with_for_update=True)
    if row is None:
        raise OperationFailed("The predictions were deleted.")
    return row
