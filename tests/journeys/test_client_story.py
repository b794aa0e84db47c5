"""The calls of the known clients in their order (supporting-endpoints.md B.4), and the list that breaks them (E)."""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.journeys.clients import Action, Terraform
from tests.journeys.story import Story
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("journeys_clients")

SHA = "0123456789abcdef0123456789abcdef01234567"
OTHER_SHA = "fedcba9876543210fedcba9876543210fedcba98"
GIT = {
    "refName": "main",
    "commitUrl": f"https://github.com/example/models/commit/{SHA}",
    "mainBranchCommitSha": SHA,
    "pullRequestCommitSha": None,
}
CUSTOM = """
import pandas as pd

def load_model(code_dir):
    return "ready"

def score(data, model, **kwargs):
    return pd.DataFrame({"Predictions": data["x"].fillna(0).astype(float) * 2})
"""
ROWS = "x,y\n" + "".join(f"{i},{2 * i}\n" for i in range(40))


@pytest.fixture
def client(story: Story) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=story.server.url, timeout=60) as client:
        yield client


@pytest.fixture
def action(client: httpx.Client, story: Story) -> Action:
    return Action(client, str(story.api.token))


@pytest.fixture
def terraform(client: httpx.Client, story: Story) -> Terraform:
    return Terraform(client, str(story.api.token))


def version_form(
    *, files: dict[str, str], environment_id: str, deleted: tuple[str, ...] = (), is_major: str = "False"
) -> list[Any]:
    """The parts of a version in the action's order (A.7)."""
    parts: list[Any] = [("isMajorUpdate", (None, is_major)), ("gitModelVersion", (None, json.dumps(GIT)))]
    for path, text in files.items():
        parts += [("file", (path, text.encode())), ("filePath", (None, path))]
    parts += [("filesToDelete", (None, one)) for one in deleted]
    return [
        *parts,
        ("baseEnvironmentId", (None, environment_id)),
        ("maximumMemory", (None, str(512 * 1024 * 1024))),
        ("replicas", (None, "1")),
        ("networkEgressPolicy", (None, "PUBLIC")),
    ]


def sklearn_environment(action: Action) -> dict[str, Any]:
    """A fresh install has a sklearn-named environment with a successful version (E.10), found by a body on GET."""
    for words in ("scikit-learn", "sklearn", "scikit"):
        for found in action.listed("executionEnvironments/", searchFor=words):
            assert found["latestSuccessfulVersion"]["id"]
            return found
    raise AssertionError("no environment for scikit-learn")


MODEL = {
    "customModelType": "inference",
    "targetType": "Regression",
    "targetName": "y",
    "isUnstructuredModelKind": False,
    "userProvidedId": "example/double",
    "gitModelVersion": GIT,
    "name": "Double",
    "predictionThreshold": 0.5,
    "isTrainingDataForVersionsPermanentlyEnabled": True,
}


def test_the_push_action(action: Action, story: Story) -> None:
    ping = action.client.get("/api/v2//ping")
    assert (ping.status_code, ping.json()) == (200, {"response": "pong"})
    assert action.listed("customModels/") == []

    # the model, and a second one with its id
    created = action.send("POST", "customModels/", json=MODEL)
    assert created.status_code == 201, created.text
    model_id = created.json()["id"]
    again = action.send("POST", "customModels/", json=MODEL)
    assert again.status_code == 422
    assert "Cannot create a custom model with a user provided ID" in again.json()["message"]
    (model,) = action.listed("customModels/")
    assert model["id"] == model_id
    assert model["userProvidedId"] == "example/double"
    assert model["gitModelVersion"] == GIT
    assert model["latestVersion"] is None
    assert action.listed(f"customModels/{model_id}/versions/", limit=1) == []

    # versions: from scratch, then on top of the latest
    environment = sklearn_environment(action)
    form = version_form(
        files={"custom.py": CUSTOM, "requirements.txt": "pandas>=2\n", "notes/old.txt": "old"},
        environment_id=environment["id"],
        is_major="True",
    )
    posted = action.send("POST", f"customModels/{model_id}/versions/", files=form)
    assert posted.status_code == 201, posted.text
    first = posted.json()
    assert (first["versionMajor"], first["versionMinor"], first["label"]) == (1, 0, "1.0")
    assert first["gitModelVersion"] == GIT
    assert (first["maximumMemory"], first["replicas"], first["networkEgressPolicy"]) == (512 * 1024 * 1024, 1, "PUBLIC")
    assert first["baseEnvironmentId"] == environment["id"]
    assert [one["line"] for one in first["dependencies"]] == ["pandas>=2"]
    items = {item["filePath"]: item for item in first["items"]}
    assert set(items) == {"custom.py", "requirements.txt", "notes/old.txt"}
    assert {item["fileSource"] for item in items.values()} == {"local"}
    form = version_form(
        files={"notes/new.txt": "new"}, environment_id=environment["id"], deleted=(items["notes/old.txt"]["id"],)
    )
    patched = action.send("PATCH", f"customModels/{model_id}/versions/", files=form)
    assert patched.status_code == 201, patched.text
    version = patched.json()
    assert version["label"] == "1.1"
    assert {item["filePath"] for item in version["items"]} == {"custom.py", "requirements.txt", "notes/new.txt"}
    page = action.send("GET", f"customModels/{model_id}/versions/", json={"limit": 1}).json()
    assert [one["id"] for one in page["data"]] == [version["id"]]
    assert page["totalCount"] == 2
    assert page["next"]
    assert [one["id"] for one in action.listed(f"customModels/{model_id}/versions/", limit=1)] == [
        version["id"],
        first["id"],
    ]
    told = action.send("PATCH", f"customModels/{model_id}/versions/{version['id']}/", json={"gitModelVersion": GIT})
    assert told.status_code == 200
    changed = action.send("PATCH", f"customModels/{model_id}/", json={"description": "Doubles what it gets."})
    assert changed.status_code == 201
    assert changed.json()["id"] == model_id

    # dependencies
    build = f"customModels/{model_id}/versions/{version['id']}/dependencyBuild/"
    early = action.send("GET", build)
    assert early.status_code == 422
    assert "build has not been started" in early.json()["message"]
    assert action.send("POST", build).status_code == 202

    def built() -> dict[str, Any] | None:
        answer = action.send("GET", build)
        assert answer.status_code == 200
        status = answer.json()
        assert status["buildStatus"] in {"submitted", "processing", "success"}
        return dict(status) if status["buildStatus"] == "success" else None

    assert wait_until(built, 60)["buildEnd"]
    assert action.send("GET", build.replace("dependencyBuild/", "dependencyBuildLog/")).text

    # a dataset, and a test with all seven checks
    uploaded = action.send("POST", "datasets/fromFile/", files={"file": ("/home/somebody/rows.csv", ROWS.encode())})
    location = action.resolved(uploaded)
    assert location.endswith("/")
    dataset_id = location.split("/")[-2]
    assert action.send("GET", location).json()["datasetId"] == dataset_id
    test = action.result(action.send("POST", "customModelTests/", json=all_checks(model_id, version["id"], dataset_id)))
    assert test["overallStatus"] == "succeeded", test["testingStatus"]
    (listed, *_) = action.listed(f"customModelTests/?customModelId={model_id}")
    assert listed["id"] == test["id"]
    assert listed["customModelVersion"]["id"] == version["id"]

    # the registry: the version is frozen by its package
    assert action.listed("registeredModels/?search=Double") == []
    packaged = action.send(
        "POST",
        "modelPackages/fromCustomModelVersion/",
        json={"customModelVersionId": version["id"], "registeredModelName": "Double it"},
    )
    assert packaged.status_code == 201
    assert packaged.headers["Location"].startswith("http")
    package = packaged.json()
    assert package["modelId"] == version["id"]
    assert package["target"]["name"] == "y"
    assert action.send("GET", f"customModels/{model_id}/versions/{version['id']}/").json()["isFrozen"] is True
    assert [one["id"] for one in action.listed("modelPackages/", modelId=version["id"])] == [package["id"]]
    (registered,) = [one for one in action.listed("registeredModels/?search=double") if one["name"] == "Double it"]
    assert registered["description"] is None
    described = action.send("PATCH", f"registeredModels/{registered['id']}/", json={"description": "It doubles."})
    assert described.status_code == 200
    assert described.json()["description"] == "It doubles."
    (one,) = action.listed(f"registeredModels/{registered['id']}/versions/")
    assert (one["id"], one["modelId"]) == (package["id"], version["id"])

    # a deployment
    assert action.listed("deployments/") == []
    environments = action.send("GET", "predictionEnvironments/?supportedModelFormats=customModel").json()["data"]
    asked = {
        "modelPackageId": package["id"],
        "predictionEnvironmentId": environments[0]["id"],
        "label": "y Predictions [GitHub CI/CD]",
        "importance": "MODERATE",
        "userProvidedId": "example/double-deployment",
    }
    accepted = action.send("POST", "deployments/fromModelPackage/", json=asked)
    deployment_id = accepted.json()["id"]
    deployment = action.result(accepted)
    check_deployment(deployment, deployment_id, model_id, version["id"])
    logs = action.send("POST", f"customModelDeployments/{deployment_id}/logs/")
    text = action.send("GET", action.resolved(logs)).text
    assert "WARNING" not in text
    assert "ERROR" not in text
    described = action.send("PATCH", f"deployments/{deployment_id}/", json={"description": "from the push event"})
    assert (described.status_code, described.content) == (204, b"")
    enabled = {"challengerModels": {"enabled": True}, "predictionsDataCollection": {"enabled": True}}
    assert action.result(action.send("PATCH", f"deployments/{deployment_id}/settings/", json=enabled))["id"] == (
        deployment_id
    )
    (found,) = action.listed("deployments/")
    assert found["userProvidedId"] == "example/double-deployment"
    assert found["description"] == "from the push event"

    # the next push: the deployment exists, its model is replaced
    settings = action.send("GET", f"deployments/{deployment_id}/settings/").json()
    assert settings["challengerModels"]["enabled"] is True
    assert settings["associationId"].keys() >= {"requiredInPredictionRequests", "columnNames"}
    (champion,) = action.listed(f"deployments/{deployment_id}/challengers/")
    assert champion["model"]["id"] == version["id"]
    form = version_form(files={"custom.py": CUSTOM.replace("* 2", "* 3")}, environment_id=environment["id"])
    newer = action.send("PATCH", f"customModels/{model_id}/versions/", files=form).json()
    assert (newer["versionMajor"], newer["versionMinor"]) == (2, 0)
    package = action.send(
        "POST", "modelPackages/fromCustomModelVersion/", json={"customModelVersionId": newer["id"]}
    ).json()
    proposed = {
        "modelPackageId": package["id"],
        "name": "y Predictions 2.0",
        "predictionEnvironmentId": environments[0]["id"],
    }
    challenger = action.result(action.send("POST", f"deployments/{deployment_id}/challengers/", json=proposed))
    listed = action.listed(f"deployments/{deployment_id}/challengers/")
    assert [one["model"]["id"] for one in listed] == [version["id"], newer["id"]]
    assert listed[1]["id"] == challenger["id"]
    validation = action.send(
        "POST", f"deployments/{deployment_id}/model/validation/", json={"modelPackageId": package["id"]}
    )
    assert (validation.status_code, validation.json()["status"]) == (200, "passing")
    replacing = action.send(
        "PATCH",
        f"deployments/{deployment_id}/model/",
        json={"modelPackageId": package["id"], "reason": "DATA_DRIFT"},
    )
    assert action.result(replacing)["modelPackage"]["id"] == package["id"]
    rows = story.predict(deployment_id, [{"x": 5}]).json()["data"]
    assert rows[0]["prediction"] == 15
    (champion,) = action.listed(f"deployments/{deployment_id}/challengers/")
    assert champion["model"]["id"] == newer["id"]

    # cleaning up: a deployed model stays
    deployments = action.listed("customModelDeployments/", customModelIds=[model_id])
    assert [one["id"] for one in deployments] == [deployment_id]
    assert action.listed("customModelDeployments/", customModelIds=["0" * 24]) == []
    refused = action.send("DELETE", f"customModels/{model_id}/")
    assert refused.status_code == 409
    for path in (f"deployments/{deployment_id}/", f"customModels/{model_id}/", f"datasets/{dataset_id}/"):
        gone = action.send("DELETE", path)
        assert (gone.status_code, gone.content) == (204, b""), gone.text
    story.await_nothing_runs()


def all_checks(model_id: str, version_id: str, dataset_id: str) -> dict[str, Any]:
    checks = ("nullValueImputation", "sideEffects", "performanceCheck", "stabilityCheck")
    return {
        "customModelId": model_id,
        "customModelVersionId": version_id,
        "datasetId": dataset_id,
        "configuration": {
            "errorCheck": "fail",
            "longRunningService": "fail",
            "predictionVerificationCheck": "warn",
            **dict.fromkeys(checks, "fail"),
        },
        "parameters": {
            "predictionVerificationCheck": {
                "datasetId": dataset_id,
                "predictionsColumn": "y",
                "matchingRate": 0.95,
                "comparisonPrecision": 0.001,
            },
            "performanceCheck": {"maxResponseTime": 10, "maxExecutionTime": 60, "numParallelUsers": 2},
            "stabilityCheck": {
                "numPredictions": 20,
                "passingRate": 0.95,
                "numParallelUsers": 2,
                "minPayloadSize": 1,
                "maxPayloadSize": 20,
            },
        },
    }


def check_deployment(found: dict[str, Any], deployment_id: str, model_id: str, version_id: str) -> None:
    """The keys that the action reads of a deployment (A.12)."""
    assert found["id"] == deployment_id
    assert found["status"] == "active"
    assert found["description"] is None
    assert found["importance"] == "MODERATE"
    assert found["model"]["targetName"] == "y"
    assert found["model"]["targetType"] == "Regression"
    image = found["model"]["customModelImage"]
    assert (image["customModelId"], image["customModelVersionId"]) == (model_id, version_id)
    assert found["modelPackage"]["registeredModelId"]


def zipped(files: dict[str, str]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return file.getvalue()


def test_terraform(terraform: Terraform, story: Story) -> None:
    send = terraform.send
    assert send("GET", "account/info/")["uid"]

    # an environment of its own
    environment = send(
        "POST",
        "executionEnvironments/",
        {"name": "Ours", "description": "", "useCases": ["customModel"], "programmingLanguage": "python"},
    )
    assert environment["latestVersion"] is None
    context = zipped({"requirements.txt": "pandas==3.1.1\nscikit-learn==1.9.1\n"})
    part = ("context.zip", context, "application/octet-stream")
    version = send("POST", f"executionEnvironments/{environment['id']}/versions/", files={"docker_context": part})
    found = send("GET", f"executionEnvironments/{environment['id']}/")
    assert found["latestVersion"]["id"] == version["id"]

    def built() -> dict[str, Any] | None:
        seen = send("GET", f"executionEnvironments/{environment['id']}/versions/{version['id']}/")
        assert seen["buildStatus"] in {"submitted", "processing", "success"}, seen
        return seen if seen["buildStatus"] == "success" else None

    assert wait_until(built, 120)["environmentId"] == environment["id"]
    log = send("GET", f"executionEnvironments/{environment['id']}/versions/{version['id']}/buildLog/")
    assert log.keys() == {"log", "error"}

    # a model: versions by PATCH only, files and settings in turns (E.13, E.15)
    model = send(
        "POST",
        "customModels/",
        {
            "name": "Tripled",
            "customModelType": "inference",
            "targetType": "Regression",
            "targetName": "y",
            "isProxyModel": False,
            "tags": [{"name": "team", "value": "parcels"}],
        },
    )
    path = f"customModels/{model['id']}/versions/"
    empty = send(
        "PATCH",
        path,
        {"isMajorUpdate": "false", "baseEnvironmentId": environment["id"], "resourceBundleId": None},
    )
    assert (empty["label"], empty["items"]) == ("1.0", [])
    metadata = (
        "name: Tripled\ntype: inference\ntargetType: regression\nruntimeParameterDefinitions:\n"
        "  - fieldName: FACTOR\n    type: numeric\n    defaultValue: 2\n"
        "  - fieldName: NOTE\n    type: string\n    defaultValue: none\n"
    )
    source = CUSTOM.replace("* 2", '* float(os.environ["FACTOR"])').replace("import pandas", "import os\nimport pandas")
    for name, text in {"custom.py": source, "model-metadata.yaml": metadata}.items():
        octets = (name, text.encode(), "application/octet-stream")
        form = [("isMajorUpdate", (None, "false")), ("file", octets), ("filePath", (None, name))]
        latest = send("PATCH", path, files=form)
    assert {item["filePath"] for item in latest["items"]} == {"custom.py", "model-metadata.yaml"}
    for field, value in (("NOTE", "first"), ("FACTOR", 3)):
        kind = "string" if field == "NOTE" else "numeric"
        values = json.dumps([{"fieldName": field, "type": kind, "value": value}])
        latest = send(
            "PATCH", path, {"isMajorUpdate": "false", "runtimeParameterValues": values, "resourceBundleId": None}
        )
    assert current_values(latest) == {"FACTOR": 3, "NOTE": "first"}
    values = json.dumps([{"fieldName": "FACTOR", "type": "numeric", "currentValue": 4}])
    latest = send("PATCH", path, {"isMajorUpdate": "false", "runtimeParameters": values, "resourceBundleId": None})
    assert current_values(latest) == {"FACTOR": 4, "NOTE": "none"}, "the second form replaces the whole set"
    latest = send(
        "PATCH",
        path,
        {"isMajorUpdate": "false", "replicas": 1, "maximumMemory": 536870912, "resourceBundleId": None},
    )
    assert latest["label"] == "1.6"
    assert isinstance(latest["maximumMemory"], int)
    assert send("GET", f"customModels/{model['id']}/")["latestVersion"]["id"] == latest["id"]
    build = f"{path}{latest['id']}/dependencyBuild/"
    if latest["dependencies"]:
        assert send("POST", build, {})["buildStatus"]

    # the registry
    package = send(
        "POST",
        "modelPackages/fromCustomModelVersion/",
        {"customModelVersionId": latest["id"], "registeredModelName": "Tripled", "name": "Tripled (v1)"},
    )
    registered_id = package["registeredModelId"]
    assert package["registeredModelVersion"] == 1
    version_path = f"registeredModels/{registered_id}/versions/{package['id']}/"
    wait_until(lambda: send("GET", version_path)["buildStatus"] == "complete" or None, 60, "the package")
    taken = terraform.client.post(
        "/api/v2/modelPackages/fromCustomModelVersion/",
        headers={"Authorization": f"Bearer {terraform.token}"},
        json={"customModelVersionId": latest["id"], "registeredModelName": "Tripled"},
    )
    assert not taken.is_success
    assert any(words in taken.text for words in ("already in use", "already exist", "is already used"))

    # a prediction environment and a deployment on it
    place = send(
        "POST",
        "predictionEnvironments/",
        {
            "name": "Here",
            "description": "",
            "platform": "datarobotServerless",
            "priority": 1,
            "maxConcurrentBatchPredictionsJob": 2,
            "managedBy": "datarobot",
            "isManagedByManagementAgent": True,
            "supportedModelFormats": ["customModel", "datarobot"],
        },
    )
    deployed = send(
        "POST",
        "deployments/fromModelPackage/",
        {
            "modelPackageId": package["id"],
            "predictionEnvironmentId": place["id"],
            "label": "Tripled",
            "importance": "LOW",
            "runtimeParameterValues": json.dumps([{"fieldName": "FACTOR", "type": "numeric", "value": 5}]),
        },
    )
    deployment_id = deployed["id"]
    terraform.await_status(deployed["_status"])
    assert send("GET", f"deployments/{deployment_id}/")["status"] == "active"
    updated = send("PATCH", f"deployments/{deployment_id}/settings/", {})
    terraform.await_status(updated["_status"])
    assert story.predict(deployment_id, [{"x": 2}]).json()["data"][0]["prediction"] == 10
    assert send("PATCH", f"deployments/{deployment_id}/", {"description": None, "label": "Five times"}) == {}
    for status in ("inactive", "active"):
        terraform.await_status(send("PATCH", f"deployments/{deployment_id}/status/", {"status": status})["_status"])
        assert send("GET", f"deployments/{deployment_id}/")["status"] == status

    # taking it all down again
    used = terraform.client.delete(
        f"/api/v2/predictionEnvironments/{place['id']}/", headers={"Authorization": f"Bearer {terraform.token}"}
    )
    assert used.status_code == 409
    send("DELETE", f"deployments/{deployment_id}/")
    gone = terraform.client.get(
        f"/api/v2/deployments/{deployment_id}/", headers={"Authorization": f"Bearer {terraform.token}"}
    )
    assert gone.status_code == 404
    for path in (
        f"predictionEnvironments/{place['id']}/",
        f"registeredModels/{registered_id}/",
        f"customModels/{model['id']}/",
        f"executionEnvironments/{environment['id']}/",
    ):
        send("DELETE", path)


def current_values(version: dict[str, Any]) -> dict[str, Any]:
    return {one["fieldName"]: one["currentValue"] for one in version["runtimeParameters"]}


def test_an_upload_without_the_last_slash_is_taken(terraform: Terraform) -> None:
    """E.4: a redirect would turn the upload into a GET."""
    taken = terraform.send("POST", "datasets/fromFile", files={"file": ("rows.csv", ROWS.encode())})
    assert taken["statusId"]
    assert taken["catalogVersionId"]

    def ready() -> dict[str, Any] | None:
        seen = terraform.send("GET", f"datasets/{taken['catalogId']}/")
        assert seen["processingState"] != "ERROR", seen
        return seen if seen["processingState"] == "COMPLETED" else None

    found = wait_until(ready, 30)
    assert found["name"] == "rows.csv"
    assert terraform.send("DELETE", f"datasets/{taken['catalogId']}/") == {}


def test_a_bad_dataset_says_why_in_a_string(terraform: Terraform) -> None:
    taken = terraform.send("POST", "datasets/fromFile/", files={"file": ("nothing.csv", b"")})
    found = wait_until(
        lambda: (
            (seen := terraform.send("GET", f"datasets/{taken['catalogId']}/"))["processingState"] == "ERROR" and seen
        ),
        30,
    )
    assert isinstance(found["error"], str)
    assert found["error"]


@pytest.mark.parametrize("scheme", ["Bearer", "Token"])
def test_both_kinds_of_authorization_and_the_probes(client: httpx.Client, story: Story, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {story.api.token}"}
    assert client.get("/api/v2/version/", headers=headers).status_code == 200
    assert client.get("/api/v2/version/", headers={"Authorization": f"{scheme} wrong"}).status_code == 401
    assert client.get("/api/v2/deployments/", headers={"Authorization": f"{scheme} wrong"}).status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "customModels/",
        "customModelDeployments/",
        "datasets/",
        "executionEnvironments/",
        "predictionEnvironments/",
        "predictionServers/",
        "modelPackages/",
        "registeredModels/",
        "deployments/",
        "status/",
        "mlops/compute/bundles/",
    ],
)
def test_lists_take_bodies_content_types_and_no_paging(client: httpx.Client, story: Story, path: str) -> None:
    """E.6 and E.7."""
    headers = {"Authorization": f"Token {story.api.token}"}
    plain = client.get(f"/api/v2/{path}", headers=headers)
    typed = client.get(f"/api/v2/{path}", headers=headers | {"Content-Type": "application/json"})
    with_body = client.request("GET", f"/api/v2/{path}", headers=headers, json={})
    for answer in (plain, typed, with_body):
        assert answer.status_code == 200, answer.text
        assert answer.json().keys() >= {"count", "next", "previous", "totalCount", "data"}
