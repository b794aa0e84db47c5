"""A database with events, of either kind, for processes that can be killed."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from modelyard.events.schemas import Event
from modelyard.events.service import publish
from modelyard.events.tables import EventCount, EventCounter, EventCursor, EventRow
from modelyard.kernel.database import Base, Database
from tests.conftest import Installation
from tests.deployments.shelf import Shelf


def an_event(label: str, deployment_id: str = "d" * 24) -> Event:
    return Event(
        type="deploymentCreated",
        message=f"{label} is active.",
        organization_id="o" * 24,
        deployment_id=deployment_id,
        deployment_label=label,
    )


@dataclass(frozen=True)
class Board:
    """Where events are published."""

    database: Database
    url: str

    def publish(self, *labels: str) -> None:
        """Each in a transaction of its own."""
        for label in labels:
            with self.database.write() as session:
                publish(session, an_event(label))


@pytest.fixture
def board(each_database: str) -> Iterator[Board]:
    database = Database(each_database)
    tables = [Base.metadata.tables[table.__tablename__] for table in (EventRow, EventCount, EventCounter, EventCursor)]
    Base.metadata.create_all(database.engine, tables=tables)
    yield Board(database, each_database)
    database.dispose()


@pytest.fixture
def shelf(installation: Installation) -> Shelf:
    """A fresh installation for deployments that are only looked at."""
    return Shelf(installation)
