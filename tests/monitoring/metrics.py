"""Short ways to make custom metrics and to report their values."""

from dataclasses import dataclass
from typing import Any

import httpx

from tests.deployments.shelf import Shelf

HOUR = "2026-03-01T{:02}:{:02}:00Z"


def value(number: float, hour: int = 0, minute: int = 0, **more: Any) -> dict[str, Any]:
    """A value within the first of March."""
    return {"value": number, "timestamp": HOUR.format(hour, minute)} | more


@dataclass(frozen=True)
class Metrics:
    """A deployment and its custom metrics, as its owner sees them."""

    shelf: Shelf
    deployment_id: str

    @property
    def path(self) -> str:
        return f"/deployments/{self.deployment_id}/customMetrics/"

    def create(self, name: str = "Saved", **fields: Any) -> httpx.Response:
        base = {"units": "CHF", "type": "sum", "directionality": "higherIsBetter", "isModelSpecific": False}
        body = {name: value for name, value in ({"name": name} | base | fields).items() if value is not ...}
        response: httpx.Response = self.shelf.api.post(self.path, json=body)
        return response

    def a_metric(self, name: str = "Saved", **fields: Any) -> str:
        """The id of a new metric."""
        made = self.create(name, **fields)
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    def report(self, metric_id: str, *values: Any, headers: dict[str, str] | None = None, **more: Any) -> Any:
        body = {"buckets": list(values)} | more
        return self.shelf.api.post(f"{self.path}{metric_id}/fromJSON/", json=body, headers=headers or {})

    def reported(self, metric_id: str, *values: Any, **more: Any) -> None:
        answer = self.report(metric_id, *values, **more)
        assert answer.status_code == 202, answer.text

    def series(self, metric_id: str, query: str = "") -> dict[str, Any]:
        return self._read(f"{metric_id}/valuesOverTime/", query)

    def summary(self, metric_id: str, query: str = "") -> dict[str, Any]:
        return self._read(f"{metric_id}/summary/", query)

    def _read(self, path: str, query: str) -> dict[str, Any]:
        found = self.shelf.api.get(
            f"{self.path}{path}?{query or 'start=2026-03-01T00:00:00Z&end=2026-03-02T00:00:00Z'}"
        )
        assert found.status_code == 200, found.text
        return dict(found.json())
