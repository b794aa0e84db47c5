"""``/metrics``: what a process did, and how the installation is, in the text format of Prometheus.

Format and names: https://prometheus.io/docs/practices/naming/. Labels hold names of operations, states and ids of
deployments up to a limit; nothing that a client chooses makes a new series.
"""

import contextlib
import ipaddress
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
MAX_DEPLOYMENTS: Final = 500
OTHERS: Final = "other"
KEPT_S: Final = 5.0
"""The state of the installation is asked for no more often."""
NOT_ALLOWED: Final = "The metrics of this server are for direct clients on its own machine (MODELYARD_METRICS)."
FORWARDED: Final = frozenset({b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip", b"via"})

Access = Literal["loopback", "all", "off"]
Gauge = tuple[str, str, tuple[str, ...], Mapping[tuple[str, ...], float]]
"""Name, help, names of the labels, and values by the labels' values."""


def may_read(access: Access, peer: str | None, header_names: Iterable[bytes]) -> bool:
    """Whether somebody may read the metrics: by default only who connects from this machine, and for nobody else."""
    if access != "loopback":
        return access == "all"
    if any(name.lower() in FORWARDED for name in header_names):
        return False
    with contextlib.suppress(ValueError):
        return peer is not None and ipaddress.ip_address(peer).is_loopback
    return False


class RequestMetrics:
    """Requests of the API, by operation and status."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "modelyard_requests", "Requests answered by the API.", ["operation", "status"], registry=registry
        )
        self._seconds = Histogram(
            "modelyard_request_seconds",
            "Time to the end of an answer of the API.",
            ["operation"],
            registry=registry,
            buckets=SECONDS,
        )

    def note(self, operation: str, status: int, seconds: float) -> None:
        """Count one request; ``operation`` is the name of its route."""
        self._requests.labels(operation, str(status)).inc()
        self._seconds.labels(operation).observe(seconds)


class PredictionMetrics:
    """Predictions, by deployment and outcome. Belongs to one event loop."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "modelyard_predictions", "Prediction requests answered.", ["deployment", "outcome"], registry=registry
        )
        self._rows = Counter("modelyard_prediction_rows", "Rows scored.", ["deployment"], registry=registry)
        self._seconds = Histogram(
            "modelyard_prediction_seconds", "Time to the end of an answer.", registry=registry, buckets=SECONDS
        )
        self._known: dict[str, Any] = {}
        self._outcomes: dict[tuple[str, str], Any] = {}

    def note(self, deployment_id: str, outcome: str, rows: int, seconds: float) -> None:
        """Count one request; deployments beyond ``MAX_DEPLOYMENTS`` are counted together."""
        if deployment_id not in self._known:
            deployment_id = deployment_id if len(self._known) < MAX_DEPLOYMENTS else OTHERS
            self._known.setdefault(deployment_id, self._rows.labels(deployment_id))
        counter = self._outcomes.get((deployment_id, outcome))
        if counter is None:
            counter = self._outcomes[deployment_id, outcome] = self._requests.labels(deployment_id, outcome)
        counter.inc()
        self._seconds.observe(seconds)
        if rows:
            self._known[deployment_id].inc(rows)


class StateCollector(Collector):
    """Gauges of what the database says, asked when they are read, and no more often than every ``KEPT_S``."""

    def __init__(self, read: Callable[[], Iterable[Gauge]]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._kept: list[Gauge] = []
        self._read_at = -KEPT_S

    def collect(self) -> Iterable[Metric]:
        """The gauges. Raises whatever the database does while it is away."""
        with self._lock:
            if time.monotonic() - self._read_at >= KEPT_S:
                self._kept = list(self._read())
                self._read_at = time.monotonic()
            kept = self._kept
        for name, text, labels, values in kept:
            family = GaugeMetricFamily(name, text, labels=labels)
            for of, value in values.items():
                family.add_metric(of, value)
            yield family

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering asks nobody."""
        return ()


def exposition(registry: CollectorRegistry) -> bytes:
    """All metrics as text."""
    return generate_latest(registry)
