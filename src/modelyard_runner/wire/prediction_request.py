"""A request to one of the prediction routes, read; and its answer, written."""

from dataclasses import dataclass
from enum import Enum, auto

import orjson

from modelyard_runner.association import AssociationId
from modelyard_runner.options import ModelOptions
from modelyard_runner.problems import ModelFault, Refusal
from modelyard_runner.wire.answers import Answers, json_bytes
from modelyard_runner.wire.http_server import CSV, JSON, Request, Response
from modelyard_runner.wire.outputs import Predictions
from modelyard_runner.wire.passthrough import Passthrough, passthrough_of, require_column
from modelyard_runner.wire.payload import Form, Payload, decompress, read_payload
from modelyard_runner.wire.query import PredictionQuery, parse_prediction_query, prefers_csv


class Route(Enum):
    """The routes that run the model."""

    PREDICTIONS = auto()
    """`/v1/predictions`: what clients of the prediction API get."""
    PREDICT = auto()
    """`/predict/` of the container contract."""
    PREDICT_NO_STATE = auto()
    """`/predict_no_state/` of the older container contract: `{"X": {column: [values]}}`."""
    PREDICTIONS_UNSTRUCTURED = auto()
    """`/v1/predictionsUnstructured`."""
    PREDICT_UNSTRUCTURED = auto()
    """`/predictUnstructured/` of the container contract."""

    @property
    def is_unstructured(self) -> bool:
        """Whether the route is for unstructured models."""
        return self in {Route.PREDICTIONS_UNSTRUCTURED, Route.PREDICT_UNSTRUCTURED}


@dataclass(slots=True)
class PredictionRequest:
    """The rows and wishes of a request for predictions."""

    route: Route
    payload: Payload
    query: PredictionQuery
    wants_csv: bool
    association: AssociationId | None = None

    def passthrough(self) -> Passthrough | None:
        """The input columns to copy into the answer, the association id's among them."""
        return passthrough_of(self.payload, self.query, self.association, as_text=self.wants_csv)


def check_query(route: Route, request: Request) -> PredictionQuery:
    """The checked query arguments; those of the container contract have none."""
    if route is Route.PREDICTIONS:
        return parse_prediction_query(request.query)
    return PredictionQuery()


def read_prediction_request(
    route: Route, request: Request, options: ModelOptions, *, any_form: bool
) -> PredictionRequest:
    """Read headers, query and body. Raises Refusal 400, 413 or 422 for what is wrong with them.

    The association id concerns the clients of the prediction API only, not those of the container contract.
    """
    query = check_query(route, request)
    headers = request.headers
    body = decompress(request.body, headers.get(b"content-encoding", b""), options.max_body_bytes)
    if route is Route.PREDICT_NO_STATE:
        return PredictionRequest(route, Payload(_rows_of_columns(body), Form.JSON), query, wants_csv=False)
    payload = read_payload(body, headers.get(b"content-type", b""), any_form=any_form)
    if route is not Route.PREDICTIONS:
        return PredictionRequest(route, payload, query, wants_csv=False)
    association = options.association
    if association is not None and association.is_required:
        require_column(payload, association.column)
    return PredictionRequest(route, payload, query, prefers_csv(headers.get(b"accept", b"")), association)


def _rows_of_columns(body: bytes) -> bytes:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, f"The body is not valid JSON: {error}.") from error
    columns = content.get("X") if isinstance(content, dict) else None
    if not isinstance(columns, dict) or not all(isinstance(values, list) for values in columns.values()):
        raise Refusal(400, 'The body has to be {"X": {"column": [values, ...], ...}}.')
    if len({len(values) for values in columns.values()}) > 1:
        raise Refusal(400, "The columns in X are of different lengths.")
    return json_bytes([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])


def answer(
    answers: Answers, asked: PredictionRequest, predictions: Predictions, passthrough: Passthrough | None, time_s: float
) -> Response:
    """The response to a request. `time_s` is how long the model took."""
    headers = (
        b"x-modelyard-rows: %d" % len(predictions.rows),
        b"x-modelyard-execution-ms: %.3f" % (time_s * 1000),
    )
    if passthrough is not None and len(passthrough.rows) != len(predictions.rows):
        count = f"{len(passthrough.rows)} rows to pass through and {len(predictions.rows)} predictions"
        raise Refusal(422, f"The data has {count}; leave out the passthrough columns.")
    if asked.route is not Route.PREDICTIONS:
        return Response(200, answers.contract(predictions), JSON, headers)
    if asked.wants_csv:
        return Response(200, answers.csv(predictions, passthrough, asked.query.decimals), CSV, headers)
    return Response(200, answers.json(predictions, passthrough, asked.query.decimals), JSON, headers)


def refused(refusal: Refusal) -> Response:
    """A refusal as a response."""
    headers: tuple[bytes, ...] = (b"x-modelyard-fault: model",) if isinstance(refusal, ModelFault) else ()
    if refusal.retry_after_s is not None:
        headers += (b"retry-after: %d" % refusal.retry_after_s,)
    message = refusal.message.encode("utf-8", "backslashreplace").decode()
    return Response(refusal.status, orjson.dumps({"message": message}), JSON, headers)
