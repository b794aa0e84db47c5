"""Making an installation ready to be served: its tables, what ships with the release, the first administrator."""

import logging
from dataclasses import dataclass
from pathlib import Path

import typer

from modelyard.app import Application, prepare
from modelyard.cli.config import config_file, remember
from modelyard.compute.isolation import Isolation
from modelyard.compute.nodes import this_node
from modelyard.credentials import service as credentials
from modelyard.identity.accounts import bootstrap
from modelyard.kernel.migrations import upgrade
from modelyard.kernel.secret_box import SecretBox
from modelyard.kernel.settings import Settings
from modelyard.processes.nodes import claim_node
from modelyard.processes.options import BOOTSTRAP_VARIABLE, open_application

log = logging.getLogger(__name__)

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
    try:
        upgrade(application.database)
        if executes:
            claim_node(application.database, this_node(settings.data_dir))
        _warn_of_lost_keys(application)
        given = settings.bootstrap_token.get_secret_value() if settings.bootstrap_token else None
        with application.database.write() as session:
            token = bootstrap(session, given)
        prepare(application)
    finally:
        application.database.dispose()
    if token is None and given is not None:
        log.warning(IGNORED)
        typer.echo(f"warning: {IGNORED}", err=True)
    if token is None or given is not None:
        return None
    return NewAdministrator(token, None if config_file().exists() else remember(settings.api_url(), token))


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
