"""Collection removes what nobody refers to, and nothing else."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from modelyard import garbage
from modelyard.compute.executor import Executor
from modelyard.compute.workload import Kind, Workload
from modelyard.kernel.database import Base
from modelyard.kernel.ids import new_id
from modelyard.monitoring.custom_metrics.tables import CustomMetricReport
from modelyard.storage.blobs import BlobStore, store_bytes
from modelyard.workspaces.checkout import Checkouts
from tests.conftest import Installation
from tests.deployments.shelf import Shelf
from tests.monitoring.metrics import Metrics, value
from tests.waiting import wait_until

NOT_BLOBS = {"images", "image_uses"}


@pytest.fixture
def installation(an_installation: Callable[..., Installation]) -> Installation:
    return an_installation(garbage_age_s=0)


def collect(installation: Installation) -> garbage.Collected:
    application = installation.application
    return garbage.collect(application.database, application.parts, application.settings)


def test_every_column_that_names_a_blob_is_known() -> None:
    named = {
        f"{table.name}.{column.name}"
        for table in Base.metadata.sorted_tables
        for column in table.columns
        if column.name.endswith("digest") and getattr(column.type, "length", None) == 64
    }
    images = {name for name in named if name.endswith(".image_digest") or name.partition(".")[0] in NOT_BLOBS}
    assert named - images == {f"{column.class_.__tablename__}.{column.key}" for column in garbage.BLOB_COLUMNS}


def test_what_cannot_be_collected_keeps_nothing_else_from_it(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = installation.application.parts.get(BlobStore)  # type: ignore[type-abstract]
    stray = store_bytes(blobs, b"nobody wants me")

    def broken(*_: object) -> int:
        raise RecursionError("too deep")

    monkeypatch.setattr(Checkouts, "collect", broken)
    with pytest.raises(RecursionError, match="too deep"):
        collect(installation)
    assert not blobs.exists(stray.digest)


def test_blobs_go_when_their_last_version_does(installation: Installation) -> None:
    blobs = installation.application.parts.get(BlobStore)  # type: ignore[type-abstract]
    stray = store_bytes(blobs, b"nobody wants me")
    api = installation.api
    model = {"name": "m", "customModelType": "inference", "targetType": "Regression", "targetName": "y"}
    model_id = api.post("/customModels/", json=model).json()["id"]
    environment = api.get("/executionEnvironments/").json()["data"][0]["id"]
    files = {"file": ("custom.py", b"x = 1"), "isMajorUpdate": (None, "false")}
    files |= {"filePath": (None, "custom.py"), "baseEnvironmentId": (None, environment)}
    version = api.post(f"/customModels/{model_id}/versions/", files=files)
    assert version.status_code == 201, version.text
    kept = store_bytes(blobs, b"x = 1").digest
    assert collect(installation).blobs == 1
    assert not blobs.exists(stray.digest)
    assert blobs.read(kept) == b"x = 1"
    assert api.delete(f"/customModels/{model_id}/").status_code == 204
    assert collect(installation).blobs == 1
    assert not blobs.exists(kept)
    assert collect(installation) == garbage.Collected()


def test_young_blobs_stay(an_installation: Callable[..., Installation]) -> None:
    installation = an_installation(garbage_age_s=3600)
    blobs: Any = installation.application.parts.get(BlobStore)  # type: ignore[type-abstract]
    blob = store_bytes(blobs, b"just uploaded")
    assert collect(installation).blobs == 0
    assert blobs.exists(blob.digest)


def test_workloads_that_nobody_wants_are_stopped_and_removed(installation: Installation) -> None:
    parts = installation.application.parts
    executor = parts.get(Executor)  # type: ignore[type-abstract]
    checkouts = parts.get(Checkouts)
    code = checkouts.path([])
    stray, running = new_id(), new_id()
    for one, labels in ((stray, {"service": new_id()}), (running, {"operation": new_id()})):
        executor.start(Workload(id=one, kind=Kind.SERVICE, command=("/bin/sleep", "60"), code=code, labels=labels))
    wait_until(lambda: executor.observe(stray).started_at and executor.observe(running).started_at, what="both")
    first = collect(installation)
    assert (first.stopped, first.checkouts) == (1, 0)
    assert code.is_dir()
    wait_until(lambda: not executor.observe(stray).is_alive, what="the stray to end")
    assert collect(installation).workloads == 1
    assert executor.ids() == [running]
    executor.stop(running, 0)
    wait_until(lambda: not executor.observe(running).is_alive, what="the other to end")
    second = collect(installation)
    assert (second.workloads, second.checkouts) == (1, 1)
    assert not code.exists()


def test_keys_of_reports_are_forgotten_after_a_week(installation: Installation) -> None:
    metrics = Metrics(Shelf(installation), Shelf(installation).put("Churn"))
    metric_id = metrics.a_metric()
    for key in ("old", "new"):
        metrics.reported(metric_id, value(1), headers={"Idempotency-Key": key})
    with installation.application.database.write() as session:
        session.get_one(CustomMetricReport, (metric_id, "old")).at -= timedelta(days=8)
    assert collect(installation).report_keys == 1
    for key in ("old", "new"):
        metrics.reported(metric_id, value(1), headers={"Idempotency-Key": key})
    assert metrics.summary(metric_id)["metric"]["value"] == 3
