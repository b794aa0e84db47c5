"""``/projects/{projectId}/models/`` and what is below it."""

from sqlalchemy.orm import Session

from modelyard.compute.executor import Executor
from modelyard.compute.log_reading import LogQuery
from modelyard.identity.caller import Caller
from modelyard.kernel.database import Database
from modelyard.kernel.paging import Page, PageQuery
from modelyard.kernel.routing import Answer, Download, RequestInfo, endpoint
from modelyard.kernel.settings import Settings
from modelyard.learning import logs, models, predictions
from modelyard.learning.projects import find_project
from modelyard.learning.schemas import (
    LearningModelCreate,
    LearningModelListQuery,
    LearningModelResponse,
    PredictionCreate,
    PredictionResponse,
)
from modelyard.operations.service import accepted
from modelyard.storage.blobs import BlobStore

TAG = "Projects"
MODELS = "/projects/{projectId}/models/"
MODEL = MODELS + "{modelId}/"
PREDICTIONS = MODEL + "predictions/"


@endpoint("GET", MODELS, errors=(404,), tag=TAG)
def list_models(
    session: Session,
    caller: Caller,
    project_id: str,
    query: LearningModelListQuery,
    request: RequestInfo,
    executor: Executor,
) -> Page[LearningModelResponse]:
    """List the models of a project, best first."""
    return models.list_models(session, caller, executor, project_id, query, request)


@endpoint("POST", MODELS, status=202, errors=(403, 404, 409, 422), tag=TAG, location=True)
def create_model(
    session: Session,
    caller: Caller,
    project_id: str,
    body: LearningModelCreate,
    request: RequestInfo,
    settings: Settings,
    blobs: BlobStore,
    executor: Executor,
) -> LearningModelResponse | Answer:
    """Train a chain of tasks: any number of transforms, then an estimator."""
    model, operation = models.create_model(session, caller, settings, blobs, project_id, body)
    project = find_project(session, caller, project_id)
    return accepted(request, operation, models.view_models(session, executor, project, [model])[0])


@endpoint("GET", MODEL, errors=(404,), tag=TAG)
def read_model(
    session: Session, caller: Caller, project_id: str, model_id: str, executor: Executor
) -> LearningModelResponse:
    """Read a model: how far its training is, or how good it became."""
    return models.read_model(session, caller, executor, project_id, model_id)


@endpoint("DELETE", MODEL, status=204, errors=(403, 404, 409), tag=TAG)
def delete_model(session: Session, caller: Caller, project_id: str, model_id: str, request: RequestInfo) -> None:
    """Delete a model whose training has ended and that is not deployed."""
    models.delete_model(session, caller, request, project_id, model_id)


@endpoint("DELETE", MODEL + "training/", status=204, errors=(403, 404, 409), tag=TAG)
def cancel_training(session: Session, caller: Caller, project_id: str, model_id: str) -> None:
    """Cancel a training."""
    models.cancel_training(session, caller, project_id, model_id)


@endpoint("GET", MODEL + "log/", errors=(404,), tag=TAG, download=True, media_types=("text/plain", "text/event-stream"))
def read_log(
    session: Session,
    caller: Caller,
    project_id: str,
    model_id: str,
    query: LogQuery,
    database: Database,
    blobs: BlobStore,
    executor: Executor,
) -> Download:
    """Read the log of a training, while it goes on and afterwards."""
    return logs.read_log(session, caller, database, blobs, executor, project_id, model_id, query)


@endpoint("GET", PREDICTIONS, errors=(404,), tag=TAG)
def list_predictions(
    session: Session, caller: Caller, project_id: str, model_id: str, query: PageQuery, request: RequestInfo
) -> Page[PredictionResponse]:
    """List what a model was asked to predict, newest first."""
    return predictions.list_predictions(session, caller, project_id, model_id, query, request)


@endpoint("POST", PREDICTIONS, status=202, errors=(403, 404, 409, 422), tag=TAG, location=True)
def create_prediction(
    session: Session, caller: Caller, project_id: str, model_id: str, body: PredictionCreate, request: RequestInfo
) -> PredictionResponse | Answer:
    """Have a model predict all rows of a dataset."""
    row, operation = predictions.create_prediction(session, caller, project_id, model_id, body)
    return accepted(request, operation, predictions.view(row))


@endpoint("GET", PREDICTIONS + "{predictionId}/", errors=(404,), tag=TAG)
def read_prediction(
    session: Session, caller: Caller, project_id: str, model_id: str, prediction_id: str
) -> PredictionResponse:
    """Read how far the predictions for a dataset are."""
    return predictions.view(predictions.find_prediction(session, caller, project_id, model_id, prediction_id))


@endpoint(
    "GET", PREDICTIONS + "{predictionId}/file/", errors=(404, 409), tag=TAG, download=True, media_types=("text/csv",)
)
def download_predictions(
    session: Session, caller: Caller, project_id: str, model_id: str, prediction_id: str, blobs: BlobStore
) -> Download:
    """Download predictions as CSV: a line for each row of the dataset, in its order."""
    return predictions.download(session, caller, blobs, project_id, model_id, prediction_id)
