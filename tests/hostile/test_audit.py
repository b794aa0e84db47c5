"""Every operation that changes something leaves an audit row of its caller: asked of each there is, and each to come.

An operation that is new here succeeds with a body made from its wire type, or is told below what it needs.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Update, select, update

from modelyard.app import endpoints
from modelyard.environments.tables import EnvironmentVersion
from modelyard.identity.tables import AuditEvent
from modelyard.jobs.tables import CustomJobRun
from modelyard.kernel.routing import Endpoint
from modelyard.learning.tables import LearningModel, ModelStatus
from modelyard.models.testing.tables import CustomModelTest
from modelyard.models.testing.tables import TestStatus as StatusOfTest
from tests.conftest import Installation
from tests.environments.contexts import zipped
from tests.hostile.bodies import a_request, id_fields
from tests.hostile.estate import Estate, an_estate, fill, settle
from tests.hostile.test_tenants import ADMINISTRATION, FIELDS, MEANT, name_of
from tests.templates.builders import template_fields

COLLEAGUE = "colleague"
PULL = "the version is audited when the operation has made it (test_a_pulled_version_is_audited)"
CHANGES_NOTHING = {
    "POST /deployments/{deploymentId}/model/validation/": "only says whether a model would fit",
    "POST /customModelDeployments/{deploymentId}/logs/": "copies the log for its reader",
    "POST /customModels/{customModelId}/versions/fromRepository/": PULL,
    "PATCH /customModels/{customModelId}/versions/fromRepository/": PULL,
    "POST /customTasks/{customTaskId}/versions/fromRepository/": PULL,
    "PATCH /customTasks/{customTaskId}/versions/fromRepository/": PULL,
}
"""Operations that leave no row, and why."""

ACCESS = {"data": [{"username": COLLEAGUE, "role": "CONSUMER"}]}
ROLES = {
    "operation": "updateRoles",
    "roles": [{"shareRecipientType": "user", "username": COLLEAGUE, "role": "CONSUMER"}],
}
BODIES: dict[str, Callable[[Estate], dict[str, Any]]] = {
    "POST /users/": lambda _: {"username": "new"},
    "POST /datasets/fromURL/": lambda _: {"url": "https://example.com/table.csv"},
    "POST /credentials/": lambda _: {"name": "x", "credentialType": "basic", "user": "x", "password": "xxxx"},
    "POST /customModels/": lambda _: {
        "name": "x",
        "customModelType": "inference",
        "targetType": "Unstructured",
    },
    "PATCH /customModels/{customModelId}/": lambda _: {"description": "changed"},
    "POST /projects/{projectId}/models/": lambda estate: {
        "tasks": [{"customTaskVersionId": estate.ids["customTaskVersionId"]}]
    },
    "PUT /deployments/{deploymentId}/runtimeParameters/": lambda _: {"runtimeParameterValues": "[]"},
    "PATCH /deletedDeployments/": lambda estate: {
        "action": "PermanentlyErase",
        "deploymentIds": [estate.ids["deploymentId"]],
    },
    "PATCH /customJobs/{customJobId}/sharedRoles/": lambda _: ROLES,
    "PATCH /deployments/{deploymentId}/sharedRoles/": lambda _: ROLES,
}
"""JSON bodies where one of samples will not do."""

FORMS: dict[str, Callable[[Estate], dict[str, Any]]] = {
    "POST /executionEnvironments/{environmentId}/versions/": lambda _: {
        "files": {"docker_context": ("context.zip", zipped({"requirements.txt": b""}))}
    },
    "POST /customTemplates/": lambda estate: {
        "data": template_fields(estate.api),
        "files": {"file": ("template.zip", zipped({"main.py": b""}))},
    },
    "PATCH /customTemplates/{customTemplateId}/": lambda _: {"files": {"name": (None, "changed")}},
}
"""Forms where one of samples will not do."""

CANCEL_TEST = "DELETE /customModelTests/{customModelTestId}/"
FIRST = {
    "PATCH /customModels/{customModelId}/": [CANCEL_TEST],
    "DELETE /customModels/{customModelId}/": [CANCEL_TEST, "DELETE /deployments/{deploymentId}/"],
    "DELETE /registeredModels/{registeredModelId}/": ["DELETE /deployments/{deploymentId}/"],
    "DELETE /predictionEnvironments/{predictionEnvironmentId}/": ["DELETE /deployments/{deploymentId}/"],
    "PATCH /deletedDeployments/": ["DELETE /deployments/{deploymentId}/"],
    "DELETE /customTasks/{customTaskId}/": ["DELETE /projects/{projectId}/models/{modelId}/"],
}
"""What must be done first."""

RUN_ENDED = update(CustomJobRun).values(status="succeeded", ended_at=datetime.now(UTC))
STATES: dict[str, Update] = {
    "POST /executionEnvironments/{environmentId}/versions/{versionId}/prepare/": update(EnvironmentVersion).values(
        context_digest=None  # else its files are to be unpacked first
    ),
    CANCEL_TEST: update(CustomModelTest).values(overall_status=StatusOfTest.IN_PROGRESS.value),
    "DELETE /projects/{projectId}/models/{modelId}/training/": update(LearningModel).values(
        status=ModelStatus.QUEUED.value, ended_at=None
    ),
    "DELETE /customJobs/{customJobId}/": RUN_ENDED,
    "DELETE /customJobs/{customJobId}/runs/{customJobRunId}/logs/": RUN_ENDED,
}
"""The state that an operation needs to find."""


class Audited:
    """An estate whose database is put back after each request, and the audit rows that were added to it."""

    def __init__(self, installation: Installation, live: Path, kept: Path) -> None:
        self.installation = installation
        self.estate = an_estate(installation, "anna", "default")
        installation.a_user(COLLEAGUE, organization="default")
        settle(installation)
        self._live, self._kept = live, kept
        _copy(live, kept)

    def put_back(self) -> None:
        _copy(self._kept, self._live)

    def ask(self, endpoint: Endpoint) -> httpx.Response:
        name = name_of(endpoint)
        api = self.installation.api if endpoint.path.startswith(ADMINISTRATION) else self.estate.api
        return api.request(endpoint.method, fill(endpoint, self.estate), **self._request(endpoint, name))

    def _request(self, endpoint: Endpoint, name: str) -> dict[str, Any]:
        if name in FORMS:
            return FORMS[name](self.estate)
        if name in BODIES:
            return {"json": BODIES[name](self.estate)}
        if endpoint.path.endswith("/accessControl/"):
            return {"json": ACCESS}
        sent = a_request(endpoint)
        names = [field for field in id_fields(endpoint) if field in sent.get("json", {})]
        ids = {field: self.estate.id_at(MEANT.get((name, field), field)) for field in names}
        return a_request(endpoint, ids | {field: self.estate.id_at(field) for field in FIELDS.get(name, ())})

    def prepare(self, endpoint: Endpoint) -> None:
        """Bring about what the operation needs to succeed."""
        for name in FIRST.get(name_of(endpoint), ()):
            (first,) = (one for one in writes() if name_of(one) == name)
            self.prepare(first)
            answer = self.ask(first)
            assert answer.is_success, (name, answer.text)
        if name_of(endpoint) in STATES:
            with self.installation.application.database.write() as session:
                session.execute(STATES[name_of(endpoint)])

    def rows(self) -> list[AuditEvent]:
        with self.installation.application.database.read() as session:
            return list(session.scalars(select(AuditEvent).order_by(AuditEvent.id)))

    def user_id(self, endpoint: Endpoint) -> str:
        api = self.installation.api if endpoint.path.startswith(ADMINISTRATION) else self.estate.api
        return str(api.get("/account/info/").json()["uid"])


def writes() -> Iterator[Endpoint]:
    for endpoint in endpoints():
        if endpoint.method != "GET":
            yield endpoint


def _copy(source: Path, target: Path) -> None:
    """Replace a database by another one, also under open connections."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


@pytest.fixture
def audited(an_installation: Callable[..., Installation], tmp_path: Path) -> Audited:
    live = tmp_path / "live.db"
    return Audited(an_installation(database_url=f"sqlite:///{live}"), live, tmp_path / "kept.db")


def test_every_change_leaves_a_row_of_its_caller(audited: Audited) -> None:
    failed, silent, of_others = [], [], []
    for endpoint in writes():
        name = name_of(endpoint)
        audited.put_back()
        audited.prepare(endpoint)
        before = len(audited.rows())
        answer = audited.ask(endpoint)
        added = audited.rows()[before:]
        if not answer.is_success:
            failed.append((name, answer.status_code, answer.text))
        elif not added:
            silent.append(name)
        elif audited.user_id(endpoint) not in {row.user_id for row in added}:
            of_others.append((name, [(row.action, row.user_id) for row in added]))
    assert not failed, "\n".join(map(str, failed))
    assert sorted(silent) == sorted(CHANGES_NOTHING)
    assert not of_others


def test_no_row_holds_a_secret(audited: Audited) -> None:
    secret = "correct-horse-battery-staple"
    api = audited.estate.api
    made = api.post("/credentials/", json={"name": "x", "credentialType": "basic", "user": "u", "password": secret})
    path = f"/credentials/{made.json()['credentialId']}/"
    assert api.patch(path, json={"password": f"{secret}-2"}).status_code == 200
    token = api.post("/apiTokens/", json={"name": "t"}).json()["token"]
    assert api.delete(path).status_code == 204
    text = json.dumps([row.detail for row in audited.rows()])
    assert "basic" in text or "password" in text, "the rows say which fields were changed"
    assert secret not in text
    assert token not in text
