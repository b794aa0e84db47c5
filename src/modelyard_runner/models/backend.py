"""Answers the prediction routes with a model in this process."""

import asyncio
import gc
import importlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl

from modelyard_runner.models.hooks import Hooks, call_user_code, read_hooks
from modelyard_runner.models.thread import Job, ModelThread, seconds_since
from modelyard_runner.models.unstructured import UnstructuredModel, load_unstructured_model
from modelyard_runner.options import ModelOptions
from modelyard_runner.problems import LoadError, Refusal, seconds
from modelyard_runner.statistics import Statistics
from modelyard_runner.target import TargetType
from modelyard_runner.wire.answers import Answers
from modelyard_runner.wire.http_server import Request, Response
from modelyard_runner.wire.payload import Form, decompress
from modelyard_runner.wire.prediction_request import (
    PredictionRequest,
    Route,
    answer,
    check_query,
    read_prediction_request,
    refused,
)
from modelyard_runner.wire.rows import Row, json_rows

if TYPE_CHECKING:
    from modelyard_runner.models.frames import Signature
    from modelyard_runner.models.structured import TableModel

CHAIN_FILE = "modelyard-chain.json"
"""In a code folder: what is served is a trained chain of tasks."""

# Bodies up to this size are read on the event loop, which is cheaper than a hand-over; larger ones would block it.
SMALL_BODY_BYTES = 64 * 1024


def load_model(code_dir: Path, options: ModelOptions) -> "TableModel | UnstructuredModel":
    """Load a code folder: a trained chain, or `init` and then `load_model` or the artifact. Raises LoadError."""
    if not code_dir.is_dir():
        raise LoadError(f"The code folder {code_dir} does not exist.")
    if (code_dir / CHAIN_FILE).is_file():
        _require_packages(options.target.kind)
        chain = importlib.import_module("modelyard_runner.tasks.chain")
        return chain.load_chain_model(code_dir / CHAIN_FILE, options.target)  # type: ignore[no-any-return]
    hooks = read_hooks(code_dir)
    if hooks.init is not None:
        call_user_code("init", hooks.init, code_dir=str(code_dir))
    if options.target.kind is TargetType.UNSTRUCTURED:
        return load_unstructured_model(code_dir, hooks)
    _require_packages(options.target.kind)
    structured = importlib.import_module("modelyard_runner.models.structured")
    return structured.load_structured_model(code_dir, hooks, options.target)  # type: ignore[no-any-return]


def _require_packages(kind: TargetType) -> None:
    for package in ("numpy", "pandas"):
        if importlib.util.find_spec(package) is None:
            raise LoadError(f"A {kind} model needs the package {package}: add it to requirements.txt.")


class ModelBackend:
    """The model, the thread it runs in, and what is waiting for it."""

    def __init__(self, options: ModelOptions, code_dir: Path, statistics: Statistics) -> None:
        self._options = options
        self._code_dir = code_dir
        self._statistics = statistics
        self._loop = asyncio.get_running_loop()
        self._answers = Answers(options.target)
        self._model: TableModel | UnstructuredModel | None = None
        self._hooks = Hooks()
        self._overdue: set[Job] = set()
        self._thread = ModelThread(self._load, self._run_together, self._deliver, options.max_batch_rows)

    async def start(self) -> None:
        """Load the model. Raises LoadError."""
        self._thread.start()
        await self._thread.loaded

    async def wait_ended(self) -> int:
        """The exit code when the model has ended by itself; a model in this process never does."""
        return await self._loop.create_future()  # type: ignore[no-any-return]

    async def stop(self, _grace_s: float) -> None:
        """Nothing to do: the thread ends with the process."""

    def _load(self) -> None:
        model = load_model(self._code_dir, self._options)
        if not isinstance(model, UnstructuredModel):
            self._answers = Answers(model.target)
            self._signature_of = importlib.import_module("modelyard_runner.models.frames").signature_of
            model.max_columns = self._options.max_columns
        self._hooks = model.hooks
        self._model = model
        gc.collect()
        gc.freeze()

    @property
    def capabilities(self) -> dict[str, Any]:
        """What the capabilities route tells."""
        return {
            "targetType": self._options.target.kind,
            "hooks": self._hooks.names,
            "batching": self._options.batches,
            "inputFormats": [] if self._options.target.kind is TargetType.UNSTRUCTURED else ["csv", "json"],
        }

    def trouble(self) -> Refusal | None:
        """Why no request can be taken now: one that is over its time limit still holds the model."""
        if self._overdue:
            return Refusal(503, "The model is still busy with a request that is over its time limit.", retry_after_s=5)
        return None

    def illness(self) -> Refusal | None:
        """What keeps requests from being taken keeps the model from being well."""
        return self.trouble()

    def handle(self, route: Route, request: Request, timeout_s: float | None) -> None:
        """Answer a request, now or when the model has. Raises Refusal."""
        if route.is_unstructured:
            job = Job(request, lambda: self._run_unstructured(route, request))
        else:
            job = self._structured_job(route, request)
        if timeout_s is not None:
            job.timer = self._loop.call_later(timeout_s, self._time_out, job, timeout_s)
        self._thread.submit(job)

    def _structured_job(self, route: Route, request: Request) -> Job:
        """A job; small requests are read here and now, so that single JSON rows can be recognised as alike."""
        check_query(route, request)
        if len(request.body) > SMALL_BODY_BYTES:
            return Job(request, lambda: self._run(self._read(route, request)))
        asked = self._read(route, request)
        if asked.payload.form is not Form.JSON or self._hooks.read_input_data is not None:
            return Job(request, lambda: self._run(asked))
        rows = json_rows(asked.payload.body)
        if len(rows) != 1 or not self._options.batches:
            return Job(request, lambda: self._run(asked, rows))
        return Job(request, lambda: self._run(asked, rows), self._signature_of(rows[0]), (asked, rows[0]))

    def _read(self, route: Route, request: Request) -> PredictionRequest:
        return read_prediction_request(route, request, self._options, any_form=self._hooks.read_input_data is not None)

    def _time_out(self, job: Job, timeout_s: float) -> None:
        if job.request.is_abandoned:
            return
        job.request.respond(refused(Refusal(504, f"The model has not answered within {seconds(timeout_s)}.")))
        self._statistics.refused += 1
        if job.started:
            self._overdue.add(job)

    # in the model's thread

    def _run(self, asked: PredictionRequest, rows: list[Row] | None = None) -> Response:
        model = self._structured_model()
        passthrough = asked.passthrough()
        frame = model.frame_of(asked.payload) if rows is None else model.frame_of_rows(rows)
        start_s = time.perf_counter()
        predictions = model.predict(frame)
        time_s = seconds_since(start_s)
        self._count(len(predictions.rows))
        return answer(self._answers, asked, predictions, passthrough, time_s)

    def _run_together(self, jobs: Sequence[Job]) -> list[Response]:
        model = self._structured_model()
        frame = model.frame_of_alike([job.content[1] for job in jobs], cast("Signature", jobs[0].alike))
        start_s = time.perf_counter()
        predictions = model.predict(frame)
        time_s = seconds_since(start_s)
        self._count(len(jobs))
        responses = []
        for place, job in enumerate(jobs):
            asked = job.content[0]
            part = predictions.part(place, place + 1)
            responses.append(answer(self._answers, asked, part, asked.passthrough(), time_s))
        return responses

    def _run_unstructured(self, route: Route, request: Request) -> Response:
        model = self._model
        if not isinstance(model, UnstructuredModel):
            raise Refusal(422, "This model is structured: use the route predictions instead.")
        content_type = request.headers.get(b"content-type", b"")
        if not content_type and route is Route.PREDICTIONS_UNSTRUCTURED:
            content_type = b"application/octet-stream"
        body = decompress(request.body, request.headers.get(b"content-encoding", b""), self._options.max_body_bytes)
        query = dict(parse_qsl(request.query.decode("utf-8", "replace"), keep_blank_values=True))
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers.items()}
        start_s = time.perf_counter()
        result = model.answer(body, content_type, query, headers)
        time_s = seconds_since(start_s)
        self._count(1)
        about = (b"x-modelyard-rows: 1", b"x-modelyard-execution-ms: %.3f" % (time_s * 1000))
        return Response(200, result.body, result.content_type, about)

    def _structured_model(self) -> "TableModel":
        model = self._model
        if model is None or isinstance(model, UnstructuredModel):
            raise Refusal(422, "This model is unstructured: use the route predictionsUnstructured instead.")
        return model

    def _count(self, rows: int) -> None:
        self._statistics.rows += rows
        self._statistics.batches += 1

    # on the event loop

    def _deliver(self, finished: list[tuple[Job, Response]]) -> None:
        for job, response in finished:
            if job.timer is not None:
                job.timer.cancel()
            self._overdue.discard(job)
            if not job.request.is_abandoned:
                self._statistics.refused += response.status >= 400
                job.request.respond(response)
