"""A page of a hundred models among a thousand and among a hundred thousand."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert

from benchmarks.figures import Figure, Result, interleaved
from benchmarks.installation import Installation, an_installation
from benchmarks.requests import Client
from modelyard.identity.tables import Grant, GrantCount, ResourceKind, SubjectKind
from modelyard.kernel.database import Base, Database
from modelyard.kernel.ids import new_id
from modelyard.models.tables import CustomModel, CustomModelVersion
from modelyard.workspaces.tables import File, Tree, Workspace

FEW, MANY = 1_000, 100_000
FILES = 3
PAGES = 100
AT_ONCE = 2_000
QUERIES = {"": "newest first", "&orderBy=-updated": "last changed first"}


def measure() -> list[Result]:
    with _filled(FEW) as few, _filled(MANY) as many:
        results: list[Result] = []
        for query, name in QUERIES.items():
            took, among_few = interleaved(PAGES, _page_of(many, query), _page_of(few, query))
            title = f"100 of {MANY:,} models, {name}"
            results.append(Figure(title, took, "ms", 15))
            results.append(Figure(title, took, "ms", 1.1, among_few, f"of {FEW:,}", of_ratio=True))
        return results


def _page_of(client: Client, query: str) -> Callable[[], float]:
    def measured() -> float:
        answer = client.ask("GET", f"/api/v2/customModels/?limit=100{query}")
        assert answer.json(200)["count"] == 100
        return answer.seconds * 1000

    for _ in range(10):
        measured()
    return measured


@contextlib.contextmanager
def _filled(count: int) -> Iterator[Client]:
    with an_installation() as installation:
        fill(installation, count)
        with Client(installation.server.port, installation.token) as client:
            yield client


def fill(installation: Installation, count: int) -> None:
    """Puts models with a version of three files each into the database, as one user's."""
    with contextlib.closing(sqlite3.connect(installation.database)) as connection:
        user_id, organization_id = connection.execute("SELECT id, organization_id FROM users").fetchone()
    database = Database(f"sqlite:///{installation.database}")
    for start in range(0, count, AT_ONCE):
        rows: dict[type[Base], list[dict[str, Any]]] = {}
        for number in range(start, min(start + AT_ONCE, count)):
            for table, row in _rows_of_model(number, user_id, organization_id):
                rows.setdefault(table, []).append(row)
        with database.write() as session:
            for table, some in rows.items():
                session.execute(insert(table), some)
    with database.write() as session:
        kind = ResourceKind.CUSTOM_MODEL.value
        session.add(GrantCount(subject_id=user_id, resource_kind=kind, visible=count))
        session.connection().exec_driver_sql("ANALYZE")
    database.dispose()


def _rows_of_model(number: int, user_id: str, organization_id: str) -> Iterator[tuple[type[Base], dict[str, Any]]]:
    model_id, version_id, tree_id, workspace_id = new_id(), new_id(), new_id(), new_id()
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
    common = {"created_by_id": user_id, "created_at": now}
    yield (
        CustomModel,
        common
        | {"id": model_id, "organization_id": organization_id, "latest_version_id": version_id, "name": f"M {number}"}
        | {"description": "A model", "language": "Python", "search_text": f"m {number}", "target_name": "y"}
        | {"custom_model_type": "inference", "target_type": "Regression", "supports_regression": True}
        | {"supports_binary_classification": False, "updated_at": now + timedelta(days=number * 7919 % 1000)},
    )
    yield Tree, {"id": tree_id, "head_revision": 1}
    yield (
        Workspace,
        {"id": workspace_id, "tree_id": tree_id, "revision": 1, "file_count": FILES, "size_bytes": 300}
        | {"created_at": now},
    )
    for file in range(FILES):
        yield (
            File,
            {"id": new_id(), "tree_id": tree_id, "added_revision": 1, "path": f"file_{file}.py", "digest": "0" * 64}
            | {"size_bytes": 100, "created_at": now},
        )
    yield (
        CustomModelVersion,
        common
        | {"id": version_id, "model_id": model_id, "workspace_id": workspace_id, "version_major": 1}
        | {"version_minor": 0, "dependencies": [], "parameter_definitions": [], "parameter_values": []},
    )
    yield (
        Grant,
        {"resource_kind": ResourceKind.CUSTOM_MODEL.value, "resource_id": model_id, "subject_id": user_id}
        | {"subject_kind": SubjectKind.USER.value, "role": "OWNER", "can_share": True, "created_at": now},
    )
