"""``modelyard admin recover``: a token for an administrator, made in the installation's own database.

Who may read the data directory's key and write its database has the authority; no token is asked for.
"""

import json
import os
import sqlite3
from pathlib import Path

import typer
from sqlalchemy.exc import SQLAlchemyError

from modelyard.cli.config import remember
from modelyard.cli.errors import CommandError, ExitCode
from modelyard.identity.recovery import Recovered
from modelyard.identity.recovery import recover as recover_in
from modelyard.kernel.database import Database
from modelyard.kernel.errors import Conflict, NotFound
from modelyard.kernel.migrations import is_current
from modelyard.kernel.settings import Settings
from modelyard.processes.options import read_settings

CHANGES = {
    "made": "was made, since there was no administrator",
    "promoted": "is an administrator now, since there was none",
    "activated": "is active again, since no administrator was",
}


def recover(data_dir: Path | None, user: str | None, *, login: bool, as_json: bool) -> None:
    """Make and show the token."""
    settings = read_settings(data_dir)
    _require_installation(settings)
    made = _recover(settings, user)
    config = remember(settings.api_url(), made.token) if login else None
    if as_json:
        told = {"userId": made.user_id, "username": made.username, "tokenId": made.token_id, "token": made.token}
        typer.echo(json.dumps(told | {"changes": made.changes, "config": str(config) if config else None}))
        return
    for change in made.changes:
        typer.echo(f"The user {made.username} {CHANGES[change]}.", err=True)
    typer.echo(f"A new token of the administrator {made.username}; it is shown only now:", err=True)
    typer.echo(made.token)
    if config:
        typer.echo(f"The CLI uses it from now on, at {settings.api_url()} ({config}).", err=True)


def _recover(settings: Settings, user: str | None) -> Recovered:
    database = Database(settings.database())
    try:
        if not is_current(database):
            raise CommandError(
                f"the database of {settings.data_dir} has not the tables of this release",
                hint="start the server once with this release, which brings them up to date",
            )
        with database.write() as session:
            return recover_in(session, user)
    except NotFound as error:
        raise CommandError(error.message, code=ExitCode.NOT_FOUND) from None
    except Conflict as error:
        raise CommandError(error.message, hint="name one of them with --user, or leave --user out") from None
    except (SQLAlchemyError, sqlite3.Error) as error:
        reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
        raise CommandError(
            f"the database of {settings.data_dir} cannot be used: {reason}", hint="run this as the server's own user"
        ) from None
    finally:
        database.dispose()


def _require_installation(settings: Settings) -> None:
    """Raise ``CommandError`` unless there is an installation that this user has the rights of the server to."""
    data_dir, key, file = settings.data_dir, settings.data_dir / "secret.key", settings.data_dir / "modelyard.db"
    if not os.path.lexists(data_dir):
        raise CommandError(
            f"there is no installation in {data_dir}",
            hint="name its directory with --data-dir",
            code=ExitCode.NOT_FOUND,
        )
    wanted = [(data_dir, os.R_OK | os.W_OK | os.X_OK)]
    if settings.secret_keys is None:
        wanted.append((key, os.R_OK))
    if settings.database_url is None:
        wanted.append((file, os.R_OK | os.W_OK))
    for path, rights in wanted:
        if os.access(data_dir, os.X_OK) and not path.exists():
            raise CommandError(
                f"there is no installation in {data_dir}: it has no {path.name}",
                hint="name its directory with --data-dir",
                code=ExitCode.NOT_FOUND,
            )
        if not os.access(path, rights):
            raise CommandError(
                f"{path} cannot be read and written by this user",
                hint="run this as the server's own user, or as root",
                code=ExitCode.NOT_ALLOWED,
            )
