"""The server of one checkout, with a model and a job in it, asked through HTTP and nothing else."""

import contextlib
import json
import secrets
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any, TypeVar
from urllib.parse import urlsplit

import psutil
from tests.servers import a_free_port

from benchmarks.checkout import Checkout, environment
from benchmarks.comparison import Quantity
from benchmarks.installation import MODEL
from benchmarks.load import Job, Load, run
from benchmarks.requests import Answer, Client
from benchmarks.serving import BINARY, CONNECTIONS, CUSTOM, some_rows

T = TypeVar("T")
MANY_S, ONE_S, THROUGH_API_S, WARM_UP_S = 4.0, 2.5, 2.0, 1.0
RUNS = 8
START_TIMEOUT_S = 60.0
WAIT_S = 180.0
ENDED = {"succeeded", "failed", "interrupted", "canceled"}
SCIKIT_LEARN, PLAIN_PYTHON = "Scikit-Learn", "Python 3.11 Drop-In"

THROUGHPUT = Quantity(f"{CONNECTIONS} connections", "requests/s", more_is_better=True)
LATENCY = Quantity("one connection, p50", "ms")
LATENCY_THROUGH_API = Quantity("one connection through the API's port, p50", "ms")
FIRST_LINE = Quantity("POST of a run to its first line, p50", "ms")


class ContenderError(Exception):
    """A checkout's server does not do what it should; the text says what."""


@dataclass
class Contender:
    """A started server: ports, an administrator's token, and the folder that it keeps everything in."""

    process: "subprocess.Popen[bytes]"
    data_dir: Path
    port: int
    gateway_port: int
    token: str
    deployment_id: str = ""
    job_id: str = ""

    # measuring

    def serving(self) -> dict[Quantity, float]:
        """Single rows as JSON: by many connections at once, by one, and by one that asks the other port."""
        return {
            THROUGHPUT: self._load(CONNECTIONS, MANY_S).per_second,
            LATENCY: self._load(1, ONE_S).p50_ms,
            LATENCY_THROUGH_API: self._load(1, THROUGH_API_S, through_api=True).p50_ms,
        }

    def jobs(self) -> dict[Quantity, float]:
        """From asking for a run to the first line of its program, by the time that its supervisor noted."""
        with self.client() as client:
            return {FIRST_LINE: median(self._first_line_ms(client) for _ in range(RUNS))}

    def _load(self, connections: int, seconds: float, *, through_api: bool = False) -> Load:
        base = "/api/v2" if through_api else "/predApi/v1.0"
        job = Job(
            port=self.port if through_api else self.gateway_port,
            path=f"{base}/deployments/{self.deployment_id}/predictions",
            bodies=[json.dumps(row) for row in some_rows()],
            connections=connections,
            seconds=seconds,
            headers={"Authorization": f"Bearer {self.token}"},
        )
        return run(job)

    def _first_line_ms(self, client: Client) -> float:
        path = f"/api/v2/customJobs/{self.job_id}/runs/"
        asked_at = time.time()
        path += client.ask("POST", path, b"{}").json(201)["id"] + "/"
        status = _await(lambda: _if(client.ask("GET", path).json(200)["status"], ENDED), "a run to end")
        log = client.ask("GET", f"{path}logs/?timestamps=true").body.decode()
        if status != "succeeded":
            raise ContenderError(f"a run ended {status}: {log[-1000:]}")
        return (datetime.fromisoformat(log.split()[0]).timestamp() - asked_at) * 1000

    # preparing

    def client(self) -> Client:
        return Client(self.port, self.token)

    def prepare_serving(self) -> None:
        """Push the model of all servers, deploy it and warm it up."""
        with self.client() as client:
            environment_id = _environment_id(client, SCIKIT_LEARN)
            model = {"name": "Model", "customModelType": "inference"} | BINARY
            model_id = _post(client, "/customModels/", model).json(201)["id"]
            fields = {"isMajorUpdate": "false", "baseEnvironmentId": environment_id}
            files = [("custom.py", _dedented(CUSTOM)), ("model.py", MODEL.read_bytes())]
            sent = client.send_form("POST", f"/api/v2/customModels/{model_id}/versions/", fields, files)
            version_id = str(sent.json(201)["id"])
            self._mark_rows_independent(version_id)
            package = _post(
                client, "/modelPackages/fromCustomModelVersion/", {"customModelVersionId": version_id}
            ).json(201)
            body = {"modelPackageId": package["id"], "label": "Benchmark"}
            asked = _post(client, "/deployments/fromModelPackage/", body)
            self.deployment_id = asked.json(202)["id"]
            location = urlsplit(asked.location or "").path
            _await(lambda: _done(client.ask("GET", location)), "the deployment")
        self._load(CONNECTIONS, WARM_UP_S)
        self._load(1, WARM_UP_S, through_api=True)

    def prepare_jobs(self) -> None:
        """Push a job that prints a line, and run it once so that its environment is built."""
        with self.client() as client:
            fields = {"name": "Job", "environmentId": _environment_id(client, PLAIN_PYTHON)}
            files = [("main.py", b"print('hello', flush=True)\n")]
            self.job_id = client.send_form("POST", "/api/v2/customJobs/", fields, files).json(201)["id"]
            self._first_line_ms(client)

    def _mark_rows_independent(self, version_id: str) -> None:
        """Note what the test of side effects finds out otherwise, so that rows that wait are scored together."""
        statement = "UPDATE custom_model_versions SET side_effects_passed = 1 WHERE id = ?"
        try:
            with (
                contextlib.closing(sqlite3.connect(self.data_dir / "modelyard.db", timeout=10)) as connection,
                connection,
            ):
                connection.execute(statement, [version_id])
        except sqlite3.OperationalError as error:
            raise ContenderError(f"its versions cannot be marked as having independent rows: {error}") from error

    def close(self) -> None:
        """End the server and everything that it started, workloads included."""
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        for process in psutil.process_iter(["cmdline"]):
            with contextlib.suppress(psutil.Error):
                if str(self.data_dir) in " ".join(process.info["cmdline"] or ()):
                    process.kill()
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def started(checkout: Checkout, folder: Path) -> Iterator[Contender]:
    """``modelyard up`` of a checkout, with everything that it keeps below ``folder``."""
    folder.mkdir(mode=0o711)
    data_dir, log = folder / "data", folder / "log"
    token = f"my_{secrets.token_urlsafe(32)}"
    port, gateway_port = a_free_port(), a_free_port()
    command = [str(checkout.program), "up", "--json", "--data-dir", str(data_dir)]
    command += ["--port", str(port), "--gateway-port", str(gateway_port)]
    variables = environment(MODELYARD_BOOTSTRAP_TOKEN=token, XDG_CONFIG_HOME=str(folder / "config"))
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=variables, stdout=output, stderr=output, start_new_session=True
        )
    contender = Contender(process, data_dir, port, gateway_port, token)
    try:
        _await(lambda: _is_ready(contender, log), f"the server of {checkout.title} to start", START_TIMEOUT_S)
        yield contender
    finally:
        contender.close()


def _is_ready(contender: Contender, log: Path) -> bool:
    """Whether the ready line was printed."""
    text = log.read_text(errors="replace")
    if contender.process.poll() is not None:
        raise ContenderError(f"{contender.process.args[0]} did not start: {text[-2000:]}")
    return '"api":' in text


def _environment_id(client: Client, name: str) -> str:
    listed = client.ask("GET", "/api/v2/executionEnvironments/").json(200)["data"]
    return next(str(one["id"]) for one in listed if name in one["name"])


def _post(client: Client, path: str, body: dict[str, Any]) -> Answer:
    return client.ask("POST", f"/api/v2{path}", json.dumps(body).encode())


def _done(answer: Answer) -> bool:
    """Whether an operation succeeded; raises what it failed with."""
    if answer.status == 303:
        return True
    found = answer.json(200)
    if found["status"] not in {"INITIALIZED", "RUNNING"}:
        raise ContenderError(f"the deployment failed: {found['message']}")
    return False


def _if(value: str, wanted: set[str]) -> str | None:
    return value if value in wanted else None


def _await(look: Callable[[], T | None], what: str, timeout_s: float = WAIT_S) -> T:
    deadline = time.monotonic() + timeout_s
    while not (found := look()):
        if time.monotonic() > deadline:
            raise ContenderError(f"waited {timeout_s:.0f} s for {what}")
        time.sleep(0.05)
    return found


def _dedented(text: str) -> bytes:
    return "\n".join(line.removeprefix("    ") for line in text.splitlines()).encode()
