"""A page of a hundred jobs among twenty thousand, and of a hundred events among a hundred thousand."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert

from benchmarks.figures import Figure, Result, interleaved
from benchmarks.installation import Installation, an_installation
from benchmarks.requests import Client
from modelyard.events.tables import EventCount, EventCounter, EventRow
from modelyard.identity.tables import Grant, GrantCount, ResourceKind, SubjectKind
from modelyard.jobs.tables import CustomJob
from modelyard.kernel.database import Base, Database
from modelyard.kernel.ids import new_id
from modelyard.workspaces.tables import File, Tree, Workspace

JOBS, EVENTS = 20_000, 100_000
DELETED_EVERY = 20
PAGES = 100
AT_ONCE = 2_000
PATHS = {
    f"100 of {JOBS:,} jobs": "customJobs/?limit=100",
    f"100 of {EVENTS:,} events": "events/?limit=100",
    f"100 of the failed runs among {EVENTS:,} events": "events/?limit=100&type=runFailed",
}


def measure() -> list[Result]:
    with an_installation() as installation:
        fill(installation)
        with Client(installation.server.port, installation.token) as client:
            taken = interleaved(PAGES, *(page_of(client, path) for path in PATHS.values()))
    return [Figure(title, took, "ms", 15) for title, took in zip(PATHS, taken, strict=True)]


def page_of(client: Client, path: str) -> Callable[[], float]:
    def measured() -> float:
        answer = client.ask("GET", f"/api/v2/{path}")
        assert answer.json(200)["count"] == 100
        return answer.seconds * 1000

    for _ in range(10):
        measured()
    return measured


def fill(installation: Installation) -> None:
    """Puts one user's jobs into the database, a few of them deleted, and events of all of them."""
    with contextlib.closing(sqlite3.connect(installation.database)) as connection:
        user_id, organization_id = connection.execute("SELECT id, organization_id FROM users").fetchone()
    database = Database(f"sqlite:///{installation.database}")
    job_ids: list[str] = []
    for start in range(0, JOBS, AT_ONCE):
        rows: dict[type[Base], list[dict[str, Any]]] = {}
        for number in range(start, start + AT_ONCE):
            job_ids.append(new_id())
            for table, row in _rows_of_job(job_ids[-1], number, user_id, organization_id):
                rows.setdefault(table, []).append(row)
        with database.write() as session:
            for table, some in rows.items():
                session.execute(insert(table), some)
    for start in range(0, EVENTS, AT_ONCE):
        events = [_event(number, job_ids[number % JOBS], organization_id) for number in range(start, start + AT_ONCE)]
        with database.write() as session:
            session.execute(insert(EventRow), events)
    with database.write() as session:
        session.add(GrantCount(subject_id=user_id, resource_kind=ResourceKind.CUSTOM_JOB.value, visible=JOBS))
        each = EVENTS // JOBS
        counts = [{"resource_id": job_id, "type": "runFailed", "number": each} for job_id in job_ids]
        session.execute(insert(EventCount), counts)
        session.add(EventCounter(id=1, last=EVENTS))
        session.connection().exec_driver_sql("ANALYZE")
    database.dispose()


def _event(number: int, job_id: str, organization_id: str) -> dict[str, Any]:
    at, event_id = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number), new_id()
    content = {"type": "runFailed", "message": "A run failed.", "organizationId": organization_id, "id": event_id}
    return {
        "id": event_id,
        "number": number + 1,
        "at": at,
        "type": "runFailed",
        "resource_kind": ResourceKind.CUSTOM_JOB.value,
        "resource_id": job_id,
        "content": content | {"at": at.isoformat(), "customJobId": job_id, "customJobName": "A job"},
    }


def _rows_of_job(
    job_id: str, number: int, user_id: str, organization_id: str
) -> Iterator[tuple[type[Base], dict[str, Any]]]:
    tree_id, workspace_id = new_id(), new_id()
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
    yield Tree, {"id": tree_id, "head_revision": 1}
    yield (
        Workspace,
        {"id": workspace_id, "tree_id": tree_id, "revision": 1, "file_count": 1, "size_bytes": 100, "created_at": now},
    )
    yield (
        File,
        {"id": new_id(), "tree_id": tree_id, "added_revision": 1, "path": "run.sh", "digest": "0" * 64}
        | {"size_bytes": 100, "created_at": now},
    )
    yield (
        CustomJob,
        {"id": job_id, "organization_id": organization_id, "created_by_id": user_id, "created_at": now}
        | {"updated_at": now, "name": f"Job {number}", "search_text": f"job {number}", "job_type": "default"}
        | {
            "workspace_id": workspace_id,
            "egress_policy": "none",
            "deleted_at": None if number % DELETED_EVERY else now,
        },
    )
    yield (
        Grant,
        {"resource_kind": ResourceKind.CUSTOM_JOB.value, "resource_id": job_id, "subject_id": user_id}
        | {"subject_kind": SubjectKind.USER.value, "role": "OWNER", "can_share": True, "created_at": now},
    )
