"""Engines on a database of either kind, in this process or in processes that can be killed."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from modelyard.kernel.database import Base, Database
from modelyard.kernel.parts import Parts
from modelyard.operations import service
from modelyard.operations.engine import Engine, Loop
from modelyard.operations.leases import Lease
from modelyard.operations.tables import Operation
from modelyard.operations.work import Handler
from tests.operations.recorder import Runs, StepRun
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


@dataclass
class Workshop:
    """A database with operations, and ways to have them done."""

    database: Database
    url: str

    def start(self, kind: str, resource_id: str | None = None, **payload: Any) -> str:
        """Puts an operation in line; its id."""
        with self.database.write() as session:
            row = service.start(
                session, None, kind, status_type="test", payload=payload, resource_id=resource_id, result_path=None
            )
            return row.id

    def cancel(self, operation_id: str) -> None:
        with self.database.write() as session:
            service.request_cancel(session, operation_id)

    def change(self, operation_id: str, **values: Any) -> None:
        """Sets columns of an operation behind everybody's back."""
        with self.database.write() as session:
            row = session.get_one(Operation, operation_id)
            for name, value in values.items():
                setattr(row, name, value)

    def read(self, operation_id: str) -> Operation:
        with self.database.read() as session:
            return session.get_one(Operation, operation_id)

    def wait_for(self, operation_id: str, status: str, timeout_s: float = 20) -> Operation:
        """The operation, once it has ended in ``status``."""

        def look() -> Operation | None:
            row = self.read(operation_id)
            assert row.finished_at is None or row.status == status, (row.status, row.message)
            return row if row.finished_at else None

        return wait_until(look, timeout_s, f"operation {operation_id} to be {status}")

    def runs(self, operation_id: str | None = None) -> list[StepRun]:
        """How steps were run, in processes, in the order of their beginnings."""
        statement = select(StepRun).order_by(StepRun.began)
        if operation_id is not None:
            statement = statement.where(StepRun.operation_id == operation_id)
        with self.database.read() as session:
            return list(session.scalars(statement))

    @contextmanager
    def engine(self, *handlers: Handler, loops: list[Loop] | None = None, **options: Any) -> Iterator[Engine]:
        """An engine that runs in a thread of this process."""
        engine = Engine(self.database, Parts(), handlers, loops or [], **options)
        thread = threading.Thread(target=engine.run)
        thread.start()
        try:
            yield engine
        finally:
            engine.stop()
            thread.join(20)
            assert not thread.is_alive(), "the engine did not stop"

    def run_once(self, *handlers: Handler, **options: Any) -> None:
        """Does everything that is due, in this thread."""
        Engine(self.database, Parts(), handlers, **options).run_until_idle()


@pytest.fixture
def workshop(each_database: str) -> Iterator[Workshop]:
    """An empty line of operations, on each kind of database."""
    database = Database(each_database)
    tables = [Base.metadata.tables[table.__tablename__] for table in (Operation, Lease)]
    Base.metadata.create_all(database.engine, tables=tables)
    Runs.metadata.create_all(database.engine)
    yield Workshop(database, each_database)
    database.dispose()


@pytest.fixture
def an_engine_process(workshop: Workshop) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts processes with an engine that records its steps; see ``recorder``."""
    started: list[subprocess.Popen[str]] = []

    def start(*, lease_s: float = 30, workers: int = 8) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.operations.recorder", workshop.url, str(lease_s), str(workers)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
