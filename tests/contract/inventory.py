"""An installation with one resource of each kind, for tests that ask every operation about something that exists."""

import io
import re
import zipfile
from dataclasses import dataclass
from typing import Any

from modelyard.kernel.routing import Endpoint
from tests.api_client import Api
from tests.conftest import Installation
from tests.deployments.shelf import Shelf
from tests.models.builders import NOBODY, a_model, a_version, an_environment_id
from tests.tasks.builders import a_task, a_task_version

ARCHIVE = io.BytesIO()
with zipfile.ZipFile(ARCHIVE, "w") as _zip:
    _zip.writestr("main.py", "print('done')\n")
    _zip.writestr("requirements.txt", "numpy==2.1.0\n")
SCHEDULE = {"minute": [0], "hour": [3], "dayOfMonth": ["*"], "month": ["*"], "dayOfWeek": ["*"]}


@dataclass(frozen=True)
class Inventory:
    """The ids of the resources: by path parameter, and where one name stands for several kinds, by path before it."""

    api: Api
    ids: dict[str, str]

    def path(self, endpoint: Endpoint) -> str:
        """The path of an operation on these resources; an id that nothing has where there is none of its kind."""

        def id_of(match: re.Match[str]) -> str:
            longer = endpoint.path.split("/")[1] + "." + match[1]
            return self.ids.get(longer, self.ids.get(match[1], NOBODY))

        return re.sub(r"\{(\w+)\}", id_of, endpoint.path)


def fill(installation: Installation) -> Inventory:
    """Make one resource of each kind that needs no controller to come to life."""
    api = installation.api
    ids: dict[str, str] = {}

    def made(path: str, **sent: Any) -> dict[str, Any]:
        answer = api.post(path, **sent)
        assert answer.status_code in {201, 202}, (path, answer.text)
        found: dict[str, Any] = answer.json()
        return found

    dataset = made("/datasets/fromFile/", files={"file": ("table.csv", b"x,y\n1,2\n3,4\n")})
    ids |= {"datasetId": dataset["catalogId"], "datasets.versionId": dataset["catalogVersionId"]}
    ids["statusId"] = dataset["statusId"]
    installation.run_operations()  # reads the table
    model = a_model(api)
    version = a_version(api, model["id"], {"custom.py": b"", "requirements.txt": b"numpy==2.1.0\n"})
    ids |= {"customModelId": model["id"], "customModelVersionId": version["id"]}
    task = a_task(api)
    task_version = a_task_version(api, task["id"], {"custom.py": b""})
    ids |= {"customTaskId": task["id"], "customTaskVersionId": task_version["id"]}
    files = [("file", ("run.sh", b"#!/bin/sh\necho done\n")), ("filePath", (None, b"run.sh"))]
    sent = [("name", (None, b"Nightly")), ("environmentId", (None, an_environment_id(api).encode())), *files]
    job = made("/customJobs/", files=sent)
    ids |= {"customJobId": job["id"], "itemId": job["items"][0]["id"]}
    ids["customJobRunId"] = made(f"/customJobs/{job['id']}/runs/", json={})["id"]
    ids["scheduleId"] = made(f"/customJobs/{job['id']}/schedules/", json={"schedule": SCHEDULE})["id"]
    environment = made("/executionEnvironments/", json={"name": "Mine"})
    ids["environmentId"] = environment["id"]
    context = {"docker_context": ("context.zip", ARCHIVE.getvalue())}
    built = made(f"/executionEnvironments/{environment['id']}/versions/", files=context)
    ids["executionEnvironments.versionId"] = built["id"]
    test = {"customModelId": model["id"], "customModelVersionId": version["id"], "datasetId": ids["datasetId"]}
    ids["customModelTestId"] = made("/customModelTests/", json=test)["customModelTestId"]
    shelf = Shelf(installation)
    package = shelf.a_package()
    ids |= {"modelPackageId": package["id"], "registeredModelId": package["registeredModelId"]}
    ids |= {"registeredModels.versionId": package["id"], "deploymentId": shelf.put("Churn", package)}
    metric = {"name": "Cost", "units": "EUR", "directionality": "lowerIsBetter", "type": "sum"}
    ids["customMetricId"] = made(
        f"/deployments/{ids['deploymentId']}/customMetrics/", json=metric | {"isModelSpecific": False}
    )["id"]
    template = {"name": "Mine", "description": "x", "templateType": "customJob", "templateSubType": "default"}
    chosen = {"environmentId": an_environment_id(api)}
    chosen["environmentVersionId"] = api.get(f"/executionEnvironments/{chosen['environmentId']}/").json()[
        "latestVersion"
    ]["id"]
    fields = {**template, "defaultEnvironment": str(chosen).replace("'", '"')}
    files = {"file": ("files.zip", ARCHIVE.getvalue())}
    ids["customTemplateId"] = made("/customTemplates/", data=fields, files=files)["id"]
    credential = {"name": "key", "credentialType": "api_token", "apiToken": "x"}
    ids["credentialId"] = made("/credentials/", json=credential)["credentialId"]
    other = {"name": "theirs", "platform": "other"}
    ids["predictionEnvironmentId"] = made("/predictionEnvironments/", json=other)["id"]
    ids["userId"] = made("/users/", json={"username": "somebody"})["id"]
    ids["resourceRequestBundleId"] = api.get("/mlops/compute/bundles/").json()["data"][0]["id"]
    return Inventory(api, ids)
