"""The leaderboard is read from an index in its order, however many models a project has."""

import pytest
from sqlalchemy import event

from tests.learning.builders import Lab, sent
from tests.learning.tasks import SHARES


def test_the_leaderboard_is_not_sorted_anew(lab: Lab) -> None:
    database = lab.installation.application.database
    if not database.is_sqlite:
        pytest.skip("PostgreSQL plans by statistics, and this table is empty")
    project = lab.a_project()
    asked: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *found: asked.append(found[2]))
    lab.train(project, lab.a_task(SHARES))
    sent(lab.api.get(f"/projects/{project['id']}/models/"), 200)
    (statement,) = [one for one in asked if "ORDER BY learning_models.score" in one]
    with database.read() as session:
        values = (project["id"], *[100, 0][: statement.count("?") - 1])
        plan = str(session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all())
    assert "USING INDEX ix_learning_models_score (project_id=?)" in plan
    assert "TEMP B-TREE" not in plan
