"""Queries that are asked again and again read what they are about, however many runs there are."""

from typing import Any

import pytest
from sqlalchemy import event

from modelyard.compute.executor import Executor
from modelyard.compute.watching import Watch
from modelyard.jobs.runs.work import executing
from tests.jobs.builders import Workshop


def test_the_watch_reads_executing_runs_and_not_those_that_wait(shelf: Workshop) -> None:
    application = shelf.installation.application
    if not application.database.is_sqlite:
        pytest.skip("PostgreSQL plans by statistics, and this table is empty")
    asked: list[tuple[str, Any]] = []
    event.listen(application.database.engine, "before_cursor_execute", lambda *found: asked.append(found[2:4]))
    Watch(application.database, application.parts.get(Executor), [executing]).look()  # type: ignore[type-abstract]
    ((statement, parameters),) = asked
    with application.database.read() as session:
        plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    assert "USING INDEX ix_custom_job_runs_queue (phase=?)" in str(plan)
