"""One 422 tells of wrong types, limits and rules together, and leaves nothing behind."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import func, select

from modelyard.identity.tables import AuditEvent
from tests.conftest import Installation
from tests.models.builders import NOBODY, a_model, an_environment_id, model_fields
from tests.tasks.builders import a_task

LONG = "x" * 11_000


@dataclass(frozen=True)
class Refused:
    """A body in which ``wrong`` are all the fields to be told of. ``{model}`` and the like stand for ids."""

    path: str
    body: dict[str, Any]
    wrong: set[str]
    method: str = "POST"
    is_form: bool = False


TAGS = [{"name": "a", "value": 1}]
SCHEDULE = {"minute": ["*"], "hour": ["*"], "dayOfMonth": ["*"], "month": ["*"], "dayOfWeek": ["*"]}
CASES = [
    Refused(
        "/customModels/",
        model_fields(name="  ", replicas="two", description=LONG, positiveClassLabel="yes"),
        {"name", "replicas", "description", "negativeClassLabel"},
    ),
    Refused("/customModels/", model_fields(targetType="Bynary", classLabels=["a"], name=" "), {"targetType", "name"}),
    Refused(
        "/customModels/", {"targetName": "y", "replicas": 0}, {"customModelType", "name", "targetType", "replicas"}
    ),
    Refused(
        "/customModels/{model}/",
        {"replicas": "two", "description": LONG, "positiveClassLabel": "yes"},
        {"replicas", "description", "negativeClassLabel"},
        "PATCH",
    ),
    Refused(
        "/customModels/{model}/versions/",
        {"isMajorUpdate": "perhaps", "replicas": "0", "baseEnvironmentId": NOBODY, "requiredMetadata": "{"},
        {"isMajorUpdate", "replicas", "baseEnvironmentId", "requiredMetadata"},
        is_form=True,
    ),
    Refused(
        "/customModels/{model}/versions/",
        {"baseEnvironmentVersionId": NOBODY, "desiredMemory": "much", "maximumMemory": 1},
        {"desiredMemory", "maximumMemory", "baseEnvironmentVersionId"},
        "PATCH",
        is_form=True,
    ),
    Refused(
        "/customTasks/",
        {"name": " ", "maximumMemory": "1", "language": 5},
        {"targetType", "name", "maximumMemory", "language"},
    ),
    Refused(
        "/customTasks/{task}/",
        {"name": " ", "maximumMemory": 1, "description": LONG},
        {"name", "maximumMemory", "description"},
        "PATCH",
    ),
    Refused(
        "/customTasks/{task}/versions/",
        {"baseEnvironmentId": NOBODY, "maximumMemory": "much", "requiredMetadata": "{", "filesToDelete": NOBODY},
        {"baseEnvironmentId", "isMajorUpdate", "maximumMemory", "requiredMetadata", "filesToDelete"},
        "PATCH",
        is_form=True,
    ),
    Refused(
        "/customTasks/{task}/versions/fromRepository/",
        {"repositoryId": NOBODY, "baseEnvironmentId": NOBODY, "isMajorUpdate": "x"},
        {"repositoryId", "baseEnvironmentId", "isMajorUpdate"},
    ),
    Refused(
        "/customJobs/",
        {"name": 5, "description": LONG, "environmentId": NOBODY, "timeoutSeconds": 0},
        {"name", "description", "environmentId", "timeoutSeconds"},
    ),
    Refused(
        "/customJobs/",
        {"name": " ", "jobType": "notificaton", "subscription": {}, "maxRetries": 11},
        {"name", "jobType", "maxRetries"},
    ),
    Refused(
        "/customJobs/",
        {"name": "a", "environmentId": 5, "environmentVersionId": NOBODY, "tags": [""]},
        {"environmentId", "tags"},
    ),
    Refused(
        "/customJobs/{job}/",
        {"name": " ", "maxRetries": "x", "description": LONG, "entryPoint": NOBODY},
        {"name", "maxRetries", "description", "entryPoint"},
        "PATCH",
        is_form=True,
    ),
    Refused(
        "/customJobs/fromGalleryTemplate/",
        {"templateId": NOBODY, "name": 5, "maxRetries": 11},
        {"templateId", "name", "maxRetries"},
    ),
    Refused(
        "/customJobs/{job}/runs/",
        {"description": 5},
        {"description", "entryPoint"},
    ),
    Refused(
        "/customJobs/{job}/schedules/",
        {"timeZone": "Mars/Base", "enabled": "perhaps", "schedule": SCHEDULE | {"minute": "no"}, "catchUp": "never"},
        {"enabled", "schedule", "catchUp"},
    ),
    Refused(
        "/customJobs/{job}/schedules/",
        {"timeZone": "Mars/Base", "enabled": "perhaps", "schedule": SCHEDULE},
        {"timeZone", "enabled"},
    ),
    Refused(
        "/deployments/fromModelPackage/",
        {
            "modelPackageId": NOBODY,
            "label": "",
            "importance": 5,
            "defaultPredictionServerId": "another",
            "userProvidedId": "x" * 101,
            "tags": TAGS,
        },
        {"modelPackageId", "label", "importance", "defaultPredictionServerId", "userProvidedId", "tags"},
    ),
    Refused(
        "/deployments/fromModelPackage/",
        {"modelPackageId": 5, "label": "x" * 600, "predictionEnvironmentId": NOBODY},
        {"modelPackageId", "label", "predictionEnvironmentId"},
    ),
    Refused(
        "/customModelTests/",
        {"customModelId": 5, "customModelVersionId": NOBODY, "replicas": 0},
        {"customModelId", "replicas"},
    ),
    Refused(
        "/customTemplates/",
        {"name": " ", "description": 5, "templateType": "nothing", "templateSubType": "x" * 300},
        {"name", "description", "templateType", "templateSubType", "defaultEnvironment", "file"},
    ),
    Refused("/executionEnvironments/", {"name": 5, "useCases": ["none"]}, {"name", "useCases"}),
    Refused(
        "/executionEnvironments/{environment}/versions/",
        {"label": "x" * 300, "dockerImageUri": "library/python"},
        {"label", "dockerImageUri"},
        is_form=True,
    ),
    Refused(
        "/datasets/fromURL/",
        {"url": "ftp://example.com/x.csv", "categories": 5, "sampleSize": {"type": "rows", "value": 5}},
        {"url", "categories", "sampleSize"},
    ),
    Refused("/datasets/fromURL/", {"url": 5, "doSnapshot": False}, {"url", "doSnapshot"}),
    Refused(
        "/predictionEnvironments/",
        {"name": "", "platform": 5, "credentialId": NOBODY},
        {"name", "platform", "credentialId"},
    ),
    Refused(
        "/users/",
        {"username": "a b", "email": 5, "firstName": "x" * 3000, "organizationId": NOBODY},
        {"username", "email", "firstName", "organizationId"},
    ),
    Refused("/users/", {"username": 5, "organizationId": NOBODY}, {"username", "organizationId"}),
]


@pytest.fixture
def ids(installation: Installation) -> dict[str, str]:
    api = installation.api
    job = api.post("/customJobs/", json={"name": "Job", "environmentId": an_environment_id(api)})
    environment = api.post("/executionEnvironments/", json={"name": "Mine"})
    made = {"model": a_model(api)["id"], "task": a_task(api)["id"]}
    return made | {"job": job.json()["id"], "environment": environment.json()["id"]}


@pytest.fixture
def audited(installation: Installation) -> Callable[[], int]:
    def count() -> int:
        with installation.application.database.read() as session:
            return session.scalar(select(func.count()).select_from(AuditEvent)) or 0

    return count


def test_all_that_is_wrong_is_told_at_once(
    installation: Installation, ids: dict[str, str], audited: Callable[[], int]
) -> None:
    before = audited(), installation.stored()
    told = []
    for case in CASES:
        path = case.path.format_map(ids)
        sent = {"data": case.body, "files": {"other": b""}} if case.is_form else {"json": case.body}
        answer = installation.api.request(case.method, path, **sent)
        assert answer.status_code == 422, (case, answer.text)
        told.append((case.path, set(answer.json().get("errors", {})), answer.text))
        assert (audited(), installation.stored()) == before, case
    wrong = [(*one, case.wrong) for one, case in zip(told, CASES, strict=True) if one[1] != case.wrong]
    assert not wrong, wrong


def test_a_request_that_is_only_wrong_in_its_fields_leaves_nothing(
    installation: Installation, ids: dict[str, str], audited: Callable[[], int]
) -> None:
    before = audited()
    for path, body in (
        ("/customModels/", model_fields(name="fine", description=5)),
        ("/customJobs/", {"name": "fine", "maxRetries": 11}),
        ("/executionEnvironments/", {"name": "fine", "useCases": 5}),
        ("/users/", {"username": "fine", "isAdmin": "yes"}),
        (f"/customJobs/{ids['job']}/schedules/", {"schedule": SCHEDULE, "enabled": "yes"}),
    ):
        answer = installation.api.post(path, json=body)
        assert answer.status_code == 422, answer.text
        assert len(answer.json()["errors"]) == 1, answer.text
    assert audited() == before
    assert all(user["username"] != "fine" for user in installation.api.get("/users/").json()["data"])


def test_who_may_not_see_it_is_told_nothing_of_the_fields(installation: Installation, ids: dict[str, str]) -> None:
    stranger = installation.a_user("stranger")
    answer = stranger.patch(f"/customModels/{ids['model']}/", json={"replicas": "two"})
    assert answer.status_code == 404, json.dumps(answer.json())
