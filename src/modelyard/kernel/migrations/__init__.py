"""Migrations: brings a database to the tables of this release, once, however many processes start together."""

import io
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from modelyard.kernel.database import Database

FOLDER = Path(__file__).parent


class DatabaseIsNewerError(RuntimeError):
    """The database was made by a later release than this one."""


def upgrade(database: Database) -> None:
    """Makes or changes the tables, in one transaction; does nothing where they are up to date.

    Raises ``DatabaseIsNewerError`` for a database that this release does not know.
    """
    config = configuration()
    scripts = ScriptDirectory.from_config(config)
    if _revision(database) == scripts.get_current_head():
        return
    with database.alone() as connection:
        config.attributes["connection"] = connection
        found = MigrationContext.configure(connection).get_current_revision() or "base"
        try:
            scripts.get_revisions(found)
        except CommandError:
            raise DatabaseIsNewerError(
                f"The database is at revision {found}, which this release does not know: "
                "a later release has used it. Start that release, or restore a backup made before."
            ) from None
        command.upgrade(config, "head")


def is_current(database: Database) -> bool:
    """Whether the database has the tables of this release."""
    return _revision(database) == ScriptDirectory.from_config(configuration()).get_current_head()


def configuration() -> Config:
    """Alembic's settings; it finds everything else in this folder."""
    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("path_separator", "os")
    return config


def _revision(database: Database) -> str | None:
    with database.read() as session:
        return MigrationContext.configure(session.connection()).get_current_revision()
