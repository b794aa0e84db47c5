"""One of everything that a user can have, made through the API, and the ids of it all."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, update

from modelyard.datasets import work as dataset_work
from modelyard.deployments.challengers.tables import Challenger
from modelyard.deployments.events import tell_created
from modelyard.deployments.tables import Deployment, DeploymentLog, DeploymentStatus, LogKind
from modelyard.environments.tables import Environment, EnvironmentVersion
from modelyard.jobs.tables import CustomJobRun, RunLog
from modelyard.kernel.ids import new_id
from modelyard.kernel.routing import Endpoint
from modelyard.learning import preparing
from modelyard.learning.tables import LearningModel, LearningPrediction, ModelStatus, PredictionStatus
from modelyard.models.testing.tables import CustomModelTest, TestStatus
from modelyard.operations.engine import Engine
from modelyard.operations.tables import Operation
from modelyard.storage.blobs import BlobStore, store_bytes
from modelyard.workspaces import service as workspaces
from modelyard.workspaces.service import NewFile
from tests.api_client import Api
from tests.conftest import ADMIN_TOKEN, Installation
from tests.environments.contexts import an_environment, push_requirements
from tests.models.builders import a_model, a_version
from tests.tasks.builders import a_task, a_task_version
from tests.templates.builders import a_template

CSV = b"age,city,churned\n" + b"31,Bern,yes\n45,Graz,no\n" * 6


MARK = "mark-of-"


@dataclass
class Estate:
    """What one user has. ``ids`` are keyed by the name of a path parameter or, where that name means several things,
    by the path up to it. ``mark`` stands in every text that the user wrote."""

    api: Api
    mark: str
    ids: dict[str, str] = field(default_factory=dict)

    def id_at(self, path_to_parameter: str) -> str:
        """The id for the last parameter of a path such as ``/datasets/{datasetId}/versions/{versionId}``."""
        name = path_to_parameter.rpartition("{")[2].rstrip("}")
        found = self.ids.get(path_to_parameter) or self.ids.get(name)
        assert found, f"the estate has nothing for {path_to_parameter}: make one in {__name__}"
        return found


def fill(endpoint: Endpoint, estate: Estate, last: "Estate | str | None" = None) -> str:
    """The endpoint's path with the estate's ids; the last id is that of ``last``, where it is given."""
    path, filled = "", ""
    parts = [part for part in endpoint.path.split("/") if part]
    names = [part for part in parts if part.startswith("{")]
    for part in parts:
        path = f"{path}/{part}"
        value = part
        if part.startswith("{"):
            owner = last if last is not None and part == names[-1] else estate
            value = owner if isinstance(owner, str) else owner.id_at(path)
        filled = f"{filled}/{value}"
    return filled + "/"


def settle(installation: Installation) -> None:
    """Puts everything that is under way into its good end, so that the next request meets nothing unfinished.

    Challengers that requests proposed are withdrawn, so that the next can propose the same.
    """
    with installation.application.database.write() as session:
        session.execute(delete(Challenger).where(~Challenger.name.startswith(MARK)))
        session.execute(update(CustomModelTest).values(overall_status=TestStatus.SUCCEEDED.value))
        session.execute(update(Deployment).values(status=DeploymentStatus.ACTIVE.value))
        session.execute(update(Operation).values(status="COMPLETED", finished_at=datetime.now(UTC)))


def an_estate(installation: Installation, name: str, organization: str) -> Estate:
    """Makes a user, in an organization that is made where it is new, and has them make one of everything.

    Nothing is built or started: the rows are what strangers would like to see.
    """
    api = installation.a_user(name, organization=organization)
    mark = f"{MARK}{name}"
    estate = Estate(api, mark)
    _add_account(estate, api.as_(ADMIN_TOKEN))
    _add_credential(estate)
    _add_repository(estate)
    _add_dataset(estate, installation)
    _add_environment(estate, installation)
    _add_model(estate)
    _add_task(estate)
    _add_test(estate)
    _add_package(estate)
    _add_deployment(estate, installation)
    _add_template(estate)
    _add_challenger(estate)
    _add_job(estate, installation)
    _add_project(estate, installation)
    return estate


def _made(answer: Any, status: int = 201) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def _add_account(estate: Estate, admin: Api) -> None:
    account = _made(estate.api.get("/account/info/"), 200)
    group = admin.post("/groups/", json={"name": estate.mark, "organizationId": account["orgId"]})
    estate.ids |= {
        "userId": account["uid"],
        "organizationId": account["orgId"],
        "groupId": _made(group)["id"],
        "tokenId": _made(estate.api.post("/apiTokens/", json={"name": estate.mark}))["id"],
        "resourceRequestBundleId": "cpu.nano",
    }
    estate.ids["/groups/{groupId}/members/{userId}"] = account["uid"]
    answer = admin.post(f"/groups/{estate.ids['groupId']}/members/", json={"userId": account["uid"]})
    assert answer.status_code < 300, answer.text


def _add_credential(estate: Estate) -> None:
    body = {"name": estate.mark, "credentialType": "basic", "user": estate.mark, "password": estate.mark}
    estate.ids["credentialId"] = _made(estate.api.post("/credentials/", json=body))["credentialId"]


def _add_repository(estate: Estate) -> None:
    body = {
        "name": estate.mark,
        "description": estate.mark,
        "location": f"https://git.example.com/{estate.mark}.git",
        "sourceType": "git",
        "credentialId": estate.ids["credentialId"],
    }
    made = _made(estate.api.post("/remoteRepositories/", json=body))
    estate.ids |= {"remoteRepositoryId": made["id"], "repositoryId": made["id"]}


def _add_dataset(estate: Estate, installation: Installation) -> None:
    answer = estate.api.post("/datasets/fromFile/", files={"file": (f"{estate.mark}.csv", CSV, "text/csv")})
    made = _made(answer, 202)
    application = installation.application
    Engine(application.database, application.parts, dataset_work.handlers()).run_until_idle()
    estate.ids |= {
        "datasetId": made["catalogId"],
        "/datasets/{datasetId}/versions/{versionId}": made["catalogVersionId"],
        "datasetVersionId": made["catalogVersionId"],
        "statusId": made["statusId"],
    }


def _add_environment(estate: Estate, installation: Installation) -> None:
    """A private environment with a version that counts as built, so that nothing but rights keeps others from it."""
    environment = an_environment(estate.api, estate.mark, description=estate.mark)
    version = push_requirements(estate.api, environment["id"], "")
    with installation.application.database.write() as session:
        row = session.get_one(EnvironmentVersion, version["id"])
        row.build_status, row.image_digest = "success", "0" * 64
        session.get_one(Environment, environment["id"]).latest_successful_version_id = row.id
    estate.ids |= {
        "environmentId": environment["id"],
        "baseEnvironmentId": environment["id"],
        "/executionEnvironments/{environmentId}/versions/{versionId}": version["id"],
        "environmentVersionId": version["id"],
        "baseEnvironmentVersionId": version["id"],
    }


def _add_model(estate: Estate) -> None:
    model = a_model(estate.api, name=estate.mark, description=estate.mark)
    files = {"custom.py": estate.mark.encode(), "requirements.txt": b"apple==1.0\n"}
    version = a_version(estate.api, model["id"], files)
    path = f"/customModels/{model['id']}/versions/{version['id']}"
    build = estate.api.post(f"{path}/dependencyBuild/")
    assert build.status_code < 300, build.text
    estate.ids |= {"customModelId": model["id"], "customModelVersionId": version["id"], "modelId": model["id"]}


def _add_task(estate: Estate) -> None:
    task = a_task(estate.api, name=estate.mark, description=estate.mark)
    files = {"custom.py": estate.mark.encode(), "requirements.txt": b"apple==1.0\n"}
    version = a_task_version(estate.api, task["id"], files)
    build = estate.api.post(f"/customTasks/{task['id']}/versions/{version['id']}/dependencyBuild/")
    assert build.status_code < 300, build.text
    estate.ids |= {"customTaskId": task["id"], "customTaskVersionId": version["id"]}


def _add_test(estate: Estate) -> None:
    body = {name: estate.ids[name] for name in ("customModelId", "customModelVersionId", "datasetId")}
    started = estate.api.post("/customModelTests/", json=body)
    assert started.status_code == 202, started.text
    estate.ids["customModelTestId"] = started.json()["customModelTestId"]


def _add_package(estate: Estate) -> None:
    path = "/modelPackages/fromCustomModelVersion/"
    body = {"customModelVersionId": estate.ids["customModelVersionId"], "name": estate.mark}
    package = _made(estate.api.post(path, json=body | {"registeredModelName": estate.mark}))
    spare = _made(estate.api.post(path, json=body | {"registeredModelId": package["registeredModelId"]}))
    estate.ids |= {
        "/modelPackages/{modelPackageId}": package["id"],
        "modelPackageId": spare["id"],
        "registeredModelId": package["registeredModelId"],
        "/registeredModels/{registeredModelId}/versions/{versionId}": package["id"],
    }


def _add_template(estate: Estate) -> None:
    template = a_template(estate.api, {"main.py": estate.mark.encode()}, name=estate.mark, description=estate.mark)
    estate.ids |= {"customTemplateId": template["id"], "fileId": template["items"][0]["id"]}
    estate.ids["templateId"] = template["id"]


def _add_deployment(estate: Estate, installation: Installation) -> None:
    body = {"name": estate.mark, "platform": "datarobotServerless", "supportedModelFormats": ["customModel"]}
    environment = _made(estate.api.post("/predictionEnvironments/", json=body))
    estate.ids["predictionEnvironmentId"] = environment["id"]
    body = {
        "modelPackageId": estate.id_at("/modelPackages/{modelPackageId}"),
        "predictionEnvironmentId": environment["id"],
        "label": estate.mark,
    }
    answer = estate.api.post("/deployments/fromModelPackage/", json=body)
    deployment = _made(answer, 202)
    log_id = new_id()
    with installation.application.database.write() as session:
        tell_created(session, session.get_one(Deployment, deployment["id"]))
        for kind, row_id in ((LogKind.RUNTIME, log_id), (LogKind.LAUNCH, new_id())):
            session.add(
                DeploymentLog(
                    id=row_id,
                    deployment_id=deployment["id"],
                    kind=kind.value,
                    text=estate.mark,
                    created_at=datetime.now(UTC),
                )
            )
    estate.ids |= {"deploymentId": deployment["id"], "logId": log_id, "deploymentIds": deployment["id"]}
    metric = {"name": estate.mark, "units": "x", "type": "sum", "directionality": "higherIsBetter"}
    path = f"/deployments/{deployment['id']}/customMetrics/"
    estate.ids["customMetricId"] = _made(estate.api.post(path, json=metric | {"isModelSpecific": True}))["id"]


def _add_challenger(estate: Estate) -> None:
    body = {name: estate.ids[name] for name in ("customModelVersionId", "registeredModelId")}
    package = _made(estate.api.post("/modelPackages/fromCustomModelVersion/", json=body))
    path = f"/deployments/{estate.ids['deploymentId']}/"
    enabled = {"challengerModels": {"enabled": True}}
    assert estate.api.patch(f"{path}settings/", json=enabled).status_code == 202
    _made(estate.api.post(f"{path}challengers/", json={"modelPackageId": package["id"], "name": estate.mark}), 202)
    listed = _made(estate.api.get(f"{path}challengers/"), 200)
    estate.ids["challengerId"] = listed["data"][-1]["id"]


def _add_job(estate: Estate, installation: Installation) -> None:
    """A job with a run that left a log and an artifact, a schedule, and another job that is deleted."""
    body = {"name": estate.mark, "environmentId": estate.ids["environmentId"]}
    parts = [("file", ("main.py", estate.mark.encode())), ("filePath", (None, "main.py"))]
    jobs = [
        _made(estate.api.post("/customJobs/", files=[*parts, *((name, (None, value)) for name, value in body.items())]))
        for _ in range(2)
    ]
    assert estate.api.delete(f"/customJobs/{jobs[1]['id']}/").status_code == 204
    run = _made(estate.api.post(f"/customJobs/{jobs[0]['id']}/runs/", json={"description": estate.mark}))
    new_year = {"minute": [0], "hour": [0], "dayOfMonth": [1], "month": [1], "dayOfWeek": ["*"]}
    schedule = _made(estate.api.post(f"/customJobs/{jobs[0]['id']}/schedules/", json={"schedule": new_year}))
    blob = store_bytes(installation.application.parts.get(BlobStore), f"{estate.mark}\n".encode())  # type: ignore[type-abstract]
    with installation.application.database.write() as session:
        row = session.get_one(CustomJobRun, run["id"])
        kept = workspaces.create(session, [NewFile(estate.mark, blob.digest, blob.size_bytes)], max_files=1)
        row.artifacts_workspace_id = kept.id
        artifact_id = workspaces.files_in(session, kept)[0].id
        session.add(RunLog(run_id=row.id, attempt=1, digest=blob.digest, size_bytes=blob.size_bytes, first_offset=0))
    estate.ids |= {
        "customJobId": jobs[0]["id"],
        "/customJobsCleanup/{customJobId}": jobs[1]["id"],
        "itemId": jobs[0]["items"][0]["id"],
        "customJobRunId": run["id"],
        "artifactId": artifact_id,
        "scheduleId": schedule["id"],
    }


def _add_project(estate: Estate, installation: Installation) -> None:
    """A project with a model that counts as trained, and what that predicted."""
    rows = "".join(f"{number},{estate.mark},{number % 3}.5\n" for number in range(20))
    uploaded = estate.api.post(
        "/datasets/fromFile/", files={"file": (f"{estate.mark}-rows.csv", f"age,city,y\n{rows}".encode(), "text/csv")}
    )
    application = installation.application
    engine = Engine(application.database, application.parts, [*dataset_work.handlers(), *preparing.handlers()])
    engine.run_until_idle()
    body = {"projectName": estate.mark, "datasetId": _made(uploaded, 202)["catalogId"], "target": "y"}
    project = _made(estate.api.post("/projects/", json=body), 202)
    engine.run_until_idle()
    models = f"/projects/{project['id']}/models/"
    chain = {"tasks": [{"customTaskVersionId": estate.ids["customTaskVersionId"]}], "name": estate.mark}
    model = _made(estate.api.post(models, json=chain), 202)
    blob = store_bytes(application.parts.get(BlobStore), f"{estate.mark}\n".encode())  # type: ignore[type-abstract]
    with application.database.write() as session:
        row = session.get_one(LearningModel, model["id"])
        row.status, row.ended_at = ModelStatus.COMPLETED.value, datetime.now(UTC)
        row.log_digest, row.trained_workspace_id = blob.digest, row.workspace_id
    predictions = f"{models}{model['id']}/predictions/"
    prediction = _made(estate.api.post(predictions, json={"datasetId": body["datasetId"]}), 202)
    with application.database.write() as session:
        made = session.get_one(LearningPrediction, prediction["id"])
        made.status, made.ended_at = PredictionStatus.COMPLETED.value, datetime.now(UTC)
        made.result_digest, made.result_bytes = blob.digest, blob.size_bytes
    estate.ids |= {
        "projectId": project["id"],
        "/projects/{projectId}/models/{modelId}": model["id"],
        "predictionId": prediction["id"],
    }
