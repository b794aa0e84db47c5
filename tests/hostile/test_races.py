"""Sixteen identical requests at the same moment, for what may happen once: it happens once, and is audited once.

``tests/database/test_races.py`` has the races whose requests differ.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, update

from modelyard.identity.tables import AuditEvent
from modelyard.jobs.tables import CustomJobRun
from modelyard.kernel.database import Base
from modelyard.learning.tables import LearningModel, ModelStatus
from modelyard.models.testing.tables import CustomModelTest
from modelyard.models.testing.tables import TestStatus as StatusOfTest
from tests.api_client import Api
from tests.conftest import Installation
from tests.crowds import CROWD, at_once
from tests.hostile.estate import Estate, an_estate, settle


@dataclass(frozen=True)
class Race:
    """A request that many send at once, how many of them win, and what the others are answered.

    ``path`` and the strings of ``body`` may hold ids of the estate: ``{deploymentId}``.
    """

    method: str
    path: str
    losers: frozenset[int]
    body: Mapping[str, Any] | None = None
    winners: int = 1
    as_admin: bool = False
    prepare: Callable[["Track"], None] | None = None
    audit_rows: int | None = None
    """How many are left; None: one for each winner."""

    @property
    def name(self) -> str:
        return f"{self.method} {self.path} {self.body or ''}"


@dataclass
class Track:
    """Where races are run."""

    installation: Installation
    estate: Estate
    ids: dict[str, str] = field(default_factory=dict)

    def api(self, race: Race) -> Api:
        return self.installation.api if race.as_admin else self.estate.api

    def set(self, table: type[Base], **columns: Any) -> None:
        with self.installation.application.database.write() as session:
            session.execute(update(table).values(**columns))

    def audit_rows(self) -> int:
        with self.installation.application.database.read() as session:
            return session.scalar(select(func.count()).select_from(AuditEvent)) or 0

    def run(self, race: Race) -> tuple[Counter[int], int, list[httpx.Response]]:
        """The answers' statuses, the audit rows that were added, and the answers."""
        settle(self.installation)
        if race.prepare is not None:
            race.prepare(self)
        ids = self.estate.ids | self.ids
        options = {} if race.body is None else {"json": _filled(dict(race.body), ids)}
        path = race.path.format_map(ids)
        before = self.audit_rows()
        answers = at_once(lambda _: self.api(race).request(race.method, path, **options))
        return Counter(answer.status_code for answer in answers), self.audit_rows() - before, answers


def _filled(value: Any, ids: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(one, ids) for name, one in value.items()}
    return value.format_map(ids) if isinstance(value, str) else value


def _open_test(track: Track) -> None:
    track.set(CustomModelTest, overall_status=StatusOfTest.IN_PROGRESS.value)


def _end_training(track: Track) -> None:
    track.set(LearningModel, status=ModelStatus.COMPLETED.value, ended_at=datetime.now(UTC))


def _end_runs(track: Track) -> None:
    track.set(CustomJobRun, status="succeeded", ended_at=datetime.now(UTC))


GONE, CONFLICT, TAKEN = frozenset({404, 410}), frozenset({409}), frozenset({409, 422})
NEVER = {"minute": [0], "hour": [0], "dayOfMonth": [1], "month": [1], "dayOfWeek": ["*"]}
TEST = {name: f"{{{name}}}" for name in ("customModelId", "customModelVersionId", "datasetId")}
PACKAGE = {"modelPackageId": "{modelPackageId}"}
LOGIN = {"name": "n", "credentialType": "basic", "user": "u", "password": "pppp"}
DEPLOY, DEPLOYMENT = "/deployments/fromModelPackage/", "/deployments/{deploymentId}/"
JOB, RUN = "/customJobs/{customJobId}/", "/customJobs/{customJobId}/runs/{customJobRunId}/"
VERSION = "/customModels/{customModelId}/versions/{customModelVersionId}/"
MODEL = "/projects/{projectId}/models/{trainedId}/"
RACES = [
    # names that are given once
    Race("POST", "/groups/", TAKEN, {"name": "n", "organizationId": "{organizationId}"}, as_admin=True),
    Race("POST", "/organizations/", TAKEN, {"name": "n"}, as_admin=True),
    Race("POST", "/credentials/", TAKEN, LOGIN),
    Race("POST", DEPLOY, frozenset(), PACKAGE | {"label": "same"}, winners=CROWD),  # labels are free
    Race("POST", DEPLOY, TAKEN, PACKAGE | {"label": "same", "userProvidedId": "only-one"}),
    # what is started once
    Race("DELETE", "/customModelTests/{customModelTestId}/", CONFLICT, prepare=_open_test),
    Race("POST", "/customModelTests/", TAKEN, TEST),
    Race("DELETE", f"{VERSION}dependencyBuild/", CONFLICT),
    Race("POST", f"{DEPLOYMENT}challengers/", TAKEN, PACKAGE | {"name": "twice"}),
    Race("PATCH", f"{DEPLOYMENT}model/", CONFLICT, PACKAGE | {"reason": "OTHER"}),
    Race("PATCH", f"{DEPLOYMENT}status/", CONFLICT, {"status": "inactive"}),
    Race("POST", f"{JOB}schedules/", CONFLICT, {"schedule": NEVER}),  # one more is allowed
    # what is canceled and deleted once
    Race("DELETE", RUN, frozenset(), winners=CROWD, audit_rows=1),  # canceling again is no error, and no change
    Race("DELETE", f"{RUN}logs/", GONE, prepare=_end_runs),
    Race("DELETE", f"{JOB}schedules/{{scheduleId}}/", GONE),
    Race("DELETE", JOB, GONE),
    Race("POST", "/customJobsCleanup/{cleanedJobId}/", GONE),
    Race("DELETE", f"{DEPLOYMENT}challengers/{{challengerId}}/", GONE),
    Race("DELETE", DEPLOYMENT, GONE),
    Race("DELETE", MODEL, GONE, prepare=_end_training),
    Race("DELETE", "/projects/{projectId}/", GONE),
    Race("DELETE", "/customTasks/{customTaskId}/", GONE),
    Race("DELETE", "/status/{statusId}/", GONE),
    Race("DELETE", "/remoteRepositories/{remoteRepositoryId}/", GONE),
    Race("DELETE", "/credentials/{credentialId}/", GONE),
    Race("DELETE", "/customTemplates/{customTemplateId}/", GONE),
    Race("DELETE", "/datasets/{datasetId}/", GONE),
    Race("DELETE", "/apiTokens/{tokenId}/", GONE),
    Race("DELETE", "/groups/{groupId}/members/{userId}/", GONE, as_admin=True),
    Race("DELETE", "/groups/{groupId}/", GONE, as_admin=True),
]


@pytest.fixture
def track(each_database: str, an_installation: Callable[..., Installation], monkeypatch: pytest.MonkeyPatch) -> Track:
    monkeypatch.setattr("modelyard.jobs.schedules.service.MAX_SCHEDULES", 2)
    installation = an_installation(database_url=each_database)
    estate = an_estate(installation, "anna", "acme")
    return Track(
        installation,
        estate,
        {
            "cleanedJobId": estate.ids["/customJobsCleanup/{customJobId}"],
            "trainedId": estate.ids["/projects/{projectId}/models/{modelId}"],
        },
    )


def test_what_may_happen_once_happens_once(track: Track) -> None:
    wrong = []
    for race in RACES:
        statuses, rows, answers = track.run(race)
        won = sum(count for status, count in statuses.items() if status < 300)
        lost = {status for status in statuses if status >= 300}
        if won != race.winners or not lost <= race.losers or rows != (race.audit_rows or won):
            wrong.append((race.name, dict(statuses), f"{rows} audit rows", answers[-1].text[:300]))
    assert not wrong, "\n".join(map(str, wrong))
