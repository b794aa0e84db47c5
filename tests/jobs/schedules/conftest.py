"""An installation whose clock a test sets, with jobs that have schedules."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from modelyard.app import Application
from modelyard.jobs.schedules.firing import Firing
from modelyard.kernel.clock import Clock
from tests.api_client import Api, in_process
from tests.conftest import Installation

METADATA = b"""
runtimeParameterDefinitions:
  - {fieldName: REGION, type: string, defaultValue: north}
  - {fieldName: SIZE, type: numeric, defaultValue: 1, minValue: 1, maxValue: 9}
"""
NAMES = ("minute", "hour", "dayOfMonth", "month", "dayOfWeek")


@dataclass
class SetClock:
    """A clock that stands where it is put."""

    time: datetime

    def now(self) -> datetime:
        return self.time

    def set(self, text: str) -> None:
        """Sets it to a UTC time such as ``2026-03-01T09:00`` (with seconds where they matter)."""
        self.time = datetime.fromisoformat(text).replace(tzinfo=UTC)


def cron(text: str) -> dict[str, list[Any]]:
    """The fields of a crontab's line, as they go over the wire."""
    values = [[int(one) if one.isdigit() else one for one in field.split(",")] for field in text.split()]
    return dict(zip(NAMES, values, strict=True))


@dataclass
class Yard:
    """Jobs, their schedules, and a controller that looks when it is told to."""

    application: Application
    installation: Installation
    api: Api
    clock: SetClock

    def a_user(self, name: str, *, organization: str = "default") -> Api:
        """A user, asked through the API whose clock is set."""
        return self.api.as_(self.installation.a_user(name, organization=organization).token)

    def a_job(self, api: Api | None = None, *, environment: bool = True) -> str:
        """A job that can run; its id."""
        api = api or self.api
        files = [
            ("file", ("run.sh", b"#!/bin/sh\necho done\n")),
            ("filePath", (None, "run.sh")),
            ("file", ("metadata.yaml", METADATA)),
            ("filePath", (None, "metadata.yaml")),
            ("name", (None, "nightly")),
        ]
        if environment:
            files.append(("environmentId", (None, self._environment_id())))
        made = api.post("/customJobs/", files=files)
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    def _environment_id(self) -> str:
        found = self.api.get("/executionEnvironments/").json()["data"]
        return next(str(one["id"]) for one in found if one["isBuiltIn"] and one["programmingLanguage"] == "python")

    def post(self, job_id: str, line: str, *, api: Api | None = None, **fields: Any) -> httpx.Response:
        body = {"schedule": cron(line), **fields}
        return (api or self.api).post(f"/customJobs/{job_id}/schedules/", json=body)

    def a_schedule(self, job_id: str, line: str, *, api: Api | None = None, **fields: Any) -> str:
        """A schedule; its id."""
        made = self.post(job_id, line, api=api, **fields)
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    def schedule(self, job_id: str, schedule_id: str) -> dict[str, Any]:
        answer = self.api.get(f"/customJobs/{job_id}/schedules/{schedule_id}/")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def patch(self, job_id: str, schedule_id: str, **fields: Any) -> dict[str, Any]:
        answer = self.api.patch(f"/customJobs/{job_id}/schedules/{schedule_id}/", json=fields)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def look(self, text: str | None = None) -> float:
        """Has a controller look, at this time, until nothing is due any more; when it would look again."""
        if text:
            self.clock.set(text)
        firing = Firing(self.application.database, self.application.parts)
        for _ in range(200):
            pause_s = firing.look()
            if pause_s > 0.05:
                return pause_s
        raise AssertionError("it does not come to rest")

    def runs(self, job_id: str, schedule_id: str | None = None) -> list[dict[str, Any]]:
        """The job's runs, oldest first."""
        query = f"?scheduledJobId={schedule_id}&limit=1000" if schedule_id else "?limit=1000"
        found = self.api.get(f"/customJobs/{job_id}/runs/{query}").json()["data"]
        return list(reversed(found))

    def fired(self, job_id: str, schedule_id: str | None = None) -> list[str]:
        """The due times that runs were started for, to the minute, oldest first."""
        return [run["description"].removeprefix("Due at ")[:16] for run in self.runs(job_id, schedule_id)]


@pytest.fixture
def a_yard(an_installation: Callable[..., Installation]) -> Iterator[Callable[..., Yard]]:
    """Makes yards, each with the settings it is given. Their clocks stand at midnight of 1 March 2026."""
    opened = []

    def make(**settings: Any) -> Yard:
        installation = an_installation(**settings)
        clock = SetClock(datetime(2026, 3, 1, tzinfo=UTC))
        installation.application.parts.add(Clock, clock)  # type: ignore[type-abstract]
        client = in_process(installation.application.api())()
        client.__enter__()
        opened.append(client)
        return Yard(installation.application, installation, Api(client, installation.api.token), clock)

    yield make
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def yard(a_yard: Callable[..., Yard]) -> Yard:
    return a_yard()
