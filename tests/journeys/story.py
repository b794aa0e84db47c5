"""The story of a model, told to a real server: push, package, deploy, predict; through HTTP and nothing else."""

import json
import os
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import psutil

from modelyard.compute.isolation import without_sandbox
from modelyard.compute.process_executor import ProcessExecutor
from modelyard.kernel.settings import Settings
from tests.api_client import Api
from tests.servers import Server
from tests.waiting import wait_until

PLAIN_PYTHON = "Python 3.11 Drop-In"
SCIKIT_LEARN = "Scikit-Learn"
WAIT_S = 90.0
Parts = list[tuple[str, Any]]


@dataclass(frozen=True)
class Seen:
    """A living workload."""

    id: str
    supervisor_pid: int
    labels: dict[str, str]

    def pids(self) -> list[int]:
        """The supervisor, the sandbox and what runs in it, from the outside in."""
        supervisor = psutil.Process(self.supervisor_pid)
        return [supervisor.pid, *(child.pid for child in supervisor.children(recursive=True))]

    def runner_pid(self) -> int:
        """The process of the runner (or of what else runs in the sandbox): the innermost one."""
        process = psutil.Process(self.supervisor_pid)
        while children := [child for child in process.children() if child.name() != "slirp4netns"]:
            process = children[-1]
        return process.pid


@dataclass
class Story:
    """A server, and everything that a user does with it."""

    server: Server

    @cached_property
    def api(self) -> Api:
        return self.server.api

    @cached_property
    def gateway(self) -> httpx.Client:
        """Asks the gateway; one pool of connections."""
        return httpx.Client(
            base_url=self.server.gateway_url, headers={"Authorization": f"Bearer {self.api.token}"}, timeout=90
        )

    def environment(self, name: str) -> str:
        """The id of the built-in environment whose name has these words."""
        listed = self.api.get("/executionEnvironments/").json()["data"]
        (found,) = [one["id"] for one in listed if name in one["name"]]
        return str(found)

    # pushing

    def a_model(self, **fields: Any) -> dict[str, Any]:
        body = {"name": "Model", "customModelType": "inference", "targetType": "Unstructured"} | fields
        return answered(self.api.post("/customModels/", json=body), 201)

    def a_version(
        self, model_id: str, files: Mapping[str, str | bytes], environment: str = PLAIN_PYTHON, **fields: str
    ) -> dict[str, Any]:
        """A version from scratch; texts are dedented."""
        parts = [*file_parts(files), ("isMajorUpdate", (None, "false"))]
        parts.append(("baseEnvironmentId", (None, self.environment(environment))))
        parts += [(name, (None, value)) for name, value in fields.items()]
        return answered(self.api.post(f"/customModels/{model_id}/versions/", files=parts), 201)

    def a_package(self, version: dict[str, Any], **fields: Any) -> dict[str, Any]:
        body = {"customModelVersionId": version["id"]} | fields
        return answered(self.api.post("/modelPackages/fromCustomModelVersion/", json=body), 201)

    def a_package_of(
        self, source: str, *, environment: str = PLAIN_PYTHON, version: Mapping[str, str] | None = None, **model: Any
    ) -> dict[str, Any]:
        """The package of a new model with this ``custom.py``."""
        made = self.a_model(**model)
        return self.a_package(self.a_version(made["id"], {"custom.py": source}, environment, **(version or {})))

    # deploying

    def launch(self, package: dict[str, Any], **fields: Any) -> tuple[str, str]:
        """Asks for a deployment: its id, and where its operation is."""
        body = {"modelPackageId": package["id"], "label": "A deployment"} | fields
        made = self.api.post("/deployments/fromModelPackage/", json=body)
        return answered(made, 202)["id"], made.headers["Location"]

    def deploy(self, package: dict[str, Any], **fields: Any) -> str:
        """The id of a deployment that is active."""
        deployment_id, location = self.launch(package, **fields)
        self.await_success(location)
        return deployment_id

    def replace(self, deployment_id: str, package: dict[str, Any]) -> str:
        """Asks for another model; where its operation is."""
        body = {"modelPackageId": package["id"], "reason": "OTHER"}
        asked = self.api.patch(f"/deployments/{deployment_id}/model/", json=body)
        answered(asked, 202)
        return str(asked.headers["Location"])

    def set_status(self, deployment_id: str, status: str) -> str:
        asked = self.api.patch(f"/deployments/{deployment_id}/status/", json={"status": status})
        answered(asked, 202)
        return str(asked.headers["Location"])

    def read(self, deployment_id: str) -> dict[str, Any]:
        return answered(self.api.get(f"/deployments/{deployment_id}/"), 200)

    def delete(self, deployment_id: str) -> None:
        assert self.api.delete(f"/deployments/{deployment_id}/").status_code == 204

    def await_end(self, location: str, timeout_s: float = WAIT_S) -> httpx.Response:
        """The last answer about an operation; an API that is just being restarted is asked again."""

        def look() -> httpx.Response | None:
            try:
                answer = self.api.get(location)
            except httpx.TransportError:
                return None
            over = answer.status_code == 303 or answered(answer, 200)["status"] not in {"INITIALIZED", "RUNNING"}
            return answer if over else None

        return wait_until(look, timeout_s, "the end of the operation")

    def await_success(self, location: str) -> dict[str, Any]:
        """What the operation made."""
        answer = self.await_end(location)
        assert answer.status_code == 303, answer.text
        return answered(self.api.get(answer.headers["Location"]), 200)

    def await_failure(self, location: str) -> str:
        """Why the operation failed."""
        answer = self.await_end(location)
        assert answer.status_code == 200, f"it succeeded: {answer.headers}"
        assert answer.json()["status"] == "ERROR", answer.text
        return str(answer.json()["message"])

    def launch_log(self, deployment_id: str) -> str:
        found = self.api.get(f"/customModelDeployments/{deployment_id}/logs/")
        assert found.status_code == 200, found.text
        return str(found.text)

    def runtime_log(self, deployment_id: str) -> str:
        asked = self.api.post(f"/customModelDeployments/{deployment_id}/logs/")
        answered(asked, 202)
        done = self.await_end(asked.headers["Location"])
        assert done.status_code == 303, done.text
        return str(self.api.get(done.headers["Location"]).text)

    # predicting

    def predict(
        self,
        deployment_id: str,
        content: Any,
        content_type: str | None = None,
        *,
        accept: str | None = None,
        path: str = "/predApi/v1.0",
        **options: Any,
    ) -> httpx.Response:
        """Rows (as JSON) or text and bytes (as CSV unless said otherwise), sent to the gateway."""
        if not isinstance(content, str | bytes):
            content, content_type = json.dumps(content), content_type or "application/json"
        headers = {"Content-Type": content_type or "text/csv"} | dict(options.pop("headers", {}))
        if accept:
            headers["Accept"] = accept
        return self.gateway.post(
            f"{path}/deployments/{deployment_id}/predictions", content=content, headers=headers, **options
        )

    def ask(self, deployment_id: str, content: str | bytes = "", content_type: str = "text/plain") -> httpx.Response:
        """Any body, sent to an unstructured model through the gateway."""
        return self.gateway.post(
            f"/predApi/v1.0/deployments/{deployment_id}/predictionsUnstructured",
            content=content,
            headers={"Content-Type": content_type},
        )

    # looking behind the curtain, as an administrator of the machine can

    @cached_property
    def executor(self) -> ProcessExecutor:
        """The server's workloads, seen from beside it."""
        environment = self.server.environment
        folder = environment.get("MODELYARD_RUNTIME_DIR")
        settings = Settings(data_dir=self.server.data_dir, runtime_dir=Path(folder) if folder else None)
        return ProcessExecutor(self.server.data_dir / "workloads", settings.sockets_dir(), without_sandbox())

    def workloads(self) -> list[Seen]:
        """Every living workload."""
        found = []
        for workload_id in self.executor.ids():
            seen = self.executor.observe(workload_id)
            workload = self.executor.describe(workload_id)
            if seen.is_alive and seen.supervisor_pid is not None and workload is not None:
                found.append(Seen(workload_id, seen.supervisor_pid, dict(workload.labels)))
        return found

    def workloads_of(self, owner: str) -> list[Seen]:
        """The living workloads with this id in a label: of a deployment or of a test."""
        return [one for one in self.workloads() if owner in one.labels.values()]

    def processes(self) -> list[str]:
        """The command lines of all supervisors and sandboxes of this server."""
        found = []
        for process in psutil.process_iter(["cmdline", "status"]):
            words = " ".join(process.info["cmdline"] or ())
            if str(self.executor.root) in words and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(words)
        return found

    def await_nothing_runs(self) -> None:
        wait_until(lambda: not self.workloads() or None, 30, "the end of all workloads")

    def close(self) -> None:
        if "gateway" in self.__dict__:
            self.gateway.close()


def answered(response: httpx.Response, status: int) -> dict[str, Any]:
    """The response's JSON, once its status is the one that is expected."""
    assert response.status_code == status, f"{response.request.url}: {response.status_code} {response.text}"
    return dict(response.json())


def file_parts(files: Mapping[str, str | bytes]) -> Parts:
    """Files as the parts of a form: each with its path behind it."""
    parts: Parts = []
    for path, content in files.items():
        data = textwrap.dedent(content).encode() if isinstance(content, str) else content
        parts += [("file", (os.path.basename(path), data)), ("filePath", (None, path))]  # noqa: PTH119 # a name, no file
    return parts
