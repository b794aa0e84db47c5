"""Changes of service health are told, once each."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from sqlalchemy import event, select

from modelyard.events.tables import EventRow
from modelyard.monitoring.health import watch_health
from tests.deployments.shelf import Shelf


def changes(shelf: Shelf) -> list[tuple[str, str, str]]:
    with shelf.installation.application.database.read() as session:
        rows = session.scalars(select(EventRow).order_by(EventRow.number))
        return [
            (row.content["deploymentLabel"], row.content["previousHealth"], row.content["health"])
            for row in rows
            if row.type == "deploymentHealthChanged"
        ]


def look(shelf: Shelf, hours_later: float = 0) -> int:
    database = shelf.installation.application.database
    return watch_health(database, datetime.now(UTC) + timedelta(hours=hours_later))


def test_a_change_is_told_once(shelf: Shelf) -> None:
    deployment_id = shelf.put("Churn")
    assert look(shelf) == 0
    shelf.traffic(deployment_id, rows=1)
    assert [look(shelf), look(shelf)] == [1, 0]
    for _ in range(3):
        shelf.traffic(deployment_id, rows=1)
    assert look(shelf) == 0
    shelf.traffic(deployment_id, rows=1, errors=1)
    assert [look(shelf), look(shelf)] == [1, 0]
    assert changes(shelf) == [("Churn", "notStarted", "passing"), ("Churn", "passing", "failing")]


def test_errors_that_are_a_day_old_count_no_more(shelf: Shelf) -> None:
    deployment_id = shelf.put("Churn")
    shelf.traffic(deployment_id, rows=1, errors=5, hours_ago=20)
    shelf.traffic(deployment_id, rows=1)
    assert look(shelf) == 1
    assert look(shelf, hours_later=6) == 1
    assert look(shelf, hours_later=60) == 0  # nothing is known of it any more
    assert changes(shelf) == [("Churn", "notStarted", "failing"), ("Churn", "failing", "passing")]


def test_only_deployments_that_answer_are_looked_at(shelf: Shelf) -> None:
    for status in ("inactive", "errored", "launching", "replacingModel", "active"):
        shelf.traffic(shelf.put(status, status=status), rows=1)
    assert look(shelf) == 2
    assert {label for label, _, _ in changes(shelf)} == {"replacingModel", "active"}


def test_several_controllers_tell_a_change_once(shelf: Shelf) -> None:
    deployments = [shelf.put(f"Churn {number}") for number in range(3)]
    for one in deployments:
        shelf.traffic(one, rows=1)
    look(shelf)
    for one in deployments:
        shelf.traffic(one, rows=1, errors=1)
    with ThreadPoolExecutor(4) as pool:
        told = [future.result() for future in [pool.submit(look, shelf) for _ in range(4)]]
    assert sum(told) == 3
    assert sum(health == "failing" for _, _, health in changes(shelf)) == 3


def test_a_look_without_a_change_is_one_query(shelf: Shelf) -> None:
    package = shelf.a_package()
    for number in range(5):
        shelf.traffic(shelf.put(f"Churn {number}", package), rows=1)
    look(shelf)
    asked: list[str] = []
    engine = shelf.installation.application.database.engine

    def note(*arguments: object) -> None:
        asked.append(str(arguments[2]))

    event.listen(engine, "before_cursor_execute", note)
    try:
        assert look(shelf) == 0
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert len(asked) == 1
