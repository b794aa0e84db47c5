"""Which path leads where. `{P}` is the URL prefix; every route is known with and without its last slash."""

from collections.abc import Callable
from typing import Any, Protocol

import orjson

from modelyard_runner.problems import Refusal
from modelyard_runner.statistics import Statistics
from modelyard_runner.target import Target, TargetType
from modelyard_runner.wire.http_server import JSON, Request, Response
from modelyard_runner.wire.prediction_request import Route, refused

LOADING = Refusal(503, "The model is starting.", retry_after_s=1)
STOPPING = Refusal(503, "The model is stopping.", retry_after_s=1)
NO_QUERY = "This route takes no query arguments."

PREDICTION_ROUTES = {
    b"/v1/predictions": Route.PREDICTIONS,
    b"/v1/predictionsUnstructured": Route.PREDICTIONS_UNSTRUCTURED,
    b"/predict": Route.PREDICT,
    b"/predict_no_state": Route.PREDICT_NO_STATE,
    b"/predictUnstructured": Route.PREDICT_UNSTRUCTURED,
}


class Backend(Protocol):
    """What answers predictions: a model in this process, or a server behind it."""

    @property
    def capabilities(self) -> dict[str, Any]:
        """What the capabilities route tells."""

    def trouble(self) -> Refusal | None:
        """Why no request can be taken now; None when one can."""

    def illness(self) -> Refusal | None:
        """Why the backend is not well; it may be replaced when that lasts. None when it is well."""

    def handle(self, route: Route, request: Request, timeout_s: float | None) -> None:
        """Answer a request, now or later. Raises Refusal."""

    async def start(self) -> None:
        """Return when requests can be answered. Raises LoadError."""

    async def wait_ended(self) -> int:
        """Return an exit code when the backend has ended by itself."""

    async def stop(self, grace_s: float) -> None:
        """End what the backend started."""


class Routes:
    """Hands requests to the backend. `state` is None when it takes requests, else the refusal of all of them."""

    def __init__(self, url_prefix: str, target: Target, backend: Backend, statistics: Statistics) -> None:
        self._prefix = url_prefix.encode()
        self._is_unstructured = target.kind is TargetType.UNSTRUCTURED
        self._backend = backend
        self._statistics = statistics
        self.state: Refusal | None = LOADING
        self._information: dict[bytes, Callable[[], Response]] = {
            b"": self._ready,
            b"/health": self._ready,
            b"/ping": self._ready,
            b"/stats": lambda: Response(200, statistics.to_json(), JSON),
            b"/capabilities": lambda: Response(200, orjson.dumps(backend.capabilities), JSON),
        }

    def __call__(self, request: Request) -> None:
        """Answer a request or hand it to the backend; never raises."""
        try:
            self._dispatch(request)
        except Refusal as refusal:
            self._statistics.refused += 1
            request.respond(refused(refusal))

    def _dispatch(self, request: Request) -> None:
        path = request.path
        if not path.startswith(self._prefix):
            raise Refusal(404, f"There is no route {path.decode('latin-1')}.")
        path = path[len(self._prefix) :].rstrip(b"/")
        route = PREDICTION_ROUTES.get(path)
        if route is None:
            inform = self._information.get(path)
            if inform is None:
                raise Refusal(404, f"There is no route {request.path.decode('latin-1')}.")
            if request.method not in {b"GET", b"HEAD"}:
                raise Refusal(405, "This route is read with GET.")
            request.respond(inform())
            return
        if request.method != b"POST":
            raise Refusal(405, "Predictions are asked for with POST.")
        self._statistics.requests += 1
        trouble = self.state or self._backend.trouble()
        if trouble is not None:
            raise trouble
        self._check_kind(route, request)
        self._backend.handle(route, request, _timeout_s(request))

    def _ready(self) -> Response:
        trouble = self.state or self._backend.illness()
        return Response(200) if trouble is None else refused(trouble)

    def _check_kind(self, route: Route, request: Request) -> None:
        if route is Route.PREDICTIONS_UNSTRUCTURED and request.query:
            raise Refusal(400, NO_QUERY)
        if route.is_unstructured and not self._is_unstructured:
            raise Refusal(422, "This model is structured: send the data to /predictions.")
        if self._is_unstructured and not route.is_unstructured:
            raise Refusal(422, "This model is unstructured: send the data to /predictionsUnstructured.")


def _timeout_s(request: Request) -> float | None:
    text = request.headers.get(b"x-modelyard-timeout-ms")
    if text is None:
        return None
    if not text.isdigit() or len(text) > 9:
        raise Refusal(400, "X-Modelyard-Timeout-Ms takes a whole number of milliseconds.")
    return int(text) / 1000
