"""Builders for deployments of a tiny model, and a controller that works while a test looks on."""

import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from modelyard.compute.executor import Executor
from modelyard.compute.services.service import replicas_of
from modelyard.compute.services.tables import ReplicaState
from modelyard.compute.unix_http import HttpAnswer, ask_once
from tests.api_client import Api
from tests.conftest import Installation
from tests.waiting import wait_until

LAUNCH_S = 60.0

ECHO = """
    import os

    def load_model(code_dir):
        print("the model was loaded")
        return "model"

    def score_unstructured(model, data, query, **kwargs):
        if isinstance(data, bytes):
            data = data.decode()
        return f"{os.environ.get('GREETING', 'hello')} {data}"
"""

METADATA = """
name: echo
type: inference
targetType: unstructured
runtimeParameterDefinitions:
  - fieldName: GREETING
    type: string
    defaultValue: hello
"""


@dataclass(frozen=True)
class Workshop:
    """An installation and the environment that its models run in."""

    installation: Installation
    environment_id: str

    @property
    def api(self) -> Api:
        return self.installation.api

    def a_model(self, **fields: Any) -> dict[str, Any]:
        body = {"name": "Echo", "customModelType": "inference", "targetType": "Unstructured"} | fields
        made = self.api.post("/customModels/", json=body)
        assert made.status_code == 201, made.text
        return dict(made.json())

    def a_version(self, model_id: str, source: str = ECHO, files: dict[str, str] | None = None) -> dict[str, Any]:
        parts: list[tuple[str, Any]] = []
        for path, text in {"custom.py": textwrap.dedent(source), **(files or {})}.items():
            parts += [("file", (path, text.encode())), ("filePath", (None, path))]
        parts += [("isMajorUpdate", (None, "false")), ("baseEnvironmentId", (None, self.environment_id))]
        made = self.api.post(f"/customModels/{model_id}/versions/", files=parts)
        assert made.status_code == 201, made.text
        return dict(made.json())

    def a_package(self, version: dict[str, Any], **fields: Any) -> dict[str, Any]:
        body = {"customModelVersionId": version["id"]} | fields
        made = self.api.post("/modelPackages/fromCustomModelVersion/", json=body)
        assert made.status_code == 201, made.text
        return dict(made.json()) | {"location": made.headers["Location"]}

    def a_package_of(self, source: str = ECHO, files: dict[str, str] | None = None, **model: Any) -> dict[str, Any]:
        """The package of a new model."""
        return self.a_package(self.a_version(self.a_model(**model)["id"], source, files))

    def deploy(self, package: dict[str, Any], **fields: Any) -> httpx.Response:
        body = {"modelPackageId": package["id"], "label": "Echo"} | fields
        response: httpx.Response = self.api.post("/deployments/fromModelPackage/", json=body)
        return response

    def a_deployment(self, package: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
        """A deployment that is being launched."""
        made = self.deploy(package or self.a_package_of(), **fields)
        assert made.status_code == 202, made.text
        return dict(made.json()) | {"location": made.headers["Location"]}

    def read(self, deployment_id: str) -> dict[str, Any]:
        found = self.api.get(f"/deployments/{deployment_id}/")
        assert found.status_code == 200, found.text
        return dict(found.json())

    def await_end(self, location: str) -> httpx.Response:
        """The last answer about an operation."""

        def look() -> httpx.Response | None:
            answer = self.api.get(location)
            over = answer.status_code == 303 or answer.json()["status"] not in {"INITIALIZED", "RUNNING"}
            return answer if over else None

        return wait_until(look, LAUNCH_S, "the end of the operation")

    def await_success(self, location: str) -> httpx.Response:
        """What the operation made."""
        answer = self.await_end(location)
        assert answer.status_code == 303, answer.text
        response: httpx.Response = self.api.get(answer.headers["Location"])
        return response

    def ask(
        self, deployment_id: str, text: str, target: str = "/predictUnstructured/", content_type: str = "text/csv"
    ) -> HttpAnswer:
        """What a ready replica answers."""
        with self.installation.application.database.read() as session:
            paths = [
                replica.socket_path
                for replica in replicas_of(session, deployment_id)
                if replica.state == ReplicaState.READY.value and replica.socket_path
            ]
        assert paths
        return ask_once(Path(paths[0]), "POST", target, body=text.encode(), headers={"Content-Type": content_type})

    @contextmanager
    def working(self) -> Iterator[None]:
        """A controller that works in threads of its own; ends what it started."""
        application = self.installation.application
        engine = application.engine()
        thread = threading.Thread(target=engine.run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            for deployment in self.api.get("/deployments/?limit=100").json()["data"]:
                self.api.delete(f"/deployments/{deployment['id']}/")
            self._await_quiet()
            engine.stop()
            thread.join(10)

    def _await_quiet(self) -> None:
        executor = self.installation.application.parts.get(Executor)  # type: ignore[type-abstract]
        wait_until(lambda: not [one for one in executor.ids() if executor.observe(one).is_alive] or None, 30.0)
