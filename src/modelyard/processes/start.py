"""``modelyard up``: sets an installation up and keeps its processes running."""

import json
import os
import sys
from typing import Any

import typer

from modelyard.app import build, prepare
from modelyard.cli.config import config_file, remember
from modelyard.identity.accounts import bootstrap
from modelyard.kernel.database import Base
from modelyard.kernel.settings import Settings
from modelyard.processes.api import run_api
from modelyard.processes.controller import run_controller
from modelyard.processes.gateway import run_gateway
from modelyard.processes.logs import configure
from modelyard.processes.options import AsJson, DataDir, GatewayPort, Host, Port, read_settings
from modelyard.processes.up import Keeper, UpError, check_ports, only_one

ROLES = {"api": run_api, "gateway": run_gateway, "controller": run_controller}


def up(
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    gateway_port: GatewayPort = None,
    as_json: AsJson = False,
) -> None:
    """Run api, gateway and controller on this machine, and start again what ends. Ctrl-C stops them.

    Deployed models go on running under their supervisors; the next start takes them over.
    """
    settings = read_settings(data_dir, host, port, gateway_port)
    configure(settings.log_level, "up")
    try:
        with only_one(settings.data_dir):
            check_ports(settings)
            token = set_up(settings)
            keeper = Keeper(settings, ROLES, lambda text: typer.echo(text, err=True))
            keeper.run(lambda: _tell_ready(settings, token, as_json=as_json))
    except UpError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None


def set_up(settings: Settings) -> str | None:
    """Makes the tables, what ships with the release, and the first administrator.

    The answer is the administrator's token, on the very first start only.
    """
    application = build(settings)
    try:
        Base.metadata.create_all(application.database.engine)
        given = settings.bootstrap_token.get_secret_value() if settings.bootstrap_token else None
        with application.database.write() as session:
            token = bootstrap(session, given)
        prepare(application)
    finally:
        application.database.dispose()
    return token


def _tell_ready(settings: Settings, token: str | None, *, as_json: bool) -> None:
    is_new = token is not None and not settings.bootstrap_token
    stored = remember(settings.api_url(), str(token)) if is_new and not config_file().exists() else None
    if as_json:
        ready: dict[str, Any] = {"api": settings.api_url(), "gateway": settings.gateway_url(), "pid": os.getpid()}
        if is_new:
            ready |= {"token": token, "config": str(stored) if stored else None}
        typer.echo(json.dumps(ready))
    else:
        if is_new:
            typer.echo(f"Made the first administrator. This token is shown only now: {token}")
            if stored:
                typer.echo(f"The CLI uses it from now on ({stored}).")
            else:
                typer.echo(
                    f"The CLI knows another server; 'modelyard login {settings.api_url()}' makes it use this one."
                )
        typer.echo(f"Modelyard is ready: API {settings.api_url()}/api/v2/  predictions {settings.gateway_url()}")
    sys.stdout.flush()
