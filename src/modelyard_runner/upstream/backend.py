"""Answers the prediction routes through the server that `start_server.sh` starts."""

import asyncio
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import Any, TypeVar

from modelyard_runner.options import ServeOptions
from modelyard_runner.problems import LoadError, ModelFault, Refusal, seconds
from modelyard_runner.statistics import Statistics
from modelyard_runner.target import TargetType
from modelyard_runner.upstream.client import UpstreamClient, UpstreamResponse
from modelyard_runner.upstream.process import UpstreamProcess
from modelyard_runner.upstream.translation import Table, read_message, read_predictions
from modelyard_runner.wire.answers import Answers
from modelyard_runner.wire.http_server import Request, Response
from modelyard_runner.wire.outputs import check
from modelyard_runner.wire.passthrough import Passthrough
from modelyard_runner.wire.payload import decompress
from modelyard_runner.wire.prediction_request import (
    PredictionRequest,
    Route,
    answer,
    check_query,
    read_prediction_request,
    refused,
)

Result = TypeVar("Result")

SMALL_BODY_BYTES = 64 * 1024
POLL_S = 0.05
LIFE_POLL_S = 1.0
FIRST_ANSWER_TIMEOUT_S = 5.0
LOADING_FAILED = 513
FORWARDED = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class Contract(Enum):
    """The predict route of a server, by the version of the contract."""

    CURRENT = "predict/"
    OLDER = "predict_no_state/"


class UpstreamBackend:
    """The server's process, the connections to it, and which contract it keeps."""

    def __init__(self, options: ServeOptions, statistics: Statistics) -> None:
        self._options = options
        self._statistics = statistics
        self._client = UpstreamClient(options.upstream_port)
        self._answers = Answers(options.model.target)
        self._process: UpstreamProcess | None = None
        self._contract: Contract | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_doubtful = False

    @property
    def capabilities(self) -> dict[str, Any]:
        """What the capabilities route tells."""
        is_unstructured = self._options.model.target.kind is TargetType.UNSTRUCTURED
        return {
            "targetType": self._options.model.target.kind,
            "hooks": [],
            "batching": False,
            "inputFormats": [] if is_unstructured else ["csv", "json"],
            "upstreamRoute": self._contract.value if self._contract is not None else None,
        }

    def trouble(self) -> Refusal | None:
        """Nothing keeps requests from being tried."""
        return None

    def illness(self) -> Refusal | None:
        """The server let a request's time limit pass, and has not given a sign of life since."""
        if self._is_doubtful:
            return Refusal(503, "The model's server gives no sign of life since a request was over its time limit.")
        return None

    # the process

    async def start(self) -> None:
        """Start the script and wait until it answers. Raises LoadError when it ends or says that it failed."""
        process = await UpstreamProcess.start(self._options)
        self._process = process
        loop = asyncio.get_running_loop()
        for number in FORWARDED:
            loop.add_signal_handler(number, process.send, number)
        ended = loop.create_task(process.wait())
        try:
            while not await self._is_ready():
                await asyncio.wait({ended}, timeout=POLL_S)
                if ended.done():
                    code = ended.result()
                    raise LoadError(f"start_server.sh ended with code {code} before its server answered.", code or 1)
        finally:
            ended.cancel()

    async def _is_ready(self) -> bool:
        try:
            response = await asyncio.wait_for(self._client.request("GET", self._path("")), FIRST_ANSWER_TIMEOUT_S)
        except (OSError, TimeoutError):
            return False
        if response.status == LOADING_FAILED:
            raise LoadError(f"The model's server says that its model failed to load: {read_message(response.body)}")
        return response.status == 200

    async def wait_ended(self) -> int:
        """The script's exit code once it has ended."""
        if self._process is None:
            return 1
        return await self._process.wait()

    async def stop(self, grace_s: float) -> None:
        """End the script's process group."""
        self._client.close()
        if self._process is not None:
            await self._process.stop(grace_s)

    # requests

    def handle(self, route: Route, request: Request, timeout_s: float | None) -> None:
        """Answer a request when the server has; requests go to it in parallel."""
        if not route.is_unstructured:
            check_query(route, request)
        task = asyncio.get_running_loop().create_task(self._respond(route, request, timeout_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _respond(self, route: Route, request: Request, timeout_s: float | None) -> None:
        try:
            response = await asyncio.wait_for(self._answer(route, request), timeout_s)
        except Refusal as refusal:
            response = refused(refusal)
        except TimeoutError:
            response = refused(Refusal(504, f"The model's server has not answered within {seconds(timeout_s or 0)}."))
            self._doubt()
        except OSError as error:
            response = refused(Refusal(503, f"The model's server cannot be reached: {error}.", retry_after_s=1))
        except Exception as error:  # noqa: BLE001  what the server sent could not be written as an answer
            traceback.print_exc()
            response = refused(ModelFault(f"The answer of the model's server cannot be used: {error}."))
        self._statistics.refused += response.status >= 400
        request.respond(response)

    def _doubt(self) -> None:
        """From now on the server is taken for ill, until it answers the route that tells whether it is alive."""
        if not self._is_doubtful:
            self._is_doubtful = True
            task = asyncio.get_running_loop().create_task(self._await_sign_of_life())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _await_sign_of_life(self) -> None:
        with suppress(LoadError):
            while not await self._is_ready():
                await asyncio.sleep(LIFE_POLL_S)
            self._is_doubtful = False

    async def _answer(self, route: Route, request: Request) -> Response:
        if route.is_unstructured:
            return await self._answer_unstructured(route, request)
        size_bytes = len(request.body)
        asked, table, passthrough = await _beside_loop(size_bytes, lambda: self._read(route, request))
        start_s = time.perf_counter()
        response = await self._predict(table)
        time_s = time.perf_counter() - start_s
        _check_status(response)

        def write() -> Response:
            output = read_predictions(response.body, response.headers.get(b"content-type", b""))
            predictions = check(self._options.model.target, output, table.row_count)
            return answer(self._answers, asked, predictions, passthrough, time_s)

        written = await _beside_loop(size_bytes, write)
        self._statistics.rows += table.row_count
        self._statistics.batches += 1
        return written

    def _read(self, route: Route, request: Request) -> tuple[PredictionRequest, Table, Passthrough | None]:
        options = self._options.model
        asked = read_prediction_request(route, request, options, any_form=False)
        return asked, Table(asked.payload, options.target.name), asked.passthrough()

    async def _predict(self, table: Table) -> UpstreamResponse:
        """Ask by the server's contract; the first request finds out which one it keeps."""
        contract = self._contract or Contract.CURRENT
        response = await self._ask(contract, table)
        if self._contract is None and response.status in {404, 405, 501}:
            contract = Contract.OLDER
            response = await self._ask(contract, table)
        if response.status not in {404, 405, 501}:
            self._contract = contract
        return response

    async def _ask(self, contract: Contract, table: Table) -> UpstreamResponse:
        path = self._path(contract.value)
        if contract is Contract.CURRENT:
            return await self._client.request("POST", path, "text/csv; charset=utf-8", table.csv())
        return await self._client.request("POST", path, "application/json", table.columns_json())

    async def _answer_unstructured(self, route: Route, request: Request) -> Response:
        content_type = request.headers.get(b"content-type", b"").decode("latin-1")
        if not content_type and route is Route.PREDICTIONS_UNSTRUCTURED:
            content_type = "application/octet-stream"
        encoding = request.headers.get(b"content-encoding", b"")
        body = decompress(request.body, encoding, self._options.model.max_body_bytes)
        path = self._path("predictUnstructured/")
        if request.query:
            path += "?" + request.query.decode("latin-1")
        start_s = time.perf_counter()
        response = await self._client.request("POST", path, content_type, body)
        time_s = time.perf_counter() - start_s
        _check_status(response)
        self._statistics.rows += 1
        self._statistics.batches += 1
        about = (b"x-modelyard-rows: 1", b"x-modelyard-execution-ms: %.3f" % (time_s * 1000))
        kind = response.headers.get(b"content-type", b"application/octet-stream")
        return Response(200, response.body, kind, about)

    def _path(self, route: str) -> str:
        return f"{self._options.url_prefix}/{route}"


async def _beside_loop(size_bytes: int, work: Callable[[], Result]) -> Result:
    """Do work on a body: at once when it is small, else in a thread, so that other requests are not held up."""
    return work() if size_bytes <= SMALL_BODY_BYTES else await asyncio.to_thread(work)


def _check_status(response: UpstreamResponse) -> None:
    if 200 <= response.status < 300:
        return
    message = f"The model's server answered {response.status}: {read_message(response.body)}"
    if response.status in {400, 413, 422}:
        raise Refusal(response.status, message)
    if response.status in {429, 503, LOADING_FAILED}:
        raise Refusal(503, message, retry_after_s=1)
    raise ModelFault(message)
