"""Making an installation ready to be served: its tables, what ships with the release, the first administrator."""

import contextlib
import fcntl
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import typer
from sqlalchemy import text

from modelyard.app import Application, prepare
from modelyard.cli.config import config_file, remember
from modelyard.cli.errors import CommandError
from modelyard.compute.isolation import Isolation
from modelyard.compute.nodes import this_node
from modelyard.credentials import service as credentials
from modelyard.identity.accounts import bootstrap
from modelyard.kernel.database import Database
from modelyard.kernel.migrations import DatabaseIsNewerError, upgrade
from modelyard.kernel.secret_box import SecretBox
from modelyard.kernel.settings import Settings
from modelyard.processes.nodes import claim_node
from modelyard.processes.options import BOOTSTRAP_VARIABLE, explaining_database, open_application

log = logging.getLogger(__name__)

SETUP_LOCK = 0x6D6F6466  # any number that nothing else in the same database locks

IGNORED = (
    f"{BOOTSTRAP_VARIABLE} is ignored: this installation has its first administrator. Unset it; "
    "'modelyard admin recover' makes an administrator a new token."
)


@dataclass(frozen=True)
class NewAdministrator:
    """The token of an administrator that was just made, and the CLI's file that it was written to, if any."""

    token: str
    config_file: Path | None


def set_up(
    settings: Settings, isolation: Isolation | None = None, *, executes: bool = False
) -> NewAdministrator | None:
    """Brings the database up to date; safe to do again, and by several processes at once.

    A process that ``executes`` workloads claims that for this machine first. Raises ``CommandError`` where another one
    does.

    The answer is there on the very first start only, and not when the setting names the token: it can be read nowhere
    else. The CLI remembers it, unless it knows another server already.
    """
    application = open_application(settings, isolation)
    given = settings.bootstrap_token.get_secret_value() if settings.bootstrap_token else None
    try:
        with explaining_database(settings), setting_up(application.database, settings.data_dir):
            upgrade(application.database)
            if executes:
                claim_node(application.database, this_node(settings.data_dir))
            _warn_of_lost_keys(application)
            with application.database.write() as session:
                token = bootstrap(session, given)
            prepare(application)
    except DatabaseIsNewerError as error:
        raise CommandError(str(error)) from None
    finally:
        application.database.dispose()
    if token is None and given is not None:
        log.warning(IGNORED)
        typer.echo(f"warning: {IGNORED}", err=True)
    if token is None or given is not None:
        return None
    return NewAdministrator(token, None if config_file().exists() else remember(settings.api_url(), token))


@contextlib.contextmanager
def setting_up(database: Database, data_dir: Path) -> Iterator[None]:
    """One process after the other: by a lock in PostgreSQL, or a file's where the database is one."""
    if database.is_sqlite:
        with (data_dir / "setup.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    with database.engine.connect() as connection, connection.begin():
        connection.execute(text(f"SELECT pg_advisory_xact_lock({SETUP_LOCK})"))
        yield


def _warn_of_lost_keys(application: Application) -> None:
    """Says what nothing can decrypt, now and not only when a model that needs it is started."""
    with application.database.read() as session:
        lost = credentials.unreadable(session, application.parts.get(SecretBox))
    for fingerprint, count in lost.items():
        log.warning(
            "%d credentials were encrypted with the key %s, which this server lacks: restore secret.key, or name the "
            "key in MODELYARD_SECRET_KEYS",
            count,
            fingerprint,
        )


def tell_administrator(settings: Settings, made: NewAdministrator) -> None:
    """Shows the token, once."""
    typer.echo(f"Made the first administrator. This token is shown only now: {made.token}")
    if made.config_file:
        typer.echo(f"The CLI uses it from now on ({made.config_file}).")
    else:
        typer.echo(f"The CLI knows another server; 'modelyard login {settings.api_url()}' makes it use this one.")
