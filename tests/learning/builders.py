"""Short ways to make datasets, tasks, projects and models through the API."""

import textwrap
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from modelyard.compute.executor import Executor
from tests.api_client import Api
from tests.conftest import Installation
from tests.models.builders import parts
from tests.waiting import wait_until

ENDED = {"completed", "errored", "canceled"}
TRAINING_S = 120.0


def sent(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def churn_rows(count: int = 120) -> list[str]:
    """A table with numbers, texts and gaps, of which the target follows: who is old and pays much leaves."""
    lines = ["age,city,income,weight,churned"]
    for number in range(count):
        age, income = 20 + (number * 7) % 50, 1000 + (number * 131) % 4000
        city = ["Oslo", "Rome", "Bern", ""][number % 4]
        shown = "" if number % 11 == 0 else str(income)
        churned = "yes" if age / 70 + income / 5000 > 1 else "no"
        lines.append(f"{age},{city},{shown},{1 + number % 3},{churned}")
    return lines


@dataclass(frozen=True)
class Bench:
    """An API with projects, as one user sees it, and the environment that tasks run in. Somebody else's controller
    works."""

    api: Api
    environment_id: str

    def a_dataset(self, lines: Sequence[str] | None = None, name: str = "churn.csv") -> str:
        content = "".join(f"{line}\n" for line in lines or churn_rows()).encode()
        answer = self.api.post("/datasets/fromFile/", files={"file": (name, content)})
        self.done(answer)
        return str(sent(answer, 202)["catalogId"])

    def done(self, answer: httpx.Response) -> None:
        """Until what was asked for has ended, whoever does it."""
        assert answer.status_code == 202, answer.text
        path = answer.headers["Location"]

        def has_ended() -> bool:
            status = self.api.get(path)
            return status.status_code == 303 or status.json()["status"] == "ERROR"

        wait_until(has_ended, what=f"the end of {path}")

    def project_body(self, **fields: Any) -> dict[str, Any]:
        body = {"projectName": "Churn", "target": "churned"} | fields
        if "datasetId" not in body:
            body["datasetId"] = self.a_dataset()
        return {name: value for name, value in body.items() if value is not ...}

    def a_project(self, **fields: Any) -> dict[str, Any]:
        """A project whose data are ready."""
        answer = self.api.post("/projects/", json=self.project_body(**fields))
        self.done(answer)
        return self.project(sent(answer, 202))

    def project(self, project: Mapping[str, Any]) -> dict[str, Any]:
        return sent(self.api.get(f"/projects/{project['id']}/"), 200)

    def a_task(
        self,
        code: str,
        target_type: str = "Binary",
        metadata: str | None = None,
        requirements: str | None = None,
        **fields: Any,
    ) -> str:
        """A task with one version of this ``custom.py``; the id of the version."""
        task = sent(
            self.api.post("/customTasks/", json={"name": f"{target_type} task", "targetType": target_type} | fields),
            201,
        )
        return self.a_task_version(task["id"], code, metadata, requirements=requirements)

    def a_task_version(
        self,
        task_id: str,
        code: str,
        metadata: str | None = None,
        environment_id: str | None = None,
        requirements: str | None = None,
    ) -> str:
        files = {"custom.py": textwrap.dedent(code).encode()}
        if metadata is not None:
            files["model-metadata.yaml"] = textwrap.dedent(metadata).encode()
        if requirements is not None:
            files["requirements.txt"] = requirements.encode()
        about = {"isMajorUpdate": "true", "baseEnvironmentId": environment_id or self.environment_id}
        fields = [*parts(files), *((name, (None, value)) for name, value in about.items())]
        return str(sent(self.api.post(f"/customTasks/{task_id}/versions/", files=fields), 201)["id"])

    def train(self, project: Mapping[str, Any], *tasks: str | dict[str, Any], **fields: Any) -> dict[str, Any]:
        """A model that is being trained."""
        return sent(self.ask_for_model(project, *tasks, **fields), 202)

    def ask_for_model(self, project: Mapping[str, Any], *tasks: str | dict[str, Any], **fields: Any) -> httpx.Response:
        chain = [{"customTaskVersionId": one} if isinstance(one, str) else one for one in tasks]
        return self.api.post(f"/projects/{project['id']}/models/", json={"tasks": chain} | fields)

    def refused(self, project: Mapping[str, Any], *tasks: str | dict[str, Any], **fields: Any) -> dict[str, str]:
        """What is wrong with a chain, of which nothing is left."""
        answer = self.ask_for_model(project, *tasks, **fields)
        assert answer.status_code == 422, answer.text
        assert self.project(project)["modelCount"] == project["modelCount"]
        return dict(answer.json()["errors"])

    def model(self, model: Mapping[str, Any]) -> dict[str, Any]:
        return sent(self.api.get(path_of(model)), 200)

    def ended(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """The model, once its training has ended."""

        def look() -> dict[str, Any] | None:
            found = self.model(model)
            return found if found["status"] in ENDED else None

        return wait_until(look, TRAINING_S, "the end of the training")

    def trained(self, project: Mapping[str, Any], *tasks: str | dict[str, Any], **fields: Any) -> dict[str, Any]:
        found = self.ended(self.train(project, *tasks, **fields))
        assert found["status"] == "completed", (found["reason"], self.log(found))
        return found

    def log(self, model: Mapping[str, Any]) -> str:
        answer = self.api.get(path_of(model) + "log/")
        assert answer.status_code == 200, answer.text
        return str(answer.text)


@dataclass(frozen=True)
class Lab(Bench):
    """A bench in an installation of its own."""

    installation: Installation

    def as_(self, api: Api) -> "Lab":
        return Lab(api, self.environment_id, self.installation)

    def done(self, answer: httpx.Response) -> None:
        self.installation.run_operations()
        super().done(answer)

    @contextmanager
    def working(self) -> Iterator[None]:
        """A controller that works meanwhile."""
        engine = self.installation.application.engine()
        executor = self.installation.application.parts.get(Executor)  # type: ignore[type-abstract]
        thread = threading.Thread(target=engine.run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            for workload_id in executor.ids():
                executor.stop(workload_id, 0)
            engine.stop()
            thread.join(10)


def path_of(model: Mapping[str, Any]) -> str:
    return f"/projects/{model['projectId']}/models/{model['id']}/"
