"""Deployments as rows: made through the API, never launched, put into the states that lists and filters look at."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from modelyard.deployments.tables import Deployment
from modelyard.monitoring.usage import Blame, Tally, add_usage
from tests.api_client import Api
from tests.conftest import Installation
from tests.models.builders import a_model, a_version


@dataclass(frozen=True)
class Shelf:
    """An installation whose controller does not work, so that deployments stay as they are put."""

    installation: Installation

    @property
    def api(self) -> Api:
        return self.installation.api

    def a_package(self, api: Api | None = None, **model: Any) -> dict[str, Any]:
        api = api or self.api
        version = a_version(api, a_model(api, **model)["id"], {"custom.py": b""})
        made = api.post("/modelPackages/fromCustomModelVersion/", json={"customModelVersionId": version["id"]})
        assert made.status_code == 201, made.text
        return dict(made.json())

    def deploy(self, package: dict[str, Any] | None = None, api: Api | None = None, **fields: Any) -> httpx.Response:
        package = package or self.a_package(api)
        body = {"modelPackageId": package["id"], "label": "Churn"} | fields
        response: httpx.Response = (api or self.api).post("/deployments/fromModelPackage/", json=body)
        return response

    def put(
        self,
        label: str,
        package: dict[str, Any] | None = None,
        *,
        api: Api | None = None,
        status: str = "active",
        **fields: Any,
    ) -> str:
        """A deployment in ``status``; the answer is its id."""
        made = self.deploy(package, api, label=label, **fields)
        assert made.status_code == 202, made.text
        deployment_id: str = made.json()["id"]
        self.set(deployment_id, status=status)
        return deployment_id

    def set(self, deployment_id: str, **columns: Any) -> None:
        with self.installation.application.database.write() as session:
            row = session.get_one(Deployment, deployment_id)
            for name, value in columns.items():
                setattr(row, name, value)

    def traffic(self, deployment_id: str, *, rows: int, errors: int = 0, hours_ago: int = 0) -> None:
        """One request for ``rows`` rows, and ``errors`` that the server failed at."""
        at = datetime.now(UTC) - timedelta(hours=hours_ago)
        tally = Tally(last_at=at)
        tally.add(Blame.NOBODY, rows, 1.0, 1.0)
        for _ in range(errors):
            tally.add(Blame.SERVER, 0, 1.0, 1.0)
        hour = at.replace(minute=0, second=0, microsecond=0)
        with self.installation.application.database.write() as session:
            add_usage(session, {(deployment_id, "0" * 24, hour): tally})

    def found(self, query: str = "", api: Api | None = None) -> list[str]:
        """The labels of a list."""
        listed = (api or self.api).get(f"/deployments/?{query}")
        assert listed.status_code == 200, listed.text
        return [one["label"] for one in listed.json()["data"]]
