"""Migrations give exactly the tables that the code knows, on both databases, however many processes start at once."""

import subprocess
import sys
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

import modelyard.app
from modelyard.kernel.database import Base, Database
from modelyard.kernel.migrations import DatabaseIsNewerError, upgrade

UPGRADE = """
import sys
from modelyard.kernel.database import Database
from modelyard.kernel.migrations import upgrade
sys.stdin.readline()
upgrade(Database(sys.argv[1]))
"""


def differences(database: Database) -> list[Any]:
    """What the tables in a database lack, or have too much, against those in the code."""
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True, "include_object": _not_alembics_own}
        )
        return list(compare_metadata(context, Base.metadata))


def _not_alembics_own(_object: Any, name: str | None, *_rest: Any) -> bool:
    return name != "alembic_version"


def test_an_empty_database_gets_exactly_the_tables_of_the_code(each_database: str) -> None:
    assert modelyard.app.ROUTES  # importing it is what makes all tables known
    database = Database(each_database)
    assert differences(database), "an empty database lacks every table"
    upgrade(database)
    assert differences(database) == [], "run 'make migration'"
    database.dispose()


def test_a_difference_would_be_seen(each_database: str) -> None:
    database = Database(each_database)
    upgrade(database)
    with database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE operations DROP COLUMN code"))
    assert "add_column" in str(differences(database))
    database.dispose()


def test_processes_that_start_together_do_not_collide(each_database: str) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", UPGRADE, each_database], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0, 0], errors
    database = Database(each_database)
    assert "operations" in inspect(database.engine).get_table_names()
    with database.read() as session:
        assert session.scalar(text("SELECT count(*) FROM alembic_version")) == 1
    database.dispose()


def test_upgrading_again_keeps_the_rows(each_database: str) -> None:
    database = Database(each_database)
    upgrade(database)
    with database.write() as session:
        session.execute(
            text(
                "INSERT INTO organizations (id, name, compared_name, created_at) "
                "VALUES ('o', 'ours', 'ours', '2026-01-01')"
            )
        )
    upgrade(database)
    with database.read() as session:
        assert session.scalar(text("SELECT name FROM organizations")) == "ours"
    database.dispose()


def test_a_database_of_a_later_release_is_refused(each_database: str) -> None:
    database = Database(each_database)
    upgrade(database)
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseIsNewerError, match="revision 9999"):
        upgrade(database)
    database.dispose()


def test_a_migration_that_fails_leaves_the_database_as_it_was(each_database: str) -> None:
    database = Database(each_database)
    with database.write() as session:
        session.execute(text("CREATE TABLE operations (id INTEGER)"))  # in the way of the first revision
    with pytest.raises(Exception, match="operations"):
        upgrade(database)
    assert inspect(database.engine).get_table_names() == ["operations"]
    database.dispose()
