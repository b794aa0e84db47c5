"""Making an installation ready to be served: its tables, what ships with the release, the first administrator."""

from dataclasses import dataclass
from pathlib import Path

import typer

from modelyard.app import build, prepare
from modelyard.cli.config import config_file, remember
from modelyard.identity.accounts import bootstrap
from modelyard.kernel.migrations import upgrade
from modelyard.kernel.settings import Settings


@dataclass(frozen=True)
class NewAdministrator:
    """The token of an administrator that was just made, and the CLI's file that it was written to, if any."""

    token: str
    config_file: Path | None


def set_up(settings: Settings) -> NewAdministrator | None:
    """Brings the database up to date; safe to do again, and by several processes at once.

    The answer is there on the very first start only, and not when the setting names the token: it can be read nowhere
    else. The CLI remembers it, unless it knows another server already.
    """
    application = build(settings)
    try:
        upgrade(application.database)
        given = settings.bootstrap_token.get_secret_value() if settings.bootstrap_token else None
        with application.database.write() as session:
            token = bootstrap(session, given)
        prepare(application)
    finally:
        application.database.dispose()
    if token is None or given is not None:
        return None
    return NewAdministrator(token, None if config_file().exists() else remember(settings.api_url(), token))


def tell_administrator(settings: Settings, made: NewAdministrator) -> None:
    """Shows the token, once."""
    typer.echo(f"Made the first administrator. This token is shown only now: {made.token}")
    if made.config_file:
        typer.echo(f"The CLI uses it from now on ({made.config_file}).")
    else:
        typer.echo(f"The CLI knows another server; 'modelyard login {settings.api_url()}' makes it use this one.")
