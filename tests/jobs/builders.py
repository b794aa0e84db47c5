"""Jobs and runs made through the API, and a controller that works while a test looks on."""

import json
import textwrap
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from modelyard.compute.executor import Executor
from modelyard.jobs.tables import CustomJobRun
from tests.api_client import Api
from tests.conftest import Installation
from tests.journeys.story import PLAIN_PYTHON
from tests.waiting import wait_until

ENDED = {"succeeded", "failed", "interrupted", "canceled"}
RUN_S = 60.0

METADATA = """
name: job
runtimeParameterDefinitions:
  - {fieldName: CITY, type: string, defaultValue: Oslo, description: where}
  - {fieldName: COUNT, type: numeric, defaultValue: 3, minValue: 1, maxValue: 10}
  - {fieldName: LOUD, type: boolean, defaultValue: false}
"""
"""Three parameters, all with a default."""


def parameter(name: str, value: Any, kind: str = "string") -> dict[str, Any]:
    return {"fieldName": name, "type": kind, "value": value}


def send_job(
    api: Api, files: Mapping[str, str | bytes] | None = None, *, job_id: str | None = None, **fields: Any
) -> httpx.Response:
    """POST of a job, or PATCH of ``job_id``, as a form when there are files and as JSON when there are none."""
    method, path = ("POST", "/customJobs/") if job_id is None else ("PATCH", f"/customJobs/{job_id}/")
    if files is None:
        return api.request(method, path, json=fields)
    parts: list[tuple[str, Any]] = []
    for place, content in files.items():
        data = textwrap.dedent(content).encode() if isinstance(content, str) else content
        parts += [("file", (place.rpartition("/")[2], data)), ("filePath", (None, place))]
    for name, value in fields.items():
        text = value if isinstance(value, str) else json.dumps(value)
        parts.append((name, (None, text)))
    return api.request(method, path, files=parts)


def made(answer: httpx.Response, status: int = 201) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def plain_environment(api: Api) -> str:
    """The built-in environment with Python and nothing else."""
    found = api.get("/executionEnvironments/").json()["data"]
    return next(str(one["id"]) for one in found if PLAIN_PYTHON in one["name"])


@dataclass(frozen=True)
class Yard:
    """An API with jobs, as one user sees it, and the environment that they run in."""

    api: Api
    environment_id: str
    patience_s: float = RUN_S

    def as_(self, api: Api) -> "Yard":
        return Yard(api, self.environment_id, self.patience_s)

    def a_job(self, files: Mapping[str, str | bytes] | str | None = None, **fields: Any) -> dict[str, Any]:
        """A job of these files, or of one ``main.py``."""
        wanted = {"main.py": files} if isinstance(files, str) else files or {"main.py": "print('hello')\n"}
        body = {"name": "Job", "environmentId": self.environment_id} | fields
        return made(send_job(self.api, wanted, **{name: one for name, one in body.items() if one is not None}))

    def start(self, job: Mapping[str, Any], *parameters: dict[str, Any], **fields: Any) -> dict[str, Any]:
        body = ({"runtimeParameterValues": list(parameters)} if parameters else {}) | fields
        return made(self.api.post(f"/customJobs/{job['id']}/runs/", json=body))

    def run(self, job: Mapping[str, Any], *parameters: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """A run of the job that has ended."""
        return self.ended(self.start(job, *parameters, **fields))

    def read(self, run: Mapping[str, Any]) -> dict[str, Any]:
        return made(self.api.get(path_of(run)), 200)

    def ended(self, run: Mapping[str, Any]) -> dict[str, Any]:
        """The run, once it has ended."""

        def look() -> dict[str, Any] | None:
            found = self.read(run)
            return found if found["status"] in ENDED else None

        return wait_until(look, self.patience_s, "the end of the run")

    def executing(self, run: Mapping[str, Any]) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found = self.read(run)
            assert found["status"] not in ENDED, (found, self.log(run))
            return found if found["phase"] == "executing" else None

        return wait_until(look, self.patience_s, "the run to execute")

    def log(self, run: Mapping[str, Any], **query: Any) -> str:
        answer = self.api.get(path_of(run) + "logs/", params=query)
        assert answer.status_code == 200, answer.text
        return str(answer.text)

    def await_log(self, run: Mapping[str, Any], text: str) -> str:
        """The log, once ``text`` is in it."""

        def look() -> str | None:
            found = self.log(run)
            return found if text in found else None

        return wait_until(look, self.patience_s, f"{text!r} in the log")

    def cancel(self, run: Mapping[str, Any]) -> httpx.Response:
        return self.api.delete(path_of(run))

    def artifacts(self, run: Mapping[str, Any]) -> dict[str, bytes]:
        """The artifacts of a run by path."""
        listed = made(self.api.get(path_of(run) + "artifacts/"), 200)["data"]
        found = {}
        for one in listed:
            answer = self.api.get(f"{path_of(run)}artifacts/{one['id']}/")
            assert answer.status_code == 200
            assert len(answer.content) == one["sizeBytes"]
            found[one["filePath"]] = answer.content
        return found


@dataclass(frozen=True)
class Workshop(Yard):
    """A yard in this process, whose tables and controller a test can get at."""

    installation: Installation = None  # type: ignore[assignment]

    @contextmanager
    def working(self) -> Iterator[None]:
        """A controller that works in threads of its own."""
        engine = self.installation.application.engine()
        thread = threading.Thread(target=engine.run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            for workload_id in self.executor.ids():
                self.executor.stop(workload_id, 0)
            engine.stop()
            thread.join(10)

    @property
    def executor(self) -> Executor:
        return self.installation.application.parts.get(Executor)  # type: ignore[type-abstract]

    def await_nothing_left(self) -> None:
        """Until the folders of all workloads are gone, which is just after their runs have ended."""
        wait_until(lambda: self.executor.ids() == [], what="the workloads to be removed")

    def row(self, run: Mapping[str, Any]) -> CustomJobRun:
        with self.installation.application.database.read() as session:
            return session.get_one(CustomJobRun, run["id"])


def path_of(run: Mapping[str, Any]) -> str:
    return f"/customJobs/{run['customJobId']}/runs/{run['id']}/"
